"""Which air of a volume is in the lungs: regions of slices, joined through the slices, without trachea and bowel.

Ours, by plain anatomy: air around the patient touches the picture's border, or lies over air that does; the lungs are
what is largest of the rest, and other large parts that reach as high as its middle, as gas under the diaphragm does
not; the trachea is the small dark region near the middle that is met first from above, as far down as it stays small.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

SPECK_MM2 = 15.0  # of a region in a slice; what is smaller is noise or a bronchus
MOST_REGIONS = 200  # of a slice, the largest; a chest has some ten
UNDER_OUTSIDE = 0.5  # share of a region that lies over air around the patient, from which it is such air too
LEAST_PART = 0.03  # of the largest part, from which another one is lung
# the trachea: its area in a slice, its distance from the middle of the lungs, and how fast it may widen
TRACHEA_MM2, TRACHEA_MM, WIDENS = 800.0, 40.0, 1.6

_OUTSIDE = 0  # the part that is air around the patient


@dataclass(frozen=True, kw_only=True, eq=False)
class Regions:
    """The regions of air in a slice.

    labels: uint8 `[H, W]`, 1 to N, 0 for none. area: pixels. middle: along X. mean: of the values. outside: whether it
    touches the picture's border. All but the first `[N]`.
    """

    labels: np.ndarray
    area: np.ndarray
    middle: np.ndarray
    mean: np.ndarray
    outside: np.ndarray


def air_of_lungs(values: np.ndarray, air: float, dark: float, pixel_mm: tuple[float, float]) -> np.ndarray:
    """Where there is air in the lungs: float32 `[Z, Y, X]`, Z from feet to head -> uint8, 1 there.

    Args:
        values: any scale on which air is less than tissue.
        air: what is less is air.
        dark: a trachea's mean is less.
        pixel_mm: (y, x).
    """
    pixel = pixel_mm[0] * pixel_mm[1]
    slices = [regions(pixels, air, max(2.0, SPECK_MM2 / pixel)) for pixels in values]
    parts = joined(slices)
    lungs = _lungs(slices, parts)
    mask = np.zeros(values.shape, np.uint8)
    if not lungs:
        return mask
    kept = [np.isin(part, lungs) for part in parts]
    _drop_trachea(slices, kept, dark, pixel_mm)
    for out, found, keep in zip(mask, slices, kept, strict=True):
        np.take(np.concatenate([[False], keep]).view(np.uint8), found.labels, out=out)
    return mask


def regions(pixels: np.ndarray, air: float, least: float) -> Regions:
    """The regions of a slice below `air`, over 4 neighbours, of at least `least` pixels."""
    count, labels, stats, middles = cv2.connectedComponentsWithStats((pixels < air).view(np.uint8), connectivity=4)
    area = stats[1:, cv2.CC_STAT_AREA]
    kept = np.argsort(-area, kind="stable")[:MOST_REGIONS]
    kept = kept[area[kept] >= least]
    number = np.zeros(count, np.uint8)
    number[kept + 1] = np.arange(1, len(kept) + 1)
    labels = number[labels]
    sums = np.bincount(labels.ravel(), weights=pixels.ravel(), minlength=len(kept) + 1)[1:]
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    outside = np.bincount(edge, minlength=len(kept) + 1)[1:] > 0
    return Regions(labels=labels, area=area[kept], middle=middles[kept + 1, 0], mean=sums / area[kept], outside=outside)


def joined(slices: list[Regions]) -> list[np.ndarray]:
    """The part that each region belongs to, `[N]` a slice: those over each other are one part, 0 is outside."""
    first = np.cumsum([1, *(len(s.area) for s in slices)])
    parent = list(range(first[-1]))

    def top(node: int) -> int:
        while parent[node] != node:
            parent[node] = node = parent[parent[node]]
        return node

    for start, found in zip(first[:-1].tolist(), slices, strict=True):
        for region in np.flatnonzero(found.outside).tolist():
            parent[start + region] = _OUTSIDE
    for z, (lower, upper) in enumerate(pairwise(slices)):
        over = _overlap(lower, upper)
        for a, b in zip(*(index.tolist() for index in np.nonzero(over)), strict=True):
            one, other = sorted((top(first[z] + a), top(first[z + 1] + b)))
            smaller = min(lower.area[a], upper.area[b])
            if one != _OUTSIDE or over[a, b] >= UNDER_OUTSIDE * smaller:
                parent[other] = one
    tops = np.array([top(node) for node in range(first[-1])])
    return [tops[a:b] for a, b in pairwise(first)]


def _overlap(lower: Regions, upper: Regions) -> np.ndarray:
    """Pixels that regions of two neighbouring slices share, `[N, M]`."""
    shape = (len(lower.area) + 1, len(upper.area) + 1)
    pairs = lower.labels.astype(np.uint16) * np.uint16(shape[1]) + upper.labels
    return np.bincount(pairs.ravel(), minlength=shape[0] * shape[1]).reshape(shape)[1:, 1:]


def _lungs(slices: list[Regions], parts: list[np.ndarray]) -> list[int]:
    """The parts that are lung: the largest, and large ones that reach above its middle."""
    part = np.concatenate(parts)
    height = np.repeat(np.arange(len(slices)), [len(p) for p in parts])
    size = np.bincount(part, weights=np.concatenate([s.area for s in slices]), minlength=1)
    size[_OUTSIDE] = 0
    largest = int(size.argmax())
    if not size[largest]:
        return []
    of_largest = height[part == largest]
    middle = (of_largest.min() + of_largest.max()) / 2
    large = np.flatnonzero(size >= LEAST_PART * size[largest])
    return [int(p) for p in large if height[part == p].max() >= middle]


def _drop_trachea(slices: list[Regions], kept: list[np.ndarray], dark: float, pixel_mm: tuple[float, float]) -> None:
    """Take the trachea out of what is kept of each slice, from its highest one down."""
    weight = np.concatenate([s.area * k for s, k in zip(slices, kept, strict=True)])
    middle = float(np.average(np.concatenate([s.middle for s in slices]), weights=weight))
    most = TRACHEA_MM2 / (pixel_mm[0] * pixel_mm[1])
    before: np.ndarray | None = None
    heights = [z for z, keep in enumerate(kept) if keep.any()]
    for z in reversed(heights):
        found = slices[z]
        fits = kept[z] & (found.area <= most)
        if before is None:
            away = np.abs(found.middle - middle)
            fits &= (found.mean < dark) & (away * pixel_mm[1] < TRACHEA_MM) & (2 * z > heights[0] + heights[-1])
        else:
            away = -np.bincount(found.labels[before], minlength=len(found.area) + 1)[1:]
            fits &= (away < 0) & (found.area <= WIDENS * max(float(np.count_nonzero(before)), most / 4))
        if not fits.any():
            if before is not None:
                return
            continue
        region = int(np.where(fits, away, np.inf).argmin())
        kept[z][region] = False
        before = found.labels == region + 1
