"""COVID-CT-MD: its folders, whose slice labels are whose, and which slice a label is of."""

from __future__ import annotations

import csv
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from as_downloaded_tool import load_tool, put
from hypothesis import given
from hypothesis import strategies as st
from slices_making import SLICES, patient

from pneumoscope.core.dataset import ClassSet
from pneumoscope.errors import DataError
from pneumoscope.io.importing import import_set
from pneumoscope.io.layouts import covid_ct_md
from pneumoscope.io.layouts.covid_ct_md import LAYOUT
from pneumoscope.io.layouts.layout import Listing
from pneumoscope.io.manifest import read_dataset
from pneumoscope.io.slice_labels import read_slices

INFECTED = (3, 4, 5, 9)  # columns of the labels, from the head down


def annotate(root: Path, patients: Sequence[str], *, update: str = "", width: int = 20) -> None:
    """Index.csv whose Label Index skips 1, and arrays: each patient is infected at INFECTED + its place."""
    rows = [f"{i if i < 1 else i + 1},COVID-19,./COVID-19/,{name}" for i, name in enumerate(patients)]
    (root / "Index.csv").write_text("Label Index,Diagnosis,Relative Path,Folder/ID\n" + "\n".join(rows))
    slices = np.zeros((len(patients), width))
    for row in range(len(patients)):
        slices[row, [column + row for column in INFECTED]] = 1
    lobes = np.zeros((*slices.shape, 5))
    lobes[..., 2] = slices
    np.save(root / f"Slice-level-labels{update}.npy", slices)
    np.save(root / f"Lobe-level-labels{update}.npy", lobes)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("set") / "COVID-CT-MD"
    for name in ("COVID-19 Cases/P001", "COVID-19 Cases/P003", "Cap Cases/cap001", "Normal Cases/normal001"):
        patient(folder / name)
    annotate(folder, ["P001", "P003", "cap001", "cap002"])
    return folder


def infected(listing: Listing, name: str) -> list[int]:
    """Instance numbers less 1 of the infected slices of a patient: the names run from the head down."""
    files = [one.file for one in listing.slices if one.infection and f"/{name}/" in one.file]
    return sorted(int(file.rpartition("/")[2][2:6]) - 1 for file in files)


def test_folders_are_patients_and_classes(root: Path) -> None:
    listing = LAYOUT.read(root.parent)
    assert [(e.file, e.label, e.original, e.patient_id) for e in listing.entries] == [
        ("COVID-CT-MD/COVID-19 Cases/P001", "covid", "COVID-19", "ctmd:P001"),
        ("COVID-CT-MD/COVID-19 Cases/P003", "covid", "COVID-19", "ctmd:P003"),
        ("COVID-CT-MD/Cap Cases/cap001", "pneumonia", "CAP", "ctmd:cap001"),
        ("COVID-CT-MD/Normal Cases/normal001", "normal", "Normal", "ctmd:normal001"),
    ]
    assert all(e.series and e.modality == "ct" for e in listing.entries)
    assert listing.missing == ("P002", "cap002")
    assert listing.extra == ()


def test_labels_run_from_the_head_and_a_skipped_index_shifts_no_row(root: Path) -> None:
    listing = LAYOUT.read(root)
    assert len(listing.slices) == 3 * SLICES
    assert infected(listing, "P001") == list(INFECTED)
    assert infected(listing, "P003") == [n + 1 for n in INFECTED]
    assert infected(listing, "cap001") == [n + 2 for n in INFECTED]
    assert {tuple(one.lobes) for one in listing.slices} == {covid_ct_md.LOBES}
    assert all(one.lobes["RLL"] == one.infection for one in listing.slices)
    assert listing.notes == ("Slice labels: Slice-level-labels.npy, Lobe-level-labels.npy.",)


