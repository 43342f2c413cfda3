"""Seeded splits of a dataset's patients (or, as some papers did, of its files), stratified by class.

Test parts of several folds come from scikit-learn; a hold-out and the validation parts are drawn class by class,
so that each part holds every class and about its share of the files. The order of rows does not matter.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pneumoscope.core.dataset import ClassSet, Dataset, Fold, Sample, Split
from pneumoscope.core.recipe import Protocol
from pneumoscope.core.role import Role
from pneumoscope.errors import DataError, RecipeError, missing_extra

_FINAL = 1_000_000  # random stream of the final fit; a fold's stream is its number


class _Key(NamedTuple):
    name: str
    label: str
    files: int
    learned: bool  # whether the protocol may learn from it


def make_split(dataset: Dataset, protocol: Protocol) -> Split:
    """Folds of patient keys (unit "group") or of files (unit "image").

    folds >= 2: each key is tested once, by StratifiedGroupKFold or StratifiedKFold. folds == 1: a hold-out of about
    `test_share` of the files. The validation part is about `val_share` of what remains; empty where that is 0. A
    patient with files of several classes counts as the one that most of them have.

    Raises:
        DataError: a class has too few patients (files), or too unequal ones, for every part to hold it.
        RecipeError: a seed that is not in 0..2^32 - 1.
        MissingError: scikit-learn is not installed.
    """
    keys = _keys(dataset, protocol)
    tests = [_draw(keys, protocol.test_share, _rng(protocol, 0, part=0))]
    if protocol.folds > 1:
        _require(keys, dataset.classes, protocol)
        tests = _deal(keys, protocol)
    folds = [_fold(keys, test, dataset.classes, protocol, stream=k) for k, test in enumerate(tests)]
    return split_of(folds, dataset, protocol)


def split_of(folds: Sequence[Fold], dataset: Dataset, protocol: Protocol) -> Split:
    """Folds of a dataset as the split that the protocol makes of them."""
    return Split(
        unit=protocol.unit,
        folds=tuple(folds),
        dataset=dataset.digest,
        seed=protocol.seed,
        train_on=protocol.train_on,
    )


def final_split(dataset: Dataset, protocol: Protocol) -> Fold:
    """The fold of the final fit on all data: nothing tested, about `val_share` of the files to choose the weights.

    Raises:
        DataError: a class has too few patients (files) to stand in both parts.
        RecipeError: a seed that is not in 0..2^32 - 1.
    """
    return _fold(_keys(dataset, protocol), set(), dataset.classes, protocol, stream=_FINAL)


def role_split(dataset: Dataset, role: Role, protocol: Protocol) -> Fold:
    """Files of another role than main: what is learned from, and what chooses the weights; nothing is tested.

    With `role.validation`, that part holds as many files of each class; the other files of its patients are in
    neither part. Without, it is about `val_share` of the files. What the protocol learns from is about main alone.

    Raises:
        DataError: too few files of a class.
    """
    protocol = dataclasses.replace(protocol, train_share=1.0, train_on=())
    if not role.validation:
        fold = final_split(dataset, protocol)
        return Fold(train=_files(dataset, protocol, fold.train), val=_files(dataset, protocol, fold.val), test=())
    wanted = role.validation // len(dataset.classes.names)
    val: dict[str, list[str]] = {name: [] for name in dataset.classes.names}
    by_key: dict[str, list[Sample]] = defaultdict(list)
    for sample in dataset.samples:
        by_key[_key(sample, protocol)].append(sample)
    names = sorted(by_key)
    train: list[str] = []
    for i in _rng(protocol, _FINAL, part=2).permutation(len(names)):
        members = by_key[names[i]]
        if not any(len(val[s.label]) < wanted for s in members):
            train += [s.file for s in members]
            continue
        for s in members:
            if len(val[s.label]) < wanted:
                val[s.label].append(s.file)
    kept = set(train)
    left = Counter(s.label for s in dataset.samples if s.file in kept)
    if any(len(files) < wanted for files in val.values()) or any(not left[name] for name in val):
        fits = len(val) * (min(dataset.counts().values()) // 5)
        counts = ", ".join(f"{n} {name}" for name, n in dataset.counts().items())
        raise DataError(
            f"roles.{role.name}.validation: expected files for it and for training, found too few ({counts}). "
            f"Add data, or take a smaller part: --set roles.{role.name}.validation={max(fits, len(val))}"
        )
    return Fold(train=tuple(sorted(train)), val=tuple(sorted(f for files in val.values() for f in files)), test=())


def _files(dataset: Dataset, protocol: Protocol, keys: Sequence[str]) -> tuple[str, ...]:
    wanted = set(keys)
    return tuple(s.file for s in dataset.samples if _key(s, protocol) in wanted)


def _key(sample: Sample, protocol: Protocol) -> str:
    return sample.group if protocol.unit == "group" else sample.file


def _keys(dataset: Dataset, protocol: Protocol) -> list[_Key]:
    """What is parted, sorted by name: each key's most frequent class (the first in a tie) and number of files."""
    labels: dict[str, Counter[str]] = defaultdict(Counter)
    for sample in dataset.samples:
        labels[_key(sample, protocol)][sample.label] += 1
    learned = _learned(dataset, protocol)
    return [
        _Key(name, max(dataset.classes.names, key=lambda c: count[c]), count.total(), name in learned)
        for name, count in sorted(labels.items())
    ]


