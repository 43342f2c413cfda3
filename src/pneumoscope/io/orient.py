"""Turning a block of voxels so that its axes run as a volume's do: to the head, to the back, to the left (LPS).

Axes are exchanged and reversed, nothing is interpolated: every voxel keeps its value and its place in millimetres.
"""

from __future__ import annotations

import math
from itertools import permutations
from typing import NamedTuple

import numpy as np

from pneumoscope.core.image import Geometry

_AXES = (2, 1, 0)  # of LPS, along Z, Y and X of a volume
LEAST_SKEW = 0.5  # degrees


class Axes(NamedTuple):
    """For Z, Y, X of a volume the axis of the block that it is, and whether that is reversed."""

    axes: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]


class Turned(NamedTuple):
    """Voxels [Z, Y, X], C-contiguous, and where they lie.

    axes: for Z, Y, X the axis that it was. flipped: for Z, Y, X whether it was reversed.
    """

    voxels: np.ndarray
    geometry: Geometry
    axes: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]
    skew: float


def nearest(steps: np.ndarray) -> Axes:
    """The axes of a block that run along the body's; steps: rows are the ways along each, mm, LPS, [3, 3]."""
    cosines = steps / np.linalg.norm(steps, axis=1, keepdims=True)
    z, y, x = max(permutations(range(3)), key=lambda p: sum(abs(cosines[a, w]) for a, w in zip(p, _AXES, strict=True)))
    down, front, right = (bool(cosines[a, w] < 0) for a, w in zip((z, y, x), _AXES, strict=True))
    return Axes((z, y, x), (down, front, right))


def spacing_of(steps: np.ndarray) -> tuple[float, float, float]:
    """Spacing (z, y, x) in mm of a volume with the ways `steps` along Z, Y and X, mm, [3, 3].

    From slice to slice it is the distance along the slices' normal, as where a gantry was tilted: the way itself is
    longer where Z leans.
    """
    y, x = np.linalg.norm(steps[1:], axis=1)
    normal = np.cross(steps[2] / x, steps[1] / y)
    return abs(float(steps[0] @ normal)) / float(np.linalg.norm(normal)), float(y), float(x)


def turn(voxels: np.ndarray, origin: np.ndarray, steps: np.ndarray, frame_of_reference: str | None = None) -> Turned:
    """The block [A, B, C] as [Z, Y, X].

    origin: centre of voxel [0, 0, 0], mm, LPS. steps: row k is the way to the next voxel along axis k, mm, LPS,
    [3, 3]. An oblique block is turned to the nearest axes. skew: degrees by which Z is off the right angle to the
    slices, or X to Y, whichever is more; a Geometry cannot say it, and has slices straight above each other.
    """
    axes, flipped = nearest(steps)
    turned = voxels.transpose(axes)[tuple(slice(None, None, -1 if f else 1) for f in flipped)]
    new_steps = np.array([-steps[a] if f else steps[a] for a, f in zip(axes, flipped, strict=True)])
    new_origin = origin + sum(
        (steps[a] * (voxels.shape[a] - 1) for a, f in zip(axes, flipped, strict=True) if f), np.zeros(3)
    )
    units = new_steps / np.linalg.norm(new_steps, axis=1, keepdims=True) + 0.0  # no -0.0
    normal = np.cross(units[2], units[1])
    sine = float(np.linalg.norm(normal))  # of the angle between X and Y
    cosine = abs(float(units[0] @ normal)) / max(sine, 1e-9)
    skew = math.degrees(max(math.acos(min(1.0, cosine)), math.acos(min(1.0, sine))))
    geometry = Geometry(
        spacing_mm=spacing_of(new_steps),
        origin_mm=(float(new_origin[0]), float(new_origin[1]), float(new_origin[2])),
        direction=(*units[2].tolist(), *units[1].tolist()),
        frame_of_reference=frame_of_reference,
    )
    return Turned(np.ascontiguousarray(turned), geometry, axes, flipped, skew)
