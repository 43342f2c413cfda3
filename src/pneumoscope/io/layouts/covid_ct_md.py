"""COVID-CT-MD (Afshar et al. 2021): CT series of COVID-19, other pneumonia (CAP) and normal, some slices labelled.

Folders "COVID-19 Cases", "Cap Cases" and "Normal Cases", a folder a patient, DICOM slices: dataset_construction/
covid_ct_md.py of haydengunraj/COVIDNet-CT, which builds COVIDx CT-3A from them; "... subjects" in the sample of
ShahinSHH/COVID-CT-MD. Index.csv, Slice-level-labels.npy and Lobe-level-labels.npy (and -updated-1 of 8 September 2021):
that README. Each radiologist's own labels and the clinical data are said there to be on figshare: not seen, not read.

Which slice a label is of, the README leaves at "sort by slice location": column 0 is the highest SliceLocation
(SOURCES.md of the shared data, by eye). Which row is whose: "Label Index" of Index.csv skips 43 since a patient was
withdrawn, and the arrays have no such gap. So rows are counted by their place in Index.csv: the owner's
statistical_analysis.py takes the first 54 rows for COVID-19, COVIDNet-CT's code subtracts 1 above 42, and the pictures
of cap001 and cap002 agree. (The shared data's own slices.csv took Label Index for the row: its labels of cap001 and
cap002 are the next patients'.)
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pneumoscope.errors import DataError, InputError
from pneumoscope.io.dicom import facts_of
from pneumoscope.io.foreign import beginning, named
from pneumoscope.io.layouts.layout import Entry, Layout, Listing, SliceLabel
from pneumoscope.io.layouts.metadata import counted
from pneumoscope.io.layouts.tree import below, home, images, table

LOBES = ("LLL", "LUL", "RLL", "RML", "RUL")  # third axis of the lobe labels, as the README numbers them
SOURCE = "covid-ct-md"
MAX_BYTES = 64 * 2**20  # of an array; the real ones are below 1 MiB
_KINDS = (
    (re.compile(r"covid[-_ ]?19(?: (?:cases|subjects))?", re.IGNORECASE), "covid", "COVID-19"),
    (re.compile(r"cap(?: (?:cases|subjects))?", re.IGNORECASE), "pneumonia", "CAP"),
    (re.compile(r"normal(?: (?:cases|subjects))?", re.IGNORECASE), "normal", "Normal"),
)
_PATIENT = re.compile(r"(P|cap|normal)(\d{3})", re.ASCII)
_PLACES = "Index.csv or the slice labels are not there"


class _Labels(NamedTuple):
    """Slice labels [patient, slice] and lobe labels [patient, slice, lobe] of the patients, as the set has them."""

    patients: Sequence[str]
    slices: np.ndarray
    lobes: np.ndarray | None


def read(root: Path) -> Listing:
    """The patients' folders, and the labels of the slices of those that were annotated.

    Of the annotated patients' slices the headers are read, which say where they lie.

    Raises:
        DataError: the folders are not there or hold no slice, or labels that do not hold together.
    """
    folder = home(root, _is_home, expected='the folders "COVID-19 Cases", "Cap Cases" and "Normal Cases"')
    found = images(root, suffixes=(".dcm",))
    patients: dict[str, Entry] = {}
    files: dict[str, list[str]] = {}
    for file, inside in below(root, folder, found):
        parts = inside.split("/")
        kind = _kind(parts[0])
        if len(parts) == 3 and kind is not None:
            name = parts[1]
            where = file.rpartition("/")[0]
            if name in patients and patients[name].file != where:
                raise DataError(f"{folder}: expected each patient in one folder, found {name} in two. Remove one.")
            patients[name] = _entry(where, name, *kind)
            files.setdefault(name, []).append(file)
    if not patients:
        raise DataError(f"{root}: expected folders of DICOM slices, one a patient, found none. Unpack the archives.")
    labels, notes = _labels(folder, root)
    slices, said = _slices(root, labels, files) if labels else ((), [])
    used = {file for group in files.values() for file in group}
    return Listing(
        entries=tuple(patients[name] for name in sorted(patients)),
        slices=slices,
        missing=_missing(patients, labels.patients if labels else ()),
        extra=tuple(file for file in found if file not in used),
        notes=(*notes, *said),
    )


def _kind(name: str) -> tuple[str, str] | None:
    """Label and the set's own word for it, of a folder's name."""
    return next(((label, word) for pattern, label, word in _KINDS if pattern.fullmatch(name)), None)


def _is_home(folder: Path) -> bool:
    return folder.is_dir() and len({kind for f in folder.iterdir() if f.is_dir() and (kind := _kind(f.name))}) > 1


def _entry(file: str, name: str, label: str, original: str) -> Entry:
    return Entry(
        file=file,
        label=label,
        original=original,
        modality="ct",
        patient_id=f"ctmd:{name}",
        view="axial",
        source=SOURCE,
        series=True,
    )


def _missing(patients: Mapping[str, Entry], indexed: Sequence[str]) -> tuple[str, ...]:
    """Patients that Index.csv names or that the numbers skip."""
    lacking = set(indexed) - set(patients)
    numbers: dict[str, set[int]] = {}
    for name in patients:
        if match := _PATIENT.fullmatch(name):
            numbers.setdefault(match[1], set()).add(int(match[2]))
    for kind, here in numbers.items():
        lacking |= {f"{kind}{n:03d}" for n in range(1, max(here)) if n not in here}
    return tuple(sorted(lacking))


def _labels(folder: Path, root: Path) -> tuple[_Labels | None, list[str]]:
    """The labels that lie in the set's folder, or in `root`; None, and why, where there are none."""
    index, array, lobes = (
        _newest(folder, root, p) for p in ("Index*.csv", "Slice?level?labels*", "Lobe?level?labels*")
    )
    if index is None or array is None:
        return None, [f"No slices.csv: {_PLACES}. They are at github.com/ShahinSHH/COVID-CT-MD."]
    patients = [row["Folder/ID"] for row in table(index, ("Label Index", "Folder/ID"))]
    slices = _array(array, len(patients), 2)
    labels = _Labels(patients, slices, None if lobes is None else _array(lobes, len(patients), 3))
    if labels.lobes is not None and labels.lobes.shape != (*slices.shape, len(LOBES)):
        raise DataError(
            f"{lobes}: expected {slices.shape[0]} x {slices.shape[1]} x {len(LOBES)} labels, as the slices have, found "
            f"{' x '.join(map(str, labels.lobes.shape))}. Download both again."
        )
    return labels, [f"Slice labels: {array.name}" + (f", {lobes.name}." if lobes else "; no lobe labels.")]


