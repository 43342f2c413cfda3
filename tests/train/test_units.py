"""What is judged as one: images, slices of series of which it is known what they show, studies."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from pneumoscope.core.dataset import ClassSet, Dataset, Sample
from pneumoscope.core.recipe import Recipe
from pneumoscope.core.resolve import resolve
from pneumoscope.recipes import find
from pneumoscope.train.data import Prepared, slice_name
from pneumoscope.train.units import units_of

CLASSES = ClassSet(names=("normal", "covid"), positive="covid", normal="normal")
TWO = {"classes.names": '["normal", "covid"]'}
SLICES = TWO | {"stages": "last-layers,unfreeze", "stages.last-layers.init": "random"}
# of each series: the study's class, and of each slice its number and what slices.csv says, -1 for nothing
SERIES = {
    "a": ("normal", [(0, -1), (0.5, -1), (1, -1)]),
    "b": ("covid", [(0, 0), (1, 1), (1.5, 1), (2, 1), (3, 0)]),
    "c": ("covid", [(0, -1), (1, -1)]),
}


@pytest.fixture
def prepared() -> Prepared:
    samples, given, origin, infection, between = [], [], [], [], []
    for i, (name, (label, slices)) in enumerate(SERIES.items()):
        whole = Sample(file=name, digest=name, label=label, group=name)
        given.append(whole)
        for number, seen in slices:
            file = slice_name(name, number)
            samples.append(dataclasses.replace(whole, file=file, digest=file))
            origin.append(i)
            infection.append(seen)
            between.append(number % 1 != 0)
    made = Dataset(root="", classes=CLASSES, samples=tuple(samples))
    return Prepared(
        dataset=made,
        images=np.zeros((len(samples), 4, 4), np.float32),
        pixels=np.full(len(samples), 16),
        infection=np.array(infection),
        given=dataclasses.replace(made, samples=tuple(given)),
        origin=np.array(origin),
        between=np.array(between),
        notes=(),
    )


def recipe(**overrides: str) -> Recipe:
    return resolve(find("garg2021")[0], overrides=overrides)


def test_slices_are_judged_where_it_is_known_what_they_show_and_by_that(prepared: Prepared) -> None:
    units = units_of(prepared, recipe(**SLICES))
    judged = [(s.file, s.label) for s in units.dataset.samples]
    assert judged == [
        (slice_name("a", 0), "normal"),
        (slice_name("a", 1), "normal"),
        (slice_name("b", 1), "covid"),
        (slice_name("b", 2), "covid"),
    ]
    # to be learned from: what lies between them, and what the model may call infected
    assert units.taught([0])[:2] == [0, 1]
    of_b = [prepared.dataset.samples[row] for row in units.taught([2])]
    assert [s.file for s in of_b if s.group == "b"] == [slice_name("b", number) for number in (0, 1, 1.5, 3)]


def test_studies_are_judged_whole_and_between_slices_are_not_theirs(prepared: Prepared) -> None:
    units = units_of(prepared, recipe(**TWO))
    assert [(s.file, s.label, len(rows)) for s, rows in zip(units.dataset.samples, units.members, strict=True)] == [
        ("a", "normal", 2),
        ("b", "covid", 4),
        ("c", "covid", 2),
    ]
    assert units.taught([0]) == [0, 1, 2]
    assert units.rows([0]) == [0, 2]
    assert units.taught([2, 0]) == [0, 1, 2, 8, 9]


def test_a_slice_more_is_another_study(prepared: Prepared) -> None:
    whole = units_of(prepared, recipe(**TWO)).dataset
    fewer = dataclasses.replace(prepared, between=prepared.between | (np.arange(len(prepared.between)) == 2))
    assert units_of(fewer, recipe(**TWO)).dataset.digest != whole.digest


def test_patients_of_whom_no_slice_is_judged_teach_in_every_fold(prepared: Prepared) -> None:
    """Those with a study's label alone, for the last step (Garg 2021, section III-C1)."""
    units = units_of(prepared, recipe(**SLICES))
    assert [prepared.dataset.samples[row].group for row in np.flatnonzero(units.free)] == ["c", "c"]
    assert set(units.taught([0])) == {0, 1, 8, 9}
    # another series of a patient who is judged may be of one that is tested
    of_b = dataclasses.replace(
        prepared.dataset,
        samples=tuple(
            dataclasses.replace(s, group="b" if s.group == "c" else s.group) for s in prepared.dataset.samples
        ),
    )
    other = units_of(dataclasses.replace(prepared, dataset=of_b), recipe(**SLICES))
    assert set(other.taught([0])) == {0, 1}
