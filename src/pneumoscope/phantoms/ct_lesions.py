"""Lesions of the lung in CT: what a label means in a phantom series.

"covid": several patches of ground glass on both sides, at the pleura, behind and low, some with a consolidated core
(Salehi et al. 2020, 10.2214/AJR.20.23034; Ng et al. 2020, 10.1148/ryct.2020200034). "pneumonia": one or two
consolidations in the lobes of one lung, with air in the bronchi and a haze around them. "normal": none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pneumoscope.phantoms.draw import soft_step
from pneumoscope.phantoms.thorax import lobe

_LOBES = {-1: ("upper", "middle", "lower"), 1: ("front", "lower")}


@dataclass(frozen=True, kw_only=True)
class Patch:
    """One lesion: an ellipsoid of half axes (across the pleura, along it, in z) around a centre x, y, z, in mm.

    turn: degrees of the first axis in the slice. haze, core: share of the air replaced in the whole and in the middle.
    side, lobe: the lung, and the lobe whose fissures stop it; "" for none.
    """

    centre: tuple[float, float, float]
    axes: tuple[float, float, float]
    turn: float
    haze: float
    core: float
    side: int
    lobe: str = ""


def make_patches(
    label: str, rng: np.random.Generator, places: np.ndarray, severity: float | None
) -> tuple[float, list[Patch]]:
    """Draw the lesions of a label, and their severity 0..1 where it is not given.

    places: `[N, 4]` x, y, z and depth in mm of points spread over the lungs.
    """
    drawn = float(rng.uniform(0, 1))
    severity = drawn if severity is None else severity
    if label == "normal":
        return 0.0, []
    return severity, (_ground_glass if label == "covid" else _consolidation)(rng, places, severity)


def filled(
    patches: list[Patch], x: np.ndarray, y: np.ndarray, z: float, ragged: np.ndarray, fine: np.ndarray
) -> np.ndarray:
    """Share of the air replaced at places x, y of height z, 0..1; ragged, fine: noise of large and small grain."""
    spared = np.ones_like(x)
    for patch in patches:
        cx, cy, cz = patch.centre
        if abs(z - cz) > 1.7 * patch.axes[2]:
            continue
        c, s = float(np.cos(np.deg2rad(patch.turn))), float(np.sin(np.deg2rad(patch.turn)))
        u, v = (c * (x - cx) + s * (y - cy)) / patch.axes[0], (c * (y - cy) - s * (x - cx)) / patch.axes[1]
        r = np.sqrt(u * u + v * v + ((z - cz) / patch.axes[2]) ** 2) + 0.22 * ragged
        haze = patch.haze * np.clip(1 + 0.45 * fine, 0.3, 1.6) * soft_step((0.95 - r) / 0.22)
        reach = 0.78 if patch.lobe else 0.55  # of the core
        share = np.maximum(haze, patch.core * soft_step((reach - r + 0.1 * fine) / 0.16))
        share *= patch.side * x > 0
        if patch.lobe:
            share *= np.clip(lobe(y, z, patch.lobe) / 1.5, 0, 1)
        spared *= 1 - np.clip(share, 0, 1)
    return 1 - spared


def _ground_glass(rng: np.random.Generator, places: np.ndarray, severity: float) -> list[Patch]:
    x, y, z, depth = places.T
    low = np.exp(-(z + 60) / 70) * np.exp(y / 38) * np.exp(-(((depth - 6) / 9) ** 2))
    patches = []
    for i in range(3 + round(7 * severity) + int(rng.integers(0, 3))):
        side = 1 if i % 2 else -1
        odds = low * (side * x > 12)
        centre = places[rng.choice(len(places), p=odds / odds.sum()), :3]
        turn = float(np.rad2deg(np.arctan2(centre[1], centre[0])))
        size = rng.uniform(9, 16) + 14 * severity
        axes = size * rng.uniform((0.7, 1.1, 0.9), (1.0, 1.9, 1.5))
        haze = rng.uniform(0.22, 0.42) + 0.1 * severity
        core = rng.uniform(0.6, 0.95) if rng.random() < 0.15 + 0.4 * severity else 0.0
        patches.append(_patch(centre, axes, turn, haze, core, side))
    return patches


def _consolidation(rng: np.random.Generator, places: np.ndarray, severity: float) -> list[Patch]:
    side = -1 if rng.random() < 0.58 else 1
    lobes = rng.permutation(_LOBES[side])[: 2 if rng.random() < 0.2 + 0.4 * severity else 1]
    patches = []
    for name in lobes.tolist():
        inside = (
            np.clip(lobe(places[:, 1], places[:, 2], name), 0, 30) * (side * places[:, 0] > 12) * (places[:, 3] > 4)
        )
        centre = places[rng.choice(len(places), p=inside / inside.sum()), :3]
        size = rng.uniform(20, 28) + 34 * severity
        axes = size * rng.uniform((0.85, 0.85, 0.8), (1.2, 1.2, 1.15))
        haze = rng.uniform(0.25, 0.5)
        patches.append(_patch(centre, axes, rng.uniform(0, 180), haze, rng.uniform(0.85, 1.0), side, name))
    return patches


def _patch(
    centre: np.ndarray, axes: np.ndarray, turn: float, haze: float, core: float, side: int, name: str = ""
) -> Patch:
    x, y, z = centre.tolist()
    a, b, h = axes.tolist()
    return Patch(
        centre=(x, y, z), axes=(a, b, h), turn=float(turn), haze=float(haze), core=float(core), side=side, lobe=name
    )
