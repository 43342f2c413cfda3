"""Spreadsheets: cells of every kind of text, and files that are none or hostile."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from pneumoscope.errors import DataError
from pneumoscope.io import xlsx

MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
SHARED = f"<sst {MAIN}><si><t>File name</t></si><si><r><t>Pat</t></r><r><t>ient</t></r></si></sst>"
SHEET = (
    f"<?xml version='1.0' encoding='UTF-8'?><worksheet {MAIN}><sheetData>"
    '<row r="1"><c r="A1" t="s"><v>0</v></c><c r="C1" t="s"><v>1</v></c></row>'
    '<row r="2"><c r="A2" t="inlineStr"><is><t> a.png </t></is></c><c r="B2"><v>3</v></c><c r="C2"><v>7</v></c></row>'
    '<row r="3"><c r="C3" t="str"><v>P</v></c></row>'
    "</sheetData></worksheet>"
)


def write(path: Path, **members: str) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            folder = "xl/worksheets" if name.startswith("sheet") else "xl"
            archive.writestr(f"{folder}/{name}.xml", content)
    return path


def test_cells_are_read_by_the_first_row(tmp_path: Path) -> None:
    path = write(tmp_path / "t.xlsx", sharedStrings=SHARED, sheet1=SHEET, sheet2=f"<worksheet {MAIN}/>")
    assert xlsx.tables(path) == [[{"File name": "a.png", "Patient": "7"}, {"File name": "", "Patient": "P"}], []]


@pytest.mark.parametrize(
    "sheet",
    [
        "<!DOCTYPE x [<!ENTITY a 'b'>]>" + SHEET,
        "<worksheet",
        SHEET.replace("<v>0</v>", "<v>99</v>"),
        SHEET.replace("<v>0</v>", "<v>-1</v>"),
        SHEET.replace("<v>0</v>", "<v>x</v>"),
    ],
)
def test_a_hostile_or_broken_sheet_is_refused(tmp_path: Path, sheet: str) -> None:
    with pytest.raises(DataError, match=r"t.xlsx: expected a spreadsheet, found .* Save it as CSV instead"):
        xlsx.tables(write(tmp_path / "t.xlsx", sharedStrings=SHARED, sheet1=sheet))


def test_a_document_type_in_another_encoding_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "t.xlsx", "w") as archive:
        archive.writestr("xl/worksheets/sheet1.xml", f"<!DOCTYPE x>{SHEET}".encode("utf-16"))
    with pytest.raises(DataError, match="expected a spreadsheet"):
        xlsx.tables(tmp_path / "t.xlsx")


def test_a_sheet_that_grows_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xlsx, "MAX_BYTES", 100)
    with pytest.raises(DataError, match="larger than 100 bytes"):
        xlsx.tables(write(tmp_path / "t.xlsx", sheet1=SHEET))


def test_what_is_no_zip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.xlsx").write_bytes(b"File name,Patient\n")
    with pytest.raises(DataError, match="expected a spreadsheet"):
        xlsx.tables(tmp_path / "t.xlsx")
