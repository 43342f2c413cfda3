"""A prepared volume seen from the front, a little from above and from the patient's left, as if lit: Xue 2021, Fig. 4.

What is bright (vessels, consolidations) is dense, lung between is a haze, and what is 0 is not there; a map glows in
the colours of every heat map. The volume is turned by two rotations in a plane, and laid over itself from front to
back (Levoy 1988, Display of Surfaces from Volume Data). The paper shows its cubes as they are; here a millimetre is as
long in every direction.
"""

from __future__ import annotations

import math

import numpy as np

from pneumoscope.core.voxels import Voxels
from pneumoscope.prep.resample import resample, weights
from pneumoscope.report import figures
from pneumoscope.report.planes import side_by_side

GRID = 128  # samples along the longest side
ENLARGED = 3  # pixels of the picture to a sample
TURN, RISE = 30.0, 18.0  # degrees: to the patient's left, and above
HAZE = 0.02  # opacity of a sample of lung, of a dense one, and of the strongest place of a map
DENSE = 0.5
GLOW = 0.15
COMPASS = 1 / 16  # length of its arrows, of the longest side of the picture
FROM = 0.25  # of a map's maximum, from which on it glows
RANGE = (50, 98)  # percentiles of the lung's values: from haze to dense
BACKGROUND = np.array((5, 8, 11), np.float32) / 255
LIGHT = np.array((-0.45, 0.6, 0.66))  # where it comes from: right of the picture, up, to the viewer; of length 1


def rendered(prepared: Voxels, heat: np.ndarray | None = None) -> tuple[np.ndarray, ...]:
    """The view, and where there is a map the same with it: uint8 RGB `[h, w, 3]` each.

    Args:
        prepared: values 0 outside of what is shown.
        heat: a map in 0..1 over them, `[Z, Y, X]`, or None. It is shown outside of them, too.

    Raises:
        ValueError: a map that is not in the prepared voxels.
    """
    if heat is not None and heat.shape != prepared.values.shape:
        raise ValueError(f"map: expected the shape {prepared.values.shape}, found {heat.shape}.")
    box = _box(prepared.values > 0 if heat is None else (prepared.values > 0) | (heat > FROM))
    values, bounds = _turned(_even(prepared.values[box], prepared.spacing_mm)), _bounds(prepared.values)
    plain = _finished(_composited(values, None, bounds))
    if heat is None:
        return (plain,)
    return plain, _finished(_composited(values, _turned(_even(heat[box], prepared.spacing_mm)), bounds))


def render_png(prepared: Voxels, heat: np.ndarray | None = None) -> bytes:
    """What `rendered` gives, side by side, as an RGB PNG."""
    return figures.encoded(".png", side_by_side(rendered(prepared, heat)))


def _finished(picture: np.ndarray) -> np.ndarray:
    """float32 RGB in 0..1 `[h, w, 3]` -> uint8, enlarged, with the compass on the left."""
    import cv2

    h, w = picture.shape[:2]
    large = cv2.resize(picture, (w * ENLARGED, h * ENLARGED), interpolation=cv2.INTER_CUBIC)
    pixels = np.round(np.clip(large, 0, 1) * 255).astype(np.uint8)
    ground = np.round(BACKGROUND * 255).astype(int).tolist()
    room = round(max(pixels.shape) * COMPASS * 2)
    framed = cv2.copyMakeBorder(pixels, 0, 0, room, 0, cv2.BORDER_CONSTANT, value=ground)
    return _compass(np.asarray(framed), max(pixels.shape) * COMPASS)


def _box(shown: np.ndarray) -> tuple[slice, ...]:
    """The box around what is shown, bool `[Z, Y, X]`; all where there is nothing."""
    ends = [np.flatnonzero(shown.any(axis=other)) for other in ((1, 2), (0, 2), (0, 1))]
    return tuple(slice(int(at[0]), int(at[-1]) + 1) if at.size else slice(None) for at in ends)


def _bounds(values: np.ndarray) -> tuple[float, float]:
    """The values that are haze and that are dense."""
    some = values[::3, ::3, ::3]
    inside = some[some > 0]
    low, high = np.percentile(inside, RANGE) if inside.size else (0, 1)
    return float(low), max(float(high), float(low) + 1e-6)


