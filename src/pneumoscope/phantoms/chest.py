"""The standard chest as maps of path length: trunk, lungs, heart, bones and vessels, drawn anew for each patient.

Sizes are those of an adult PA film in round figures (lungs about 25 cm high, cardiothoracic ratio about 0.45, the
right dome higher, the aortic knob on the left), each with a spread of our own choosing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pneumoscope.phantoms.draw import blotches, dome, ellipse, grid_axis, profile, ribbon, ribbons, soften

MU = 0.19  # per cm: water at about 70 keV (NIST XCOM)
AIRINESS = 0.74  # a full lung weighs about a quarter of the same volume of water


@dataclass(frozen=True, kw_only=True, eq=False)
class Lung:
    """Borders of one lung in cm. side: -1 for the patient's right (left in the image), 1 for the left.

    lateral, medial: `[N]`, distance from the midline by row. floor: `[N]`, y of the diaphragm by column.
    """

    side: int
    lateral: np.ndarray
    medial: np.ndarray
    floor: np.ndarray
    top: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Chest:
    """One patient on the standard grid, float32 `[N, N]` each.

    soft, air: cm of tissue, and cm of lung that the tissue makes room for. bone, vessels: attenuation.
    lungs: bool, the lung fields. stretch: habitus, factors on x and y.
    """

    soft: np.ndarray
    air: np.ndarray
    bone: np.ndarray
    vessels: np.ndarray
    lungs: np.ndarray
    sides: tuple[Lung, Lung]
    stretch: tuple[float, float]

    def attenuation(self, filled: np.ndarray | None = None) -> np.ndarray:
        """Attenuation along the rays, float32 `[N, N]`; filled: share of the lung's air replaced by fluid, 0..1."""
        # fluid around a vessel hides it
        kept = 1.0 if filled is None else 1 - filled
        rays: np.ndarray = MU * (self.soft - AIRINESS * self.air * kept) + self.bone + self.vessels * kept
        return rays


def make_chest(rng: np.random.Generator, n: int) -> Chest:
    """Draw a patient's chest on a grid of n x n."""
    axis = grid_axis(n)
    sides = (_lung(rng, axis, -1), _lung(rng, axis, 1))
    heart = _heart(rng, axis)
    right, left = (_aerated(axis, lung) for lung in sides)
    air = np.maximum(right[0] + left[0] - heart, 0) * _texture(rng, n)
    return Chest(
        soft=_trunk(rng, axis) - _airways(rng, axis),
        air=air,
        bone=_ribs(rng, axis, sides) + _spine(rng, axis) + _shoulders(rng, n),
        vessels=_vessels(rng, n, sides) * np.clip(air / 6, 0, 1),
        lungs=(right[1] | left[1]) & (heart < 1.0),
        sides=sides,
        stretch=(float(rng.uniform(0.92, 1.07)), float(rng.uniform(0.93, 1.07))),
    )


def _trunk(rng: np.random.Generator, axis: np.ndarray) -> np.ndarray:
    """Thickness of trunk, neck, arms and breasts in cm."""
    x, y = np.abs(axis[None, :]), axis[:, None]
    wide = rng.uniform(0.0, 1.8)
    side = ((-9, 17.8 + wide), (0, 16.8 + wide), (10, 16.4 + wide), (26, 17.2 + wide))
    width = profile(axis, ((-26, 6.2), (-20.5, 6.4), (-18, 9.5), (-16, 17), (-13, 20.5), *side), 0.8)
    depth = profile(axis, ((-26, 12.5), (-17, 13.5), (-12, 17), (-6, 20), (2, 21.5), (10, 22), (26, 23)), 1.5)
    across = x / width[:, None]
    trunk = depth[:, None] * np.sqrt(np.maximum(1 - (across * across) ** 2, 0))
    spread, radius = rng.uniform(0.12, 0.4), rng.uniform(3.8, 5.0)
    below = y + 11.5  # the arm hangs from the shoulder, away from the chest
    arm = radius**2 - (x - 20.0 - spread * np.maximum(below, 0)) ** 2 - np.minimum(below, 0) ** 2
    body: np.ndarray = np.sqrt(trunk**2 + 4 * np.maximum(arm, 0))
    if rng.random() < 0.5:
        body += _breasts(rng, axis)
    body *= 1 + np.float32(0.015) * blotches(rng, axis.size, 14)
    return body


