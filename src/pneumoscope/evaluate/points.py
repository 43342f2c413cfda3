"""Operating points: thresholds by what they promise, and what a positive or a negative answer is then worth.

Predictive values follow from sensitivity, specificity and prevalence by Bayes' rule (Altman and Bland 1994,
"Predictive values"); a test set's own are those at its own prevalence, which is seldom that of a clinic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.interval import Interval
from pneumoscope.core.trust import Expected, OperatingPoint
from pneumoscope.evaluate import metrics
from pneumoscope.evaluate.crossfit import ratios

PREVALENCES = (0.01, 0.05, 0.2)


def ppv(sensitivity: np.ndarray, specificity: np.ndarray, prevalence: float) -> np.ndarray:
    """Share of positive answers that are right; NaN where there are none."""
    hits, alarms = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(hits / (hits + alarms))


def npv(sensitivity: np.ndarray, specificity: np.ndarray, prevalence: float) -> np.ndarray:
    """Share of negative answers that are right; NaN where there are none."""
    return ppv(specificity, sensitivity, 1 - prevalence)


def at_prevalence(point: OperatingPoint, prevalence: float) -> tuple[float, float]:
    """PPV and NPV that a point's sensitivity and specificity come to at another prevalence."""
    found = np.array(point.sensitivity.value), np.array(point.specificity.value)
    return float(ppv(*found, prevalence)), float(npv(*found, prevalence))


def measured(
    decided: Mapping[str, tuple[Sequence[float | None], np.ndarray]],
    labels: np.ndarray,
    groups: Sequence[str],
    classes: ClassSet,
    *,
    prevalences: Sequence[float] = PREVALENCES,
    seed: int = 0,
) -> tuple[OperatingPoint, ...]:
    """Rule -> its thresholds and its decisions, integers `[N]`; as operating points, with intervals over patients."""
    truth = (labels == classes.positive_index).astype(np.float64)
    own = float(truth.mean())
    found = []
    for name, (thresholds, decisions) in decided.items():
        said = (decisions == classes.positive_index).astype(np.float64)
        top = np.stack([truth * said, (1 - truth) * (1 - said)], axis=1)
        data, drawn = ratios(top, np.stack([truth, 1 - truth], axis=1), groups, seed=seed)
        found.append(
            OperatingPoint(
                name=name,
                thresholds=tuple(t for t in thresholds if t is not None),
                sensitivity=metrics.interval(float(data[0]), drawn[:, 0]),
                specificity=metrics.interval(float(data[1]), drawn[:, 1]),
                expected=tuple(_expected(data, drawn, prevalence) for prevalence in (own, *prevalences)),
            )
        )
    return tuple(found)


def _expected(data: np.ndarray, drawn: np.ndarray, prevalence: float) -> Expected:
    def worth(of: Callable[[np.ndarray, np.ndarray, float], np.ndarray]) -> Interval:
        return metrics.interval(float(of(data[0], data[1], prevalence)), of(drawn[:, 0], drawn[:, 1], prevalence))

    return Expected(prevalence=prevalence, ppv=worth(ppv), npv=worth(npv))
