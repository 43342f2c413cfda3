"""Metrics against scikit-learn, known answers, and the promises of the intervals."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.result import Evaluation, Interval
from pneumoscope.core.serial import to_json
from pneumoscope.errors import DataError, UsageError
from pneumoscope.evaluate.metrics import evaluate

sklearn = pytest.importorskip("sklearn.metrics")

TWO = ClassSet(names=("non-covid", "covid"), positive="covid")
THREE = ClassSet(names=("covid", "pneumonia", "normal"), positive="covid")


def scalar(evaluation: Evaluation, name: str) -> Interval:
    found = evaluation.metrics[name]
    assert isinstance(found, Interval)
    return found


def of_class(evaluation: Evaluation, name: str, label: str) -> Interval:
    found = evaluation.metrics[name]
    assert isinstance(found, Mapping)
    return found[label]


def alone(n: int) -> list[str]:
    return [f"p{i}" for i in range(n)]


def case(k: int, n: int, seed: int, *, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and labels that go with them, every class at least twice."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(k), n)
    if ties:
        p = rng.multinomial(4, p) / 4
    labels = np.array([rng.choice(k, p=row) for row in p])
    labels[: 2 * k] = np.repeat(np.arange(k), 2)
    return p, labels


@settings(max_examples=40)
@given(k=st.integers(2, 4), n=st.integers(12, 80), seed=st.integers(0, 10_000), ties=st.booleans())
def test_values_equal_scikit_learns(k: int, n: int, seed: int, ties: bool) -> None:
    p, y = case(k, n, seed, ties=ties)
    d = p.argmax(axis=1)
    classes = ClassSet(names=tuple("abcd"[:k]), positive="b")
    e = evaluate(p, y, d, alone(n), classes, resamples=3)
    one_hot = np.eye(k)[y]
    assert scalar(e, "accuracy").value == pytest.approx(sklearn.accuracy_score(y, d))
    assert scalar(e, "balanced_accuracy").value == pytest.approx(sklearn.balanced_accuracy_score(y, d))
    if k == 2:
        assert scalar(e, "auc").value == pytest.approx(sklearn.roc_auc_score(y, p[:, 1]))
        assert scalar(e, "brier").value == pytest.approx(sklearn.brier_score_loss(y, p[:, 1]))
        assert "auc_ovr" not in e.metrics
    else:
        assert scalar(e, "auc").value == pytest.approx(sklearn.roc_auc_score(y, p, multi_class="ovr"))
        assert scalar(e, "brier").value == pytest.approx(float(((p - one_hot) ** 2).sum(axis=1).mean()))
    precision, sensitivity, f1, _ = sklearn.precision_recall_fscore_support(
        y, d, labels=range(k), zero_division=float("nan")
    )
    counts = sklearn.multilabel_confusion_matrix(y, d, labels=range(k))
    for c, name in enumerate(classes.names):
        assert of_class(e, "precision", name).value == pytest.approx(precision[c], nan_ok=True)
        assert of_class(e, "sensitivity", name).value == pytest.approx(sensitivity[c])
        assert of_class(e, "f1", name).value == pytest.approx(f1[c])
        assert of_class(e, "specificity", name).value == pytest.approx(counts[c][0, 0] / counts[c][0].sum())
        if k > 2:
            assert of_class(e, "auc_ovr", name).value == pytest.approx(sklearn.roc_auc_score(y == c, p[:, c]))
    assert e.confusion == tuple(map(tuple, sklearn.confusion_matrix(y, d, labels=range(k)).tolist()))


def test_the_interval_is_the_percentiles_of_metrics_of_resampled_patients() -> None:
    p, y = case(3, 90, seed=1)
    d = p.argmax(axis=1)
    patients = np.arange(90) // 3
    e = evaluate(p, y, d, [f"p{i}" for i in patients], THREE, resamples=150, seed=5)
    drawn = np.random.default_rng(5).integers(30, size=(150, 30))
    # np.unique sorts the names as text: p0, p1, p10, ...
    order = np.array(sorted(range(30), key=lambda i: f"p{i}"))
    rows: dict[str, list[float]] = {"accuracy": [], "balanced_accuracy": [], "auc": [], "brier": []}
    for who in drawn:
        at = np.concatenate([np.flatnonzero(patients == order[i]) for i in who])
        rows["accuracy"].append(sklearn.accuracy_score(y[at], d[at]))
        rows["balanced_accuracy"].append(sklearn.balanced_accuracy_score(y[at], d[at]))
        rows["auc"].append(sklearn.roc_auc_score(y[at], p[at], multi_class="ovr"))
        rows["brier"].append(float(((p[at] - np.eye(3)[y[at]]) ** 2).sum(axis=1).mean()))
    for name, values in rows.items():
        low, high = np.percentile(values, [2.5, 97.5])
        assert (scalar(e, name).low, scalar(e, name).high) == pytest.approx((low, high))


def test_memory_chunks_do_not_change_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    p, y = case(2, 40, seed=2)
    args = (p, y, p.argmax(axis=1), alone(40), TWO)
    whole = evaluate(*args, resamples=50)
    monkeypatch.setattr("pneumoscope.evaluate.metrics._CELLS", 120)
    parts = evaluate(*args, resamples=50)
    for name in ("accuracy", "auc", "brier", "ece"):
        one, other = scalar(parts, name), scalar(whole, name)
        assert (one.low, one.high) == pytest.approx((other.low, other.high))


def test_same_seed_same_answer_and_row_order_does_not_matter() -> None:
    p, y = case(3, 60, seed=3)
    groups = [f"p{i // 2}" for i in range(60)]
    e = evaluate(p, y, p.argmax(axis=1), groups, THREE, resamples=100)
    at = np.random.default_rng(0).permutation(60)
    shuffled = evaluate(p[at], y[at], p[at].argmax(axis=1), [groups[i] for i in at], THREE, resamples=100)
    for name in ("accuracy", "auc", "brier", "ece"):
        for part in ("value", "low", "high"):
            assert getattr(scalar(shuffled, name), part) == pytest.approx(getattr(scalar(e, name), part))
    assert evaluate(p, y, p.argmax(axis=1), groups, THREE, resamples=100) == e


def test_images_of_one_patient_do_not_make_the_interval_narrower() -> None:
    p, y = case(2, 60, seed=4)
    d = p.argmax(axis=1)
    single = scalar(evaluate(p, y, d, alone(60), TWO), "accuracy")
    p, y, d = (np.repeat(x, 10, axis=0) for x in (p, y, d))
    grouped = scalar(evaluate(p, y, d, [f"p{i // 10}" for i in range(600)], TWO), "accuracy")
    naive = scalar(evaluate(p, y, d, alone(600), TWO), "accuracy")
    assert grouped.high - grouped.low == pytest.approx(single.high - single.low, rel=0.15)
    assert naive.high - naive.low < 0.5 * (grouped.high - grouped.low)


def test_the_interval_covers_the_truth() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        right = rng.random(150) < 0.8
        y = rng.integers(0, 2, 150)
        d = np.where(right, y, 1 - y)
        i = scalar(evaluate(np.eye(2)[d], y, d, alone(150), TWO, resamples=200), "accuracy")
        covered += i.low <= 0.8 <= i.high
    assert covered >= 180


def test_a_class_that_does_not_occur_is_nan_and_is_said() -> None:
    p, y = case(3, 40, seed=5)
    y = np.where(y == 2, 0, y)
    d = p[:, :2].argmax(axis=1)
    e = evaluate(p, y, d, alone(40), THREE, resamples=50)
    nothing = of_class(e, "sensitivity", "normal")
    undefined = [nothing.value, nothing.low, nothing.high]
    undefined += [of_class(e, name, "normal").value for name in ("auc_ovr", "precision")]
    assert all(math.isnan(x) for x in undefined)
    assert scalar(e, "balanced_accuracy").value == pytest.approx(sklearn.balanced_accuracy_score(y, d))
    assert set(e.roc) == {"covid", "pneumonia"}
    assert any("There is none of class 'normal'" in w for w in e.warnings)
    json.dumps(to_json(e), allow_nan=False)


def test_resamples_without_a_class_are_left_out_of_the_interval() -> None:
    y = np.array([1] + [0] * 11)
    p = np.stack([1 - y * 0.9, y * 0.9], axis=1)
    e = evaluate(p, y, p.argmax(axis=1), alone(12), TWO, resamples=300)
    for name in ("auc", "balanced_accuracy"):
        assert scalar(e, name) == Interval(value=1.0, low=1.0, high=1.0)
    assert any("1 of class 'covid'" in w for w in e.warnings)


def test_one_class_alone_has_no_auc() -> None:
    p = np.full((5, 2), 0.5)
    y = np.zeros(5, dtype=int)
    e = evaluate(p, y, y, alone(5), TWO, resamples=10)
    assert math.isnan(scalar(e, "auc").value)
    assert scalar(e, "accuracy").value == scalar(e, "balanced_accuracy").value == 1.0
    assert e.roc == {}


def binary(gap: float, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities q, and labels that come true with q + gap for q in 0.2..0.6."""
    q = rng.uniform(0.2, 0.6, n)
    return np.stack([1 - q, q], axis=1), (rng.random(n) < q + gap).astype(int)


