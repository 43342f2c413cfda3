"""Labelled images and the ways to part them: classes, samples, datasets, and splits that cannot leak."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from pneumoscope.core.image import Modality
from pneumoscope.core.serial import digest
from pneumoscope.errors import DataError, LeakError

Sex = Literal["F", "M"]
MARK = 16  # hex digits of a digest: enough to know a file again, and nothing of a patient


@dataclass(frozen=True, kw_only=True)
class ClassSet:
    """The classes a model knows, in the order of its outputs.

    positive: the one a threshold is about. normal: the one that a slice without infection has, whatever its study's
    class is; needed where slices of studies are learned from.
    """

    names: tuple[str, ...]
    positive: str | None = None
    normal: str | None = None

    def __post_init__(self) -> None:
        if len(self.names) < 2 or len(set(self.names)) != len(self.names):
            raise ValueError(f"classes: expected at least two different names, found {self.names}.")
        if self.positive is not None and self.positive not in self.names:
            raise ValueError(f"positive: expected one of {self.names}, found '{self.positive}'.")
        if self.normal is not None and self.normal not in self.names:
            raise ValueError(f"normal: expected one of {self.names}, found '{self.normal}'.")

    def index(self, name: str) -> int:
        """Position of the class `name` in the outputs."""
        return self.names.index(name)

    @property
    def positive_index(self) -> int:
        """Position of the positive class.

        Raises:
            ValueError: no class is named positive.
        """
        if self.positive is None:
            raise ValueError("positive: expected a class to be named positive, found none.")
        return self.index(self.positive)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One labelled file.

    file: relative to the dataset's folder, with `/`. group: pseudonymous key of the patient (or of what may not
    be parted); samples with one group never stand on two sides of an honest split. modality: None where nothing
    says it. collection: name of the data set, "" where there is one only. findings: what the set says is seen in it.
    sex, age in years: as DICOM and the sets record them, None where they do not say.
    digest: SHA-256 of the bytes. members: of a folder or an archive, the start of each file's digest, `MARK` digits.
    """

    file: str
    label: str
    group: str
    view: str | None = None
    source: str | None = None
    modality: Modality | None = None
    collection: str = ""
    split: Literal["train", "val", "test"] | None = None
    findings: tuple[str, ...] = ()
    sex: Sex | None = None
    age: float | None = None
    digest: str = ""
    members: tuple[str, ...] = ()

    @property
    def marks(self) -> tuple[str, ...]:
        """What its files are known by: the start of its digest, and of each file's in it."""
        return (self.digest[:MARK], *self.members)

    def is_among(self, marks: Container[str]) -> bool:
        """Whether it, or at least half of the files in it, are among marked ones; a file more does not make it new."""
        common = sum(member in marks for member in self.members)
        return self.digest[:MARK] in marks or (common > 0 and 2 * common >= len(self.members))


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Samples of one folder in the order of their file names, all with a label that a class stands for.

    slices: file of a slice, as slices.csv names it -> whether an infection is seen in it; slices that nobody looked at
    are absent. left_out: label -> number of files that no class maps to. grouped: False when neither group nor patient
    was given and every file stands for itself.
    """

    root: str
    samples: tuple[Sample, ...]
    classes: ClassSet
    slices: Mapping[str, bool] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    grouped: bool = True

    def __post_init__(self) -> None:
        # one order whatever the rows' or the folders' order was: answers are kept by position
        object.__setattr__(self, "samples", tuple(sorted(self.samples, key=lambda s: s.file)))
        for sample in self.samples:
            if sample.label not in self.classes.names:
                raise DataError(
                    f"{sample.file}: expected a label of {', '.join(self.classes.names)}, found '{sample.label}'. "
                    "Map it with --map LABEL=CLASS."
                )
        counts = Counter(s.file for s in self.samples)
        twice = [f for f, n in counts.items() if n > 1]
        if twice:
            raise DataError(f"labels.csv: expected each file once, found '{twice[0]}' {counts[twice[0]]} times.")

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def digest(self) -> str:
        """What was learned from: of every sample bytes, label and group, in any order of rows, and labels of slices."""
        samples = sorted([s.file, s.label, s.group, s.digest] for s in self.samples)
        return digest([samples, sorted(self.slices.items())] if self.slices else samples)

    @property
    def groups(self) -> tuple[str, ...]:
        """The different group keys, sorted."""
        return tuple(sorted({s.group for s in self.samples}))

    def counts(self) -> dict[str, int]:
        """Class -> number of files, in the order of the classes."""
        counts = Counter(s.label for s in self.samples)
        return {name: counts[name] for name in self.classes.names}


@dataclass(frozen=True, kw_only=True)
class Fold:
    """One way to part the keys: what is trained on, what chooses the weights, what is reported on."""

    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]

    def __post_init__(self) -> None:
        for one, other in (("train", "val"), ("train", "test"), ("val", "test")):
            shared = sorted(set(getattr(self, one)) & set(getattr(self, other)))
            if shared:
                raise LeakError(
                    f"split: expected no patient in both {one} and {other}, found {_some(shared)} in both. "
                    "Give one group_id to all files of one patient."
                )


@dataclass(frozen=True, kw_only=True)
class Split:
    """Folds of keys; no key stands on two sides of a fold, and none is tested in two folds.

    unit: "group" (honest: a key is a patient) or "image" (what some papers did: a key is a file, and a patient
    with several files may stand on both sides; `shared_groups` says how many do).
    dataset: digest of the dataset it was made for; it is reused for no other.
    train_on: data sets that are learned from and chosen on, empty for all; the test parts hold files of every one.
    """

    unit: Literal["group", "image"]
    folds: tuple[Fold, ...]
    dataset: str
    seed: int
    train_on: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.folds:
            raise ValueError("folds: expected at least one, found none.")
        seen: dict[str, int] = {}
        for k, fold in enumerate(self.folds):
            again = sorted(key for key in fold.test if key in seen)
            if again:
                raise LeakError(f"split: expected each key tested once, found {_some(again)} tested in fold {k} again.")
            seen.update(dict.fromkeys(fold.test, k))

    def key(self, sample: Sample) -> str:
        """The key under which this split knows `sample`."""
        return sample.group if self.unit == "group" else sample.file

    def part(self, dataset: Dataset, fold: int, part: Literal["train", "val", "test"]) -> list[int]:
        """Positions in `dataset.samples` that belong to one part of one fold.

        Raises:
            DataError: the split was made for another dataset.
        """
        if dataset.digest != self.dataset:
            raise DataError(
                f"split.json: expected the dataset it was made for ({self.dataset[:12]}), found {dataset.digest[:12]}. "
                "Use another --out, or the data as it was."
            )
        keys = set(getattr(self.folds[fold], part))
        wanted = set(self.train_on) if part != "test" else set()
        return [
            i for i, s in enumerate(dataset.samples) if self.key(s) in keys and (not wanted or s.collection in wanted)
        ]

    def shared_groups(self, dataset: Dataset) -> int:
        """Number of patients with files on both sides of a fold: 0 where `unit` is "group"."""
        return len({group for k in range(len(self.folds)) for group in self._shared(dataset, k)})

    def _shared(self, dataset: Dataset, k: int) -> set[str]:
        def groups(part: Literal["train", "val", "test"]) -> set[str]:
            return {dataset.samples[i].group for i in self.part(dataset, k, part)}

        return (groups("train") | groups("val")) & groups("test")


def _some(names: Iterable[str], most: int = 3) -> str:
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(f"'{n}'" for n in names[:most]) + more