def _breasts(rng: np.random.Generator, axis: np.ndarray) -> np.ndarray:
    x, y, a, b = rng.uniform(7.5, 9), rng.uniform(4, 7.5), rng.uniform(5.5, 7), rng.uniform(5, 6.5)
    both = np.minimum(ellipse(axis, x, y, a, b), ellipse(axis, -x, y, a, b))
    # a breast thins out upwards, and hangs with a clear lower edge
    shape = dome(both)
    depth: np.ndarray = rng.uniform(0.8, 3.0) * np.where(axis[:, None] > y, shape, shape * shape)
    return depth


def _lung(rng: np.random.Generator, axis: np.ndarray, side: int) -> Lung:
    swell, top = rng.uniform(-0.4, 0.4), -14.4 + rng.normal(0, 0.3)
    apex = ((top, 4.0), (top + 0.5, 5.4), (top + 1.7, 7.1), (-10.5, 9.0))
    wall = ((-7.5, 10.8 + swell), (-3.5, 12.2 + swell), (1, 13.1 + swell), (6, 13.6 + swell), (13, 13.8 + swell))
    inner = ((top, 3.7), (top + 0.5, 2.7), (top + 1.7, 2.3), (-8, 2.3), (-4, 2.5), (3, 2.6), (13, 2.5))
    crest = (9.3 if side < 0 else 10.4) + rng.normal(0, 0.6)
    u, centre = side * axis, rng.uniform(6.0, 7.2)
    outward = rng.uniform(2.6, 3.8) * (np.abs(u - centre) / 6.6) ** 2.4  # into the costophrenic angle
    inward = 1.3 * ((u - centre) / 5.0) ** 2
    return Lung(
        side=side,
        lateral=profile(axis, apex + wall, 0.35),
        medial=profile(axis, inner, 0.4),
        floor=crest + np.where(u > centre, outward, inward),
        top=top,
    )


def _aerated(axis: np.ndarray, lung: Lung) -> tuple[np.ndarray, np.ndarray]:
    """Depth of the lung in cm, and where it stands above the diaphragm."""
    y, floor = axis[:, None], lung.floor[None, :]
    span = np.maximum(lung.lateral - lung.medial, 0.05)[:, None]
    t = (lung.side * axis[None, :] - lung.medial[:, None]) / span
    apex = ((lung.top - 0.4, 0), (lung.top, 3), (lung.top + 1.2, 6))
    depth = profile(axis, (*apex, (-9, 9.5), (-3, 12.5), (4, 13.5)), 0.3)
    within = np.clip(t, 0, 1)
    across = np.sqrt(1 - within * within * within) * np.clip(t * span / 0.35, 0, 1)
    above = np.clip((floor - y) / 0.15 + 0.5, 0, 1)
    # behind the dome the lung reaches deeper, as the posterior recess
    recess = 0.25 * np.maximum(np.exp(-np.maximum(y - floor, 0) / 1.8) - 0.1, 0) * (1 - above)
    inside = (t > 0) & (t < 1) & (y < floor) & (y > lung.top)
    return (depth[:, None] * across * (above + recess)).astype(np.float32), inside


def _heart(rng: np.random.Generator, axis: np.ndarray) -> np.ndarray:
    """Depth in cm of heart, great vessels and hila: tissue that takes the lung's place."""
    big, x, knob = rng.uniform(0.9, 1.1), rng.uniform(1.9, 2.6), rng.uniform(1.6, 2.2)
    parts = (  # x, y, half axes, tilt, depth
        (x, 5.4, 7.4 * big, 5.4 * big, rng.uniform(30, 44), 12.0),  # ventricles
        (-0.5, 4.2, 4.2 * big, 5.6, 0.0, 12.0),  # right atrium
        (2.6, 9.0, 6.6 * big, 3.2, 12.0, 12.0),  # its base on the diaphragm
        (2.1, -7.2, knob, knob * 1.1, 0.0, 9.0),  # aortic knob
        (2.0, -1.6, 2.4, 4.2, -12.0, 11.0),  # pulmonary trunk
        (-1.5, -5.5, 2.2, 9.5, 0.0, 13.0),  # superior vena cava
        (0.8, -11.0, 2.5, 5.5, 0.0, 10.0),  # vessels to the neck and the left arm
    )
    heart = np.zeros((axis.size, axis.size), np.float32)
    for px, py, a, b, tilt, depth in parts:
        heart = np.maximum(heart, depth * dome(ellipse(axis, px, py, a, b, tilt)))
    for px, py in ((-4.0, -0.8), (4.4, -1.8)):  # the hila
        heart += 1.8 * np.exp(-(ellipse(axis, px, py, 1.2, 2.0) ** 2))
    return heart


