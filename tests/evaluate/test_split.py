"""Splits: no patient twice, each key tested once, every class in every part, whatever the order of rows."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pneumoscope.core.dataset import ClassSet, Dataset, Fold, Sample, Split
from pneumoscope.core.recipe import Protocol
from pneumoscope.core.role import Role
from pneumoscope.core.serial import from_json, to_json
from pneumoscope.errors import DataError, RecipeError
from pneumoscope.evaluate.split import final_split, make_split, role_split, split_of

CLASSES = ClassSet(names=("covid", "normal"), positive="covid")
PARTS: tuple[Literal["train", "val", "test"], ...] = ("train", "val", "test")


PARTS: tuple[Literal["train", "val", "test"], ...] = ("train", "val", "test")


def protocol(
    folds: int = 5, *, val: float = 0.2, test: float = 0.2, unit: Literal["group", "image"] = "group", seed: int = 0
) -> Protocol:
    return Protocol(name="paper", unit=unit, folds=folds, test_share=test, val_share=val, seed=seed)


def dataset(sizes: dict[str, list[int]], seed: int = 0) -> Dataset:
    """One patient for each number, with so many files of the class, in random order."""
    samples = [
        Sample(file=f"{label}{i}_{j}.png", label=label, group=f"{label}{i}")
        for label, counts in sizes.items()
        for i, n in enumerate(counts)
        for j in range(n)
    ]
    order = np.random.default_rng(seed).permutation(len(samples))
    return Dataset(root=".", samples=tuple(samples[i] for i in order), classes=CLASSES)


many = st.lists(st.integers(1, 6), min_size=6, max_size=25)


@settings(max_examples=60)
@given(
    covid=many,
    normal=many,
    folds=st.sampled_from([1, 3, 4]),  # of 2 unequal halves one may hold a single patient of a class
    val=st.sampled_from([0.0, 0.1, 0.3]),
    unit=st.sampled_from(["group", "image"]),
    seed=st.integers(0, 1000),
)
def test_a_split_parts_everything_and_nothing_twice(
    covid: list[int], normal: list[int], folds: int, val: float, unit: Literal["group", "image"], seed: int
) -> None:
    data = dataset({"covid": covid, "normal": normal})
    split = make_split(data, protocol(folds, val=val, unit=unit, seed=seed))
    assert len(split.folds) == folds
    keys = {split.key(s) for s in data.samples}
    for k, fold in enumerate(split.folds):
        assert {*fold.train, *fold.val, *fold.test} == keys
        assert len(fold.train) + len(fold.val) + len(fold.test) == len(keys)
        for part in PARTS:
            labels = {data.samples[i].label for i in split.part(data, k, part)}
            assert labels == (set() if part == "val" and val == 0 else {"covid", "normal"})
        assert all(list(getattr(fold, part)) == sorted(getattr(fold, part)) for part in PARTS)
    if folds > 1:
        assert sorted(key for fold in split.folds for key in fold.test) == sorted(keys)
    if unit == "group":
        assert split.shared_groups(data) == 0


@settings(max_examples=20)
@given(covid=many, normal=many, order=st.integers(1, 1000), folds=st.sampled_from([1, 3]))
def test_the_order_of_rows_does_not_matter(covid: list[int], normal: list[int], order: int, folds: int) -> None:
    sizes = {"covid": covid, "normal": normal}
    one, other = dataset(sizes, seed=0), dataset(sizes, seed=order)
    for unit in ("group", "image"):
        p = protocol(folds, unit=unit)
        assert make_split(one, p) == make_split(other, p)
        assert final_split(one, p) == final_split(other, p)


def test_the_seed_decides() -> None:
    data = dataset({"covid": [1] * 30, "normal": [1] * 30})
    assert make_split(data, protocol(seed=0)) == make_split(data, protocol(seed=0))
    assert make_split(data, protocol(seed=0)) != make_split(data, protocol(seed=1))
    assert make_split(data, protocol(1, seed=0)).folds != make_split(data, protocol(1, seed=1)).folds
    assert final_split(data, protocol(seed=0)) != final_split(data, protocol(seed=1))


@pytest.mark.parametrize("unit", ["group", "image"])
def test_shares_are_shares_of_the_files_of_each_class(unit: Literal["group", "image"]) -> None:
    rng = np.random.default_rng(0)
    data = dataset({"covid": rng.integers(1, 8, 60).tolist(), "normal": rng.integers(1, 8, 200).tolist()})
    split = make_split(data, protocol(1, test=0.25, val=0.1, unit=unit))
    for label, n in data.counts().items():
        sizes = [sum(data.samples[i].label == label for i in split.part(data, 0, part)) for part in PARTS]
        assert sizes[2] == pytest.approx(0.25 * n, abs=4)
        assert sizes[1] == pytest.approx(0.1 * 0.75 * n, abs=4)


def test_one_big_patient_does_not_overfill_the_validation_part() -> None:
    data = dataset({"covid": [100, *[1] * 20], "normal": [1] * 20})
    for seed in range(20):
        fold = final_split(data, protocol(val=0.2, seed=seed))
        assert "covid0" not in fold.val


def test_by_image_patients_are_shared_and_counted() -> None:
    data = dataset({"covid": [5] * 10, "normal": [5] * 10})
    assert make_split(data, protocol(unit="image")).shared_groups(data) == 20


def test_a_patient_with_several_labels_is_kept_whole() -> None:
    data = dataset({"covid": [4] * 8, "normal": [4] * 8})
    changed = [
        dataclasses.replace(s, label="normal") if s.group == "covid0" and s.file.endswith("_0.png") else s
        for s in data.samples
    ]
    mixed = dataclasses.replace(data, samples=tuple(changed))
    split = make_split(mixed, protocol(4))
    assert split.shared_groups(mixed) == 0
    assert sum("covid0" in fold.test for fold in split.folds) == 1


@pytest.mark.parametrize("unit", ["group", "image"])
def test_fewer_patients_than_folds_names_class_count_and_fix(unit: Literal["group", "image"]) -> None:
    with pytest.raises(DataError, match=r"'covid': expected at least 5 for 5 folds, found 3\. Use fewer folds"):
        make_split(dataset({"covid": [1, 1, 1], "normal": [1] * 9}), protocol(5, unit=unit))


def test_too_few_for_a_validation_part_is_an_error() -> None:
    data = dataset({"covid": [1, 1], "normal": [1] * 9})
    with pytest.raises(DataError, match=r"'covid': expected some in every part, found none for val among 2"):
        make_split(data, protocol(2))
    assert len(make_split(data, protocol(2, val=0)).folds) == 2
    unequal = dataset({"covid": [5, 1, 1, 1, 1, 1], "normal": [1] * 9})
    with pytest.raises(DataError, match=r"none for val among 6\. Use fewer folds"):
        make_split(unequal, protocol(2))
    with pytest.raises(DataError, match=r"none for val among 2\. Add patients"):
        make_split(data, protocol(1))
    assert len(final_split(data, protocol()).val) >= 2


def test_a_class_without_samples_is_an_error() -> None:
    for folds in (1, 3):
        with pytest.raises(DataError, match=r"'normal'.* 0"):
            make_split(dataset({"covid": [1] * 9}), protocol(folds))
    with pytest.raises(DataError, match="'normal'"):
        final_split(dataset({"covid": [1] * 9}), protocol())


def test_the_final_fit_trains_on_all_but_the_validation_part() -> None:
    data = dataset({"covid": [2] * 10, "normal": [2] * 10})
    fold = final_split(data, protocol(val=0.2))
    assert (len(fold.train), len(fold.val), fold.test) == (16, 4, ())
    assert final_split(data, protocol(val=0)) == Fold(train=data.groups, val=(), test=())


def test_a_seed_out_of_range_is_the_users_error() -> None:
    with pytest.raises(RecipeError, match="seed: expected 0"):
        make_split(dataset({"covid": [1] * 9, "normal": [1] * 9}), protocol(seed=-1))


def test_json_round_trip() -> None:
    split = make_split(dataset({"covid": [1] * 9, "normal": [1] * 9}), protocol(3))
    assert from_json(Split, json.loads(json.dumps(to_json(split)))) == split


def test_importing_loads_no_scikit_learn() -> None:
    code = "import sys, pneumoscope.evaluate.split; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- another role than main: what validates, of how many files ----------------------------------------------------


def role(validation: int) -> Role:
    return Role(name="source", validation=validation)


@settings(max_examples=60)
@given(
    patients=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)).filter(any), min_size=4, max_size=30),
    validation=st.integers(2, 24),
    unit=st.sampled_from(["group", "image"]),
    seed=st.integers(0, 1000),
)
def test_a_roles_validation_part_is_balanced_and_apart(
    patients: list[tuple[int, int]], validation: int, unit: Literal["group", "image"], seed: int
) -> None:
    """Patients with files of both classes, as NIH's are."""
    samples = tuple(
        Sample(file=f"{i}-{label}-{j}.png", label=label, group=f"g{i}")
        for i, counts in enumerate(patients)
        for label, n in zip(CLASSES.names, counts, strict=True)
        for j in range(n)
    )
    data = Dataset(root=".", samples=samples, classes=CLASSES)
    each = validation // 2
    try:
        fold = role_split(data, role(validation), protocol(unit=unit, seed=seed))
    except DataError:
        # of files, too few is all that can be wrong
        assert unit == "group" or min(data.counts().values()) <= each
        return
    of = {s.file: s for s in data.samples}
    assert fold.test == ()
    assert all(sum(of[f].label == name for f in fold.val) == each for name in CLASSES.names)
    assert {of[f].label for f in fold.train} == set(CLASSES.names)
    assert set(fold.train) | set(fold.val) <= set(of)
    if unit == "group":
        assert not {of[f].group for f in fold.train} & {of[f].group for f in fold.val}
        left = {of[f].group for f in set(of) - set(fold.train) - set(fold.val)}
        assert left <= {of[f].group for f in fold.val}  # only files of its patients are in neither part
    else:
        assert len(fold.train) + len(fold.val) == len(data)
    turned = Dataset(root=".", samples=tuple(reversed(samples)), classes=CLASSES)
    assert role_split(turned, role(validation), protocol(unit=unit, seed=seed)) == fold


