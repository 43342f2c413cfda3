"""What a bundle's test of likeness is fitted on: features of training images, and a limit that few others pass."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pneumoscope.core.familiar import Familiar
from pneumoscope.runtime.engine import Engine
from pneumoscope.runtime.familiar import Likeness, unit_length
from pneumoscope.train.bench import Bench

MOST_LEARNED, MOST_HELD = 800, 400  # images that are asked about, drawn by a seed
LEAST_HELD = 50  # held-out images, below which every image is held out in turn
TURNS = 5
DIRECTIONS = 32
FLAGGED = 0.01  # share of held-out images that are flagged
BATCH = 16


class Pictures(NamedTuple):
    """Prepared images `[n, H, W]` that were learned from, and others `[m, H, W]`; the patient of each of the first."""

    learned: np.ndarray
    held: np.ndarray
    groups: list[str]


def pictures(bench: Bench, train: list[int], val: list[int]) -> Pictures | None:
    """Some of what a fit learned from and chose its weights on; None where volumes are judged.

    train, val: units.
    """
    if bench.recipe.of_volumes:
        return None
    learned, held = (bench.units.rows(units) for units in (train, val))
    if len(held) < LEAST_HELD:
        learned, held = [*learned, *held], []
    rng = np.random.default_rng(0)
    chosen = [
        np.sort(rng.permutation(rows)[:most]).astype(np.int64)
        for rows, most in ((learned, MOST_LEARNED), (held, MOST_HELD))
    ]
    images, samples = bench.main.images, bench.main.dataset.samples
    groups = [samples[row].group for row in chosen[0]]
    return Pictures(np.ascontiguousarray(images[chosen[0]]), np.ascontiguousarray(images[chosen[1]]), groups)


def fit(graph: bytes, given: Pictures) -> tuple[Familiar, bytes]:
    """The facts and the numbers of a bundle's test.

    graph: an exported one that gives features.
    """
    engine = Engine(graph)
    learned, held = (_features(engine, images) for images in (given.learned, given.held))
    likeness = likeness_of(learned)
    distances = likeness.distances(held) if len(held) else _in_turn(learned, given.groups)
    facts = Familiar(
        features=learned.shape[1],
        directions=len(likeness.spread),
        limit=limit_of(distances),
        n_learned=len(learned),
        n_held_out=len(distances),
    )
    return facts, likeness.stored()


def likeness_of(features: np.ndarray) -> Likeness:
    """The Gaussian of features `[n, F]`: the main directions by a singular value decomposition."""
    values = unit_length(features)
    n, f = values.shape
    d = max(1, min(DIRECTIONS, n // 8, f - 1))
    mean = values.mean(axis=0)
    _, sizes, directions = np.linalg.svd(values - mean, full_matrices=False)
    spread = np.square(sizes) / max(1, n - 1)
    least = max(float(spread[0]) * 1e-6, 1e-12)
    rest = max(float(spread[d:].sum()) / max(1, f - d), least)
    return Likeness(mean, directions[:d], np.maximum(spread[:d], least), rest)


def limit_of(distances: np.ndarray) -> float:
    """The distance that a new image like those held out passes with a chance of `FLAGGED` (conformal)."""
    n = len(distances)
    place = min(n, int(np.ceil((1 - FLAGGED) * (n + 1))))
    return float(max(np.sort(distances)[place - 1], 1e-6))


def _in_turn(features: np.ndarray, groups: list[str]) -> np.ndarray:
    """The distance of each image to what is like those of other patients."""
    names = sorted(set(groups))
    turn_of = {name: i % TURNS for i, name in enumerate(np.random.default_rng(0).permutation(names).tolist())}
    turns = np.array([turn_of[group] for group in groups])
    found = np.zeros(len(features))
    for turn in np.unique(turns):
        away = turns == turn
        found[away] = likeness_of(features[~away] if (~away).any() else features).distances(features[away])
    return found


def _features(engine: Engine, images: np.ndarray) -> np.ndarray:
    parts = [engine.describe(images[i : i + BATCH])[2] for i in range(0, len(images), BATCH)]
    return np.concatenate(parts) if parts else np.zeros((0, 0))
