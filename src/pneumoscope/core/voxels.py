"""A CT volume on its way to a 3D network, and where each of its voxels lies in the volume that was read."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from pneumoscope.core.image import AppliedStep

Axes = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True, eq=False)
class Voxels:
    """values: float32 `[Z, Y, X]` in 0..1. spacing_mm: (z, y, x).

    to_source: (scale, offset) of each axis: the centre of voxel i here lies at scale * i + offset in the source
    volume, in its voxels. mask: uint8 `[Z, Y, X]`, 1 in the lung, None before there is one. steps: what was done.
    """

    values: np.ndarray
    spacing_mm: Axes
    to_source: tuple[tuple[float, float], tuple[float, float], tuple[float, float]] = ((1, 0), (1, 0), (1, 0))
    mask: np.ndarray | None = None
    steps: tuple[AppliedStep, ...] = ()

    def after(self, step: AppliedStep, **changed: object) -> Voxels:
        """What a step made of these voxels, by field."""
        return dataclasses.replace(self, steps=(*self.steps, step), **changed)  # type: ignore[arg-type]