@pytest.mark.parametrize(("gap", "most_off"), [(0.0, 0.02), (0.1, 0.01), (0.3, 0.01)])
def test_ece_is_not_inflated_by_small_bins(gap: float, most_off: float) -> None:
    rng = np.random.default_rng(0)
    values, plain, covered = [], [], 0
    for _ in range(60):
        p, y = binary(gap, 600, rng)
        e = evaluate(p, y, y, alone(600), TWO, resamples=100)
        found = scalar(e, "ece")
        values.append(found.value)
        covered += found.low <= gap <= found.high
        plain.append(np.abs(np.subtract(e.reliability.x, e.reliability.y)).mean())
    assert abs(np.sqrt(np.mean(np.square(values))) - gap) < most_off + 0.01
    if gap == 0:
        assert np.mean(values) < 0.5 * np.mean(plain)
    assert covered >= 51


def test_ece_and_reliability_of_a_known_answer() -> None:
    q = np.repeat([0.1, 0.7], 50)
    y = np.concatenate([np.repeat([0, 1], [40, 10]), np.repeat([0, 1], [15, 35])])
    e = evaluate(np.stack([1 - q, q], axis=1), y, (q > 0.5).astype(int), alone(100), TWO, resamples=10)
    assert e.reliability.x == pytest.approx((0.1, 0.7))
    assert e.reliability.y == pytest.approx((0.2, 0.7))
    expected = 0.5 * (0.1**2 - 0.2 * 0.8 / 49) + 0.5 * (0 - 0.7 * 0.3 / 49)
    assert scalar(e, "ece").value == pytest.approx(math.sqrt(expected))


