"""Decision curve: what deciding by a model is worth, at each threshold somebody might hold (Vickers and Elkin 2006).

At a threshold t a missed positive is held to weigh (1 - t) / t false alarms. Net benefit is the share of all images
that are true positives, less the share of false ones weighed so; to call none positive has 0 by definition.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.result import Benefit
from pneumoscope.evaluate import metrics

THRESHOLDS = np.arange(1, 100) / 100


def net_benefit(true: np.ndarray, false: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Net benefit from the shares of all images that are true and false positives; shapes broadcast."""
    found: np.ndarray = true - false * thresholds / (1 - thresholds)
    return found


def study(
    probabilities: np.ndarray,
    labels: np.ndarray,
    groups: Sequence[str],
    classes: ClassSet,
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> Benefit | None:
    """The decision curve of the positive class, deciding for it from its probability on; None where there is none.

    Arguments as of `metrics.evaluate`. None, too, where the images are all positive or all not. Intervals are
    pointwise, over patients; a resample that is all of one kind counts as it is.
    """
    if classes.positive is None:
        return None
    truth = labels == classes.positive_index
    if truth.all() or not truth.any():
        return None
    score = probabilities[:, classes.positive_index].astype(np.float64)
    order = np.argsort(-score, kind="stable")
    # how many images each threshold decides for, in the order of falling probability
    decided = np.searchsorted(-score[order], -THRESHOLDS, side="right")
    patients, patient = np.unique(np.asarray(groups, dtype=str), return_inverse=True)

    def curves(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`[R, T]` of the model and of calling all positive."""
        total = weights.sum(axis=1, keepdims=True)
        true = _up_to(weights[:, order] * truth[order], decided) / total
        false = _up_to(weights[:, order] * ~truth[order], decided) / total
        share = (weights @ truth)[:, None] / total
        return net_benefit(true, false, THRESHOLDS), net_benefit(share, 1 - share, THRESHOLDS)

    model, every = (found[0] for found in curves(np.ones((1, len(truth)))))
    drawn = [curves(weights) for weights in metrics.resampled(patient, len(patients), resamples, seed)]
    of_model = np.concatenate([rows for rows, _ in drawn])
    gain = of_model - np.maximum(np.concatenate([rows for _, rows in drawn]), 0)
    low, high = np.percentile(of_model, [2.5, 97.5], axis=0)
    return Benefit(
        prevalence=float(truth.mean()),
        thresholds=_plain(THRESHOLDS),
        model=_plain(model),
        low=_plain(low),
        high=_plain(high),
        all=_plain(every),
        gain_low=_plain(np.percentile(gain, 2.5, axis=0)),
    )


def _up_to(weights: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """`[R, T]`: the sum of the first so many weights of each row."""
    summed = np.concatenate([np.zeros((len(weights), 1)), np.cumsum(weights, axis=1)], axis=1)
    return summed[:, counts]


def _plain(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(value) for value in np.round(values, 6))