def test_a_roles_validation_part_that_is_too_large_says_one_that_fits() -> None:
    data = dataset({"covid": [1] * 10, "normal": [1] * 40})
    with pytest.raises(DataError, match=r"\(10 covid, 40 normal\).*--set roles\.source\.validation=4") as caught:
        role_split(data, role(20), protocol())
    assert "found too few" in str(caught.value)
    assert len(role_split(data, role(4), protocol()).val) == 4


def test_without_a_number_a_role_is_parted_as_the_final_fit_is() -> None:
    data = dataset({"covid": [2] * 10, "normal": [2] * 10})
    fold, final = role_split(data, role(0), protocol(val=0.2)), final_split(data, protocol(val=0.2))
    of = {s.file: s.group for s in data.samples}
    assert {of[f] for f in fold.val} == set(final.val)
    assert {of[f] for f in fold.train} == set(final.train)
    assert len(fold.val) + len(fold.train) == len(data)


def test_a_role_of_a_hundred_thousand_files_is_parted_in_seconds() -> None:
    """NIH has 112,120; what looks at each file once for each file takes minutes."""
    data = dataset({"covid": [4] * 10_000, "normal": [4] * 15_000})
    start = time.perf_counter()
    fold = role_split(data, role(20_000), protocol())
    assert time.perf_counter() - start < 20
    assert len(fold.val) == 20_000


