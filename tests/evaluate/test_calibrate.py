"""Calibration against what made the answers, and against scikit-learn; cross-fitting keeps patients apart."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.serial import from_json, to_json
from pneumoscope.core.trust import Calibration, Calibrator
from pneumoscope.evaluate import calibrate, crossfit
from pneumoscope.evaluate.crossfit import Known

TWO = ClassSet(names=("non-covid", "covid"), positive="covid")
FIRST = ClassSet(names=("covid", "non-covid"), positive="covid")
THREE = ClassSet(names=("normal", "pneumonia", "covid"), positive="covid")


def overconfident(n: int, k: int, *, temperature: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Answers whose logits are `temperature` times too large, and labels drawn from what they should have said."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (n, k))
    honest = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (rng.random(n)[:, None] > honest.cumsum(axis=1)).sum(axis=1)
    said = np.exp(logits * temperature)
    return said / said.sum(axis=1, keepdims=True), labels


def one_each(n: int) -> list[str]:
    return [f"p{i}" for i in range(n)]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
@pytest.mark.parametrize("classes", [TWO, THREE], ids=["two", "three"])
def test_the_temperature_that_was_put_in_comes_out(temperature: float, classes: ClassSet) -> None:
    p, labels = overconfident(20_000, len(classes.names), temperature=temperature)
    assert calibrate.fit("temperature", p, labels, classes).temperature == pytest.approx(temperature, rel=0.06)


@settings(max_examples=30, deadline=None)
@given(temperature=st.floats(0.06, 19), seed=st.integers(0, 2**16))
def test_a_temperature_changes_no_most_probable_class(temperature: float, seed: int) -> None:
    p = np.random.default_rng(seed).dirichlet((1, 1, 1), 50)
    found = calibrate.apply(Calibrator(kind="temperature", temperature=temperature), p, THREE)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    np.testing.assert_array_equal(found.argmax(axis=1), p.argmax(axis=1))


def test_no_answer_becomes_certain_where_all_are_right() -> None:
    labels = np.array([0, 1] * 20)
    p = np.where(labels[:, None] == np.arange(2), 0.9, 0.1)
    found = calibrate.apply(calibrate.fit("temperature", p, labels, TWO), p, TWO)
    assert found[0, 0] == pytest.approx(41 / 42, abs=1e-3)  # Laplace's rule for 40 of 40


def test_certain_answers_that_are_wrong_do_not_break_the_fit() -> None:
    p = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]], dtype=np.float32)
    found = calibrate.apply(calibrate.fit("temperature", p, np.array([0, 1, 1]), TWO), p, TWO)
    assert np.isfinite(found).all()


@settings(max_examples=40, deadline=None)
@given(n=st.integers(2, 200), seed=st.integers(0, 2**16), digits=st.integers(1, 6))
@pytest.mark.parametrize("classes", [TWO, FIRST], ids=["positive last", "positive first"])
def test_isotonic_is_that_of_scikit_learn(classes: ClassSet, n: int, seed: int, digits: int) -> None:
    rng = np.random.default_rng(seed)
    positive = rng.random(n).round(digits)  # few digits: many ties
    truth = rng.random(n) < positive
    p = np.empty((n, 2))
    k = classes.positive_index
    p[:, k], p[:, 1 - k] = positive, 1 - positive
    fitted = calibrate.fit("isotonic", p, np.where(truth, k, 1 - k), classes)
    asked = rng.random(50)
    theirs = IsotonicRegression(out_of_bounds="clip").fit(positive, truth.astype(float))
    q = np.empty((50, 2))
    q[:, k], q[:, 1 - k] = asked, 1 - asked
    least = 1 / (n + 2)
    # where no step says 0 or 1, ours is theirs; else it is theirs with its ends moved in
    grid = np.clip(theirs.predict(positive), least, 1 - least)
    np.testing.assert_allclose(calibrate.apply(fitted, p, classes)[:, k], grid, atol=1e-12)
    found = calibrate.apply(fitted, q, classes)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    np.testing.assert_allclose(found[:, k], theirs.predict(asked), atol=least)


def test_more_than_two_classes_have_no_staircase() -> None:
    assert "isotonic" in calibrate.kinds(TWO)
    assert calibrate.kinds(THREE) == ("none", "temperature")


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "temperature", "temperature": 0.0},
        {"kind": "temperature", "temperature": float("inf")},
        {"kind": "isotonic"},
        {"kind": "none", "x": (0.1,), "y": (0.2,)},
        {"kind": "isotonic", "x": (0.2, 0.1), "y": (0.1, 0.2)},
        {"kind": "isotonic", "x": (0.1, 0.2), "y": (0.3, 0.2)},
        {"kind": "isotonic", "x": (0.1, 0.2), "y": (0.3, 1.2)},
    ],
)
def test_parameters_of_no_calibration_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Calibrator(**wrong)  # type: ignore[arg-type]


def crossed(p: np.ndarray, labels: np.ndarray, classes: ClassSet, folds: np.ndarray) -> tuple[crossfit.Choice, object]:
    known = Known(p, labels, one_each(len(p)))
    turns = crossfit.turns(known, folds, known, np.ones(len(p), dtype=bool))
    choice = crossfit.choose(known, turns, classes)
    after = crossfit.applied(crossfit.calibrators(choice.kind, turns, classes), turns, p, classes)
    return choice, crossfit.measured(known, after, choice, classes, applied=True)


@pytest.mark.parametrize("classes", [TWO, THREE], ids=["two", "three"])
def test_calibration_takes_the_error_away_on_patients_that_it_was_not_fitted_on(classes: ClassSet) -> None:
    p, labels = overconfident(4000, len(classes.names), temperature=3)
    choice, found = crossed(p, labels, classes, np.arange(4000) % 5)
    assert isinstance(found, Calibration)
    assert choice.kind == "temperature"
    assert found.before.ece.value > 0.08
    assert found.after.ece.value < 0.03
    assert found.after.ece.low <= found.after.ece.value <= found.after.ece.high
    assert found.after.brier.value < found.before.brier.value
    assert found.after.log_loss.high < found.before.log_loss.low
    assert from_json(Calibration, to_json(found)) == found


def test_a_bend_that_no_temperature_straightens_takes_a_staircase() -> None:
    rng = np.random.default_rng(1)
    score = rng.random(4000)
    labels = (rng.random(4000) < np.where(score < 0.5, 0.05, 0.35)).astype(int)
    choice, found = crossed(np.stack([1 - score, score], axis=1), labels, TWO, np.arange(4000) % 4)
    assert choice.kind == "isotonic"
    assert found.after.ece.value < 0.03 < found.before.ece.value  # type: ignore[attr-defined]


def test_few_patients_get_no_staircase_and_right_probabilities_stay() -> None:
    rng = np.random.default_rng(2)
    score = rng.random(150)
    labels = (rng.random(150) < np.where(score < 0.5, 0.05, 0.95)).astype(int)
    choice, _ = crossed(np.stack([1 - score, score], axis=1), labels, TWO, np.arange(150) % 5)
    assert "isotonic" not in choice.tried
    p, labels = overconfident(4000, 2, temperature=1)
    _, found = crossed(p, labels, TWO, np.arange(4000) % 5)
    np.testing.assert_allclose(found.after.brier.value, found.before.brier.value, atol=2e-3)  # type: ignore[attr-defined]


def test_what_an_answer_is_calibrated_by_knows_nothing_of_its_patient() -> None:
    p, labels = overconfident(300, 2, temperature=2)
    folds = np.arange(300) % 3
    groups = [f"p{i // 2}" for i in range(300)]  # two images a patient, in different folds: a split of images
    known = Known(p, labels, groups)
    turns = crossfit.turns(known, folds, known, np.ones(300, dtype=bool))
    for turn in turns:
        judged = {group for group, row in zip(groups, turn.rows, strict=True) if row}
        assert judged.isdisjoint(turn.fit.groups)
        assert len(turn.fit.labels) > 0
    first = crossfit.applied(crossfit.calibrators("temperature", turns, TWO), turns, p, TWO)
    others = labels.copy()
    others[turns[0].rows] = 1 - others[turns[0].rows]
    again = crossfit.turns(Known(p, others, groups), folds, known, np.ones(300, dtype=bool))
    second = crossfit.applied(crossfit.calibrators("temperature", again, TWO), again, p, TWO)
    np.testing.assert_array_equal(first[turns[0].rows], second[turns[0].rows])
    assert not np.array_equal(first[turns[1].rows], second[turns[1].rows])


def test_a_hold_out_is_calibrated_by_what_chose_its_weights_or_not_at_all() -> None:
    p, labels = overconfident(100, 2, temperature=2)
    test, chosen = Known(p[:60], labels[:60], one_each(60)), Known(p[60:], labels[60:], [f"v{i}" for i in range(40)])
    (turn,) = crossfit.turns(test, np.zeros(60, dtype=int), chosen, np.ones(60, dtype=bool))
    assert turn.fit.groups == chosen.groups
    assert crossfit.turns(test, np.zeros(60, dtype=int), test, np.ones(60, dtype=bool)) == []
    assert crossfit.choose(test, [], TWO).kind == "none"
