"""Drawing in centimetres on a square grid: smooth profiles, ellipses, ribbons and blotches.

The grid is `[N, N]` over [-REACH_CM, REACH_CM] both ways: x to the patient's left (right in the image), y to the
feet, origin mid-thorax. Sizes and places are in centimetres, so that a picture looks alike at every N.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

REACH_CM = 26.0  # more than any field shows

Path = np.ndarray | Sequence[tuple[float, float]]


def stream(seed: int, number: int) -> np.random.Generator:
    """The random stream `number` of `seed`: streams do not depend on each other, nor on how much is drawn."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([number, seed])))


def grid_axis(n: int) -> np.ndarray:
    """Centres of the N cells in cm, float32 `[N]`; the same for x and y."""
    return (((np.arange(n) + 0.5) / n * 2 - 1) * REACH_CM).astype(np.float32)


def profile(axis: np.ndarray, points: Sequence[tuple[float, float]], smooth_cm: float) -> np.ndarray:
    """A smooth curve through (position, value) points in ascending order, read at `axis`; float32 `[N]`."""
    where, values = zip(*points, strict=True)
    raw = np.interp(axis, where, values)
    step = 2 * REACH_CM / axis.size
    reach = max(round(2.5 * smooth_cm / step), 1)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * step / smooth_cm) ** 2)
    padded = np.pad(raw, reach, mode="edge")
    return np.convolve(padded, kernel / kernel.sum(), mode="valid").astype(np.float32)


def ellipse(axis: np.ndarray, x: float, y: float, a: float, b: float, tilt: float = 0.0) -> np.ndarray:
    """Distance from (x, y) in units of the half axes a, b: 1 on the ellipse. tilt: degrees, clockwise in the image."""
    turn = np.deg2rad(tilt)
    c, s = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    dx, dy = axis[None, :] - np.float32(x), axis[:, None] - np.float32(y)
    u, v = (c * dx + s * dy) / np.float32(a), (c * dy - s * dx) / np.float32(b)
    distance: np.ndarray = np.sqrt(u * u + v * v)
    return distance


def dome(r: np.ndarray) -> np.ndarray:
    """Thickness of an ellipsoid at distance `r` (see `ellipse`): 1 in the middle, 0 from the edge on."""
    thickness: np.ndarray = np.sqrt(np.maximum(1 - r * r, 0))
    return thickness


def ribbon(canvas: np.ndarray, path: Path, half_widths: np.ndarray | Sequence[float], value: float) -> None:
    """Draw a band along `path` (points in cm) on the uint8 `[N, N]` canvas; value in 0..1, over what was there."""
    ribbons(canvas, np.asarray(path, np.float64)[None], np.asarray(half_widths)[None], np.array([value]))


def ribbons(canvas: np.ndarray, paths: np.ndarray, half_widths: np.ndarray, values: np.ndarray) -> None:
    """Draw many bands: paths `[B, P, 2]` and half widths `[B, P]` in cm, values `[B]` in 0..1."""
    import cv2

    along = np.gradient(paths, axis=1)
    aside = (
        np.stack([-along[..., 1], along[..., 0]], 2) * (half_widths / np.hypot(along[..., 0], along[..., 1]))[..., None]
    )
    outlines = np.concatenate([paths + aside, (paths - aside)[:, ::-1]], 1)
    pixels = (outlines + REACH_CM) * (canvas.shape[0] / (2 * REACH_CM)) - 0.5
    sixteenths = np.round(pixels * 16).astype(np.int32, order="C")
    for outline, value in zip(sixteenths, np.round(255 * values).tolist(), strict=True):
        cv2.fillPoly(canvas, [outline], value, cv2.LINE_AA, 4)


def soften(canvas: np.ndarray, sigma_cm: float) -> np.ndarray:
    """The uint8 canvas as float32 in 0..1, blurred."""
    import cv2

    sigma = sigma_cm * canvas.shape[0] / (2 * REACH_CM)
    return cv2.GaussianBlur(canvas.astype(np.float32) / 255, (0, 0), sigma)


def blotches(rng: np.random.Generator, n: int, cells: int) -> np.ndarray:
    """Smooth noise with mean 0 and a spread of about 0.7, `cells` knots across; float32 `[N, N]`."""
    return resized(rng.standard_normal((cells, cells), dtype=np.float32), n)


def resized(picture: np.ndarray, n: int) -> np.ndarray:
    """The same square picture on another grid, `[N, N]`, cubic."""
    import cv2

    return cv2.resize(picture, (n, n), interpolation=cv2.INTER_CUBIC)


def soft_step(x: np.ndarray) -> np.ndarray:
    """0 below -1, 1 above 1, smooth between."""
    t = np.clip(0.5 * x + 0.5, 0, 1)
    smooth: np.ndarray = t * t * (3 - 2 * t)
    return smooth