# --- what is learned from: a share, and data sets ----------------------------------------------------------------


def collected(sizes: dict[str, dict[str, int]]) -> Dataset:
    """Patients of one file each, by data set and label."""
    samples = [
        Sample(file=f"{of}/{label}{i}.png", label=label, group=f"{of}-{label}{i}", collection=of)
        for of, labels in sizes.items()
        for label, n in labels.items()
        for i in range(n)
    ]
    return Dataset(root=".", samples=tuple(samples), classes=CLASSES)


@settings(max_examples=20)
@given(
    covid=many,
    normal=many,
    folds=st.sampled_from([1, 3]),
    shares=st.lists(st.sampled_from([0.3, 0.5, 0.75, 1.0]), min_size=2, max_size=2, unique=True).map(sorted),
    seed=st.integers(0, 100),
    unit=st.sampled_from(["group", "image"]),
)
def test_a_smaller_share_is_part_of_a_larger_one_and_tested_alike(
    covid: list[int], normal: list[int], folds: int, shares: list[float], seed: int, unit: Literal["group", "image"]
) -> None:
    data = dataset({"covid": covid, "normal": normal})
    small, large = (
        make_split(data, dataclasses.replace(protocol(folds, unit=unit, seed=seed), train_share=share))
        for share in shares
    )
    for less, more in zip(small.folds, large.folds, strict=True):
        assert less.test == more.test
        assert {*less.train, *less.val} <= {*more.train, *more.val}