def _texture(rng: np.random.Generator, n: int) -> np.ndarray:
    """Factor on the air: lungs are not evenly aerated, and their finest vessels are a pattern rather than lines."""
    return 1 + np.float32(0.06) * blotches(rng, n, 7) + np.float32(0.025) * blotches(rng, n, 160)


def _airways(rng: np.random.Generator, axis: np.ndarray) -> np.ndarray:
    """Air in cm of the trachea, the main bronchi and, in some, the stomach."""
    canvas = np.zeros((axis.size, axis.size), np.uint8)
    sway = rng.uniform(-0.5, 0.2)
    carina = (sway, -5.2)
    ribbon(canvas, [(0, -26), (sway / 2, -15), (sway, -9), carina], [0.9, 0.85, 0.8, 0.9], 1.0)
    ribbon(canvas, [carina, (-1.6, -3.4), (-3.4, -1.8)], [0.8, 0.65, 0.5], 0.75)
    ribbon(canvas, [carina, (2.0, -3.0), (4.2, -1.8)], [0.7, 0.55, 0.45], 0.65)
    air = 1.7 * soften(canvas, 0.15)
    if rng.random() < 0.6:
        x, y, a, b = rng.uniform(5, 8.5), rng.uniform(13.4, 14.6), rng.uniform(1.5, 3.2), rng.uniform(0.8, 1.6)
        air += rng.uniform(2, 5) * dome(ellipse(axis, x, y, a, b, -8))
    return air


def _level(i: np.ndarray) -> np.ndarray:
    """y in cm of the i-th thoracic vertebra, counted from 0."""
    level: np.ndarray = -15.2 + 2.05 * i + 0.03 * i * np.abs(i)
    return level


def _ribs(rng: np.random.Generator, axis: np.ndarray, lungs: Sequence[Lung]) -> np.ndarray:
    """Attenuation of eleven pairs of ribs: rings that slope down to the front, cortex around marrow."""
    n = axis.size
    back, front = np.zeros((n, n), np.uint8), np.zeros((n, n), np.uint8)
    slope, thick = rng.uniform(0.85, 1.15), rng.uniform(0.48, 0.6)
    rib = np.arange(11)[:, None]
    turn = np.linspace(0.05, np.where(rib < 8, 0.75, 0.56)[:, 0], 44, axis=1)  # 0 at the spine, 0.5 at the side
    s, c = np.sin(np.pi * turn), np.cos(np.pi * turn)
    for lung in lungs:
        y0 = _level(rib) - 0.2 + rng.normal(0, 0.08, (11, 1))
        drop = slope * (4.6 + 0.75 * rib)
        reach = np.where(rib > 0, np.interp(y0 + drop / 2, axis, lung.lateral) + 0.25, 6.2)
        y = y0 + drop * (0.4 * turn + 0.3 * (1 - c)) - 0.5 * np.maximum(2 * s * c, 0)
        paths = np.stack([lung.side * reach * s**0.92, y], 2)
        half = thick * (0.8 + 0.25 * s) * np.where(rib > 8, 0.85, 1)
        for canvas, part, strength in ((back, slice(0, 32), 0.95), (front, slice(29, None), 0.75)):
            ribbons(canvas, paths[:, part], half[:, part], np.full(11, strength))
            ribbons(canvas, paths[:, part], 0.66 * half[:, part], np.full(11, 0.6 * strength))
    density = np.float32(rng.uniform(0.28, 0.42))
    return density * (soften(back, 0.07) + np.float32(0.75) * soften(front, 0.1))


def _spine(rng: np.random.Generator, axis: np.ndarray) -> np.ndarray:
    """Attenuation of the spine: a column of vertebral bodies with disc spaces, pedicles and spinous processes."""
    canvas = np.zeros((axis.size, axis.size), np.uint8)
    i = np.arange(-5, 17)
    y, ones = _level(i), np.ones((i.size, 2))
    for x, top, bottom, half, value in (
        (0.0, -0.85, 0.85, 1.3, 0.5),  # body
        (-0.85, -0.5, 0.3, 0.33, 0.9),  # pedicles
        (0.85, -0.5, 0.3, 0.33, 0.9),
        (0.0, 0.2, 1.3, 0.27, 0.95),  # spinous process
    ):
        paths = np.stack([np.full((i.size, 2), x), np.stack([y + top, y + bottom], 1)], 2)
        ribbons(canvas, paths, half * ones, np.full(i.size, value))
    column = 0.2 * np.maximum(1 - (axis / 1.8) ** 4, 0)
    spine: np.ndarray = np.float32(rng.uniform(0.7, 1.1)) * (column[None, :] + np.float32(0.34) * soften(canvas, 0.12))
    return spine


