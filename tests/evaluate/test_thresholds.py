"""The threshold study against hand counts, against `evaluate` itself, and on data that cannot be fitted on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.recipe import Decision
from pneumoscope.core.result import HISTOGRAM, Interval
from pneumoscope.errors import UsageError
from pneumoscope.evaluate import thresholds
from pneumoscope.evaluate.decide import decide, fit_threshold
from pneumoscope.evaluate.metrics import evaluate

TWO = ClassSet(names=("non-covid", "covid"), positive="covid")
THREE = ClassSet(names=("normal", "covid", "pneumonia"), positive="covid")
NONE = ClassSet(names=("a", "b"))
HALF = Decision(rule="fixed", value=0.5)
CHANGED = {"accuracy", "balanced_accuracy", "sensitivity", "specificity", "precision", "f1"}


def two(positive: list[float]) -> np.ndarray:
    p = np.array(positive)
    return np.stack([1 - p, p], axis=1)


def drawn(n: int, k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that go with labels, every class at least twice."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.repeat(np.arange(k), 2), rng.integers(k, size=n - 2 * k)])
    scores = rng.normal(size=(n, k)) + 1.5 * np.eye(k)[labels]
    p = np.exp(scores)
    return p / p.sum(axis=1, keepdims=True), labels


def alone(n: int) -> list[str]:
    return [str(i) for i in range(n)]


def of_class(found: object, name: str = "covid") -> float:
    assert isinstance(found, dict)
    return float(found[name].value)


@pytest.mark.parametrize(
    ("text", "rule", "name"),
    [
        ("0.4", Decision(rule="fixed", value=0.4), "fixed 0.4"),
        ("0", Decision(rule="fixed", value=0.0), "fixed 0"),
        ("1e-3", Decision(rule="fixed", value=0.001), "fixed 0.001"),
        ("youden", Decision(rule="youden"), "youden"),
        ("sensitivity=0.9", Decision(rule="sensitivity", value=0.9), "sensitivity 0.9"),
        ("cost=10", Decision(rule="cost", value=10.0), "cost 10"),
    ],
)
def test_what_a_user_writes_is_a_rule(text: str, rule: Decision, name: str) -> None:
    (found,) = thresholds.read_rules([text], TWO, fitted=True)
    assert found == rule
    assert thresholds.name_of(found) == name


@pytest.mark.parametrize(
    "text",
    [
        *("", "1.5", "-0.1", "nan", "inf", "0,4", "50%", "argmax", "fixed=0.4", "youden=1"),
        *("sensitivity", "sensitivity=2", "cost=", "cost=0", "cost=inf"),
    ],
)
def test_what_is_no_rule_is_a_usage_error_on_one_line(text: str) -> None:
    with pytest.raises(UsageError, match=r"--at.*expected .*, found ") as caught:
        thresholds.read_rules([text], TWO, fitted=True)
    assert "\n" not in str(caught.value)
    assert type(caught.value) is UsageError


@given(st.text(max_size=20))
def test_any_text_is_a_rule_or_a_usage_error(text: str) -> None:
    try:
        (rule,) = thresholds.read_rules([text], TWO, fitted=True)
    except UsageError:
        return
    assert rule.rule in ("fixed", "youden", "sensitivity", "cost")


def test_nothing_is_fitted_where_there_is_nothing_to_fit_on() -> None:
    assert thresholds.read_rules(["0.4"], TWO, fitted=False) == (Decision(rule="fixed", value=0.4),)
    with pytest.raises(UsageError, match=r"--at youden: expected a threshold as 0[.]4"):
        thresholds.read_rules(["0.4", "youden"], TWO, fitted=False)
    with pytest.raises(UsageError, match="expected a method with a positive class"):
        thresholds.read_rules(["0.4"], NONE, fitted=True)
    assert thresholds.read_rules([], NONE, fitted=True) == ()


def test_each_fold_is_fitted_on_what_chose_it() -> None:
    """Known answers: what separates each fold's own images, by every rule."""
    chosen = [(two([0.1, 0.2, 0.6, 0.7]), np.array([0, 0, 1, 1])), (two([0.3, 0.8, 0.9]), np.array([0, 1, 1]))]
    found, said = thresholds.fit(HALF, thresholds.read_rules(["sensitivity=0.5"], TWO, fitted=True), chosen, TWO)
    assert dict(found) == {
        "fixed 0.5": [0.5, 0.5],
        "fixed 0.3": [0.3, 0.3],
        "youden": [0.6, 0.8],
        "sensitivity 0.95": [0.6, 0.8],
        "cost 5": [0.6, 0.8],
        "sensitivity 0.5": [0.7, 0.9],
    }
    assert said == ()


@pytest.mark.parametrize("own", [Decision(rule="cost", value=2.0), Decision(rule="argmax"), Decision(rule="youden")])
def test_the_recipes_own_rule_is_among_them_once(own: Decision) -> None:
    chosen = [drawn(30, 2, seed) for seed in (1, 2)]
    found, _ = thresholds.fit(own, (own,), chosen, TWO)
    assert len(found) == len(thresholds.FIXED) + len(thresholds.FITTED) + (own.rule != "youden")
    expected = [fit_threshold(own, p[:, 1], y == 1) for p, y in chosen]
    assert list(found[thresholds.name_of(own)]) == expected


@pytest.mark.parametrize(("labels", "told"), [([1, 1], "2 covid among 2"), ([0, 0], "0 covid among 2")])
def test_a_fold_of_one_class_leaves_fitted_rules_out_aloud(labels: list[int], told: str) -> None:
    chosen = [(two([0.1, 0.9]), np.array([0, 1])), (two([0.1, 0.9]), np.array(labels))]
    found, (said,) = thresholds.fit(HALF, (Decision(rule="cost", value=9.0),), chosen, TWO)
    assert set(found) == {"fixed 0.5", "fixed 0.3"}
    assert "youden, sensitivity 0.95, cost 5, cost 9 were not studied" in said
    assert f"fold 2 could fit them on holds {told} images" in said


