"""An image or a volume, where it lies in the patient, and what was done to it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

Modality = Literal["xray", "ct"]
Unit = Literal["HU", "unit"]


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Where pixels lie, in the DICOM patient coordinate system (LPS), in millimetres.

    spacing_mm: `(y, x)` of an image, `(z, y, x)` of a volume; all above 0 (PS3.3 10.7.1.3).
    origin_mm: centre of the first pixel, `(x, y, z)` in LPS; None for a projection.
    direction: direction cosines of the row (x) and column (y) axes, six numbers as in
        ImageOrientationPatient (PS3.3 C.7.6.2); None for a projection.
    """

    spacing_mm: tuple[float, ...]
    origin_mm: tuple[float, float, float] | None = None
    direction: tuple[float, ...] | None = None
    frame_of_reference: str | None = None

    def __post_init__(self) -> None:
        if not all(np.isfinite(s) and s > 0 for s in self.spacing_mm):
            raise ValueError(f"spacing_mm: expected numbers above 0, found {self.spacing_mm}.")
        if self.direction is not None and len(self.direction) != 6:
            raise ValueError(f"direction: expected 6 direction cosines, found {len(self.direction)}.")


@dataclass(frozen=True, kw_only=True)
class AppliedStep:
    """One thing done to an image, with all that is needed to say it again or to undo it."""

    name: str
    args: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, eq=False)
class Image2D:
    """A grey image.

    pixels: float32 `[H, W]`, finite. unit "unit": brightness in 0..1, air dark and bone bright.
        unit "HU": Hounsfield units.
    modality: "xray", "ct", or None where the file does not say (PNG, JPEG).
    view: DICOM ViewPosition ("PA", "AP", "LL", ...), or "axial" ...; None where unknown.
    steps: what reading and preprocessing did, in order.
    warnings: what a reader of the result must know, one sentence each.
    """

    pixels: np.ndarray
    unit: Unit
    modality: Modality | None = None
    view: str | None = None
    geometry: Geometry | None = None
    source: str = ""
    steps: tuple[AppliedStep, ...] = ()
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        p = self.pixels
        if p.ndim != 2 or p.dtype != np.float32 or 0 in p.shape:
            raise ValueError(f"pixels: expected float32 [H, W], found {p.dtype} {p.shape}.")
        if not np.isfinite(p).all():
            raise ValueError("pixels: expected finite values, found NaN or infinity.")

    @property
    def shape(self) -> tuple[int, int]:
        """`(H, W)` in pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]

    def after(self, pixels: np.ndarray, step: AppliedStep, *, unit: Unit | None = None) -> Image2D:
        """The image that `step` makes of this one, with the step recorded."""
        return dataclasses.replace(self, pixels=pixels, unit=unit or self.unit, steps=(*self.steps, step))


@dataclass(frozen=True, kw_only=True, eq=False)
class Volume:
    """A CT series as one block, always turned the same way.

    voxels: int16 `[Z, Y, X]` in HU; as in LPS, or nearest to it where the scan was oblique: Z from feet to head, Y
        from front to back, X from the patient's right to the left.
    geometry: spacing_mm `(z, y, x)`; origin_mm of voxel [0, 0, 0]; direction of X and Y, as of an image's row and
        column.
    slices: where each slice along Z came from, `Z` names.
    steps, warnings: as of an image.
    """

    voxels: np.ndarray
    geometry: Geometry
    slices: tuple[str, ...]
    source: str = ""
    steps: tuple[AppliedStep, ...] = ()
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        v = self.voxels
        if v.ndim != 3 or v.dtype != np.int16 or 0 in v.shape:
            raise ValueError(f"voxels: expected int16 [Z, Y, X], found {v.dtype} {v.shape}.")
        if len(self.slices) != v.shape[0] or len(self.geometry.spacing_mm) != 3:
            raise ValueError(
                f"volume: expected a name for each of {v.shape[0]} slices and spacing (z, y, x), found "
                f"{len(self.slices)} names and {self.geometry.spacing_mm}."
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """`(Z, Y, X)` in voxels."""
        return self.voxels.shape[0], self.voxels.shape[1], self.voxels.shape[2]

    def images(self) -> Iterator[Image2D]:
        """Its slices, from the feet to the head, as images of their own."""
        return (self.image(number) for number in range(len(self.voxels)))

    def image(self, number: int) -> Image2D:
        """One slice, counted from the feet, as an image of its own."""
        geometry = dataclasses.replace(self.geometry, spacing_mm=self.geometry.spacing_mm[1:], origin_mm=None)
        return Image2D(
            pixels=self.voxels[number].astype(np.float32),
            unit="HU",
            modality="ct",
            view="axial",
            geometry=geometry,
            source=self.slices[number],
            steps=self.steps,
        )
