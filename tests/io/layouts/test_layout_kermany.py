"""Kermany: folders, both ways of naming, and a second copy inside the first."""

from __future__ import annotations

from pathlib import Path

import pytest
from as_downloaded_tool import load_tool, put

from pneumoscope.errors import DataError
from pneumoscope.io.layouts.kermany import LAYOUT, patient_of

FILES = (
    "chest_xray/test/NORMAL/IM-0001-0001.jpeg",
    "chest_xray/test/PNEUMONIA/person1_virus_6.jpeg",
    "chest_xray/train/NORMAL/NORMAL2-IM-0383-0001-0002.jpeg",
    "chest_xray/train/PNEUMONIA/person1_bacteria_1.jpeg",
    "chest_xray/train/PNEUMONIA/person1004_virus_1686.jpeg",
    "chest_xray/val/NORMAL/IM-0117-0001.jpeg",
)


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("person1004_virus_1686.jpeg", "kermany:person1004"),
        ("IM-0117-0001.jpeg", "kermany:IM-0117"),
        ("IM-0629-0001-0002.jpeg", "kermany:IM-0629"),
        ("NORMAL2-IM-0959-0001.jpeg", "kermany:NORMAL2-IM-0959"),
        ("BACTERIA-1008087-0001.jpeg", "kermany:1008087"),
        ("NORMAL-1003233-0001.jpeg", "kermany:1003233"),
        ("person_1.jpeg", None),
        ("../person1_virus_6.jpeg", None),
    ],
)
def test_names_carry_patients(name: str, patient: str | None) -> None:
    assert patient_of(name) == patient


@pytest.mark.parametrize("below", ["", "chest_xray"])
def test_folders_give_label_and_part(tmp_path: Path, below: str) -> None:
    listing = LAYOUT.read(put(tmp_path, *FILES) / below)
    assert [(e.label, e.split, e.patient_id, e.findings) for e in listing.entries] == [
        ("normal", "test", "kermany:IM-0001", ()),
        ("pneumonia", "test", "kermany:person1", ("virus",)),
        ("normal", "train", "kermany:NORMAL2-IM-0383", ()),
        ("pneumonia", "train", "kermany:person1004", ("virus",)),
        ("pneumonia", "train", "kermany:person1", ("bacteria",)),
        ("normal", "val", "kermany:IM-0117", ()),
    ]
    assert {(e.modality, e.view) for e in listing.entries} == {("xray", "AP")}
    assert all((tmp_path / below / e.file).is_file() for e in listing.entries)
    assert "1 patient ids have images in more than one official part." in listing.notes


def test_version_3_names_and_folders_without_parts(tmp_path: Path) -> None:
    put(tmp_path, "NORMAL/NORMAL-1003233-0001.jpeg", "PNEUMONIA/VIRUS-1980593-0001.jpeg", "PNEUMONIA/odd.jpeg")
    listing = LAYOUT.read(tmp_path)
    assert [(e.split, e.patient_id, e.findings) for e in listing.entries] == [
        (None, "kermany:1003233", ()),
        (None, "kermany:1980593", ("virus",)),
        (None, None, ()),
    ]
    assert "1 images have a name that tells no patient." in listing.notes


def test_a_second_copy_is_extra(tmp_path: Path) -> None:
    put(tmp_path, *FILES, *(f"chest_xray/{file}" for file in FILES), "__MACOSX/chest_xray/train/NORMAL/._a.jpeg")
    listing = LAYOUT.read(tmp_path)
    assert [e.file for e in listing.entries] == sorted(FILES)
    assert listing.extra == tuple(sorted(f"chest_xray/{file}" for file in FILES))
    assert any(note.startswith("6 extra files") for note in listing.notes)


def test_another_folder_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "train/CATS/a.jpeg")
    with pytest.raises(DataError, match="expected NORMAL and PNEUMONIA"):
        LAYOUT.read(tmp_path)
    put(tmp_path, "a/NORMAL/x.jpeg", "a/PNEUMONIA/x.jpeg", "b/NORMAL/x.jpeg", "b/PNEUMONIA/x.jpeg")
    with pytest.raises(DataError, match="expected one copy of the set, found 2"):
        LAYOUT.read(tmp_path)


def test_empty_folders_are_refused(tmp_path: Path) -> None:
    put(tmp_path, "NORMAL/readme.txt", "PNEUMONIA/readme.txt")
    with pytest.raises(DataError, match="expected images in NORMAL and PNEUMONIA, found none"):
        LAYOUT.read(tmp_path)


@pytest.mark.shared
def test_real_images_read_as_labels_csv_has_them(tmp_path: Path, shared_data: Path) -> None:
    tool = load_tool()
    rows = {r["orig_name"]: r for r in tool.rebuild("kermany-pediatric", tmp_path, shared_data)}
    listing = LAYOUT.read(tmp_path)
    assert len(listing.entries) == len(rows) == 480
    for entry in listing.entries:
        row = rows[Path(entry.file).name]
        assert (entry.label, entry.patient_id) == (row["label"], row["patient_id"])
        assert (*entry.findings, "normal")[0] == tool.noted(row, "subtype")
