"""What a picture is found again by: its low frequencies, whole and in windows, without its brightness and contrast.

A signature is the discrete cosine transform of the picture squeezed into a square, low frequencies alone, weighted by
frequency (a hash of images without the rounding; cf. Zauner 2010, pHash) and brought to length 1. A cropped copy has
the signature of a window of its original: each picture asks by its windows, and by those of its mirror image.
"""

from __future__ import annotations

import functools

import numpy as np

SIDE = 128  # of the square that a picture is kept as
_SIDE = 64  # of the one that signatures are made of
_WAVES = 8  # of each direction
_WINDOW, _PLACES = 0.9, 3
Window = tuple[float, float, float, float]  # y0, x0, y1, x1 in 0..1


def square(grey: np.ndarray) -> np.ndarray:
    """A grey picture, uint8 `[H, W]`, squeezed into uint8 `[SIDE, SIDE]` whatever its aspect."""
    import cv2

    return np.asarray(cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA))


@functools.cache
def windows() -> tuple[Window, ...]:
    """The whole, then every window of nine tenths of the height, of the width, or of both."""
    at = np.linspace(0, 1 - _WINDOW, _PLACES).tolist()
    spans = [(0.0, 1.0), *((a, a + _WINDOW) for a in at)]
    return tuple((y0, x0, y1, x1) for y0, y1 in spans for x0, x1 in spans)


def views() -> int:
    """How many signatures a picture asks by: its windows, then those of its mirror image."""
    return 2 * len(windows())


def signatures(squares: np.ndarray) -> np.ndarray:
    """What pictures are found by: uint8 `[N, SIDE, SIDE]` -> float32 `[N, D]` of length 1; 0 of a blank one."""
    return _unit(_small(squares) @ _projection()[0].T)


def queries(squares: np.ndarray) -> np.ndarray:
    """What pictures ask by: uint8 `[N, SIDE, SIDE]` -> float32 `[N, views(), D]` of length 1."""
    small = _small(squares)
    mirrored = small.reshape(-1, _SIDE, _SIDE)[:, :, ::-1].reshape(small.shape)
    count, depth, _ = _projection().shape
    flat = _projection().reshape(count * depth, -1).T
    return np.concatenate([_unit((x @ flat).reshape(-1, count, depth)) for x in (small, mirrored)], axis=1)


def _small(squares: np.ndarray) -> np.ndarray:
    step = SIDE // _SIDE
    pooled = squares.reshape(-1, _SIDE, step, _SIDE, step).mean(axis=(2, 4), dtype=np.float32)
    return np.asarray(pooled.reshape(len(squares), -1))


def _unit(x: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(x, axis=-1, keepdims=True)
    # less than a grey level of contrast is blank, and blank pictures are not told apart
    return np.asarray(np.where(length > 1.0, x / np.maximum(length, 1.0), 0.0), dtype=np.float32)


@functools.cache
def _projection() -> np.ndarray:
    """The transform of every window as weights of pixels: float32 `[windows, D, pixels]`."""
    return np.stack([_of_window(window) for window in windows()])


def _of_window(window: Window) -> np.ndarray:
    y0, x0, y1, x1 = window
    weights = np.einsum("ui,vj->uvij", _cosines(y0, y1), _cosines(x0, x1))
    u, v = np.mgrid[:_WAVES, :_WAVES]
    weights *= (np.hypot(u, v) * np.where(u > 0, 2**0.5, 1) * np.where(v > 0, 2**0.5, 1))[..., None, None]
    return np.asarray(weights.reshape(_WAVES**2, -1)[1:], dtype=np.float32)  # without the first, the mean


def _cosines(start: float, stop: float) -> np.ndarray:
    at = ((np.arange(_SIDE) + 0.5) / _SIDE - start) / (stop - start)
    inside = (at >= 0) & (at <= 1)
    return np.asarray(np.where(inside, np.cos(np.pi * np.arange(_WAVES)[:, None] * at), 0) / inside.sum())
