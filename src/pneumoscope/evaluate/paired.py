"""Several methods on the same images: figures over one set of resamples, and differences with their intervals.

A difference is taken within each bootstrap resample of patients, so that what all methods find hard is no noise in it
(paired bootstrap; Efron and Tibshirani 1993, ch. 13 and 16). Figures and resampling are those of `metrics`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.result import Interval
from pneumoscope.evaluate import metrics

WHOLE = ("accuracy", "balanced_accuracy", "auc")
OF_POSITIVE = ("sensitivity", "specificity")


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """What one method answered. probabilities: `[N, K]`. decisions: integers `[N]` in 0..K-1."""

    probabilities: np.ndarray
    decisions: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class Sampled:
    """Figures of one method: of the data, name -> value; and of each resample, name -> `[R]`. NaN where undefined."""

    data: Mapping[str, float]
    drawn: Mapping[str, np.ndarray]


def sample(
    answers: Sequence[Answers],
    labels: np.ndarray,
    groups: Sequence[str],
    classes: ClassSet,
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> list[Sampled]:
    """The figures of several methods for the same images, all of them over the same resamples of patients.

    labels: integers `[N]` in 0..K-1. groups: the patient of each image. The names are accuracy, balanced_accuracy,
    auc, and sensitivity.<class> and specificity.<class> of the positive class where there is one; with the seed of
    `metrics.evaluate` they have its values and intervals.

    Raises:
        DataError: lengths or values that do not fit.
    """
    checked = [metrics.checked(a.probabilities, labels, a.decisions, groups, classes) for a in answers]
    patients, patient = np.unique(np.asarray(groups, dtype=str), return_inverse=True)

    def named(weights: np.ndarray, noise: int) -> list[dict[str, np.ndarray]]:
        return [
            _named(metrics.figures(p, labels, a.decisions, weights, classes, noise=noise), classes)
            for p, a in zip(checked, answers, strict=True)
        ]

    data = named(np.ones((1, len(labels))), 1)
    drawn = [named(weights, 2) for weights in metrics.resampled(patient, len(patients), resamples, seed)]
    return [
        Sampled(
            data={name: float(value[0]) for name, value in found.items()},
            drawn={name: np.concatenate([some[i][name] for some in drawn]) for name in found},
        )
        for i, found in enumerate(data)
    ]


def _named(found: Mapping[str, np.ndarray], classes: ClassSet) -> dict[str, np.ndarray]:
    kept = {name: found[name] for name in WHOLE}
    if classes.positive is not None:
        at = classes.positive_index
        kept |= {f"{name}.{classes.positive}": found[name][:, at] for name in OF_POSITIVE}
    return kept


def intervals(one: Sampled) -> dict[str, Interval]:
    """Each figure with its 95 % interval."""
    return {name: metrics.interval(value, one.drawn[name]) for name, value in one.data.items()}


def difference(one: Sampled, other: Sampled) -> dict[str, Interval]:
    """Each figure of `one` less that of `other`, with the 95 % interval of the difference.

    Both are of one call of `sample`. A resample where a figure is undefined is left out; all NaN where it is undefined
    for the data.
    """
    return {
        name: metrics.interval(value - other.data[name], one.drawn[name] - other.drawn[name])
        for name, value in one.data.items()
    }


def confusion(labels: np.ndarray, decisions: np.ndarray, classes: ClassSet) -> tuple[tuple[int, ...], ...]:
    """`[true class][decided class]` counts, in the order of the classes."""
    k = len(classes.names)
    counts = np.bincount(labels * k + decisions, minlength=k * k).reshape(k, k)
    return tuple(tuple(int(n) for n in row) for row in counts)