def test_counts_by_hand() -> None:
    p, labels = two([0.35, 0.45, 0.2, 0.55, 0.9, 0.31]), np.array([0, 1, 0, 0, 1, 1])
    folds = np.array([0, 0, 0, 1, 1, 1])
    found = {"fixed 0.3": [0.3, 0.3], "other": [0.4, 0.6]}
    low, other = thresholds.study(found, p, labels, alone(6), TWO, folds=folds)
    assert low.confusion == ((1, 2), (0, 3))
    assert (low.name, low.thresholds, other.thresholds) == ("fixed 0.3", (0.3, 0.3), (0.4, 0.6))
    assert other.confusion == ((3, 0), (1, 2))  # 0.31 of the second fold is below its 0.6
    assert set(low.metrics) == CHANGED
    assert of_class(low.metrics["sensitivity"]) == 1.0
    assert of_class(low.metrics["specificity"]) == pytest.approx(1 / 3)
    assert of_class(low.metrics["precision"]) == pytest.approx(3 / 5)


@settings(max_examples=15)
@given(seed=st.integers(0, 10_000), k=st.sampled_from([2, 3]), threshold=st.floats(0, 1))
def test_figures_are_those_that_evaluate_gives_of_the_same_decisions(seed: int, k: int, threshold: float) -> None:
    classes = TWO if k == 2 else THREE
    p, labels = drawn(40, k, seed)
    groups = [str(i // 2) for i in range(40)]
    folds = np.zeros(40, dtype=np.int64)
    (found,) = thresholds.study({"x": [threshold]}, p, labels, groups, classes, folds=folds, seed=seed)
    whole = evaluate(p, labels, decide(threshold, p, classes), groups, classes, seed=seed)
    assert found.confusion == whole.confusion
    for name in CHANGED:
        np.testing.assert_equal(_flat(found.metrics[name]), _flat(whole.metrics[name]))


def _flat(found: object) -> list[float]:
    each = [found] if isinstance(found, Interval) else list(found.values())  # type: ignore[attr-defined]
    return [value for one in each for value in (one.value, one.low, one.high)]


@settings(max_examples=15)
@given(seed=st.integers(0, 10_000), k=st.sampled_from([2, 3]), cuts=st.lists(st.floats(0, 1), min_size=2, max_size=6))
def test_sensitivity_never_rises_with_a_fixed_threshold(seed: int, k: int, cuts: list[float]) -> None:
    classes = TWO if k == 2 else THREE
    p, labels = drawn(30, k, seed)
    found = {str(i): [cut] for i, cut in enumerate(sorted(cuts))}
    rows = thresholds.study(found, p, labels, alone(30), classes, folds=np.zeros(30, dtype=np.int64))
    hits = [of_class(row.metrics["sensitivity"]) for row in rows]
    spared = [of_class(row.metrics["specificity"]) for row in rows]
    assert hits == sorted(hits, reverse=True)
    assert spared == sorted(spared)


def test_a_bundles_own_threshold_stands_beside_fixed_ones() -> None:
    own = Decision(rule="youden")
    at = thresholds.read_rules(["0.4"], TWO, fitted=False)
    assert dict(thresholds.of_bundle(own, 0.37, at)) == {
        "fixed 0.5": [0.5],
        "fixed 0.3": [0.3],
        "youden": [0.37],
        "fixed 0.4": [0.4],
    }
    p, labels = drawn(20, 2, 0)
    found = thresholds.of_bundle(Decision(rule="argmax"), None, ())
    *_, last = thresholds.study(found, p, labels, alone(20), TWO, folds=np.zeros(20, dtype=np.int64))
    assert (last.name, last.thresholds) == ("argmax", ())


def test_a_threshold_above_every_probability_calls_none_positive() -> None:
    p, labels = drawn(20, 2, 0)
    (row,) = thresholds.study({"x": [1.1]}, p, labels, alone(20), TWO, folds=np.zeros(20, dtype=np.int64))
    assert of_class(row.metrics["sensitivity"]) == 0
    assert np.isnan(of_class(row.metrics["precision"]))


def test_the_histogram_counts_each_image_once() -> None:
    p = two([0.0, 0.049, 0.05, 0.5, 0.999, 1.0])
    found = thresholds.histogram(p, np.array([0, 0, 0, 1, 1, 1]), TWO)
    assert found["non-covid"] == (2, 1, *[0] * (HISTOGRAM - 2))
    assert found["covid"] == (*[0] * 10, 1, *[0] * 8, 2)


@given(seed=st.integers(0, 1000))
def test_the_histogram_sums_to_the_classes(seed: int) -> None:
    p, labels = drawn(30, 3, seed)
    found = thresholds.histogram(p, labels, THREE)
    assert {name: sum(counts) for name, counts in found.items()} == {
        name: int((labels == k).sum()) for k, name in enumerate(THREE.names)
    }


def test_without_a_positive_class_there_is_nothing() -> None:
    p, labels = drawn(20, 2, 0)
    assert thresholds.fit(Decision(rule="argmax"), (), [(p, labels)], NONE) == ({}, ())
    assert thresholds.study({}, p, labels, alone(20), NONE, folds=np.zeros(20, dtype=np.int64)) == ()
    found = thresholds.of_bundle(Decision(rule="argmax"), None, ())
    assert thresholds.study(found, p, labels, alone(20), NONE, folds=np.zeros(20, dtype=np.int64)) == ()
    assert thresholds.histogram(p, labels, NONE) == {}