def _newest(folder: Path, root: Path, pattern: str) -> Path | None:
    """The last by name of the files that the pattern names: an update stands behind what it updates."""
    wanted = (".csv", ".npy")
    for place in (folder, root):
        here = [p for p in place.glob(pattern) if p.suffix in wanted and p.is_file() and not p.is_symlink()]
        if here:
            return max(here, key=lambda p: p.stem.replace("_", "-"))
    return None


def _array(path: Path, patients: int, axes: int) -> np.ndarray:
    """An array of labels from strangers, opened in place and never unpickled: 1, 0, all else is no label."""
    if path.stat().st_size > MAX_BYTES:
        raise DataError(f"{path}: expected at most {MAX_BYTES // 2**20} MiB, found more. Download it again.")
    try:
        with named(str(path), "an array of numbers as NumPy writes it", "Download it again."):
            # not np.load: that takes pickles and archives as well
            found = np.lib.format.open_memmap(path, mode="r")
    except InputError as error:
        raise DataError(str(error)) from error
    if found.dtype.kind not in "biuf" or found.ndim != axes or found.shape[0] != patients:
        shape = " x ".join(map(str, found.shape))
        raise DataError(
            f"{path}: expected numbers on {axes} axes for the {patients} patients of Index.csv, found {shape} of type "
            f"{found.dtype}. Take Index.csv and the labels of one release."
        )
    return np.where(found == 1, 1, np.where(found == 0, 0, -1)).astype(np.int8)


