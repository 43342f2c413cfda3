"""Fitted thresholds against brute force over every cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.recipe import Decision
from pneumoscope.errors import DataError, RecipeError
from pneumoscope.evaluate.decide import decide, fit_threshold

TWO = ClassSet(names=("non-covid", "covid"), positive="covid")
THREE = ClassSet(names=("normal", "covid", "pneumonia"), positive="covid")

# few different values, so that ties are the rule
scores = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.5, 0.75, 0.9, 1.0]), st.booleans()), min_size=2, max_size=25
).filter(lambda rows: len({truth for _, truth in rows}) == 2)


def split_rows(rows: list[tuple[float, bool]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([p for p, _ in rows]), np.array([t for _, t in rows])


def rates(p: np.ndarray, truth: np.ndarray, threshold: float) -> tuple[float, float, int, int]:
    said = p >= threshold
    missed, alarms = int((truth & ~said).sum()), int((~truth & said).sum())
    return 1 - missed / truth.sum(), 1 - alarms / (~truth).sum(), missed, alarms


GRID = [*np.arange(0, 1.0001, 0.05), 0.1, 0.25, 0.3, 0.75, 0.9, 1.0, 1.01]


@given(rows=scores)
def test_youden_is_the_best_cut_and_the_lowest_of_equals(rows: list[tuple[float, bool]]) -> None:
    p, truth = split_rows(rows)
    found = fit_threshold(Decision(rule="youden"), p, truth)
    assert found is not None
    quality = {t: sum(rates(p, truth, t)[:2]) for t in [*GRID, found]}
    assert quality[found] == pytest.approx(max(quality.values()))
    lower = [t for t in p if t < found]
    assert all(quality[found] > sum(rates(p, truth, t)[:2]) + 1e-9 for t in lower)


@given(rows=scores, value=st.sampled_from([0.01, 0.5, 0.8, 0.9, 0.95, 1.0]))
def test_sensitivity_is_kept_by_the_highest_cut(rows: list[tuple[float, bool]], value: float) -> None:
    p, truth = split_rows(rows)
    found = fit_threshold(Decision(rule="sensitivity", value=value), p, truth)
    assert found is not None
    assert rates(p, truth, found)[0] >= value - 1e-12
    assert all(rates(p, truth, t)[0] < value for t in [*GRID, *p, np.nextafter(found, 2)] if t > found)


@given(rows=scores, value=st.sampled_from([0.1, 0.5, 1.0, 2.0, 10.0]))
def test_cost_is_least_and_misses_fewest_of_equals(rows: list[tuple[float, bool]], value: float) -> None:
    p, truth = split_rows(rows)
    found = fit_threshold(Decision(rule="cost", value=value), p, truth)
    assert found is not None

    def cost(threshold: float) -> float:
        *_, missed, alarms = rates(p, truth, threshold)
        return missed * value + alarms

    assert cost(found) == pytest.approx(min(cost(t) for t in [*GRID, *p]))
    assert all(cost(t) > cost(found) - 1e-9 for t in p if t < found)


def test_sensitivity_of_exactly_the_share_counts() -> None:
    p = np.linspace(0.01, 1, 40)
    truth = np.arange(40) % 2 == 0
    found = fit_threshold(Decision(rule="sensitivity", value=0.95), p, truth)
    assert found == np.sort(p[truth])[1]  # 19 of 20


def test_none_positive_may_be_cheapest() -> None:
    found = fit_threshold(Decision(rule="cost", value=0.5), np.array([0.2, 1.0]), np.array([True, False]))
    assert found is not None
    assert found > 1


def test_rules_without_a_fit() -> None:
    nothing = np.array([])
    assert fit_threshold(Decision(rule="argmax"), nothing, nothing.astype(bool)) is None
    assert fit_threshold(Decision(rule="fixed", value=0.3), nothing, nothing.astype(bool)) == 0.3


@pytest.mark.parametrize("rule", ["youden", "sensitivity", "cost"])
@pytest.mark.parametrize("truth", [[True, True], [False, False]])
def test_one_class_alone_cannot_be_fitted_on(rule: str, truth: list[bool]) -> None:
    with pytest.raises(DataError, match="expected positive and other images"):
        fit_threshold(Decision(rule=rule), np.array([0.1, 0.9]), np.array(truth))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("p", "truth"),
    [
        (np.array([0.1, np.nan]), np.array([True, False])),
        (np.array([0.1, 1.5]), np.array([True, False])),
        (np.array([0.1]), np.array([True, False])),
        (np.array([0.1, 0.2]), np.array([1, 0])),
        (np.array([]), np.array([], dtype=bool)),
    ],
)
def test_bad_data_to_fit_on(p: np.ndarray, truth: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"^threshold: expected"):
        fit_threshold(Decision(rule="youden"), p, truth)


@pytest.mark.parametrize(
    "decision",
    [
        Decision(rule="fixed", value=1.2),
        Decision(rule="sensitivity", value=0.0),
        Decision(rule="sensitivity", value=1.1),
        Decision(rule="cost", value=0.0),
        Decision(rule="cost", value=float("inf")),
        Decision(rule="fixed", value=float("nan")),
    ],
)
def test_values_that_make_no_sense(decision: Decision) -> None:
    with pytest.raises(RecipeError, match=r"^decision\.value: expected"):
        fit_threshold(decision, np.array([0.1, 0.9]), np.array([False, True]))


@settings(max_examples=50)
@given(rows=scores)
def test_float32_probabilities_meet_their_own_threshold(rows: list[tuple[float, bool]]) -> None:
    p, truth = split_rows(rows)
    p32 = p.astype(np.float32)
    found = fit_threshold(Decision(rule="sensitivity", value=1.0), p32, truth)
    decided = decide(found, np.stack([1 - p32, p32], axis=1), TWO)
    assert (decided[truth] == 1).all()


def test_at_the_threshold_is_positive_and_below_the_best_other() -> None:
    p = np.array([[0.1, 0.3, 0.6], [0.5, 0.29, 0.21], [0.2, 0.2, 0.6], [0.4, 0.2, 0.4]])
    assert decide(0.3, p, THREE).tolist() == [1, 0, 2, 0]
    assert decide(None, p, THREE).tolist() == [2, 0, 2, 0]
    assert decide(0.0, p, THREE).tolist() == [1, 1, 1, 1]
    assert decide(1.1, p, THREE).tolist() == [2, 0, 2, 0]
    assert p[0, 1] == 0.3, "the caller's array stays as it was"


def test_what_decide_refuses() -> None:
    with pytest.raises(DataError, match=r"shape \[N, 2\]"):
        decide(0.5, np.ones((2, 3)), TWO)
    with pytest.raises(DataError, match="finite"):
        decide(0.5, np.array([[np.nan, 1.0]]), TWO)
    with pytest.raises(RecipeError, match="positive class"):
        decide(0.5, np.ones((1, 2)), ClassSet(names=("a", "b")))
