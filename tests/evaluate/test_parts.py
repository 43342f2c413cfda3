"""Figures by modality, data set, source, view, sex and age, against `evaluate` on those images alone."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pneumoscope.core.dataset import ClassSet, Sample
from pneumoscope.core.image import Modality
from pneumoscope.core.serial import to_json
from pneumoscope.evaluate.metrics import evaluate
from pneumoscope.evaluate.parts import AGES, MOST, band, by_part, counted

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


@pytest.mark.parametrize(
    ("years", "name"),
    [
        (0.0, "under 18"),
        (17.9, "under 18"),
        (18.0, "18 to 39"),
        (39.99, "18 to 39"),
        (40.0, "40 to 64"),
        (64.5, "40 to 64"),
        (65.0, "65 to 79"),
        (80.0, "80 and over"),
        (119.0, "80 and over"),
        (None, "not stated"),
    ],
)
def test_an_age_has_one_band(years: float | None, name: str) -> None:
    assert band(years) == name


def people(n: int, **told: list[Any]) -> tuple[list[Sample], np.ndarray, np.ndarray, np.ndarray]:
    """n images of n patients, with what each of `told` says of them, over and over."""
    p, labels, decisions = answers(n, 7)
    samples = [
        dataclasses.replace(
            sample(i, labels[i]), group=str(i), **{by: values[i % len(values)] for by, values in told.items()}
        )
        for i in range(n)
    ]
    return samples, p, labels, decisions


def test_sex_and_age_have_the_figures_of_their_images() -> None:
    samples, p, labels, decisions = people(60, sex=["F", "M", None], age=[17.0, 70.0, 85.0, 30.0])
    found = by_part(samples, p, labels, decisions, CLASSES)
    assert list(found) == ["sex", "age"]
    assert list(found["sex"]) == ["female", "male", "not stated"]
    assert list(found["age"]) == ["under 18", "18 to 39", "65 to 79", "80 and over"]  # in the order of years
    at = np.arange(60) % 3 == 1
    whole = evaluate(p[at], labels[at], decisions[at], [s.group for s in samples if s.sex == "M"], CLASSES)
    assert to_json(found["sex"]["male"].metrics) == to_json(whole.metrics)
    assert set(AGES) > set(found["age"])


def test_one_stated_value_beside_many_unstated_is_no_part() -> None:
    samples, p, labels, decisions = people(40, sex=["F", None], view=["PA", None], age=[50.0, 51.0])
    assert by_part(samples, p, labels, decisions, CLASSES) == {}


def test_too_few_patients_are_counted_and_have_no_figures() -> None:
    samples, p, labels, decisions = people(39, view=["PA", "PA", "PA", "AP"])
    found = by_part(samples, p, labels, decisions, CLASSES)["view"]
    assert (found["AP"].n_patients, found["PA"].n_patients) == (9, 30)
    assert found["AP"].metrics == {}
    assert sum(found["AP"].counts.values()) == sum(map(sum, found["AP"].confusion)) == 9
    assert found["PA"].metrics


def test_patients_are_counted_and_not_images() -> None:
    samples, p, labels, decisions = people(40, view=["PA", "AP"])
    samples = [dataclasses.replace(s, group=str(i // 20)) for i, s in enumerate(samples)]
    found = by_part(samples, p, labels, decisions, CLASSES)["view"]
    assert [(part.n_patients, dict(part.metrics)) for part in found.values()] == [(2, {}), (2, {})]


def test_a_source_that_says_the_same_as_the_data_set_is_not_said_twice() -> None:
    samples, p, labels, decisions = people(40, collection=["a", "b"], source=["x", "y"])
    assert list(by_part(samples, p, labels, decisions, CLASSES)) == ["data set"]
    samples, p, labels, decisions = people(40, collection=["a", "a", "b", "b"], source=["x", "y", "y", "y"])
    assert list(by_part(samples, p, labels, decisions, CLASSES)) == ["data set", "source"]


def test_of_many_sources_the_smallest_are_one() -> None:
    sources = [f"s{i:02d}" for i in range(MOST + 8)]
    samples, p, labels, decisions = people(20 * len(sources), source=sources)
    samples = [*samples, *(dataclasses.replace(samples[3], file=f"more{i}", group=f"more{i}") for i in range(5))]
    more = np.r_[np.arange(len(p)), np.full(5, 3)]
    found = by_part(samples, p[more], labels[more], decisions[more], CLASSES)["source"]
    assert list(found) == ["s03", "s00", "s01", "s02", *(f"s{i:02d}" for i in range(4, MOST - 1)), "9 others"]
    assert found["9 others"].n_patients == 20 * 9
    assert sum(part.n_patients for part in found.values()) == len(samples)


def test_what_is_stated_is_counted_for_the_card() -> None:
    samples, *_ = people(8, sex=["F", "M", None, "M"], view=[None])
    assert counted(samples, ("view", "sex", "age")) == {"sex": {"female": 2, "male": 4, "not stated": 2}}
