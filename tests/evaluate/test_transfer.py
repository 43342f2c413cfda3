"""A bundle's own figures beside others: which are compared, and the interval of their difference."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.result import Evaluation, Interval
from pneumoscope.evaluate.metrics import evaluate
from pneumoscope.evaluate.transfer import difference, transfer

TWO = ClassSet(names=("normal", "covid"), positive="covid")
THREE = ClassSet(names=("normal", "pneumonia", "covid"))


def measured(classes: ClassSet, labels: np.ndarray, right: float, seed: int, resamples: int = 500) -> Evaluation:
    """An evaluation of a model that is right for a share of the images, each of its own patient."""
    rng, k = np.random.default_rng(seed), len(classes.names)
    decided = np.where(rng.random(len(labels)) < right, labels, (labels + 1) % k)
    p = np.full((len(labels), k), 0.2 / (k - 1)) + np.eye(k)[decided] * (0.8 - 0.2 / (k - 1))
    found = evaluate(p, labels, decided, [str(i) for i in range(len(labels))], classes, resamples=resamples)
    return dataclasses.replace(found, protocol="honest")


def test_the_interval_of_a_difference_by_hand() -> None:
    found = difference(Interval(value=0.6, low=0.56, high=0.68), Interval(value=0.9, low=0.84, high=0.93))
    assert found.value == pytest.approx(-0.3)
    assert found.low == pytest.approx(-0.3 - np.hypot(0.04, 0.03))
    assert found.high == pytest.approx(-0.3 + np.hypot(0.08, 0.06))


def test_it_is_newcombes_interval_of_two_shares() -> None:
    # Newcombe 1998, Statistics in Medicine 17:873, table II, method 10: 56/70 less 48/80
    found = difference(Interval(value=0.8, low=0.6918, high=0.8774), Interval(value=0.6, low=0.4904, high=0.7004))
    assert (found.low, found.high) == (pytest.approx(0.0524, abs=5e-4), pytest.approx(0.3339, abs=5e-4))


def test_an_interval_that_does_not_hold_its_figure_reaches_nothing_on_that_side() -> None:
    found = difference(Interval(value=0.0, low=0.01, high=0.03), Interval(value=0.2, low=0.2, high=0.2))
    assert (found.low, found.high) == (pytest.approx(-0.2), pytest.approx(-0.17))


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng, hits, runs = np.random.default_rng(3), 0, 120
    for i in range(runs):
        labels = rng.integers(2, size=120)
        own, here = (measured(TWO, labels, right, 1000 * i + s, 200) for s, right in enumerate((0.9, 0.7)))
        d = transfer(own, here).metrics["accuracy"].difference
        hits += d.low <= -0.2 <= d.high
    assert 0.88 <= hits / runs <= 1


def test_all_figures_of_two_classes_are_compared_and_the_counts_kept() -> None:
    own = measured(TWO, np.arange(80) % 2, 0.95, 1)
    here = measured(TWO, (np.arange(60) % 3 == 0).astype(np.int64), 0.6, 2)
    found = transfer(own, here)
    assert list(found.metrics) == [
        "accuracy", "balanced_accuracy", "auc", "sensitivity.covid", "specificity.covid", "precision.covid", "brier",
        "ece",
    ]  # fmt: skip
    for name, m in found.metrics.items():
        assert m.difference.value == pytest.approx(m.here.value - m.own.value), name
        assert m.difference.low <= m.difference.value <= m.difference.high
    assert found.metrics["accuracy"].own == own.metrics["accuracy"]
    assert found.counts == {"normal": 40, "covid": 40}
    assert (found.n_images, found.n_patients, found.absent, found.leaky) == (80, 80, (), False)


def test_where_a_class_does_not_occur_only_the_other_sensitivities_mean_the_same() -> None:
    own = measured(THREE, np.arange(90) % 3, 0.9, 1)
    here = measured(THREE, np.arange(60) % 2 * 2, 0.6, 2)
    found = transfer(own, here)
    assert found.absent == ("pneumonia",)
    assert list(found.metrics) == ["sensitivity.normal", "sensitivity.covid"]
    one = measured(TWO, np.ones(40, np.int64), 0.6, 3)
    assert list(transfer(measured(TWO, np.arange(80) % 2, 0.9, 1), one).metrics) == ["sensitivity.covid"]


def test_studies_are_not_compared_with_images() -> None:
    own = dataclasses.replace(measured(TWO, np.arange(80) % 2, 0.9, 1), judged="slice")
    here = measured(TWO, np.arange(80) % 2, 0.9, 2)
    assert transfer(own, here).metrics
    assert transfer(own, dataclasses.replace(here, judged="study")).metrics == {}


def test_an_own_figure_that_leaks_is_called_so() -> None:
    own, here = (measured(TWO, np.arange(80) % 2, 0.9, s) for s in (1, 2))
    assert transfer(dataclasses.replace(own, shared_patients=1), here).leaky
    assert transfer(dataclasses.replace(own, grouped=False), here).leaky
