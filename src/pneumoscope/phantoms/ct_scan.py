"""The scanner of the phantom series: field, slices, kernel and noise, none of which knows what the patient has.

Noise follows the number of quanta (its spread goes with one over the square root of slice thickness), and a sharp
kernel keeps the fine grain that a soft one smooths away. Levels are round figures of clinical protocols.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pneumoscope.errors import UsageError
from pneumoscope.phantoms.thorax import BOTTOM, TOP, Thorax
from pneumoscope.phantoms.tubes import Grid

MIN_SIZE, MAX_SIZE, MIN_SLICES, MAX_SLICES = 64, 1024, 8, 600
AIR, MOST = -1024, 3071  # HU, the ends of twelve bits
THICKEST = 5.0  # mm

_LUNG_KERNELS = ("B60f", "LUNG", "FC51", "B50f")
_SOFT_KERNELS = ("B31f", "STANDARD", "FC08")
_THICK = (1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 5.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Scan:
    """One series as it is taken.

    size: pixels a side. slices: number of slices. spacing_mm: z, y, x. thickness_mm: of a slice; below the spacing
    there are gaps. first: x, y, z of the middle of the first pixel of the lowest slice, LPS in mm. grid: where the
    patient lies. heights: `[Z]`, z of the slices in the standard thorax. blur_mm, edge: spread of the kernel and how
    much it sharpens. noise_hu: spread of the noise in air-filled lung at 1 mm and 0.75 mm pixels.
    head_first: whether instance 1 is the highest slice.
    """

    size: int
    slices: int
    spacing_mm: tuple[float, float, float]
    thickness_mm: float
    first: tuple[float, float, float]
    grid: Grid
    heights: np.ndarray
    table: float
    kernel: str
    blur_mm: float
    edge: float
    noise_hu: float
    head_first: bool

    @cached_property
    def scanned(self) -> np.ndarray:
        """Where the reconstruction reaches, bool `[Y, X]`: a circle."""
        inside: np.ndarray = self._radius <= 1
        return inside

    @cached_property
    def through(self) -> np.ndarray:
        """Factor on the noise, float32 `[Y, X]`: more in the middle of what the beam crosses."""
        factor: np.ndarray = (1.15 - 0.6 * np.minimum(self._radius, 1) ** 2).astype(np.float32)
        return factor

    @property
    def _radius(self) -> np.ndarray:
        axis = (np.arange(self.size) - (self.size - 1) / 2) / (self.size / 2)
        radius: np.ndarray = np.hypot(axis[:, None], axis[None, :])
        return radius


def plan_scan(rng: np.random.Generator, t: Thorax, *, size: int, slices: int | None, soft: bool) -> Scan:
    """Draw how a patient lies and is scanned.

    slices: None for as many as the drawn thickness needs. soft: the soft-tissue series beside the one for the lung,
    at least 3 mm thick; the patient lies the same in both.

    Raises:
        UsageError: a size or a number of slices out of range.
    """
    _check(size, slices)
    wide, deep, tall = t.scale
    fov, turn, lean = float(rng.uniform(345, 400) * wide), np.deg2rad(rng.uniform(-4, 4)), rng.uniform(-0.05, 0.05, 2)
    middle, margins = rng.uniform((-8, -6), (8, 10)), rng.uniform((4, 4), (26, 30))
    thickness, base, table = float(rng.choice(_THICK)), float(rng.uniform(-900, -300)), float(rng.uniform(116, 121))
    corner, head_first = rng.uniform(-210, -160, 2), bool(rng.random() < 0.75)
    kernel, grain = str(rng.choice(_LUNG_KERNELS)), float(rng.uniform(0.8, 1.3))
    soft_kernel, thicker = str(rng.choice(_SOFT_KERNELS)), float(rng.choice((3.0, 5.0)))
    if soft:
        kernel, thickness = soft_kernel, max(thicker, thickness)
    low, high = BOTTOM * tall - margins[0], TOP * tall + margins[1]
    count = slices or round((high - low) / thickness)
    step = float((high - low) / count) if slices else thickness
    px = fov / size
    heights = low + step * (np.arange(count) + 0.5)
    blur, edge, noise = (0.75, 0.0, 11.0) if soft else (0.45, 0.7, 26.0)
    return Scan(
        size=size,
        slices=count,
        spacing_mm=(round(step, 4), round(px, 6), round(px, 6)),
        thickness_mm=min(step, thickness, THICKEST) if slices is None else min(step, THICKEST),
        first=(round(float(corner[0]), 3), round(float(corner[1]), 3), round(base + float(heights[0]), 3)),
        grid=_grid(size, fov, turn, lean / tall, middle, (wide, deep)),
        heights=heights / tall,
        table=table,
        kernel=kernel,
        blur_mm=blur,
        edge=edge,
        noise_hu=noise * grain,
        head_first=head_first,
    )


def _check(size: int, slices: int | None) -> None:
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise UsageError(f"size: expected {MIN_SIZE} to {MAX_SIZE} pixels, found {size}. Choose another.")
    if slices is not None and not MIN_SLICES <= slices <= MAX_SLICES:
        raise UsageError(f"slices: expected {MIN_SLICES} to {MAX_SLICES}, found {slices}. Choose another.")


def _grid(size: int, fov: float, turn: float, lean: np.ndarray, middle: np.ndarray, scale: tuple[float, float]) -> Grid:
    c, s, per_mm = np.cos(turn), np.sin(turn), size / fov
    linear = np.array([[c, -s], [s, c]]) @ np.diag(scale) * per_mm
    return Grid(linear, size / 2 - 0.5 + per_mm * middle, lean, per_mm * float(np.sqrt(scale[0] * scale[1])))


def magnified(grid: Grid, factor: int) -> Grid:
    """The same grid on a picture with `factor` times as many pixels a side."""
    return Grid(grid.turn * factor, (grid.shift + 0.5) * factor - 0.5, grid.lean, grid.per_mm * factor)


def measured(rng: np.random.Generator, hu: np.ndarray, scan: Scan) -> np.ndarray:
    """A slice as reconstructed, int16 `[Y, X]`; hu: float32 `[Y, X]`. The kernel blurs and sharpens, noise is added."""
    import cv2

    px = scan.spacing_mm[1]
    seen = cv2.GaussianBlur(hu, (0, 0), max(scan.blur_mm / px, 0.25))
    if scan.edge:
        seen = cv2.addWeighted(seen, 1 + scan.edge, cv2.GaussianBlur(seen, (0, 0), max(1.0 / px, 0.4)), -scan.edge, 0)
    grain = 0.6 if scan.edge else 1.1  # pixels
    white = rng.standard_normal(hu.shape, dtype=np.float32)
    level = scan.noise_hu * scan.thickness_mm**-0.5 * min(0.75 / px, 1.0)
    # blurred by a Gaussian, white noise spreads by 1 / (2 sqrt(pi) sigma) of what it did
    noise = cv2.GaussianBlur(white, (0, 0), grain) * np.float32(3.545 * grain * level)
    stored: np.ndarray = np.clip(np.rint(seen + noise * scan.through), AIR, MOST).astype(np.int16)
    stored[~scan.scanned] = AIR
    return stored