def _shoulders(rng: np.random.Generator, n: int) -> np.ndarray:
    """Attenuation of clavicles, scapulae and upper arms."""
    canvas, blades = np.zeros((n, n), np.uint8), np.zeros((n, n), np.uint8)
    rise, edge = rng.uniform(0.6, 3.0), rng.uniform(11.3, 12.8)
    out = np.linspace(0, 1, 16)
    clavicle = np.stack([1.5 + 14.5 * out, -11.0 - (1.6 + rise) * out + 0.3 * np.sin(2 * np.pi * out)], 1)
    thick = 0.48 + 0.45 * (1 - out) ** 4 + 0.2 * out**3
    arm = ((17.6, -13.9), (17.9, -13.2), (18.3, -12), (18.8, -10.4), (19.2, -8), (20.5, 4), (22, 16))
    border = ((edge, -13.2), (edge + 0.4, -8), (edge + 1.6, -2.5))
    wing = ((edge + 1.8, -2.8), (edge + 3.2, -7), (edge + 5, -11.5))
    ridge = ((edge, -12), (edge + 2.5, -13), (edge + 6, -14.2))
    for side in (-1, 1):
        mirror = np.array((side, 1))
        ribbon(blades, np.array(border) * mirror, [0.2, 0.25, 0.3], 0.7)
        ribbon(blades, np.array(wing) * mirror, [0.3, 0.5, 0.8], 0.7)
        ribbon(blades, np.array(ridge) * mirror, [0.35, 0.45, 0.6], 0.6)
        ribbon(canvas, np.array(arm) * mirror, [0.7, 1.8, 2.2, 1.8, 1.3, 1.1, 1.2], 0.75)
        ribbon(canvas, np.array(arm) * mirror, [0.3, 1.4, 1.8, 1.4, 0.8, 0.55, 0.7], 0.5)
        ribbon(canvas, clavicle * mirror, thick, 0.8)
        ribbon(canvas, clavicle * mirror, thick - 0.25, 0.5)
    return np.float32(0.6) * soften(canvas, 0.12) + np.float32(0.3) * soften(blades, 0.3)


def _vessels(rng: np.random.Generator, n: int, lungs: Sequence[Lung]) -> np.ndarray:
    """Attenuation of the pulmonary vessels: trees that fork and taper from the hila to the periphery."""
    canvas = np.zeros((n, n), np.uint8)
    fan = np.linspace(-1.35, 1.4, 10)
    start = np.repeat([(-3.6, -0.9) if lung.side < 0 else (4.0, -1.9) for lung in lungs], fan.size, 0)
    start += rng.normal(0, 0.5, start.shape)
    heading = np.concatenate([fan if lung.side > 0 else np.pi - fan for lung in lungs]) + rng.normal(0, 0.1, len(start))
    radius, length = rng.uniform(0.2, 0.34, len(start)), rng.uniform(2.4, 3.8, len(start))
    grown = []
    while radius.size:
        bends = heading[:, None] + np.cumsum(rng.normal(0, 0.2, (radius.size, 4)), 1)
        steps = np.stack([np.cos(bends), np.sin(bends)], 2) * (length / 4)[:, None, None]
        paths = start[:, None] + np.pad(np.cumsum(steps, 1), ((0, 0), (1, 0), (0, 0)))
        grown.append((paths, radius))
        forks = np.flatnonzero(radius > 0.06).repeat(2)
        turn = np.tile([1, -1], forks.size // 2) * rng.uniform(0.15, 0.55, forks.size)
        start, heading = paths[forks, -1], bends[forks, -1] + turn
        radius = radius[forks] * rng.uniform(0.62, 0.78, forks.size)
        length = length[forks] * rng.uniform(0.7, 0.95, forks.size)
    for paths, radius in reversed(grown):  # thick ones last, over the thin
        ribbons(canvas, paths, radius[:, None] * np.linspace(1, 0.72, 5), np.minimum(radius / 0.35, 1) ** 0.8)
    return np.float32(rng.uniform(0.28, 0.45)) * soften(canvas, 0.07)
