"""Prediction sets keep their promise on patients of the same kind, and count a patient once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.serial import from_json, to_json
from pneumoscope.core.trust import Conformal, Coverage
from pneumoscope.evaluate import conformal
from pneumoscope.evaluate.crossfit import Known

CLASSES = ClassSet(names=("normal", "pneumonia", "covid"), positive="covid")


def patients(n: int, seed: int, *, images: bool = False) -> Known:
    """Patients of classes of unequal size with answers that are worth something; some with several images."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, n, p=[0.6, 0.3, 0.1])
    own = rng.normal(0, 1, n)  # what all images of a patient share
    many = rng.integers(1, 6, n) if images else np.ones(n, dtype=int)
    at = np.repeat(np.arange(n), many)
    logits = rng.normal(0, 1, (len(at), 3)) + (1.5 + own[at, None]) * (labels[at, None] == np.arange(3))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return Known(p, labels[at], [f"p{i}" for i in at])


@pytest.mark.parametrize("images", [False, True], ids=["one image each", "several images"])
def test_each_class_is_covered_as_promised_whatever_the_prevalence(images: bool) -> None:
    held = []
    for seed in range(12):
        rule = conformal.fit(patients(600, seed, images=images), CLASSES)
        new = patients(3000, 1000 + seed)  # one image of a new patient
        inside = conformal.sets(rule, new.probabilities, CLASSES)
        right = inside[np.arange(len(new.labels)), new.labels]
        held.append([right[new.labels == k].mean() for k in range(3)])
    mean = np.mean(held, axis=0)
    # the rarest class has about 60 patients a fit: its mean over 12 fits has a standard error of about 0.011
    assert (mean > 0.9 - 0.03).all(), mean
    assert (mean < 0.9 + 0.05).all(), mean  # and not by taking all classes in


@settings(max_examples=30, deadline=None)
@given(n=st.integers(9, 60), seed=st.integers(0, 2**16))
def test_the_limit_is_the_order_statistic_of_split_conformal_prediction(n: int, seed: int) -> None:
    scores = np.random.default_rng(seed).random(n)
    p = np.stack([1 - scores, scores / 2, scores / 2], axis=1)
    rule = conformal.fit(Known(p, np.zeros(n, dtype=int), [str(i) for i in range(n)]), CLASSES)
    rank = int(np.ceil(0.9 * (n + 1)))
    assert rule.limits["normal"] == pytest.approx(np.sort(1 - p[:, 0])[rank - 1])


def test_too_few_patients_take_their_class_into_every_set() -> None:
    few = patients(400, 3)
    rows = (few.labels != 2) | (np.cumsum(few.labels == 2) <= 8)
    rule = conformal.fit(few.at(rows), CLASSES)
    assert rule.limits["covid"] == 1.0
    assert rule.limits["normal"] < 1
    assert conformal.sets(rule, few.probabilities, CLASSES)[:, 2].all()


def test_copies_of_one_patients_image_change_no_limit() -> None:
    known = patients(100, 4)
    first = np.append(np.arange(100), [0] * 500)
    copied = Known(known.probabilities[first], known.labels[first], [known.groups[i] for i in first])
    ours, theirs = conformal.fit(known, CLASSES), conformal.fit(copied, CLASSES)
    assert dict(ours.limits) == pytest.approx(dict(theirs.limits))


def test_no_set_is_empty_and_the_most_probable_class_is_in_it() -> None:
    rule = Conformal(level=0.5, limits={"normal": 0.0, "pneumonia": 0.0, "covid": 0.0})
    inside = conformal.sets(rule, np.array([[0.4, 0.35, 0.25], [0.2, 0.2, 0.6]]), CLASSES)
    assert inside.tolist() == [[True, False, False], [False, False, True]]


def test_coverage_and_size_are_counted() -> None:
    inside = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [1, 1, 1]], dtype=bool)
    found = conformal.measured(inside, np.array([0, 0, 0, 2]), list("abcd"), CLASSES, level=0.9)
    assert found.coverage.value == 0.75
    assert found.by_class["normal"].value == pytest.approx(2 / 3)
    assert found.by_class["covid"].value == 1
    assert np.isnan(found.by_class["pneumonia"].value)
    assert found.size.value == 1.75
    assert found.sizes == (2, 1, 1)
    assert to_json(from_json(Coverage, to_json(found))) == to_json(found)


def test_a_rule_outside_its_range_is_refused() -> None:
    for level, limit in ((1.0, 0.5), (0.9, 1.5)):
        with pytest.raises(ValueError, match="expected a level"):
            Conformal(level=level, limits={"covid": limit})
