"""Opacities of the lung: what a label means in a phantom.

"covid": bilateral, peripheral and lower-zone haze (after Wong et al., Radiology 2020, 10.1148/radiol.2020201160).
"pneumonia": one lung, a few dense confluent patches or a lobe up to its fissure. "normal": none.
Sizes and densities run from subtle to obvious, so that no single statistic of the pixels solves the task.
"""

from __future__ import annotations

import numpy as np

from pneumoscope.phantoms.chest import Chest, Lung
from pneumoscope.phantoms.draw import REACH_CM, blotches, ellipse, grid_axis, resized, soft_step

_GRID = 260  # 2 mm: fine enough for soft edges, and fast


def make_lesions(label: str, rng: np.random.Generator, chest: Chest) -> np.ndarray | None:
    """Share of the lung's air that is replaced, float32 `[N, N]` in 0..1; None for "normal"."""
    if label == "normal":
        return None
    axis = grid_axis(_GRID)
    ragged = 0.3 * blotches(rng, _GRID, 18) + 0.15 * blotches(rng, _GRID, 44)
    make = _ground_glass if label == "covid" else _consolidation
    spared = np.ones_like(ragged)
    for patch in make(rng, axis, chest, ragged):
        spared *= 1 - patch
    filled: np.ndarray = np.clip(resized(1 - spared, chest.air.shape[0]), 0, 1)
    return filled


def _ground_glass(rng: np.random.Generator, axis: np.ndarray, chest: Chest, ragged: np.ndarray) -> list[np.ndarray]:
    severity = rng.uniform(0, 1)
    mottle = np.clip(1 + 0.6 * ragged, 0.5, 1.5)
    patches = []
    for lung in chest.sides:
        for _ in range(int(rng.integers(2, 4 + round(2 * severity)))):
            x, y = _place(rng, lung, across=rng.beta(4, 1.6), down=rng.beta(3.2, 1.8))
            a = rng.uniform(1.6, 2.8) + 1.2 * severity
            r = ellipse(axis, x, y, a, a * rng.uniform(0.9, 1.8), lung.side * rng.uniform(-30, 10))
            density = (0.15 + 0.2 * severity) * rng.uniform(0.7, 1.3)
            patches.append(density * mottle * soft_step((0.9 - r + ragged) / 0.8))
    return patches


def _consolidation(rng: np.random.Generator, axis: np.ndarray, chest: Chest, ragged: np.ndarray) -> list[np.ndarray]:
    lung = chest.sides[int(rng.integers(2))]
    density = rng.uniform(0.25, 0.85)
    if rng.random() < 0.3:
        return [density * _lobe(rng, axis, lung, ragged)]
    x, y = _place(rng, lung, across=rng.uniform(0.2, 0.8), down=rng.uniform(0.15, 0.95))
    patches = []
    for _ in range(int(rng.integers(1, 4))):
        a = rng.uniform(1.5, 3.2)
        r = ellipse(axis, x, y, a, a * rng.uniform(0.7, 1.3), rng.uniform(0, 180))
        patches.append(density * soft_step((1 - r + 0.8 * ragged) / 0.5))
        x, y = x + rng.normal(0, 1.6), y + rng.normal(0, 1.6)
    return patches


def _lobe(rng: np.random.Generator, axis: np.ndarray, lung: Lung, ragged: np.ndarray) -> np.ndarray:
    """Part of an upper or lower lobe: straight and sharp at the fissure, soft elsewhere."""
    upper = rng.random() < 0.5
    fissure = rng.uniform(-3, 0) if upper else rng.uniform(2, 5)
    line = fissure + rng.uniform(-0.12, 0.12) * lung.side * axis[None, :]
    beyond = (line - axis[:, None]) * (1 if upper else -1)
    x, _ = _place(rng, lung, across=rng.uniform(0.4, 0.6), down=0.5)
    r = ellipse(axis, x, fissure + (-3.5 if upper else 4.0), rng.uniform(4, 7), rng.uniform(4, 7))
    lobe: np.ndarray = np.clip(beyond / 0.3, 0, 1) * soft_step((1 - r + 0.6 * ragged) / 0.5)
    return lobe


def _place(rng: np.random.Generator, lung: Lung, across: float, down: float) -> tuple[float, float]:
    """A point near a share of the lung's width (0 medial, 1 lateral) and height (0 apex, 1 base), in cm."""
    top, base = lung.top + 2.0, float(lung.floor.min()) + 1.0
    y = top + down * (base - top)
    row = int((y / REACH_CM + 1) / 2 * lung.lateral.size)
    x = lung.medial[row] + across * (lung.lateral[row] - lung.medial[row])
    return lung.side * float(x), y + rng.normal(0, 0.3)
