"""Cubic resampling of volumes, one small matrix an axis.

Source: Keys, Cubic Convolution Interpolation for Digital Image Processing, IEEE TASSP 1981 (a = -0.5), as MATLAB's
`imresize` and `imresize3` do it with "cubic": the kernel is stretched where the axis shrinks, the weights of a sample
add up to 1, and beyond an end the axis runs back mirrored, its last sample twice. Linear and separable, so that
resizes after each other are one, by the product of their matrices.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

TAPS = 4  # samples that the kernel reaches
BLOCK = 16  # rows of a matrix that are multiplied at once, with the samples that they use: the rest is zeros
CHUNK = 4  # slices that are floats in full size at once


@dataclass(frozen=True, kw_only=True)
class Resize:
    """What becomes of an axis: `size` samples, `scale` of them to one of before (below 1 it shrinks).

    The first sample begins where it began before: the centre of sample i was at (i + 0.5) / scale - 0.5.
    """

    size: int
    scale: float

    @property
    def back(self) -> tuple[float, float]:
        """(scale, offset) from a sample's index to the one of before."""
        return 1 / self.scale, 0.5 / self.scale - 0.5


def weights(n_in: int, n_out: int, scale: float) -> np.ndarray:
    """float32 `[n_out, n_in]`: what each old sample gives to each new one.

    Args:
        n_in: samples now, at least 1.
        n_out: samples to make.
        scale: new samples to an old one, above 0; n_out / n_in where the axis is filled exactly.
    """
    wide = TAPS * max(1, 1 / scale)
    centres = (np.arange(n_out) + 0.5) / scale - 0.5
    reached = np.floor(centres - wide / 2)[:, np.newaxis] + np.arange(math.ceil(wide) + 2)
    found = _cubic((centres[:, np.newaxis] - reached) * min(1, scale))
    found /= found.sum(axis=1, keepdims=True)
    mirrored = reached.astype(np.int64) % (2 * n_in)
    mirrored = np.minimum(mirrored, 2 * n_in - 1 - mirrored)
    matrix = np.zeros((n_out, n_in))
    np.add.at(matrix, (np.arange(n_out)[:, np.newaxis], mirrored), found)
    return matrix.astype(np.float32)


def _cubic(x: np.ndarray) -> np.ndarray:
    """Keys' kernel with a = -0.5, his equation 15."""
    x = np.abs(x)
    near, far = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


def linear(n_in: int, n_out: int, scale: float, offset: float) -> np.ndarray:
    """float32 `[n_out, n_in]`: straight lines between samples, for new ones centred at scale * i + offset among them.

    Up to half a sample beyond the ends the last one holds; further out there is nothing, 0.
    """
    at = scale * np.arange(n_out) + offset
    inside = (at >= -0.5) & (at <= n_in - 0.5)
    held = np.clip(at, 0, n_in - 1)[:, np.newaxis]
    lines = np.maximum(0, 1 - np.abs(held - np.arange(n_in)))
    return np.asarray(lines * inside[:, np.newaxis], dtype=np.float32)


def matrix(n_in: int, resizes: Sequence[Resize]) -> np.ndarray | None:
    """float32 `[n_out, n_in]` of resizes of an axis one after the other; None where they change nothing."""
    joined = None
    for resize in resizes:
        if (resize.size, resize.scale) != (n_in, 1):
            step = weights(n_in, resize.size, resize.scale)
            joined = step if joined is None else step @ joined
        n_in = resize.size
    return joined


def resample(values: np.ndarray, matrices: Sequence[np.ndarray | None]) -> np.ndarray:
    """`[Z, Y, X]` of any numbers -> float32 `[Z', Y', X']`, C-contiguous.

    What shrinks most goes first, so that the least is left to do. Some slices are done at a time: nothing but what is
    returned, and what is between the plane and Z, is ever held as floats.

    Args:
        values: `[Z, Y, X]`.
        matrices: of each axis `[new, old]`, None where it stays.
    """
    z, y, x = matrices
    if _grows(z) < _grows(y) * _grows(x):
        return _in_plane(_through(values, z), y, x)
    return _through(_in_plane(values, y, x), z)


def _grows(matrix: np.ndarray | None) -> float:
    """How many times the samples there will be."""
    return 1.0 if matrix is None else matrix.shape[0] / matrix.shape[1]


def _blocks(matrix: np.ndarray) -> Iterator[tuple[slice, slice, np.ndarray]]:
    """Some rows of a matrix at a time: where they are, which columns they use, and their part of those."""
    for first in range(0, len(matrix), BLOCK):
        rows = slice(first, min(first + BLOCK, len(matrix)))
        used = np.flatnonzero(matrix[rows].any(axis=0))
        columns = slice(used[0], used[-1] + 1) if used.size else slice(0, 1)
        yield rows, columns, np.ascontiguousarray(matrix[rows, columns])


def _in_plane(values: np.ndarray, y: np.ndarray | None, x: np.ndarray | None) -> np.ndarray:
    """Along Y and X, some slices at a time."""
    if y is None and x is None:
        return np.ascontiguousarray(values, dtype=np.float32)
    depth, height, width = values.shape
    out = np.empty((depth, height if y is None else len(y), width if x is None else len(x)), np.float32)
    for first in range(0, depth, CHUNK):
        part = values[first : first + CHUNK].astype(np.float32)
        part = part if y is None else _down(part, y)
        out[first : first + CHUNK] = part if x is None else _across(part, x)
    return out


def _down(part: np.ndarray, y: np.ndarray) -> np.ndarray:
    out = np.empty((len(part), len(y), part.shape[2]), np.float32)
    for rows, columns, block in _blocks(y):
        np.matmul(block, part[:, columns], out=out[:, rows])
    return out


def _across(part: np.ndarray, x: np.ndarray) -> np.ndarray:
    lines = part.reshape(-1, part.shape[2])
    out = np.empty((len(lines), len(x)), np.float32)
    for rows, columns, block in _blocks(x):
        out[:, rows] = lines[:, columns] @ block.T
    return out.reshape(*part.shape[:2], len(x))


def _through(values: np.ndarray, z: np.ndarray | None) -> np.ndarray:
    """Along Z."""
    if z is None:
        return values
    out = np.empty((len(z), *values.shape[1:]), np.float32)
    for rows, columns, block in _blocks(z):
        part = values[columns].astype(np.float32, copy=False)
        np.matmul(block, part.reshape(len(part), -1), out=out[rows].reshape(len(block), -1))
    return out
