"""What a public dataset's layout is: what the set is called, whose it is, and how its folders as downloaded are read.

A layout reads lists and names, never pixels; what it finds is a Listing, which `io.importing` turns into labels.csv.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pneumoscope.core.image import Modality
from pneumoscope.io.fetch import RemoteFile


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One image or series of a set, as the set's own lists describe it.

    file: relative to the set's folder, with `/`. label: in the words that all layouts share: "covid", "pneumonia"
    (another pneumonia than COVID-19), "normal", "disease" (an X-ray with findings, none of them pneumonia),
    "non-covid" (anything but COVID-19, where the set says no more), "other", "unlabelled".
    original: the set's own word for it. patient_id: prefixed by the source it comes from ("nih:00000061"), so that
    sets made from one source join; None where the set does not say. group_id: what may not be parted where that is
    more than a patient or no patient is known (neighbouring slices), else None.
    findings: the radiological findings, in the set's own words, where it lists several. series: the file is a folder
    that holds the slices of one CT series. sex, age: in the set's own words, "" where it does not say.
    """

    file: str
    label: str
    original: str
    modality: Modality
    patient_id: str | None = None
    group_id: str | None = None
    view: str | None = None
    source: str | None = None
    split: Literal["train", "val", "test"] | None = None
    findings: tuple[str, ...] = ()
    notes: str = ""
    series: bool = False
    sex: str = ""
    age: str = ""


@dataclass(frozen=True, kw_only=True)
class SliceLabel:
    """What the set says of one slice of a series.

    file: as in Entry, inside an entry's folder. infection: whether the slice shows one. lobes: lobe -> whether it is
    infected in this slice, where the set says so.
    """

    file: str
    infection: bool
    lobes: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What a folder holds.

    slices: labels of single slices, where the set has some. missing: files that the set's lists name and that are not
    there. extra: images that are there and that no list names. notes: what the user must know about this copy (traps
    that apply, conflicts). release, expected: those of this copy, where the folder tells that it is another release
    than the layout's.
    """

    entries: tuple[Entry, ...]
    slices: tuple[SliceLabel, ...] = ()
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    release: str = ""
    expected: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A public dataset.

    licence: as its owner states it; "none stated" where nothing is said. obtain: how a user gets it, one sentence
    (which form or login, if any). expected: label -> images, or series where entries are folders, of the release named
    in `release`; what another number means is for `data import` to say. patients: what the patient ids are worth, one
    sentence. traps: one sentence each.
    remote: files that may be downloaded freely by `data fetch`; empty where a login or a form is needed.
    read: folder -> Listing; raises DataError where the folder is not this set's.
    """

    name: str
    title: str
    citation: str
    licence: str
    home: str
    obtain: str
    release: str
    expected: Mapping[str, int]
    patients: str
    traps: tuple[str, ...]
    read: Callable[[Path], Listing]
    remote: tuple[RemoteFile, ...] = ()
