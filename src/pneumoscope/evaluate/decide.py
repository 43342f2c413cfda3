"""From probabilities to decisions: thresholds on the positive class, fitted on data that is not reported on.

An image is positive when its probability is at or above the threshold. Rules: `core.recipe.Decision`.
"""

from __future__ import annotations

import math

import numpy as np

from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.recipe import Decision
from pneumoscope.errors import DataError, RecipeError


def fit_threshold(decision: Decision, positive: np.ndarray, truth: np.ndarray) -> float | None:
    """The threshold that a rule asks for on these images; None for "argmax".

    positive: probability of the positive class, 0..1 `[N]`. truth: whether an image is positive, bool `[N]`.

    A fitted threshold is one of the probabilities seen, or, where calling none positive costs least, the next
    number above them all. Among thresholds that are equally good, "youden" and "cost" take the lowest, which misses
    fewest; "sensitivity" takes the highest that still reaches `value`.

    Raises:
        RecipeError: a `value` that makes no sense for the rule.
        DataError: a rule to be fitted on values outside 0..1, or on images of one class alone.
    """
    check_value(decision)
    if decision.rule == "argmax":
        return None
    if decision.rule == "fixed":
        return decision.value
    _check_data(decision, positive, truth)
    p = positive.astype(np.float64)
    hits, others = np.sort(p[truth]), np.sort(p[~truth])
    seen = np.unique(p)
    thresholds = np.append(seen, np.nextafter(seen[-1], np.inf))  # the last one: none is positive
    missed = np.searchsorted(hits, thresholds, side="left")
    alarms = len(others) - np.searchsorted(others, thresholds, side="left")
    if decision.rule == "sensitivity":
        enough = np.flatnonzero((len(hits) - missed) / len(hits) >= decision.value)
        return float(thresholds[enough[-1]])
    if decision.rule == "youden":
        # whole numbers, so that equally good thresholds are equal: misses and alarms over one denominator
        cost_of_miss, cost_of_alarm = float(len(others)), float(len(hits))
    else:
        cost_of_miss, cost_of_alarm = decision.value, 1.0
    return float(thresholds[np.argmin(missed * cost_of_miss + alarms * cost_of_alarm)])


def decide(threshold: float | None, probabilities: np.ndarray, classes: ClassSet) -> np.ndarray:
    """The class decided for, integers `[N]`, from probabilities `[N, K]`.

    With a threshold: positive when the positive class's probability is at or above it, else the most probable of
    the other classes. Without: the most probable class. Equally probable classes go to the first of them.

    Raises:
        DataError: another shape, or NaN. RecipeError: a threshold where no class is positive.
    """
    k = len(classes.names)
    if probabilities.ndim != 2 or probabilities.shape[1] != k:
        raise DataError(f"probabilities: expected shape [N, {k}], found {probabilities.shape}.")
    if not np.isfinite(probabilities).all():
        raise DataError("probabilities: expected finite numbers, found NaN or infinity. Check the model's outputs.")
    if threshold is None:
        top: np.ndarray = probabilities.argmax(axis=1)
        return top
    if classes.positive is None:
        raise RecipeError("decision: expected a positive class for a threshold, found none. Name classes.positive.")
    others = probabilities.astype(np.float64)  # a copy, in which the positive class cannot win
    positive = others[:, classes.positive_index] >= threshold
    others[:, classes.positive_index] = -np.inf
    decided: np.ndarray = np.where(positive, classes.positive_index, others.argmax(axis=1))
    return decided


def check_value(decision: Decision) -> None:
    """See that a rule's value makes sense for it; raises RecipeError where it does not."""
    value = decision.value
    if decision.rule == "fixed" and not 0 <= value <= 1:
        raise RecipeError(f"decision.value: expected a probability in 0..1 for 'fixed', found {value}.")
    if decision.rule == "sensitivity" and not 0 < value <= 1:
        raise RecipeError(f"decision.value: expected a sensitivity above 0, at most 1, found {value}.")
    if decision.rule == "cost" and not (value > 0 and math.isfinite(value)):
        raise RecipeError(f"decision.value: expected a cost above 0, found {value}.")


def _check_data(decision: Decision, positive: np.ndarray, truth: np.ndarray) -> None:
    if positive.ndim != 1 or positive.shape != truth.shape or truth.dtype != np.bool_:
        raise DataError(
            f"threshold: expected one probability and one bool an image, found shapes {positive.shape} and "
            f"{truth.shape} of {truth.dtype}."
        )
    if not np.isfinite(positive).all() or np.any(positive < 0) or np.any(positive > 1):
        raise DataError("threshold: expected probabilities in 0..1, found others. Check the model's outputs for NaN.")
    if truth.all() or not truth.any():
        raise DataError(
            f"threshold: expected positive and other images to fit '{decision.rule}' on, found {int(truth.sum())} "
            f"positive of {len(truth)}. Use more data, or a fixed threshold."
        )
