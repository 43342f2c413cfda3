"""Net benefit against what is worked out by hand and against a plain loop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pneumoscope.core.dataset import ClassSet
from pneumoscope.evaluate.benefit import THRESHOLDS, study

CLASSES = ClassSet(names=("normal", "covid"), positive="covid")
THREE = ClassSet(names=("normal", "pneumonia", "covid"), positive="covid")


def two(p: list[float]) -> np.ndarray:
    return np.array([[1 - x, x] for x in p])


def at(curve: tuple[float, ...], threshold: float) -> float:
    return curve[round(threshold * 100) - 1]


def test_ten_images_by_hand() -> None:
    # positives at 0.9, 0.8, 0.3; others at 0.7, 0.2, 0.2, 0.1, 0.1, 0.0, 0.0
    p = two([0.9, 0.8, 0.3, 0.7, 0.2, 0.2, 0.1, 0.1, 0.0, 0.0])
    found = study(p, np.array([1, 1, 1, 0, 0, 0, 0, 0, 0, 0]), [str(i) for i in range(10)], CLASSES)
    assert found is not None
    assert found.prevalence == 0.3
    assert at(found.model, 0.5) == pytest.approx(2 / 10 - 1 / 10)  # two found, one false alarm, weight 1
    assert at(found.model, 0.25) == pytest.approx(3 / 10 - 1 / 10 / 3, abs=1e-6)  # weight 0.25 / 0.75
    assert at(found.model, 0.2) == pytest.approx(3 / 10 - 3 / 10 / 4)  # at the threshold counts
    assert at(found.model, 0.9) == pytest.approx(1 / 10)
    assert at(found.model, 0.91) == 0
    assert at(found.all, 0.5) == pytest.approx(0.3 - 0.7)
    assert at(found.all, 0.2) == pytest.approx(0.3 - 0.7 / 4)
    assert at(found.all, 0.3) == pytest.approx(0)  # calling all is worth nothing at the prevalence


@settings(max_examples=20)
@given(seed=st.integers(0, 2**20), n=st.integers(5, 40))
def test_it_is_sensitivity_and_specificity_at_the_prevalence(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    p = np.round(rng.random(n), 2)
    truth = rng.integers(2, size=n)
    truth[:2] = 0, 1
    found = study(two(list(p)), truth, [str(i // 2) for i in range(n)], CLASSES, resamples=5)
    assert found is not None
    for t, model, every in zip(found.thresholds, found.model, found.all, strict=True):
        called = two(list(p))[:, 1] >= t
        sensitivity, specificity = called[truth == 1].mean(), 1 - called[truth == 0].mean()
        prevalence, odds = truth.mean(), t / (1 - t)
        assert model == pytest.approx(sensitivity * prevalence - (1 - specificity) * (1 - prevalence) * odds, abs=1e-5)
        assert every == pytest.approx(prevalence - (1 - prevalence) * odds, abs=1e-5)


def test_intervals_are_over_patients_and_hold_the_figure() -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(2, size=200)
    p = two(list(np.clip(0.3 + 0.4 * truth + rng.normal(0, 0.2, 200), 0, 1)))
    apart = study(p, truth, [str(i) for i in range(200)], CLASSES)
    joined = study(p, truth, [str(i // 20) for i in range(200)], CLASSES)
    assert apart is not None
    assert joined is not None
    assert apart.model == joined.model
    middle = slice(20, 70)
    width = [np.subtract(e.high[middle], e.low[middle]).mean() for e in (apart, joined)]
    assert width[1] != pytest.approx(width[0], rel=0.01)
    low, value, high = (np.array(part)[middle] for part in (apart.low, apart.model, apart.high))
    assert (low < value).all()
    assert (value < high).all()


def test_a_perfect_model_is_worth_more_and_a_mean_one_is_not() -> None:
    truth = np.arange(100) % 2
    groups = [str(i) for i in range(100)]
    perfect = study(two([0.995 if t else 0.005 for t in truth]), truth, groups, CLASSES)
    blind = study(two([0.5] * 100), truth, groups, CLASSES)
    assert perfect is not None
    assert blind is not None
    assert min(perfect.gain_low) > 0
    assert max(blind.gain_low) <= 0


def test_nothing_without_a_positive_class_or_with_one_kind_only() -> None:
    groups = ["a", "b"]
    assert study(two([0.1, 0.9]), np.array([0, 1]), groups, ClassSet(names=("normal", "covid"))) is None
    assert study(two([0.1, 0.9]), np.array([1, 1]), groups, CLASSES) is None
    assert study(two([0.1, 0.9]), np.array([0, 0]), groups, CLASSES) is None


def test_of_three_classes_the_positive_one_is_set_against_the_rest() -> None:
    p = np.array([[0.5, 0.1, 0.4], [0.2, 0.2, 0.6], [0.1, 0.8, 0.1]])
    found = study(p, np.array([0, 2, 1]), ["a", "b", "c"], THREE)
    assert found is not None
    assert at(found.model, 0.5) == pytest.approx(1 / 3)
    assert at(found.model, 0.3) == pytest.approx(1 / 3 - 1 / 3 * 3 / 7, abs=1e-5)
    assert len(found.thresholds) == len(THRESHOLDS) == 99
