"""Test sets of the SPGC-COVID challenge (ICASSP 2021): CT series from other scanners and doses than COVID-CT-MD.

Verified: folders Test-1 to Test-4, a folder a patient with IM0001.dcm and so on (the MATLAB code of Xue 2021, in a
public repository). 35 COVID-19, 20 CAP and 35 normal in the three sets that counted follow from the sensitivities of
Garg 2021 (31, 18 and 31 of them found) and Xue 2021 (29, 16, 32); 51, 28 and 51 in all four is what users of the Kaggle
copy say. Not verified: what the file of labels is called and how it is laid out. So any .csv or .xlsx is searched for
rows that name one patient's folder and one class, in the folder of a test set for that set alone, else for all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from pneumoscope.errors import DataError
from pneumoscope.io.layouts.layout import Entry, Layout, Listing
from pneumoscope.io.layouts.metadata import counted
from pneumoscope.io.layouts.tree import below, home, images, table
from pneumoscope.io.xlsx import tables

LABELS = {
    **{"covid": "covid", "covid-19": "covid", "covid19": "covid", "cap": "pneumonia", "normal": "normal"},
    "community acquired pneumonia": "pneumonia",
}
SCORED = (1, 2, 3)  # the sets that the challenge counted
_SET = re.compile(r"(?:.*[^a-z])?test[-_ ]*(?:set)?[-_ ]*([1-4])", re.IGNORECASE)
_ALL = {"covid": 51, "pneumonia": 28, "normal": 51}


class _Series(NamedTuple):
    """A patient's folder: where it is, in which set, and what it is called."""

    file: str
    number: int
    name: str


def read(root: Path) -> Listing:
    """The patients' folders of each test set, with the labels that a table beside them gives.

    Raises:
        DataError: no folders of test sets, none with DICOM slices, or two classes for one patient.
    """
    folder = home(root, _is_home, expected="folders Test-1, Test-2 and Test-3")
    found = images(root, suffixes=(".dcm",))
    series: dict[str, _Series] = {}
    used = set()
    for file, inside in below(root, folder, found):
        parts = inside.split("/")
        match = _SET.fullmatch(parts[0])
        if match and len(parts) == 3:
            where = file.rpartition("/")[0]
            series[where] = _Series(where, int(match[1]), parts[1])
            used.add(file)
    if not series:
        raise DataError(f"{root}: expected folders of DICOM slices, one a patient, found none. Unpack the archives.")
    said = _labels(folder, list(series.values()))
    entries = tuple(_entry(one, said.get(one.file, "")) for one in sorted(series.values()))
    sets = sorted({one.number for one in series.values()})
    fourth = "Set 4 did not count in the challenge: leave out source spgc-test-4 where papers are compared."
    return Listing(
        entries=entries,
        missing=tuple(f"Test-{n}" for n in SCORED if n not in sets),
        extra=tuple(file for file in found if file not in used),
        notes=(
            *counted(sum(e.label == "unlabelled" for e in entries), "series without a label in any table beside them"),
            *((fourth,) if 4 in sets else ()),
        ),
        release="all four sets, 130 series" if 4 in sets else "",
        expected=_ALL if 4 in sets else {},
    )


def _is_home(folder: Path) -> bool:
    return folder.is_dir() and any(
        f.is_dir() and not f.is_symlink() and _SET.fullmatch(f.name) for f in folder.iterdir()
    )


def _entry(one: _Series, word: str) -> Entry:
    return Entry(
        file=one.file,
        label=LABELS.get(word.lower(), "unlabelled"),
        original=word,
        modality="ct",
        patient_id=f"spgc:{one.number}:{one.name}",
        view="axial",
        source=f"spgc-test-{one.number}",
        split="test",
        series=True,
    )


def _labels(folder: Path, series: list[_Series]) -> Mapping[str, str]:
    """The file of each series -> the set's word for its class."""
    found: dict[str, str] = {}
    places = [(f, int(m[1])) for f in sorted(folder.iterdir()) if f.is_dir() and (m := _SET.fullmatch(f.name))]
    for place, number in [*places, (folder, 0)]:
        names: dict[str, list[_Series]] = {}
        for one in series:
            if number in (0, one.number):
                names.setdefault(one.name.lower(), []).append(one)
        for name, word in _told(place, names):
            several = names[name]
            if len(several) > 1:
                raise DataError(
                    f"{place}: expected a table whose names stand for one series each, found a name that "
                    f"{len(several)} test sets have. Put each set's table into its folder."
                )
            if found.setdefault(several[0].file, word).lower() != word.lower():
                raise DataError(f"{place}: expected one class a series, found two. Keep one table of labels.")
    return found


def _told(place: Path, names: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Pairs (name in lower case, word for a class) of the rows of all tables in a folder that have one of each."""
    for path in sorted(p for p in place.iterdir() if p.suffix.lower() in (".csv", ".xlsx") and not p.is_symlink()):
        for row in _rows(path):
            who = [value.lower() for value in row if value.lower() in names]
            words = [value for value in row if value.lower() in LABELS]
            if len(who) == len(words) == 1:
                yield who[0], words[0]


def _rows(path: Path) -> Iterator[list[str]]:
    """All rows of a table, the first too, which may be no header."""
    sheets = tables(path) if path.suffix.lower() == ".xlsx" else [table(path, ())]
    for sheet in sheets:
        if sheet:
            yield [name.strip() for name in sheet[0]]
        yield from ([value.strip() for value in row.values()] for row in sheet)


LAYOUT = Layout(
    name="spgc-covid",
    title="SPGC-COVID test sets",
    citation="Heidarian S, Afshar P, Enshaei N, et al. 2021 IEEE Signal Processing Grand Challenge on COVID-19 "
    "diagnosis from chest CT, test sets. Kaggle 2021. doi 10.34740/kaggle/dsv/2866458 (authors and title from memory)",
    licence="not known: see the Kaggle page",
    home="https://doi.org/10.34740/kaggle/dsv/2866458",
    obtain="Download from Kaggle; a login is needed. Keep the table of labels beside the folders Test-1, Test-2, ...",
    release="the three sets that the challenge counted, 30 series each",
    expected={"covid": 35, "pneumonia": 20, "normal": 35},
    patients="One folder a patient; which patients are of one person across sets is not said.",
    traps=(
        "The sets differ in dose, slice thickness and image quality: report each (source spgc-test-1 to -3), not the "
        "sum alone.",
        "One set has patients with heart disease, whose lungs are neither infected nor quite normal.",
        "90 patients: an accuracy of 88.89 % is 80 of them, with a 95 % interval of 80.7 to 93.9 %.",
        "There are no slice labels.",
    ),
    read=read,
)
