"""Figures by modality and by data set, against `evaluate` on those images alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pneumoscope.core.dataset import ClassSet, Sample
from pneumoscope.core.image import Modality
from pneumoscope.core.serial import to_json
from pneumoscope.evaluate.metrics import evaluate
from pneumoscope.evaluate.parts import by_part

CLASSES = ClassSet(names=("non-covid", "covid"), positive="covid")
KINDS: list[Modality | None] = ["ct", "xray", None]


def sample(i: int, label: int, modality: Modality | None = None, collection: str = "") -> Sample:
    # two images a patient
    return Sample(file=str(i), label=CLASSES.names[label], group=str(i // 2), modality=modality, collection=collection)


def answers(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    positive = rng.random(n)
    labels = rng.integers(2, size=n)
    return np.stack([1 - positive, positive], axis=1), labels, (positive >= 0.5).astype(np.int64)


def test_modalities_are_named_in_one_order_and_counted() -> None:
    p, labels, decisions = answers(9, 0)
    samples = [sample(i, labels[i], KINDS[i % 3]) for i in range(9)]
    found = by_part(samples, p, labels, decisions, CLASSES)
    assert list(found) == ["modality"]
    assert list(found["modality"]) == ["X-ray", "CT", "not stated"]
    assert sum(sum(part.counts.values()) for part in found["modality"].values()) == 9
    ct = [labels[i] for i in (0, 3, 6)]
    assert found["modality"]["CT"].counts == {"non-covid": ct.count(0), "covid": ct.count(1)}


@pytest.mark.parametrize("modality", KINDS)
def test_one_value_is_no_part(modality: Modality | None) -> None:
    p, labels, decisions = answers(6, 1)
    samples = [sample(i, labels[i], modality, "a set") for i in range(6)]
    assert by_part(samples, p, labels, decisions, CLASSES) == {}


@settings(max_examples=8)
@given(seed=st.integers(0, 1000), n=st.integers(4, 40))
def test_each_part_is_what_evaluate_says_of_its_images(seed: int, n: int) -> None:
    p, labels, decisions = answers(n, seed)
    names = np.random.default_rng(seed).choice(["set b", "set a", "set c"], size=n)
    names[:2] = "set b", "set a"
    samples = [sample(i, labels[i], collection=str(name)) for i, name in enumerate(names)]
    found = by_part(samples, p, labels, decisions, CLASSES, seed=seed)["data set"]
    assert list(found) == sorted(set(names))
    for name, part in found.items():
        at = names == name
        groups = [s.group for s in samples if s.collection == name]
        whole = evaluate(p[at], labels[at], decisions[at], groups, CLASSES, seed=seed)
        assert part.n_patients == whole.n_patients == len(set(groups))
        assert part.confusion == whole.confusion
        assert to_json(part.metrics) == to_json(whole.metrics)


def test_a_part_of_one_class_has_what_can_be_said_of_it() -> None:
    labels = np.array([0, 0, 1, 1, 1])
    p, _, decisions = answers(5, 3)
    samples = [sample(i, labels[i], "xray" if i < 3 else "ct") for i in range(5)]
    ct = by_part(samples, p, labels, decisions, CLASSES)["modality"]["CT"]
    assert ct.counts == {"non-covid": 0, "covid": 2}
    assert np.isnan(ct.metrics["auc"].value)  # type: ignore[union-attr]
    assert ct.metrics["accuracy"].value == pytest.approx((decisions[3:] == 1).mean())  # type: ignore[union-attr]
