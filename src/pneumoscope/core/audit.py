"""What an audit of labelled images finds: leaks, what the labels go with, and what a bundle has seen of them.

The JSON of an `Audit` is audit.json. Files are named from the data sets' common folder; patients stand nowhere in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pneumoscope.core.serial import Undefinable
from pneumoscope.core.shortcuts import Audited

# what a leak joins that ought to be apart
Crossing = Literal["patients", "labels", "data sets", "splits"]
CROSSINGS: tuple[Crossing, ...] = ("patients", "labels", "data sets", "splits")
# the same bytes; other bytes of the same pixels; the same picture resized, recompressed, cropped, turned or brightened;
# and no same picture, but most likely one patient: the next slice of a scan, or another exposure in the same position
Kind = Literal["bytes", "pixels", "near", "alike"]
KINDS: tuple[Kind, ...] = ("bytes", "pixels", "near", "alike")

MOST_PAIRS = 10_000  # that are listed one by one
MOST_FILES = 20  # that are named for one problem


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two files that hold one picture, or pictures so alike that they are one patient's.

    how: what was done to it, in words. correlation: of the fine detail of both, one laid over the other, 0..1.
    crosses: what they stand on both sides of. labels: of each.
    """

    a: str
    b: str
    kind: Kind
    how: str
    correlation: float
    crosses: tuple[Crossing, ...]
    labels: tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Leaks:
    """One picture, or one patient, where two are counted.

    images: pictures that were compared; of a series, some of its slices. pairs: kind -> pairs of files. crossing: kind
    -> what -> pairs that stand on both sides of it. pictures: those that stand in several files; files: all of these
    files. patients: what -> patients with images on both sides of it, by group_id, patient_id or DICOM's PatientID.
    listed: the worst pairs, `MOST_PAIRS` at most.
    """

    images: int
    pairs: Mapping[str, int]
    crossing: Mapping[str, Mapping[str, int]]
    pictures: int
    files: int
    patients: Mapping[str, int]
    listed: tuple[Pair, ...]


@dataclass(frozen=True, kw_only=True)
class Ages:
    """Ages in years of `known` images. children: those below 18."""

    known: int
    min: Undefinable
    median: Undefinable
    max: Undefinable
    children: int


@dataclass(frozen=True, kw_only=True)
class Part:
    """The images of one label in one data set.

    patients: different ones that are named. unidentified: images of no named patient. sexes, views: as the manifest or
    the file says, blank ones left out. text: images that seem to have text burned in, of `looked` that were looked at.
    """

    data_set: str
    label: str
    images: int
    patients: int
    unidentified: int
    splits: Mapping[str, int]
    sexes: Mapping[str, int]
    ages: Ages
    views: Mapping[str, int]
    text: int
    looked: int


@dataclass(frozen=True, kw_only=True)
class Unread:
    """Files that could not be looked at. why: ends "files <why>". files: the first `MOST_FILES` of `images`."""

    why: str
    images: int
    files: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What of the data a bundle learned from. images: data set -> those of its files, byte for byte."""

    bundle: str
    id: str
    images: Mapping[str, int]
    near: int = 0


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What is wrong with labelled images before any model is asked.

    data_sets: their names. mapping: label -> class, as it was asked for. grave: what makes any figure on them too good,
    notes: what else a reader must know; one sentence or two each. left_out: parts of the audit that were not done, and
    why. seconds: what was done -> wall seconds.
    """

    data_sets: tuple[str, ...]
    images: int
    patients: int
    parts: tuple[Part, ...]
    leaks: Leaks
    unread: tuple[Unread, ...]
    seen: Seen | None
    grave: tuple[str, ...]
    notes: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    mapping: Mapping[str, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    shortcuts: Audited | None = None