def _learned(dataset: Dataset, protocol: Protocol) -> set[str]:
    """The keys with a file in one of the data sets that the protocol learns from."""
    wanted = set(protocol.train_on)
    known = {sample.collection for sample in dataset.samples}
    if not wanted <= known:
        raise RecipeError(
            f"protocols.{protocol.name}.train_on: expected data sets among {', '.join(sorted(known)) or 'none'}, found "
            f"{', '.join(sorted(wanted - known))}. A data set goes by the name of its folder; there must be several."
        )
    return {_key(s, protocol) for s in dataset.samples if not wanted or s.collection in wanted}


def _rng(protocol: Protocol, stream: int, *, part: int) -> np.random.Generator:
    if not 0 <= protocol.seed < 2**32:
        raise RecipeError(f"protocols.{protocol.name}.seed: expected 0..{2**32 - 1}, found {protocol.seed}.")
    return np.random.default_rng([protocol.seed, stream, part])


def _draw(keys: list[_Key], share: float, rng: np.random.Generator) -> set[_Key]:
    """At random, of each class about `share` of the files; never all keys of a class, and one wherever there are two.

    A key is taken if that brings the number of files nearer to the share, so one big patient cannot overfill a part.
    """
    drawn: set[_Key] = set()
    for label in sorted({k.label for k in keys}):
        pool = [k for k in keys if k.label == label]
        pool = [pool[i] for i in rng.permutation(len(pool))]
        wanted = share * sum(k.files for k in pool)
        taken: list[_Key] = []
        have = 0
        for key in pool:
            if len(taken) < len(pool) - 1 and abs(have + key.files - wanted) < abs(have - wanted):
                taken.append(key)
                have += key.files
        if not taken and len(pool) > 1:
            taken = [min(pool, key=lambda k: k.files)]
        drawn.update(taken)
    return drawn


def _share(keys: list[_Key], share: float, rng: np.random.Generator) -> list[_Key]:
    """About `share` of the keys of each class, at least two where there are as many; a smaller share's are in it."""
    order = [keys[i] for i in rng.permutation(len(keys))]
    kept: set[_Key] = set()
    for label in {k.label for k in keys}:
        pool = [k for k in order if k.label == label]
        kept.update(pool[: max(2, round(share * len(pool)))])
    return [k for k in keys if k in kept]


def _deal(keys: list[_Key], protocol: Protocol) -> list[set[_Key]]:
    """The test parts of several folds."""
    try:
        from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
    except ImportError as error:
        raise missing_extra("splitting a dataset", "train") from error
    grouped = protocol.unit == "group"
    kind = StratifiedGroupKFold if grouped else StratifiedKFold
    files = [i for i, key in enumerate(keys) for _ in range(key.files)]
    parts = kind(protocol.folds, shuffle=True, random_state=protocol.seed).split(
        files, [keys[i].label for i in files], files if grouped else None
    )
    return [{keys[files[row]] for row in test} for _, test in parts]


def _fold(keys: list[_Key], test: set[_Key], classes: ClassSet, protocol: Protocol, *, stream: int) -> Fold:
    rest = [k for k in keys if k not in test and k.learned]
    if protocol.train_share < 1:
        rest = _share(rest, protocol.train_share, _rng(protocol, stream, part=3))
    val = _draw(rest, protocol.val_share, _rng(protocol, stream, part=1)) if protocol.val_share > 0 else set()
    parts = {"train": [k for k in rest if k not in val], "val": [k for k in rest if k in val], "test": sorted(test)}
    wanted = {"train": True, "val": protocol.val_share > 0, "test": stream != _FINAL}
    for part, members in parts.items():
        for label in classes.names if wanted[part] else ():
            if not any(k.label == label for k in members):
                raise _too_few(keys, label, protocol, "some in every part", f"none for {part} among")
    return Fold(**{part: tuple(k.name for k in members) for part, members in parts.items()})


def _require(keys: list[_Key], classes: ClassSet, protocol: Protocol) -> None:
    """A test part for each fold needs as many keys of each class."""
    for label in classes.names:
        if sum(k.label == label for k in keys) < protocol.folds:
            raise _too_few(keys, label, protocol, f"at least {protocol.folds} for {protocol.folds} folds", "")


def _too_few(keys: list[_Key], label: str, protocol: Protocol, rule: str, found: str) -> DataError:
    what = "patients" if protocol.unit == "group" else "files"
    found = f"{found} {sum(k.label == label for k in keys)}".strip()
    fix = f"Use fewer folds (--set protocols.{protocol.name}.folds=N) or add" if protocol.folds > 1 else "Add"
    return DataError(f"split: {what} of class '{label}': expected {rule}, found {found}. {fix} {what} of this class.")
