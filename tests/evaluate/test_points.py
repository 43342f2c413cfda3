"""What an answer is worth, against worked numbers; the surest answers alone."""

from __future__ import annotations

import numpy as np
import pytest

from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.serial import from_json, to_json
from pneumoscope.core.trust import OperatingPoint, Selected
from pneumoscope.evaluate import points, selective

CLASSES = ClassSet(names=("non-covid", "covid"), positive="covid")


def test_predictive_values_are_those_of_counted_patients() -> None:
    # of 10,000 of whom 1 % are ill: 95 of 100 found, 990 of 9,900 false alarms
    sensitivity, specificity = np.array(0.95), np.array(0.9)
    assert points.ppv(sensitivity, specificity, 0.01) == pytest.approx(95 / (95 + 990))
    assert points.npv(sensitivity, specificity, 0.01) == pytest.approx(8910 / (8910 + 5))
    assert np.isnan(points.ppv(np.array(0.0), np.array(1.0), 0.1))


def test_at_the_datas_own_prevalence_they_are_those_of_the_data() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random(200) < 0.3).astype(int)
    decisions = np.where(rng.random(200) < 0.8, labels, 1 - labels)
    groups = [f"p{i // 2}" for i in range(200)]
    (found,) = points.measured({"youden": ([0.4, 0.6], decisions)}, labels, groups, CLASSES, prevalences=(0.01,))
    own, rare = found.expected
    assert own.prevalence == pytest.approx(labels.mean())
    assert own.ppv.value == pytest.approx(labels[decisions == 1].mean())
    assert own.npv.value == pytest.approx((1 - labels[decisions == 0]).mean())
    assert rare.ppv.low < rare.ppv.value < rare.ppv.high < own.ppv.low
    assert found.thresholds == (0.4, 0.6)
    assert points.at_prevalence(found, 0.01) == pytest.approx((rare.ppv.value, rare.npv.value))
    assert from_json(OperatingPoint, to_json(found)) == found


def test_the_surest_answers_are_counted_first() -> None:
    sure = np.array([0.99, 0.95, 0.9, 0.8, 0.7, 0.7, 0.6, 0.55, 0.52, 0.51])
    right = np.array([1, 1, 1, 1, 0, 1, 1, 0, 0, 0], dtype=bool)
    decisions = np.ones(10, dtype=int)
    p = np.stack([1 - sure, sure], axis=1)
    found = selective.curve(p, decisions, np.where(right, 1, 0), [str(i) for i in range(10)])
    by_share = {s.share: s.accuracy.value for s in found}
    assert by_share[0.4] == 1
    assert 0.5 not in by_share  # two answers are equally sure: both or none
    assert by_share[0.6] == pytest.approx(5 / 6)
    assert by_share[1.0] == 0.6
    assert [s.share for s in found] == sorted(by_share)
    assert from_json(Selected, to_json(found[0])) == found[0]


def test_what_was_decided_against_the_odds_is_not_sure() -> None:
    """A low threshold decides for covid at 0.2: that answer goes before one of 0.6."""
    p = np.array([[0.8, 0.2], [0.4, 0.6]])
    found = selective.curve(p, np.array([1, 1]), np.array([0, 1]), ["a", "b"])
    assert [(s.share, s.accuracy.value) for s in found] == [(0.5, 1.0), (1.0, 0.5)]