def test_calibration_of_several_classes_is_of_the_highest_probability() -> None:
    p = np.tile([0.6, 0.3, 0.1], (100, 1))
    y = np.repeat([0, 1, 2], [60, 30, 10])
    e = evaluate(p, y, p.argmax(axis=1), alone(100), THREE, resamples=10)
    assert e.reliability.x == pytest.approx((0.6,))
    assert e.reliability.y == pytest.approx((0.6,))
    assert scalar(e, "ece").value == 0


def test_roc_has_its_ends_its_area_and_at_most_200_points() -> None:
    p, y = case(2, 3000, seed=6)
    e = evaluate(p, y, p.argmax(axis=1), alone(3000), TWO, resamples=2)
    for curve in e.roc.values():
        assert len(curve.x) == 200
        assert (curve.x[0], curve.y[0], curve.x[-1], curve.y[-1]) == (0, 0, 1, 1)
        assert min(*np.diff(curve.x), *np.diff(curve.y)) >= 0
        assert sklearn.auc(curve.x, curve.y) == pytest.approx(scalar(e, "auc").value, abs=2e-3)


@settings(max_examples=30)
@given(n=st.integers(4, 120), seed=st.integers(0, 10_000), ties=st.booleans())
def test_a_short_roc_is_exact(n: int, seed: int, ties: bool) -> None:
    p, y = case(2, n, seed, ties=ties)
    curve = evaluate(p, y, p.argmax(axis=1), alone(n), TWO, resamples=1).roc["covid"]
    x, tpr, _ = sklearn.roc_curve(y, p[:, 1])
    assert sklearn.auc(curve.x, curve.y) == pytest.approx(sklearn.auc(x, tpr))