def test_a_set_is_imported_with_its_slices(root: Path, tmp_path: Path) -> None:
    found = import_set(LAYOUT, root, tmp_path / "out")
    dataset = read_dataset(tmp_path / "out", ClassSet(names=("covid", "pneumonia", "normal")))
    assert dataset.counts() == {"covid": 2, "pneumonia": 1, "normal": 1}
    assert len(dataset.groups) == 4
    assert not any("P001" in group or "cap" in group for group in dataset.groups)
    labels = read_slices(tmp_path / "out")
    assert sum(labels.values()) == 3 * len(INFECTED)
    for file in labels:
        assert (tmp_path / "out" / file).is_file()
    with (tmp_path / "out" / "slices.csv").open() as table:
        assert csv.DictReader(table).fieldnames == ["file", "infection", *covid_ct_md.LOBES]
    assert (found.found, found.missing) == ({"covid": 2, "normal": 1, "pneumonia": 1}, ("P002", "cap002"))


def test_an_update_of_the_labels_is_taken(tmp_path: Path) -> None:
    patient(tmp_path / "COVID-19 subjects/P001")
    patient(tmp_path / "CAP subjects/cap001")
    annotate(tmp_path, ["cap001", "P001"])
    annotate(tmp_path, ["P001", "cap001"], update="-updated-1")
    np.save(tmp_path / "Slice_level_labels.npy", np.zeros((2, 20)))
    listing = LAYOUT.read(tmp_path)
    assert infected(listing, "P001") == list(INFECTED)
    assert "Slice-level-labels-updated-1.npy" in listing.notes[0]


def test_without_labels_there_are_series_alone(tmp_path: Path) -> None:
    patient(tmp_path / "COVID-19 Cases/P001")
    patient(tmp_path / "Normal Cases/normal001")
    listing = LAYOUT.read(tmp_path)
    assert (len(listing.entries), listing.slices) == (2, ())
    assert listing.notes[0].startswith("No slices.csv")


def test_a_series_with_gaps_is_labelled_by_instance_number(tmp_path: Path) -> None:
    keep = [0, 4, 6, 10, 11, 15]
    patient(tmp_path / "COVID-19 Cases/P001", keep=keep)
    patient(tmp_path / "Normal Cases/normal001")
    annotate(tmp_path, ["P001"])
    listing = LAYOUT.read(tmp_path)
    assert infected(listing, "P001") == [n for n in INFECTED if SLICES - 1 - n in keep]
    assert any("has gaps" in note for note in listing.notes)


@pytest.mark.parametrize(
    ("more", "said"),
    [({"SliceLocation": None}, "unclear"), ({"InstanceNumber": 7}, "unclear"), ({"SliceLocation": 1.0}, "unclear")],
)
def test_slices_whose_place_is_unclear_get_no_label(tmp_path: Path, more: dict[str, Any], said: str) -> None:
    patient(tmp_path / "COVID-19 Cases/P001", **more)
    patient(tmp_path / "Normal Cases/normal001")
    annotate(tmp_path, ["P001"])
    listing = LAYOUT.read(tmp_path)
    assert listing.slices == ()
    assert any(said in note for note in listing.notes)


def test_labels_beyond_the_slices_are_another_patients(tmp_path: Path) -> None:
    patient(tmp_path / "COVID-19 Cases/P001", keep=range(8, 16))
    patient(tmp_path / "Normal Cases/normal001")
    annotate(tmp_path, ["P001"])
    listing = LAYOUT.read(tmp_path)
    assert listing.slices == ()
    assert any("beyond" in note for note in listing.notes)


def test_what_is_neither_1_nor_0_is_no_label(tmp_path: Path) -> None:
    patient(tmp_path / "COVID-19 Cases/P001")
    patient(tmp_path / "Normal Cases/normal001")
    annotate(tmp_path, ["P001"])
    (tmp_path / "Lobe-level-labels.npy").unlink()
    np.save(tmp_path / "Slice-level-labels.npy", np.array([[1, 0, -1, 5, 0.5, np.nan]]))
    listing = LAYOUT.read(tmp_path)
    assert [(one.infection, one.lobes) for one in listing.slices] == [(True, {}), (False, {})]


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("unpickled",))