def test_a_share_is_of_the_patients_of_each_class_and_never_below_two() -> None:
    data = dataset({"covid": [1] * 20, "normal": [1] * 100})
    for share, covid, normal in ((0.5, 8, 40), (0.25, 4, 20), (0.01, 2, 2)):
        fold = make_split(data, dataclasses.replace(protocol(1), train_share=share)).folds[0]
        learned = [*fold.train, *fold.val]
        assert sum(key.startswith("covid") for key in learned) == covid
        assert sum(key.startswith("normal") for key in learned) == normal


def test_patients_of_other_data_sets_are_tested_and_not_learned_from() -> None:
    data = collected({"small": {"covid": 10, "normal": 10}, "large": {"covid": 20, "normal": 40}})
    both, one = (
        make_split(data, dataclasses.replace(protocol(3), train_on=names)) for names in (("small", "large"), ("small",))
    )
    assert both.folds == make_split(data, protocol(3)).folds
    for all_of, small in zip(both.folds, one.folds, strict=True):
        assert small.test == all_of.test
        assert any(key.startswith("large") for key in small.test)
        assert all(key.startswith("small") for key in (*small.train, *small.val))
    final = final_split(data, dataclasses.replace(protocol(), train_on=("small",)))
    assert len([*final.train, *final.val]) == 20


def test_of_a_patient_in_two_data_sets_only_the_files_of_the_one_are_learned_from() -> None:
    data = collected({"small": {"covid": 10, "normal": 10}, "large": {"covid": 10, "normal": 10}})
    twin = dataclasses.replace(data.samples[0], file="small/twin.png", collection="small")
    with_twin = dataclasses.replace(data, samples=(*data.samples, twin))
    assert data.samples[0].collection == "large"
    limited = dataclasses.replace(protocol(), train_on=("small",))
    final = split_of([final_split(with_twin, limited)], with_twin, limited)
    learned = {*final.part(with_twin, 0, "train"), *final.part(with_twin, 0, "val")}
    assert {with_twin.samples[i].collection for i in learned} == {"small"}
    assert twin.group in {with_twin.samples[i].group for i in learned}
    folds = make_split(with_twin, dataclasses.replace(protocol(3), train_on=("small",)))
    tested = [i for k in range(3) for i in folds.part(with_twin, k, "test")]
    assert sorted(tested) == list(range(len(with_twin)))  # every file of every set is tested once
    for k in range(3):
        groups = {part: {with_twin.samples[i].group for i in folds.part(with_twin, k, part)} for part in PARTS}
        assert not (groups["train"] | groups["val"]) & groups["test"]


def test_an_unknown_data_set_is_the_users_error() -> None:
    data = collected({"small": {"covid": 10, "normal": 10}, "large": {"covid": 10, "normal": 10}})
    with pytest.raises(RecipeError, match="expected data sets among large, small, found huge") as caught:
        make_split(data, dataclasses.replace(protocol(3), train_on=("small", "huge")))
    assert "goes by the name of its folder" in str(caught.value)
    with pytest.raises(RecipeError, match="train_on"):
        make_split(dataset({"covid": [1] * 9, "normal": [1] * 9}), dataclasses.replace(protocol(3), train_on=("one",)))


def test_what_is_learned_from_is_about_main_alone() -> None:
    data = collected({"small": {"covid": 10, "normal": 10}, "large": {"covid": 10, "normal": 10}})
    limited = dataclasses.replace(protocol(), train_on=("small",), train_share=0.5)
    for validation in (0, 8):
        assert role_split(data, role(validation), limited) == role_split(data, role(validation), protocol())
