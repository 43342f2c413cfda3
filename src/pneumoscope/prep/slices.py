"""Slices between slices: a cubic spline along Z, to train with.

Source: Garg 2021, section III-A2: "we interpolate the given dataset using spline interpolation to increase the number
of slices"; only the slice classifier learns from them, and none lies between an infected and an uninfected slice. How
many, and which spline, is unstated; assumed: the one of SciPy's CubicSpline ("not-a-knot"), over each run by itself.
"""

from __future__ import annotations

import numpy as np

ROWS = 32  # of the slices that are interpolated at once: a whole series in floats would fill the memory


def interpolated(voxels: np.ndarray, keep: np.ndarray, added: int) -> tuple[np.ndarray, np.ndarray]:
    """`added` new slices in each gap that may be filled.

    A run of slices without a forbidden gap has a spline of its own, so that no slice beyond such a gap has a part in
    it: of two slices a line, of three a parabola.

    Args:
        voxels: int16 `[Z, H, W]`, evenly spaced along Z.
        keep: bool `[Z-1]`, which gaps between neighbours may be filled.
        added: slices in each, at least 1, evenly spaced.

    Returns:
        The new slices, int16 `[M, H, W]`, within the lowest and highest value of `voxels`, and where they lie,
        float64 `[M]` in slices: 2.5 is half way between `voxels[2]` and `voxels[3]`. Ascending; M may be 0.
    """
    if keep.shape != (len(voxels) - 1,) or added < 1:
        raise ValueError(
            f"interpolated: expected {len(voxels) - 1} gaps, 1 slice or more in each, found {keep.shape} and {added}."
        )
    parts = [_run(voxels[first:last], added, voxels.min(), voxels.max()) for first, last in _runs(keep)]
    between = np.arange(1, added + 1) / (added + 1)
    positions = (np.flatnonzero(keep)[:, np.newaxis] + between).ravel()
    return np.concatenate([voxels[:0], *parts]), positions


def _runs(keep: np.ndarray) -> list[tuple[int, int]]:
    """`(first, last + 1)` of each run of two slices or more whose gaps may all be filled."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], keep, [False]]).astype(np.int8)))
    return [(int(a), int(b) + 1) for a, b in edges.reshape(-1, 2)]


def _run(slices: np.ndarray, added: int, low: int, high: int) -> np.ndarray:
    weights = _weights(len(slices), added).astype(np.float32)
    new = np.empty((len(weights), *slices.shape[1:]), np.int16)
    for top in range(0, slices.shape[1], ROWS):
        rows = slices[:, top : top + ROWS].astype(np.float32)
        found = (weights @ rows.reshape(len(slices), -1)).reshape(len(weights), *rows.shape[1:])
        new[:, top : top + ROWS] = np.clip(np.rint(found), low, high)  # a spline swings beyond its points
    return new


def _weights(n: int, added: int) -> np.ndarray:
    """`[(n - 1) * added, n]`: the weight of each of n evenly spaced points in each new one.

    A cubic spline, whose second derivatives m solve m[i-1] + 4 m[i] + m[i+1] = 6 (y[i-1] - 2 y[i] + y[i+1]) (de Boor, A
    Practical Guide to Splines, chapter IV), with equal third derivatives on both sides of the second and the last but
    one point.
    """
    left, right = np.eye(n), np.zeros((n, n))  # of two points: no curve
    for i in range(1, n - 1):
        left[i, i - 1 : i + 2], right[i, i - 1 : i + 2] = (1, 4, 1), (6, -12, 6)
    if n == 3:  # one parabola: its second derivative is the same everywhere
        left[[0, -1], 1] = -1
    elif n > 3:
        left[0, :3] = left[-1, -3:] = (1, -2, 1)
    second = np.linalg.solve(left, right)
    t = (np.arange(1, added + 1) / (added + 1))[np.newaxis, :, np.newaxis]
    y, m = np.eye(n)[:, np.newaxis], second[:, np.newaxis]
    curved = ((1 - t) ** 3 - (1 - t)) * m[:-1] + (t**3 - t) * m[1:]
    return ((1 - t) * y[:-1] + t * y[1:] + curved / 6).reshape(-1, n)
