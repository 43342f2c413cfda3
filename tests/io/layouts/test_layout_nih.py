"""NIH: its tables of both headers, its parts, CheXNet's lists, and names that are none of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from as_downloaded_tool import load_tool, put
from hypothesis import given
from hypothesis import strategies as st

from pneumoscope.errors import DataError
from pneumoscope.io.layouts.nih import FINDINGS, LAYOUT, patient_of

HEADS = [
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],",
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Sex,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]",
]
ROWS = [
    "00000001_000.png,Cardiomegaly,0,1,57,M,PA,2682,2749,0.143,0.143,",
    "00000001_001.png,No Finding,1,1,58,M,AP,2894,2729,0.143,0.143,",
    "00000032_012.png,Atelectasis|Consolidation|Edema|Pneumonia,12,32,54,F,AP,2500,2048,0.168,0.168,",
]
FILES = [
    "images_001/images/00000001_000.png",
    "images_001/images/00000001_001.png",
    "images_002/images/00000032_012.png",
]


def write(
    root: Path, rows: list[str], files: list[str], head: str = HEADS[0], name: str = "Data_Entry_2017.csv"
) -> Path:
    put(root, *files)
    (root / name).write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return root


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", ["Data_Entry_2017.csv", "Data_Entry_2017_v2020.csv"])
def test_rows_become_entries_whatever_the_header(tmp_path: Path, head: str, name: str) -> None:
    listing = LAYOUT.read(write(tmp_path, ROWS, FILES, head, name))
    assert [(e.file, e.label, e.patient_id, e.view, e.findings) for e in listing.entries] == [
        (FILES[0], "disease", "nih:00000001", "PA", ("Cardiomegaly",)),
        (FILES[1], "normal", "nih:00000001", "AP", ()),
        (FILES[2], "pneumonia", "nih:00000032", "AP", ("Atelectasis", "Consolidation", "Edema", "Pneumonia")),
    ]
    assert [(e.sex, e.age) for e in listing.entries] == [("M", "57"), ("M", "58"), ("F", "54")]
    assert listing.entries[2].original == "Atelectasis|Consolidation|Edema|Pneumonia"
    assert {e.modality for e in listing.entries} == {"xray"}
    assert (listing.missing, listing.extra) == ((), ())


def test_one_images_folder_and_the_folder_above(tmp_path: Path) -> None:
    write(tmp_path / "NIH", ROWS, ["images/" + file.rpartition("/")[2] for file in FILES])
    listing = LAYOUT.read(tmp_path)
    assert [e.file for e in listing.entries] == ["NIH/images/" + file.rpartition("/")[2] for file in FILES]
    assert listing.extra == ()


def test_official_lists_give_the_parts(tmp_path: Path) -> None:
    write(tmp_path, ROWS, FILES)
    (tmp_path / "train_val_list.txt").write_text("00000001_000.png\n00000001_001.png")
    (tmp_path / "test_list.txt").write_text("00000032_012.png\n")
    listing = LAYOUT.read(tmp_path)
    assert [e.split for e in listing.entries] == ["train", "train", "test"]
    assert "NIH's" in listing.notes[-1]


def test_a_patient_in_two_parts_is_told_and_not_named(tmp_path: Path) -> None:
    write(tmp_path, ROWS, FILES)
    (tmp_path / "train_val_list.txt").write_text("00000001_000.png\n")
    (tmp_path / "test_list.txt").write_text("00000001_001.png\n")
    notes = " ".join(LAYOUT.read(tmp_path).notes)
    assert "1 patients" in notes
    assert "00000001" not in notes


def test_without_lists_there_are_no_parts(tmp_path: Path) -> None:
    listing = LAYOUT.read(write(tmp_path, ROWS, FILES))
    assert {e.split for e in listing.entries} == {None}
    assert listing.notes == ("No parts: train_val_list.txt and test_list.txt are not there.",)


@pytest.mark.parametrize("place", ["labels", "."])
def test_chexnet_lists_stand_in_for_data_entry(tmp_path: Path, place: str) -> None:
    put(tmp_path, *FILES)
    (tmp_path / place).mkdir(exist_ok=True)
    zeros = ["0"] * 14
    pneumonia = ["1" if f in ("Edema", "Pneumonia") else "0" for f in FINDINGS]
    for part, name, flags in (
        ("train", "00000001_000.png", zeros),
        ("val", "00000001_001.png", ["1", *zeros[1:]]),
        ("test", "00000032_012.png", pneumonia),
    ):
        (tmp_path / place / f"{part}_list.txt").write_text(f"{name} {' '.join(flags)}\n")
    listing = LAYOUT.read(tmp_path)
    assert [(e.label, e.split, e.findings) for e in listing.entries] == [
        ("normal", "train", ()),
        ("disease", "val", ("Atelectasis",)),
        ("pneumonia", "test", ("Pneumonia", "Edema")),
    ]
    assert {e.view for e in listing.entries} == {"frontal"}


def test_a_chexnet_list_of_another_width_is_refused(tmp_path: Path) -> None:
    for part in ("train", "val", "test"):
        (tmp_path / f"{part}_list.txt").write_text("00000001_000.png 0 1\n")
    with pytest.raises(DataError, match=r"train_list.txt, line 1: expected .* found 2 columns"):
        LAYOUT.read(tmp_path)


def test_missing_and_extra_are_named(tmp_path: Path) -> None:
    listing = LAYOUT.read(write(tmp_path, ROWS, [FILES[0], "images_001/images/00009999_000.png", "thumb.jpg"]))
    assert [e.file for e in listing.entries] == [FILES[0]]
    assert listing.missing == ("00000001_001.png", "00000032_012.png")
    assert listing.extra == ("images_001/images/00009999_000.png", "thumb.jpg")


def test_a_reencoded_copy_and_a_second_copy(tmp_path: Path) -> None:
    listing = LAYOUT.read(write(tmp_path, ROWS[:1], ["a/00000001_000.jpg", "b/00000001_000.png"]))
    assert [e.file for e in listing.entries] == ["a/00000001_000.jpg"]
    assert listing.extra == ("b/00000001_000.png",)


@pytest.mark.parametrize("name", ["../00000001_000.png", "/etc/00000001_000.png", "..\\00000001_000.png", "", "passwd"])
def test_a_name_that_no_nih_image_has_is_left_out(tmp_path: Path, name: str) -> None:
    put(tmp_path, "00000001_000.png")
    listing = LAYOUT.read(write(tmp_path / "set", [*ROWS, f'"{name}",Mass,0,1,57,M,PA,1,1,1,1,'], FILES))
    assert len(listing.entries) == 3
    assert (listing.missing, listing.extra) == ((), ())
    assert "1 rows with a name that no NIH image has" in listing.notes[0]


def test_a_row_twice_counts_once(tmp_path: Path) -> None:
    listing = LAYOUT.read(write(tmp_path, [*ROWS, ROWS[0].replace("Cardiomegaly", "Mass")], FILES))
    assert listing.entries[0].findings == ("Mass",)
    assert "1 rows name an image again" in listing.notes[0]


def test_of_two_tables_the_newer_is_read(tmp_path: Path) -> None:
    write(tmp_path, ROWS, FILES)
    write(tmp_path, [ROWS[0].replace("Cardiomegaly", "No Finding")], [], name="Data_Entry_2017_v2020.csv")
    listing = LAYOUT.read(tmp_path)
    assert [e.label for e in listing.entries] == ["normal"]
    assert "was not read" in listing.notes[0]


def test_another_folder_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "images/00000001_000.png")
    with pytest.raises(DataError, match=r"expected Data_Entry_2017.csv, .* found neither there nor below"):
        LAYOUT.read(tmp_path)
    with pytest.raises(DataError, match="found none called 'Finding Labels'"):
        LAYOUT.read(write(tmp_path, ["00000001_000.png,1"], [], head="Image Index,Boxes"))


def test_a_table_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere", ROWS, FILES)
    put(tmp_path / "set", *FILES)
    os.symlink(tmp_path / "elsewhere" / "Data_Entry_2017.csv", tmp_path / "set" / "Data_Entry_2017.csv")
    with pytest.raises(DataError, match="found a link"):
        LAYOUT.read(tmp_path / "set")


@given(st.text())
def test_only_its_own_names_carry_a_patient(name: str) -> None:
    patient = patient_of(name)
    assert patient is None or (name.startswith(patient.removeprefix("nih:")) and "/" not in name)


@pytest.mark.shared
@pytest.mark.parametrize("name", ["nih-starter", "darkcovidnet-nih"])
def test_real_images_read_as_labels_csv_has_them(tmp_path: Path, shared_data: Path, name: str) -> None:
    tool = load_tool()
    rows = {r["orig_name"]: r for r in tool.rebuild(name, tmp_path, shared_data)}
    listing = LAYOUT.read(tmp_path)
    assert len(listing.entries) == {"nih-starter": 484, "darkcovidnet-nih": 800}[name]
    assert (listing.missing, listing.extra) == ((), ())
    for entry in listing.entries:
        row = rows[Path(entry.file).name]
        assert entry.patient_id == row["patient_id"]
        assert entry.split == tool.noted(row, "CheXNet split")
        assert (entry.label == "normal") == (tool.noted(row, "findings") == "No Finding")
        assert entry.label == "pneumonia" or "Pneumonia" not in tool.noted(row, "findings").split("|")
