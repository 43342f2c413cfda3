"""Prediction sets: all classes that an answer cannot rule out, with a promised share of patients covered.

Split conformal prediction on 1 - p of the true class (Sadinle, Lei and Wasserman 2019, "Least ambiguous set-valued
classifiers"), one limit a class (Vovk 2012, "Conditional validity"): of the patients of each class, at least `level`
have it in their set, whatever the prevalence. A patient counts once, however many images (Lee, Barber and Willett 2023,
"Distribution-free inference with hierarchical data", HCP): each image weighs 1 / (the patient's images). The promise is
for patients like those that it was fitted on; a bundle's final network is another one than those of the folds that
answered, so it holds for that one approximately.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.trust import Conformal, Coverage
from pneumoscope.evaluate import metrics
from pneumoscope.evaluate.crossfit import Known, ratios

LEVEL = 0.9
_ROUNDING = 1e-9


def fit(known: Known, classes: ClassSet, *, level: float = LEVEL) -> Conformal:
    """The limit of each class; 1, which takes the class into every set, where too few patients have it.

    At a level of 0.9 that is fewer than nine.
    """
    limits = {}
    for k, name in enumerate(classes.names):
        rows = known.labels == k
        own = known.at(rows)
        limits[name] = _limit(1 - own.probabilities[:, k], own.groups, level)
    return Conformal(level=level, limits=limits)


def _limit(scores: np.ndarray, groups: Sequence[str], level: float) -> float:
    """The least score that, with all lower ones, weighs `level`, where a patient still to come weighs as each known."""
    images = Counter(groups)
    weights = np.array([1 / images[group] for group in groups]) / (len(images) + 1)
    order = np.argsort(scores, kind="stable")
    enough = np.flatnonzero(np.cumsum(weights[order]) >= level - _ROUNDING)
    return float(min(1.0, max(0.0, scores[order[enough[0]]]))) if len(enough) else 1.0


def sets(rule: Conformal, probabilities: np.ndarray, classes: ClassSet) -> np.ndarray:
    """Which classes are in each set, bool `[N, K]`; the most probable one always is, so that no set is empty."""
    limits = np.array([rule.limits[name] for name in classes.names])
    found = 1 - probabilities <= limits + _ROUNDING
    found[np.arange(len(found)), probabilities.argmax(axis=1)] = True
    return np.asarray(found)


def measured(
    inside: np.ndarray, labels: np.ndarray, groups: Sequence[str], classes: ClassSet, *, level: float, seed: int = 0
) -> Coverage:
    """How often sets `[N, K]` held the true class, integers `[N]`, and how large they were."""
    n, k = inside.shape
    held = inside[np.arange(n), labels].astype(np.float64)
    truth = np.eye(k)[labels]
    sizes = inside.sum(axis=1)
    top = np.column_stack([held, held[:, np.newaxis] * truth, sizes])
    bottom = np.column_stack([np.ones(n), truth, np.ones(n)])
    data, drawn = ratios(top, bottom, groups, seed=seed)
    found = [metrics.interval(float(value), rows) for value, rows in zip(data, drawn.T, strict=True)]
    return Coverage(
        level=level,
        coverage=found[0],
        by_class=dict(zip(classes.names, found[1:-1], strict=True)),
        size=found[-1],
        sizes=tuple(int((sizes == size).sum()) for size in range(1, k + 1)),
    )
