"""A lung mask that keeps dense lesions at the pleura: found on the whole volume, then filled where lung is all around.

Ours. Consolidated lung is as dense as muscle, and no threshold finds it. What stands for it: a gap in the outline of a
lung, within the hull of what is aerated in that slice, with aerated lung above and below. Heart and liver have lung
above them at most. What remains unseen is a lobe that is dense down to the diaphragm.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import cv2
import numpy as np

from pneumoscope.prep.lung import filled
from pneumoscope.prep.lung_air import air_of_lungs

AIR_HU = -350.0  # below it is air, and lung that holds some: ground glass is around -500, muscle at 50
DARK_HU = -860.0  # the mean of a trachea is less
REACH_MM = 60.0  # of aerated lung above and below, from which dense tissue between is lung
CLOSE_MM = 6.0  # radius of the closing: vessels at the outline
MIDDLE_MM = 35.0  # of the middle of both lungs: within it the line between them is looked for, and no gap is filled

Axes = tuple[float, float, float]


def our_mask(values: np.ndarray, hu: tuple[float, float], spacing_mm: Axes) -> np.ndarray:
    """float32 `[Z, Y, X]` in 0..1, Z from feet to head -> uint8, 1 in the lungs; all 0 where none are found.

    Args:
        values: grey values, linear in HU.
        hu: HU of 0 and of 1.
        spacing_mm: (z, y, x).
    """
    low, high = hu
    air, dark = ((level - low) / (high - low) for level in (AIR_HU, DARK_HU))
    mask = air_of_lungs(values, air, dark, spacing_mm[1:])
    if not mask.any():
        return mask
    between = _between(mask, max(1, round(REACH_MM / spacing_mm[0])))
    middle = float(np.average(np.arange(mask.shape[2]), weights=mask.sum(axis=(0, 1))))
    for lungs, around in zip(mask, between, strict=True):
        if lungs.any():
            lungs[:] = _whole(lungs, around, middle, spacing_mm[1:])
    return mask


def _between(mask: np.ndarray, reach: int) -> np.ndarray:
    """uint8 `[Z, Y, X]`, 1 where there is lung above and below, at most `reach` slices away."""
    found = _seen(mask, range(len(mask)), reach)
    np.bitwise_and(found, _seen(mask, range(len(mask) - 1, -1, -1), reach), out=found)
    return found


def _seen(mask: np.ndarray, order: Iterable[int], reach: int) -> np.ndarray:
    """1 where, on the way through the slices in this order, lung lies at most `reach` slices back."""
    since = np.full(mask.shape[1:], reach, np.int32)
    found = np.empty_like(mask)
    for z in order:
        since += 1
        found[z] = since <= reach
        since[mask[z] > 0] = 0
    return found


def _whole(lungs: np.ndarray, around: np.ndarray, middle: float, pixel_mm: tuple[float, float]) -> np.ndarray:
    """A slice of both lungs, uint8 `[H, W]`, with what is missing of each within its hull and `around`."""
    radius = tuple(max(1, round(CLOSE_MM / side)) for side in pixel_mm)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius[1] + 1, 2 * radius[0] + 1))
    near = MIDDLE_MM / pixel_mm[1]
    whole = np.zeros_like(lungs)
    for lung, outward in _each(lungs, middle, near):
        hull = np.zeros_like(lung)
        cv2.fillConvexPoly(hull, cv2.convexHull(cv2.findNonZero(lung)), 1)
        gaps = hull & around & _at_the_ribs(lung, outward)
        gaps[:, max(0, round(middle - near)) : round(middle + near) + 1] = 0
        # OpenCV does not close over a border: what lies there is taken to go on
        whole |= filled(np.asarray(cv2.morphologyEx(lung | gaps, cv2.MORPH_CLOSE, disc)))
    return whole


def _at_the_ribs(lung: np.ndarray, outward: int) -> np.ndarray:
    """uint8 `[H, W]`, 1 where no lung lies further out or further back, as it does of heart and vessels."""
    beside = np.maximum.accumulate(lung[:, ::-outward], axis=1)[:, ::-outward]
    behind = np.maximum.accumulate(lung[::-1], axis=0)[::-1]
    return 1 - (beside & behind)


def _each(lungs: np.ndarray, middle: float, near: float) -> Iterator[tuple[np.ndarray, int]]:
    """The right and the left lung, and its way out along X: cut along the column near the middle with the least."""
    width = lungs.shape[1]
    columns = np.arange(max(1, int(middle - near)), min(width - 1, int(middle + near)) + 1)
    least = lungs[:, columns].sum(axis=0) + np.abs(columns - middle) / width  # of equals the nearest
    cut = columns[int(least.argmin())]
    for side, outward in ((slice(0, cut), -1), (slice(cut, width), 1)):
        if lungs[:, side].any():
            lung = np.zeros_like(lungs)
            lung[:, side] = lungs[:, side]
            yield lung, outward
