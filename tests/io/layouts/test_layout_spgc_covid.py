"""SPGC-COVID: its test sets, and labels from whatever table lies beside them."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from as_downloaded_tool import put

from pneumoscope.errors import DataError
from pneumoscope.io.layouts.spgc_covid import LAYOUT

FILES = [f"Test-{n}/P{i}/IM{k:04d}.dcm" for n in (1, 2, 3) for i in (10 * n, 10 * n + 1) for k in (1, 2)]


def test_sets_patients_and_the_labels_of_one_table(tmp_path: Path) -> None:
    root = put(tmp_path / "Test_Data", *FILES)
    (root / "labels.csv").write_text("Patient,Set,Label\nP10,1,COVID-19\np11,1,CAP\nP20,2,Normal\nP21,2,unclear\n")
    listing = LAYOUT.read(tmp_path)
    assert [(e.file, e.label, e.original, e.patient_id, e.source) for e in listing.entries[:3]] == [
        ("Test_Data/Test-1/P10", "covid", "COVID-19", "spgc:1:P10", "spgc-test-1"),
        ("Test_Data/Test-1/P11", "pneumonia", "CAP", "spgc:1:P11", "spgc-test-1"),
        ("Test_Data/Test-2/P20", "normal", "Normal", "spgc:2:P20", "spgc-test-2"),
    ]
    assert all(e.series and e.split == "test" and e.modality == "ct" for e in listing.entries)
    assert [e.label for e in listing.entries[3:]] == ["unlabelled"] * 3
    assert listing.notes == ("series without a label in any table beside them: 3",)
    assert (listing.missing, listing.extra, listing.expected) == ((), (), {})


def test_a_table_without_a_header_loses_no_patient(tmp_path: Path) -> None:
    root = put(tmp_path, *FILES[:4])
    (root / "truth.csv").write_text("P10,covid\nP11,normal\n")
    assert [e.label for e in LAYOUT.read(root).entries] == ["covid", "normal"]


def test_each_set_may_have_its_own_table_and_names(tmp_path: Path) -> None:
    root = put(tmp_path, *(f"Test{n}/001/a.dcm" for n in (1, 2)))
    for n, word in ((1, "CAP"), (2, "Normal")):
        (root / f"Test{n}" / "labels.csv").write_text(f"id,label\n001,{word}\n")
    listing = LAYOUT.read(root)
    assert [(e.patient_id, e.label) for e in listing.entries] == [
        ("spgc:1:001", "pneumonia"),
        ("spgc:2:001", "normal"),
    ]
    assert listing.missing == ("Test-3",)
    (root / "all.csv").write_text("id,label\n001,CAP\n")
    with pytest.raises(DataError, match="a name that 2 test sets have"):
        LAYOUT.read(root)


def test_two_classes_for_one_patient_are_refused(tmp_path: Path) -> None:
    root = put(tmp_path, *FILES)
    (root / "a.csv").write_text("id,label\nP10,CAP\n")
    (root / "b.csv").write_text("id,label\nP10,normal\n")
    with pytest.raises(DataError, match="one class a series"):
        LAYOUT.read(root)


def test_a_spreadsheet_is_read(tmp_path: Path) -> None:
    root = put(tmp_path, *FILES[:2])
    sheet = (
        '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
        '<row><c r="A1" t="inlineStr"><is><t>who</t></is></c><c r="B1" t="inlineStr"><is><t>what</t></is></c></row>'
        '<row><c r="A2" t="inlineStr"><is><t>P10</t></is></c><c r="B2" t="inlineStr"><is><t>CAP</t></is></c></row>'
        "</sheetData></worksheet>"
    )
    with zipfile.ZipFile(root / "labels.xlsx", "w") as archive:
        archive.writestr("xl/worksheets/sheet1.xml", sheet)
    assert [e.label for e in LAYOUT.read(root).entries] == ["pneumonia"]


def test_the_fourth_set_is_expected_where_it_is_there(tmp_path: Path) -> None:
    listing = LAYOUT.read(put(tmp_path, *FILES, "Test-4/P40/a.dcm", "stray.dcm"))
    assert sum(listing.expected.values()) == 130
    assert any("Set 4 did not count" in note for note in listing.notes)
    assert listing.extra == ("stray.dcm",)
    assert sum(LAYOUT.expected.values()) == 90


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected folders Test-1"):
        LAYOUT.read(put(tmp_path / "other", "Train/P1/a.dcm"))
    with pytest.raises(DataError, match=r"found none\. Unpack"):
        LAYOUT.read(put(tmp_path / "empty", "Test-1/P1/a.txt"))
    with pytest.raises(DataError):
        LAYOUT.read(tmp_path / "nowhere")