def test_two_classes_need_none_named_positive() -> None:
    p, y = case(2, 50, seed=7)
    unnamed = evaluate(p, y, p.argmax(axis=1), alone(50), ClassSet(names=TWO.names), resamples=20)
    assert unnamed.metrics == evaluate(p, y, p.argmax(axis=1), alone(50), TWO, resamples=20).metrics
    assert unnamed.positive is None


def test_narrow_integers_do_not_overflow() -> None:
    p, y = case(2, 30, seed=8)
    d = p.argmax(axis=1)
    many = ClassSet(names=tuple(f"c{i}" for i in range(20)))
    wide, high = np.zeros((30, 20)), y + 18
    wide[:, 18:] = p
    e = evaluate(wide, high.astype(np.uint8), (d + 18).astype(np.uint8), alone(30), many, resamples=2)
    assert scalar(e, "accuracy").value == pytest.approx(float((d == y).mean()))


def test_counts_are_of_images_and_of_patients() -> None:
    p, y = case(2, 20, seed=9)
    e = evaluate(p, y, p.argmax(axis=1), [f"p{i // 4}" for i in range(20)], TWO, resamples=5)
    assert (e.n_images, e.n_patients, e.classes, e.positive) == (20, 5, TWO.names, "covid")


GOOD = np.array([[0.2, 0.8], [0.6, 0.4]])
Y = np.array([1, 0])


@pytest.mark.parametrize(
    ("p", "y", "d", "groups", "what"),
    [
        (GOOD * 0.9, Y, Y, ["a", "b"], "rows that sum to 1"),
        (np.array([[np.nan, 1], [0, 1]]), Y, Y, ["a", "b"], "numbers in 0..1"),
        (np.array([[-0.5, 1.5], [0, 1]]), Y, Y, ["a", "b"], "numbers in 0..1"),
        (np.ones((2, 3)) / 3, Y, Y, ["a", "b"], r"shape \[N, 2\]"),
        (np.ones((0, 2)), Y[:0], Y[:0], [], r"shape \[N, 2\]"),
        (GOOD, Y[:1], Y, ["a", "b"], "labels: expected 2 integers"),
        (GOOD, Y, Y.astype(float), ["a", "b"], "decisions: expected 2 integers"),
        (GOOD, Y + 1, Y, ["a", "b"], r"labels: expected numbers in 0\.\.1"),
        (GOOD, Y, Y, ["a"], "groups: expected one for each of 2 images"),
    ],
)
def test_what_does_not_fit_is_refused(
    p: np.ndarray, y: np.ndarray, d: np.ndarray, groups: list[str], what: str
) -> None:
    with pytest.raises(DataError, match=what):
        evaluate(p, y, d, groups, TWO)


def test_no_resamples_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="at least 1"):
        evaluate(GOOD, Y, Y, ["a", "b"], TWO, resamples=0)
