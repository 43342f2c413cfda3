"""The standard thorax as smooth solids: trunk, chest wall, lungs, heart, great vessels and what lies below the domes.

A solid is a function of place that answers how deep a point lies in it, in millimetres, below 0 outside; depths are
smooth, so that a coarse grid of them gives sharp edges on a fine one. Millimetres of the standard adult: x to the
patient's left, y to the back, z to the head, origin mid-thorax. Sizes are round textbook figures of our own choosing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

Place = np.ndarray | float  # arrays of one shape, and z also one number for a whole slice
Knots = tuple[tuple[float, ...], ...]  # rows of z, descending, and what holds there

TOP, BOTTOM = 152.0, -142.0  # where the lungs end
VERTEBRA_MM = 23.0  # from one vertebra to the next

#         z: half width, half depth and centre y of the inside of the ribs
_CAGE = ((160, 36, 14, 28), (150, 44, 22, 27), (140, 62, 38, 22), (120, 86, 54, 14), (90, 104, 68, 8),
         (50, 117, 78, 3), (0, 127, 84, 0), (-50, 132, 87, 0), (-160, 134, 88, 0))  # fmt: skip
_TRUNK = ((200, 90, 60, 8), (172, 120, 66, 8), (150, 168, 78, 6), (125, 184, 90, 5), (90, 174, 100, 4),
          (50, 167, 105, 3), (0, 161, 109, 2), (-160, 156, 110, 2))  # fmt: skip
_GONE = -30.0  # radius of what is not there
# z: x, y, radius of round things that cross a slice
_TUBES = {
    "ascending": ((62, -8, -14, _GONE), (56, -8, -14, 13), (20, -13, -20, 16), (-14, 2, -14, 15), (-22, 2, -14, _GONE)),
    "descending": ((72, 24, 38, _GONE), (62, 26, 38, 12), (0, 25, 42, 12.5), (-160, 10, 44, 11)),
    "caval": ((110, -24, -6, 7), (60, -27, -8, 9), (5, -27, -8, 10), (-10, -27, -8, _GONE)),
    "portal": ((-40, -24, 14, _GONE), (-60, -24, 14, 12), (-160, -22, 18, 13)),  # inferior vena cava
    "brachiocephalic": ((200, -24, 0, 5), (110, -16, -4, 6), (66, -6, -12, 7), (58, -6, -12, _GONE)),
    "carotid": ((200, 24, 0, 4), (110, 14, 2, 4.5), (66, 8, 0, 5), (58, 8, 0, _GONE)),
    "subclavian": ((200, 40, 12, 4), (120, 26, 14, 5), (66, 20, 16, 6), (58, 20, 16, _GONE)),
    "innominate": ((100, 20, -22, _GONE), (94, 14, -24, 7), (80, -10, -24, 7), (72, -20, -16, _GONE)),
    "oesophagus": ((200, 5, 26, 6), (100, 5, 30, 7), (0, 6, 38, 7), (-160, 14, 30, 8)),
}
# from, to (x, y), middle z, radius: vessels that lie in the slice
_ARCH = ((-8, -14, 24, 36, 62, 13), (18, -30, 24, -18, 16, 15), (20, -24, 42, 6, 26, 11), (12, -8, -44, 2, 16, 11))
# x, y, z, half axes, turn in the slice (degrees): chambers of the heart
_HEART = ((26, -26, -48, 62, 44, 54, -35), (-20, -12, -34, 34, 38, 44, 0), (4, 14, -14, 36, 18, 22, 0))


@dataclass(frozen=True, kw_only=True)
class Thorax:
    """One patient's departure from the standard.

    scale: factors on x, y, z. fat: mm under the skin. breasts: half axis in mm, 0 for none. domes: z of the right and
    the left dome. heart: factor. lung: HU of the air-filled lung. blood: HU, higher with contrast medium.
    """

    scale: tuple[float, float, float]
    female: bool
    fat: float
    breasts: float
    domes: tuple[float, float]
    heart: float
    lung: float
    blood: float


def make_thorax(rng: np.random.Generator) -> Thorax:
    """Draw a patient."""
    female, contrast = bool(rng.random() < 0.5), bool(rng.random() < 0.3)
    size = rng.normal(0.95 if female else 1.02, 0.035)
    wide, deep, tall = np.clip(size * rng.normal(1, 0.03, 3), 0.85, 1.12).tolist()
    crest = rng.normal(-62, 6)
    fat, breasts, plain, bright = rng.uniform((6, 30, 36, 130), (22, 52, 48, 220)).tolist()
    return Thorax(
        scale=(wide, deep, tall),
        female=female,
        fat=fat + (3 if female else 0),
        breasts=breasts if female else 0.0,
        domes=(float(crest), float(crest - rng.uniform(4, 16))),
        heart=float(rng.uniform(0.9, 1.08)),
        lung=float(rng.uniform(-875, -830)),
        blood=bright if contrast else plain,
    )


def at(z: Place, knots: Knots, column: int = 1) -> Place:
    """A column of a table by z, linear between its rows."""
    heights, values = _columns(knots, column)
    if isinstance(z, np.ndarray):
        many: np.ndarray = np.interp(z, heights, values).astype(np.float32)
        return many
    return float(np.interp(z, heights, values))


@cache
def _columns(knots: Knots, column: int) -> tuple[np.ndarray, np.ndarray]:
    rows = np.array(knots[::-1], np.float64)
    return np.ascontiguousarray(rows[:, 0]), np.ascontiguousarray(rows[:, column])


def oval(x: Place, y: Place, a: Place, b: Place) -> np.ndarray:
    """Depth in an oval of half axes a, b around the origin, a little squarer than an ellipse, along the ray."""
    u, v, rho = np.abs(x / a), np.abs(y / b), np.hypot(x, y)
    q = (u * u * np.sqrt(u) + v * v * np.sqrt(v)) ** np.float32(0.4)
    # in the very middle the ray has no direction
    depth: np.ndarray = np.minimum(rho / np.maximum(q, 1e-6) - rho, np.maximum(a, b))
    return depth


def egg(x: Place, y: Place, z: Place, axes: Sequence[float], turn: float = 0.0) -> np.ndarray:
    """Depth in an ellipsoid of half axes `axes` around the origin, turned by `turn` degrees in the slice."""
    c, s = float(np.cos(np.deg2rad(turn))), float(np.sin(np.deg2rad(turn)))
    a, b, h = axes
    u, v, w = (c * x + s * y) / a, (c * y - s * x) / b, z / h
    depth: np.ndarray = (1 - np.sqrt(u * u + v * v + w * w)) * min(axes)
    return depth


def capsule(x: Place, y: Place, ends: Sequence[float], radius: Place) -> np.ndarray:
    """Depth in a band of this radius around the line between the `ends` x, y, x, y."""
    x0, y0, x1, y1 = ends
    dx, dy = x1 - x0, y1 - y0
    along = np.clip(((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy), 0, 1)
    depth: np.ndarray = radius - np.hypot(x - x0 - along * dx, y - y0 - along * dy)
    return depth


def both(one: np.ndarray, other: Place, rounding: float) -> np.ndarray:
    """Depth in two solids at once, the edge between them rounded over some mm."""
    share = np.clip(0.5 + (other - one) / (2 * rounding), 0, 1)
    depth: np.ndarray = other + (one - other) * share - rounding * share * (1 - share)
    return depth


def cage(x: Place, y: Place, z: Place) -> np.ndarray:
    """Depth inside the ribs."""
    return oval(x, y - at(z, _CAGE, 3), at(z, _CAGE, 1), at(z, _CAGE, 2))


def cage_point(turn: np.ndarray, z: np.ndarray, outside: float) -> np.ndarray:
    """Points `[N, 3]` some mm outside the inner face of the ribs; turn: radians from the spine to the left."""
    s, c = np.sin(turn), np.cos(turn)
    u, v = np.abs(s / at(z, _CAGE, 1)), np.abs(c / at(z, _CAGE, 2))
    reach = (u**2.5 + v**2.5) ** -0.4 + outside
    return np.stack([reach * s, at(z, _CAGE, 3) + reach * c, z], 1)


def trunk(t: Thorax, x: np.ndarray, y: np.ndarray, z: float) -> np.ndarray:
    """Depth under the skin."""
    more = t.fat - 12  # a fat patient is wider by it
    depth = oval(x, y - at(z, _TRUNK, 3), at(z, _TRUNK, 1) + more, at(z, _TRUNK, 2) + 0.8 * more)
    if t.breasts:
        for side in (-1, 1):
            b = t.breasts
            depth = -both(-depth, -egg(x - 76 * side, y + 92, z + 10, (1.25 * b, 0.9 * b, 1.3 * b), 20 * side), 8)
    return depth


def muscle(t: Thorax, x: np.ndarray, y: np.ndarray, z: float, skin: np.ndarray, ribs: np.ndarray) -> np.ndarray:
    """Depth in the muscles of the chest wall and the shoulder; skin, ribs: depth in the trunk and in the cage."""
    limit = oval(x, y - at(z, _TRUNK, 3), at(z, _TRUNK, 1) - 12, at(z, _TRUNK, 2) - 10)
    outer = np.minimum(skin - 0.6 * t.fat, limit)
    # two layers with a plane of fat between them, and the armpit
    plane = np.abs(-ribs - 11.5) - 1.1
    layers: np.ndarray = np.minimum(np.minimum(outer, -ribs), plane if z < 100 else np.float32(9))
    if 40 < z < 160:
        for side in (-1, 1):
            layers = np.minimum(layers, -egg(x - 132 * side, y - 8, z - 100, (24, 34, 56), 30 * side))
    if t.breasts:
        gland = max(t.breasts * 0.55, 14.0)
        for side in (-1, 1):
            layers = np.maximum(layers, egg(x - 84 * side, y + 106, z + 12, (1.2 * gland, 0.5 * gland, 1.2 * gland)))
    return layers


def spine_y(z: Place) -> Place:
    """y of the middle of the vertebral bodies."""
    return at(z, _CAGE, 3) + at(z, _CAGE, 2) - 22


def blood_pool(t: Thorax, x: Place, y: Place, z: Place) -> np.ndarray:
    """Depth in heart, great vessels and gullet."""
    depth = np.full(np.broadcast_shapes(np.shape(x), np.shape(z)), -99.0, np.float32)
    for tube in _TUBES.values():
        radius = at(z, tube, 3)
        if np.any(np.asarray(radius) > -20):
            depth = np.maximum(depth, radius - np.hypot(x - at(z, tube, 1), y - at(z, tube, 2)))
    for *ends, middle, most in _ARCH:
        rise = np.abs(z - middle)
        if np.any(rise < most + 12):
            # above and below the vessel the radius falls below 0, as the distance grows
            radius = np.sqrt(np.maximum(most**2 - rise**2, 0)) - np.maximum(rise - most, 0)
            depth = np.maximum(depth, capsule(x, y, ends, radius if isinstance(z, np.ndarray) else float(radius)))
    for cx, cy, cz, a, b, h, turn in _HEART:
        if np.any(np.abs(z - cz) < 1.4 * h):
            depth = np.maximum(depth, egg(x - cx, y - cy, z - cz, [t.heart * v for v in (a, b, h)], turn))
    return depth


def lungs(t: Thorax, x: np.ndarray, y: np.ndarray, z: Place, *, ribs: np.ndarray, blood: np.ndarray) -> np.ndarray:
    """Depth in the lungs; ribs, blood: depth in the cage and in the blood pool."""
    back = y - spine_y(z)
    bone = np.maximum(20 - np.hypot(x, 1.15 * back), np.minimum(0.9 * (19 + 0.4 * back - np.abs(x)), back))
    waist = at(z, ((200, 27), (110, 22), (60, 13), (10, 9), (-40, 9), (-90, 16), (-160, 40)))
    core = capsule(x, y, (0, -70, 0, 40), waist)
    depth = both(ribs - 1.5, -bone - 1, 5)
    depth = both(depth, -np.maximum(blood + 3, core), 6)
    for side in (-1, 1):  # the roots of the lungs
        depth = both(depth, -egg(x - 38 * side, y - 8, z - (10 if side < 0 else 18), (17, 17, 24)), 5)
    depth = both(depth, TOP - z, 4)
    return both(depth, above_domes(t, x, y, z), 3)


def above_domes(t: Thorax, x: Place, y: Place, z: Place) -> np.ndarray:
    """Height in mm above the diaphragm, across its slope."""
    left = x > 0
    dx = np.abs(x) - 64
    wide = np.where(dx > 0, np.float32(60), np.float32(96))
    high = np.where(left, np.float32(t.domes[1]), np.float32(t.domes[0]))
    u, v = dx / wide, (y + 14) / 82
    drop = 58 * (u * u + v * v)
    steep = np.hypot(116 * u / wide, 116 * v / 82)
    height: np.ndarray = (z - high + drop) / np.sqrt(1 + steep * steep)
    return height


def abdomen(t: Thorax, x: np.ndarray, y: np.ndarray, z: float, ribs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Depth in liver, spleen, stomach and diaphragm, and in the stomach's gas; ribs: depth in the cage."""
    under = -above_domes(t, x, y, z)
    inside = np.minimum(under, ribs)
    liver = np.minimum(inside - 2, 0.8 * (28 - x - 0.5 * (y + 30)))
    spleen = egg(x - 92, y - 40, z + 132, (38, 30, 48), 25)
    stomach = egg(x - 62, y + 14, z + 128, (46, 42, 44), -20)
    rim = np.minimum(inside, 3.5 - under)
    solid = np.maximum(np.maximum(liver, rim), np.minimum(np.maximum(spleen, stomach), inside - 3))
    gas = np.minimum(np.minimum(stomach - 4, inside - 7), -(y + 26))
    return solid, gas


def lobe(y: np.ndarray, z: Place, name: str) -> np.ndarray:
    """Depth in a lobe by the fissures alone: "upper", "middle", "lower" on the right, "front", "lower" on the left."""
    oblique, level = _planes(y, z)
    upper, middle = np.minimum(oblique, level), np.minimum(oblique, -level)
    depths: dict[str, np.ndarray] = {"lower": -oblique, "front": oblique, "upper": upper, "middle": middle}
    return depths[name]


def _planes(y: np.ndarray, z: Place) -> tuple[np.ndarray, np.ndarray]:
    """Height above the oblique fissure, which falls from the back to the front, and above the level one."""
    return np.asarray((z - 2 + 0.95 * (y - 4)) * 0.72), np.asarray(z - 2 + 0.06 * y)


def fissures(x: np.ndarray, y: np.ndarray, z: float) -> np.ndarray:
    """Distance from the nearest fissure in mm: one oblique on each side, and on the right a level one."""
    oblique, level = _planes(y, z)
    nearest: np.ndarray = np.minimum(np.abs(oblique), np.where((x < 0) & (oblique > 0), np.abs(level), np.float32(99)))
    return nearest
