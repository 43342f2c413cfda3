"""A volume cut along three planes through one place, with and without a map: pictures as a workstation shows them.

Axial slices are seen from the feet, coronal ones from the front, sagittal ones from the patient's left; a millimetre is
as long in every direction of every plane. Letters name the body's sides: R and L, A (front) and P, H and F.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pneumoscope.core.image import Image2D, Volume
from pneumoscope.report import figures

SIDE = 448  # pixels of the longest side of the body that was scanned
COLOUR = (120, 220, 230)  # of the cross and the letters
GAP = 0.05  # of the longest side, that the cross leaves free around the place
MARGIN = 8  # pixels between planes
BACKGROUND = (5, 8, 11)

Place = tuple[int, int, int]  # z, y, x of a voxel


class Plane(NamedTuple):
    """One cut. grey: uint8 `[h, w]`. heat: the map in 0..1 on it, float32 `[h, w]`.

    number: of the cut along its axis, from 0. at: row and column of the place, in pixels. sides: the letters of the
    left, the right, the top and the bottom.
    """

    name: str
    number: int
    grey: np.ndarray
    heat: np.ndarray
    at: tuple[int, int]
    sides: str


def strongest(values: np.ndarray) -> Place:
    """Where a map `[Z, Y, X]` is highest: of equally high places the one nearest to their middle."""
    highest = np.argwhere(values == values.max())
    z, y, x = highest[((highest - highest.mean(axis=0)) ** 2).sum(axis=1).argmin()].tolist()
    return z, y, x


def planes(volume: Volume, values: np.ndarray, at: Place, *, side: int = SIDE) -> tuple[Plane, Plane, Plane]:
    """The axial, the coronal and the sagittal plane through a voxel.

    Args:
        volume: the scan.
        values: a map in 0..1 over it, `[Z, Y, X]`.
        at: the voxel.
        side: pixels of the longest of the volume's three sides.

    Raises:
        ValueError: a map that is not in the voxels of the volume.
    """
    if values.shape != volume.shape:
        raise ValueError(f"map: expected the volume's shape {volume.shape}, found {values.shape}.")
    lengths = [n * mm for n, mm in zip(volume.shape, volume.geometry.spacing_mm, strict=True)]
    pixels = [max(1, round(side * length / max(lengths))) for length in lengths]
    (z, y, x), hu = at, volume.voxels
    cuts = (
        ("axial", z, hu[z], values[z], (1, 2), "RLAP"),
        ("coronal", y, hu[::-1, y], values[::-1, y], (0, 2), "RLHF"),
        ("sagittal", x, hu[::-1, :, x], values[::-1, :, x], (0, 1), "APHF"),
    )
    shown = []
    for name, number, plane, over, axes, sides in cuts:
        size = pixels[axes[0]], pixels[axes[1]]
        row, column = (int((at[a] + 0.5) / volume.shape[a] * pixels[a]) for a in axes)
        up = size[0] - 1 - row if axes[0] == 0 else row  # the head is at the top
        image = Image2D(pixels=_sized(plane, size), unit="HU")
        grey = figures.grey(image, long_side=max(size))
        shown.append(Plane(name, number, grey, np.clip(_sized(over, size), 0, 1), (up, column), sides))
    return shown[0], shown[1], shown[2]


def plain(plane: Plane) -> np.ndarray:
    """The cut with a cross at the place, which stays free, and the letters: uint8 RGB `[h, w, 3]`."""
    picture = np.repeat(plane.grey[..., np.newaxis], 3, axis=2)
    (row, column), gap = plane.at, max(3, round(GAP * max(picture.shape)))
    lines = np.zeros(plane.grey.shape, bool)
    lines[row], lines[:, column] = True, True
    lines[max(0, row - gap) : row + gap + 1, max(0, column - gap) : column + gap + 1] = False
    picture[lines] = (picture[lines] // 3 + np.array(COLOUR) * 2 // 3).astype(np.uint8)
    return _lettered(picture, plane.sides)


def overlaid(plane: Plane) -> np.ndarray:
    """The cut with the map over it and the letters: uint8 RGB `[h, w, 3]`."""
    return _lettered(figures.laid_over(plane.grey, plane.heat), plane.sides)


def planes_png(volume: Volume, values: np.ndarray, at: Place) -> bytes:
    """The three planes through a voxel, above without and below with the map, as one RGB PNG. As `planes`."""
    shown = planes(volume, values, at)
    rows = [side_by_side([draw(plane) for plane in shown]) for draw in (plain, overlaid)]
    between = np.full((MARGIN, rows[0].shape[1], 3), BACKGROUND, np.uint8)
    return figures.encoded(".png", np.concatenate([rows[0], between, rows[1]]))


def side_by_side(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """RGB pictures in a row, each in the middle of the height: uint8 `[h, w, 3]`."""
    height = max(len(picture) for picture in pictures)
    width = sum(picture.shape[1] for picture in pictures) + MARGIN * (len(pictures) - 1)
    row = np.full((height, width, 3), BACKGROUND, np.uint8)
    left = 0
    for picture in pictures:
        h, w = picture.shape[:2]
        top = (height - h) // 2
        row[top : top + h, left : left + w] = picture
        left += w + MARGIN
    return row


def _sized(plane: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """float32 `[h, w]`: a side that shrinks by the mean of what is covered, one that grows by straight lines."""
    import cv2

    h, w = size
    small = min(w, plane.shape[1]), min(h, plane.shape[0])
    shrunk = cv2.resize(plane.astype(np.float32), small, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(shrunk, (w, h), interpolation=cv2.INTER_LINEAR))


def _lettered(picture: np.ndarray, sides: str) -> np.ndarray:
    """With a letter at the middle of each side; on a dark rim, to be read on any grey."""
    import cv2

    h, w = picture.shape[:2]
    scale = max(0.4, max(h, w) / 800)
    picture = np.ascontiguousarray(picture)
    for letter, (x, y) in zip(sides, ((0, 0.5), (1, 0.5), (0.5, 0), (0.5, 1)), strict=True):
        (wide, tall), _ = cv2.getTextSize(letter, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
        corner = round(4 + x * (w - 8 - wide)), round(4 + tall + y * (h - 8 - tall))
        for colour, thick in (((0, 0, 0), 3), (COLOUR, 1)):
            cv2.putText(picture, letter, corner, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, thick, cv2.LINE_AA)
    return picture
