"""Paired differences: known answers, a difference with itself, and the same by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.result import Interval
from pneumoscope.errors import DataError
from pneumoscope.evaluate import metrics, paired

TWO = ClassSet(names=("non-covid", "covid"), positive="covid")
THREE = ClassSet(names=("covid", "pneumonia", "normal"))


def answers(p: np.ndarray) -> paired.Answers:
    return paired.Answers(probabilities=p, decisions=p.argmax(axis=1))


def case(k: int, n: int, seed: int) -> tuple[np.ndarray, list[paired.Answers], list[str]]:
    """Labels, two methods' answers, and patients of one to three images."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(k), np.arange(k), rng.integers(k, size=n - 2 * k)])
    groups = [f"p{i}" for i in rng.integers(n // 2, size=n)]
    return labels, [answers(rng.dirichlet(np.ones(k), n)) for _ in range(2)], groups


def as_tuple(found: Interval) -> tuple[float, float, float]:
    return found.value, found.low, found.high


@settings(max_examples=15)
@given(n=st.integers(12, 60), seed=st.integers(0, 1000))
def test_a_method_differs_from_itself_by_nothing(n: int, seed: int) -> None:
    labels, (one, _), groups = case(2, n, seed)
    first, again = paired.sample([one, one], labels, groups, TWO, resamples=50)
    for found in paired.difference(first, again).values():
        assert as_tuple(found) == (0.0, 0.0, 0.0)


@settings(max_examples=10)
@given(seed=st.integers(0, 1000), k=st.sampled_from([2, 3]))
def test_figures_are_those_of_the_evaluation(seed: int, k: int) -> None:
    labels, both, groups = case(k, 40, seed)
    classes = TWO if k == 2 else THREE
    sampled = paired.sample(both, labels, groups, classes, resamples=100, seed=seed)
    for one, found in zip(both, sampled, strict=True):
        whole = metrics.evaluate(one.probabilities, labels, one.decisions, groups, classes, resamples=100, seed=seed)
        for name, interval in paired.intervals(found).items():
            metric, _, of = name.partition(".")
            there = whole.metrics[metric]
            expected = there if isinstance(there, Interval) else there[of]
            assert as_tuple(interval) == pytest.approx(as_tuple(expected), nan_ok=True)
        assert paired.confusion(labels, one.decisions, classes) == whole.confusion
    named = {"accuracy", "balanced_accuracy", "auc"}
    assert set(sampled[0].data) == named | ({"sensitivity.covid", "specificity.covid"} if k == 2 else set())


def test_the_interval_is_that_of_the_difference_within_each_resample() -> None:
    labels, both, groups = case(2, 40, 3)
    one, other = paired.sample(both, labels, groups, TWO, resamples=300, seed=7)
    found = paired.difference(one, other)["accuracy"]
    right = [(a.decisions == labels).astype(float) for a in both]
    patients, patient = np.unique(groups, return_inverse=True)
    drawn = []
    for weights in metrics.resampled(patient, len(patients), 300, 7):
        drawn += [np.average(right[0], weights=row) - np.average(right[1], weights=row) for row in weights]
    low, high = np.percentile(drawn, [2.5, 97.5])
    assert as_tuple(found) == pytest.approx((right[0].mean() - right[1].mean(), low, high))


def test_what_both_find_hard_is_no_noise_in_the_difference() -> None:
    """One decides as the other, and better for one patient in ten: each is unsure, the difference is not."""
    rng = np.random.default_rng(0)
    labels = np.tile([0, 1], 200)
    worse = np.where(rng.random(400) < 0.4, 1 - labels, labels)
    better = worse.copy()
    better[:80] = labels[:80]
    one, other = paired.sample(
        [answers(np.eye(2)[better]), answers(np.eye(2)[worse])], labels, [f"p{i}" for i in range(400)], TWO
    )
    difference = paired.difference(one, other)["balanced_accuracy"]
    separate = paired.intervals(one)["balanced_accuracy"], paired.intervals(other)["balanced_accuracy"]
    assert difference.low > 0
    assert difference.high - difference.low < sum(i.high - i.low for i in separate) / 2


def test_the_other_way_round_is_the_negative() -> None:
    labels, both, groups = case(2, 40, 5)
    one, other = paired.sample(both, labels, groups, TWO, resamples=200)
    there, back = paired.difference(one, other)["auc"], paired.difference(other, one)["auc"]
    assert as_tuple(there) == pytest.approx((-back.value, -back.high, -back.low))


def test_what_is_undefined_stays_so() -> None:
    labels = np.zeros(10, dtype=np.int64)
    p = np.full((10, 2), 0.5)
    one, other = paired.sample([answers(p), answers(p)], labels, [f"p{i}" for i in range(10)], TWO, resamples=20)
    found = paired.difference(one, other)
    assert math.isnan(found["auc"].value)
    assert math.isnan(found["sensitivity.covid"].low)
    assert as_tuple(found["accuracy"]) == (0.0, 0.0, 0.0)


def test_answers_that_do_not_fit_are_an_error() -> None:
    labels, (one, other), groups = case(2, 20, 1)
    short = paired.Answers(probabilities=other.probabilities[:-1], decisions=other.decisions[:-1])
    with pytest.raises(DataError, match="labels: expected 19 integers"):
        paired.sample([one, short], labels, groups, TWO)