def hostile_arrays() -> dict[str, Any]:
    return {
        "objects": np.array([[Bomb()]], dtype=object),
        "rows of another set": np.zeros((2, 20)),
        "three axes": np.zeros((1, 20, 5)),
        "text": np.array([["1", "0"]]),
        "no array": b"hello",
        "a pickle": pickle.dumps([1]),
        "nothing": b"",
        "a giant": b"\x93NUMPY\x01\x00v\x00"
        + b"{'descr': '<f8', 'fortran_order': False, 'shape': (1, 99999999999), }".ljust(117)
        + b"\n",
    }


@pytest.mark.parametrize("kind", hostile_arrays())
def test_other_arrays_are_refused(tmp_path: Path, kind: str) -> None:
    put(tmp_path, "COVID-19 Cases/P001/a.dcm", "Normal Cases/normal001/a.dcm")
    annotate(tmp_path, ["P001"])
    content = hostile_arrays()[kind]
    if isinstance(content, bytes):
        (tmp_path / "Slice-level-labels.npy").write_bytes(content)
    else:
        np.save(tmp_path / "Slice-level-labels.npy", content, allow_pickle=True)
    with pytest.raises(DataError, match="Slice-level-labels"):
        LAYOUT.read(tmp_path)


def test_lobes_of_other_slices_are_refused(tmp_path: Path) -> None:
    put(tmp_path, "COVID-19 Cases/P001/a.dcm", "Normal Cases/normal001/a.dcm")
    annotate(tmp_path, ["P001"])
    np.save(tmp_path / "Lobe-level-labels.npy", np.zeros((1, 19, 5)))
    with pytest.raises(DataError, match=r"expected 1 x 20 x 5 labels.*found 1 x 19 x 5"):
        LAYOUT.read(tmp_path)


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match='expected the folders "COVID-19 Cases"'):
        LAYOUT.read(put(tmp_path / "other", "COVID-19 Cases/P001/a.dcm"))
    with pytest.raises(DataError, match=r"found none\. Unpack"):
        LAYOUT.read(put(tmp_path / "empty", "COVID-19 Cases/P001/a.txt", "Normal Cases/a.dcm"))
    with pytest.raises(DataError, match=r"found P001 in two"):
        LAYOUT.read(put(tmp_path / "two", "COVID-19 Cases/P001/a.dcm", "COVID-19 subjects/P001/a.dcm", "CAP/c/a.dcm"))
    with pytest.raises(DataError):
        LAYOUT.read(tmp_path / "nowhere")


@given(st.sets(st.integers(1, 60), min_size=1))
def test_missing_are_the_gaps_in_the_numbers(numbers: set[int]) -> None:
    entries = {f"P{n:03d}": covid_ct_md._entry("f", f"P{n:03d}", "covid", "COVID-19") for n in numbers}
    missing = covid_ct_md._missing(entries, ["P070"])
    assert {int(name[1:]) for name in missing} | numbers == {*range(1, max(numbers) + 1), 70}


@pytest.mark.shared
def test_real_slices_are_labelled_by_the_place_in_the_index(tmp_path: Path, shared_data: Path) -> None:
    """Of CAP patients slices.csv there has the rows of Label Index, which are the next patient's; see the layout."""
    load_tool().rebuild("covid-ct-md", tmp_path / "down", shared_data)
    import_set(LAYOUT, tmp_path / "down", tmp_path / "out")
    found = {file.partition("Cases/")[2]: one for file, one in read_slices(tmp_path / "out").items()}
    folder = shared_data / "ct-series" / "covid-ct-md"
    with np.load(folder / "annotations-all-79-patients.npz", allow_pickle=False) as arrays:
        labels = arrays["slice_level"]
    with (folder / "slices.csv").open(newline="") as table:
        rows = [row for row in csv.DictReader(table) if row["infection"]]
    places = {"P001": 0, "cap001": 54, "cap002": 55}
    assert found == {r["file"]: bool(labels[places[r["patient_id"]], int(r["slice_index_desc"])]) for r in rows}
    theirs = {r["file"]: r["infection"] == "1" for r in rows if r["patient_id"] == "P001"}
    assert theirs.items() <= found.items()