def _slices(
    root: Path, labels: _Labels, files: Mapping[str, Sequence[str]]
) -> tuple[tuple[SliceLabel, ...], list[str]]:
    """Labels of the slices that are here, and what must be said of those that have none."""
    found: list[SliceLabel] = []
    nowhere = thinned = beyond = unlike = 0
    for row, patient in enumerate(labels.patients):
        if patient not in files:
            continue
        placed = _columns(root, files[patient])
        infected = np.flatnonzero(labels.slices[row] == 1)
        if placed is None:
            nowhere += 1
        elif not placed.thinned and len(infected) and infected[-1] >= len(placed.columns):
            beyond += 1
        else:
            thinned += placed.thinned
            ours = _of_patient(labels, row, placed.columns)
            unlike += sum(any(one.lobes.values()) != one.infection for one in ours if one.lobes)
            found += ours
    return tuple(found), [
        *counted(thinned, "annotated patients whose series has gaps; labels were placed by InstanceNumber"),
        *counted(nowhere, "annotated patients without slice labels here, since the places of their slices are unclear"),
        *counted(beyond, "annotated patients without slice labels here, since their labels reach beyond their slices"),
        *counted(unlike, "slices whose slice label and lobe labels disagree; both are kept"),
    ]


class _Placed(NamedTuple):
    """File -> column of the labels; thinned: slices are missing between those that are here."""

    columns: Mapping[str, int]
    thinned: bool


def _columns(root: Path, files: Sequence[str]) -> _Placed | None:
    """The column of each slice, counted from the highest SliceLocation; None where it cannot be known.

    In a whole series a slice's rank is its column. Where slices are missing, InstanceNumber - 1 is, if it grows
    downwards as well.
    """
    seen: list[tuple[float, int, str]] = []
    for file in files:
        try:
            with (root / file).open("rb") as opened:
                facts = facts_of(partial(beginning, opened), file)
        except (InputError, OSError):
            return None
        place = facts.slice.location if facts.slice else None
        if place is None or facts.instance is None:
            return None
        seen.append((-place, facts.instance, file))
    seen.sort()
    steps = np.diff([number for _, number, _ in seen])
    if len({place for place, _, _ in seen}) < len(seen):
        return None
    if np.all(np.abs(steps) == 1):
        return _Placed({file: rank for rank, (_, _, file) in enumerate(seen)}, thinned=False)
    if np.all(steps > 0) and seen[0][1] >= 1:
        return _Placed({file: number - 1 for _, number, file in seen}, thinned=True)
    return None


def _of_patient(labels: _Labels, row: int, columns: Mapping[str, int]) -> list[SliceLabel]:
    found = []
    for file, column in sorted(columns.items(), key=lambda item: item[1]):
        value = labels.slices[row, column] if column < labels.slices.shape[1] else -1
        if value < 0:
            continue
        lobes = {} if labels.lobes is None else dict(zip(LOBES, labels.lobes[row, column].tolist(), strict=True))
        told = {lobe: bool(one) for lobe, one in lobes.items() if one >= 0}
        found.append(SliceLabel(file=file, infection=bool(value), lobes=told))
    return found


LAYOUT = Layout(
    name="covid-ct-md",
    title="COVID-CT-MD",
    citation="Afshar P, Heidarian S, Enshaei N, et al. COVID-CT-MD, COVID-19 computed tomography scan dataset "
    "applicable in machine learning and deep learning. Scientific Data 8:121, 2021. doi 10.1038/s41597-021-00900-3",
    licence="none stated in the repository; see the figshare page",
    home="https://github.com/ShahinSHH/COVID-CT-MD",
    obtain="Download from figshare (https://figshare.com/s/c20215f3d42c98f09ad0, no login), unpack, and put Index.csv "
    "and the label arrays of the repository beside the three folders.",
    release="305 series of as many patients, since 2 COVID-19 patients were withdrawn; Garg 2021 and Xue 2021 had 171 "
    "COVID-19 of 307",
    expected={"covid": 169, "pneumonia": 60, "normal": 76},
    patients="One folder a patient; slices of 54 COVID-19 and 25 CAP patients are labelled.",
    traps=(
        "The name of a patient's folder gives the class away (P001, cap001, normal001), and so does PatientID in the "
        "files of some: neither may reach a network; groups are pseudonyms here.",
        "The order of files is not the order of slices; slice labels run from the highest SliceLocation down, which "
        "the README does not say.",
        "Label Index skips 43: taken as a row number, the labels of all patients from P044 on are another's.",
        "P001 and P006 were labelled anew in September 2021 (the -updated-1 arrays): these are taken where they lie "
        "there.",
        "UIDs are no valid UIDs, SOPInstanceUID is empty, pixels are JPEG Lossless, WindowCenter has several values.",
        "COVID-19 is of February to April 2020, CAP of April 2018 to December 2019: scanner settings may tell them "
        "apart.",
        "COVIDx CT-3A has slices of it: patients join by their ids.",
    ),
    read=read,
)
