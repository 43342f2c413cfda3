"""Splits that cannot leak, and datasets whose digest is what was learned from."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pneumoscope.core.dataset import ClassSet, Dataset, Fold, Sample, Split
from pneumoscope.errors import DataError, LeakError

CLASSES = ClassSet(names=("non-covid", "covid"), positive="covid")


def dataset(groups: str = "aabbcc") -> Dataset:
    samples = tuple(
        Sample(file=f"{i}.png", label=CLASSES.names[i % 2], group=g, digest=str(i)) for i, g in enumerate(groups)
    )
    return Dataset(root="/data", samples=samples, classes=CLASSES)


def split(data: Dataset, *folds: Fold, unit: str = "group") -> Split:
    return Split(unit=unit, folds=folds, dataset=data.digest, seed=0)  # type: ignore[arg-type]


keys = st.lists(st.sampled_from("abcdefgh"), max_size=5, unique=True).map(tuple)


@given(keys, keys, keys)
def test_a_fold_holds_no_key_twice(train: tuple[str, ...], val: tuple[str, ...], test: tuple[str, ...]) -> None:
    disjoint = len({*train, *val, *test}) == len(train) + len(val) + len(test)
    if disjoint:
        Fold(train=train, val=val, test=test)
    else:
        with pytest.raises(LeakError, match="expected no patient in both"):
            Fold(train=train, val=val, test=test)


def test_the_leak_error_names_the_patients() -> None:
    with pytest.raises(LeakError, match="'p1', 'p2', 'p3' and 1 more in both"):
        Fold(train=("p1", "p2", "p3", "p4"), val=(), test=("p4", "p3", "p2", "p1"))


def test_no_key_is_tested_twice() -> None:
    data = dataset()
    with pytest.raises(LeakError, match="'a' tested in fold 1 again"):
        split(data, Fold(train=("b",), val=(), test=("a",)), Fold(train=("b",), val=(), test=("a",)))


def test_parts_are_the_samples_of_their_groups() -> None:
    data = dataset()
    parts = split(data, Fold(train=("a",), val=("b",), test=("c",)))
    assert parts.part(data, 0, "train") == [0, 1]
    assert parts.part(data, 0, "val") == [2, 3]
    assert parts.part(data, 0, "test") == [4, 5]
    assert parts.shared_groups(data) == 0


def test_a_split_by_image_counts_the_patients_on_both_sides() -> None:
    data = dataset()
    by_image = split(
        data, Fold(train=("0.png", "2.png", "4.png"), val=("5.png",), test=("1.png", "3.png")), unit="image"
    )
    assert by_image.shared_groups(data) == 2


def test_a_split_is_refused_for_another_dataset() -> None:
    data = dataset()
    parts = split(data, Fold(train=("a",), val=("b",), test=("c",)))
    with pytest.raises(DataError, match="expected the dataset it was made for"):
        parts.part(dataset("aabbcd"), 0, "train")


def test_the_digest_is_of_bytes_labels_and_groups_in_any_order() -> None:
    data = dataset()
    turned = dataclasses.replace(data, samples=tuple(reversed(data.samples)))
    assert turned.digest == data.digest
    for change in ({"digest": "x"}, {"label": "covid"}, {"group": "z"}, {"file": "z.png"}):
        changed = (dataclasses.replace(data.samples[0], **change), *data.samples[1:])  # type: ignore[arg-type]
        assert dataclasses.replace(data, samples=changed).digest != data.digest


def test_a_label_without_a_class_is_refused() -> None:
    with pytest.raises(DataError, match="found 'cat'"):
        Dataset(root="/", samples=(Sample(file="x", label="cat", group="g"),), classes=CLASSES)


def test_a_file_listed_twice_is_refused() -> None:
    twice = Sample(file="x", label="covid", group="g")
    with pytest.raises(DataError, match="'x' 2 times"):
        Dataset(root="/", samples=(twice, twice), classes=CLASSES)


@pytest.mark.parametrize(("names", "positive"), [(("a",), None), (("a", "a"), None), (("a", "b"), "c")])
def test_classes_that_make_no_sense_are_refused(names: tuple[str, ...], positive: str | None) -> None:
    with pytest.raises(ValueError, match="expected"):
        ClassSet(names=names, positive=positive)


def test_the_positive_class_must_be_named_to_be_asked_for() -> None:
    with pytest.raises(ValueError, match="found none"):
        _ = ClassSet(names=("a", "b")).positive_index


def test_labels_of_slices_are_part_of_what_was_learned_from() -> None:
    classes = ClassSet(names=("normal", "covid"))
    series = Sample(file="a", label="covid", group="g", digest="d")
    plain = Dataset(root="", samples=(series,), classes=classes)
    told = dataclasses.replace(plain, slices={"a/1.dcm": True})
    assert len({one.digest for one in (plain, told, dataclasses.replace(plain, slices={"a/1.dcm": False}))}) == 3


@pytest.mark.parametrize(
    ("members", "known"),
    [(("a", "b", "c"), True), (("a", "b", "x"), True), (("a", "x", "y", "z"), False), ((), False)],
)
def test_a_series_is_known_by_half_of_its_files(members: tuple[str, ...], known: bool) -> None:
    """A file more or less does not make it new; a licence that lies in every folder does not make it known."""
    series = Sample(file="s", label="covid", group="g", digest="0" * 64, members=members)
    assert series.is_among({"a", "b", "c", "d"}) is known
    assert Sample(file="1.dcm", label="covid", group="g", digest="a" * 64).is_among({"a" * 16})