def _even(values: np.ndarray, spacing_mm: tuple[float, float, float]) -> np.ndarray:
    """`[Z, Y, X]` on a grid as fine in every direction."""
    lengths = [n * mm for n, mm in zip(values.shape, spacing_mm, strict=True)]
    sizes = [max(2, round(GRID * length / max(lengths))) for length in lengths]
    return resample(values, [weights(n, size, size / n) for n, size in zip(values.shape, sizes, strict=True)])


def _turned(values: np.ndarray) -> np.ndarray:
    """`[Z, Y, X]` -> `[depth, row, column]` as it is seen: the nearest first, the head up."""
    about_z = _rotated(values, TURN)
    seen = _rotated(np.ascontiguousarray(about_z.transpose(2, 1, 0)), RISE)  # in planes of depth and height
    return np.ascontiguousarray(seen.transpose(1, 2, 0)[:, ::-1])


def _rotated(planes: np.ndarray, degrees: float) -> np.ndarray:
    """Each plane of `[N, h, w]` turned about its middle, on planes that hold all of it: `[N, H, W]`."""
    import cv2

    _, h, w = planes.shape
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    high, wide = math.ceil(h * c + w * s), math.ceil(h * s + w * c)
    move = cv2.getRotationMatrix2D(((w - 1) / 2, (h - 1) / 2), degrees, 1)
    move[:, 2] += (wide - w) / 2, (high - h) / 2
    return np.stack([cv2.warpAffine(plane, move, (wide, high), flags=cv2.INTER_LINEAR) for plane in planes])


def _composited(values: np.ndarray, heat: np.ndarray | None, bounds: tuple[float, float]) -> np.ndarray:
    """`[depth, row, column]` -> float32 RGB `[row, column, 3]`, front to back."""
    low, high = bounds
    through = np.ones(values.shape[1:], np.float32)  # the light that comes from here on
    picture = np.zeros((*values.shape[1:], 3), np.float32)
    for depth, plane in enumerate(values):
        glows = heat is not None and bool((heat[depth] > FROM).any())
        if not glows and not plane.any():
            continue
        level = np.clip((plane - low) / (high - low), 0, 1)
        opacity = np.clip(plane / low if low > 0 else plane, 0, 1) * HAZE + level * level * DENSE
        behind = values[min(depth + 1, len(values) - 1)]
        colour = np.repeat((_lit(plane, behind) * (0.5 + 0.5 * level))[..., np.newaxis], 3, axis=2)
        if glows and heat is not None:
            over = np.clip((heat[depth] - FROM) / (1 - FROM), 0, 1)[..., np.newaxis]
            colours = figures.heat(heat[depth])[..., :3].astype(np.float32) / 255
            colour += (colours - colour) * np.minimum(1, 2 * over)
            opacity = opacity + (1 - opacity) * GLOW * over[..., 0]
        picture += (through * opacity)[..., np.newaxis] * colour
        through *= 1 - opacity
    return picture + through[..., np.newaxis] * BACKGROUND


def _lit(plane: np.ndarray, behind: np.ndarray) -> np.ndarray:
    """How bright each sample is in the light, 0.2..1, by how its values rise (Lambert)."""
    down, right = np.gradient(plane)
    deeper = behind - plane
    steep = np.sqrt(down**2 + right**2 + deeper**2) + 1e-3
    facing = (-right * LIGHT[0] + down * LIGHT[1] + deeper * LIGHT[2]) / steep
    return np.asarray(0.6 + 0.4 * np.clip(facing, -1, 1), dtype=np.float32)


def _compass(picture: np.ndarray, size: float) -> np.ndarray:
    """With arrows, `size` pixels long, to the patient's left, front and head in the lower corner."""
    import cv2

    turn, rise = math.radians(TURN), math.radians(RISE)
    c, s, up, lean = math.cos(turn), math.sin(turn), math.cos(rise), math.sin(rise)
    middle = np.array((1.4 * size, len(picture) - 1.4 * size))
    for letter, (x, y) in {"L": (c, -s * lean), "A": (-s, -c * lean), "H": (0, up)}.items():
        tip = middle + np.array((x, -y)) * size
        ends = [tuple(np.round(point).astype(int).tolist()) for point in (middle, tip, tip + (tip - middle) * 0.3)]
        cv2.arrowedLine(picture, ends[0], ends[1], (150, 165, 175), 1, cv2.LINE_AA, tipLength=0.2)
        at = ends[2][0] - 5, ends[2][1] + 5
        cv2.putText(picture, letter, at, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (200, 210, 218), 1, cv2.LINE_AA)
    return picture
