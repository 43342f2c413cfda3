"""UCSD COVID-CT: official parts, patients of tables and of names, and the two pictures with both labels."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from as_downloaded_tool import load_tool, put

from pneumoscope.errors import DataError
from pneumoscope.io.layouts.ucsd_covid_ct import CONFLICT, LAYOUT

COVID = {
    "train": ["2020.01.24.919183-p27-132.png", "2020.01.24.919183-p27-133.png"],
    "val": ["2020.03.16.20035105-p6-64-1.png"],
    "test": ["PIIS0140673620303603%8.png", "kjr-21-e24-p5-29.png"],
}
NON_COVID = {"train": ["71%0.jpg", "14.png", "15.png"], "val": ["658.png"], "test": ["0.jpg"]}


def write(root: Path, *, lists: bool = True, images: str = "Images-processed") -> Path:
    for kind, parts in (("COVID", COVID), ("NonCOVID", NON_COVID)):
        for part, names in parts.items():
            put(root, *(f"{images}/CT_{kind}/{name}" for name in names))
            if lists:
                put(root, f"Data-split/{kind}/{part}CT_{kind}.txt")
                (root / f"Data-split/{kind}/{part}CT_{kind}.txt").write_text("\n".join(names))
    return root


def add_meta(root: Path) -> None:
    (root / "COVID-CT-MetaInfo.csv").write_text(
        "File name,Patient ID,Age,DOI,Captions\n"
        "2020.01.24.919183-p27-132.png,Patient 1,41,,\"['Figure 1, a.']\"\n"
        "2020.01.24.919183-p27-133.png,Patient 1,41,,\n"
        "PIIS0140673620303603%8,Patient 214,,10.1016/x,\n"
        ',,,,"NTM, nontuberculous mycobacterium."\n'
    )
    (root / "NonCOVID-CT-MetaInfo.csv").write_text(",image name,patient id\n0,14.png,medpix_patient_38\n")


def test_lists_tables_and_names_together(tmp_path: Path) -> None:
    add_meta(write(tmp_path))
    listing = LAYOUT.read(tmp_path)
    found = {Path(e.file).name: (e.label, e.split, e.patient_id, e.group_id) for e in listing.entries}
    assert found == {
        "2020.01.24.919183-p27-132.png": ("covid", "train", "ucsd:covid:Patient 1", None),
        "2020.01.24.919183-p27-133.png": ("covid", "train", "ucsd:covid:Patient 1", None),
        "2020.03.16.20035105-p6-64-1.png": ("covid", "val", None, "ucsd:paper:2020.03.16.20035105"),
        "PIIS0140673620303603%8.png": ("covid", "test", "ucsd:covid:Patient 214", None),
        "kjr-21-e24-p5-29.png": ("covid", "test", None, CONFLICT),
        "71%0.jpg": ("non-covid", "train", "ucsd:non-covid:crawled_patient_71", CONFLICT),
        "14.png": ("non-covid", "train", "ucsd:non-covid:medpix_patient_38", None),
        "15.png": ("non-covid", "train", None, "ucsd:run:14"),
        "658.png": ("non-covid", "val", None, "ucsd:run:658"),
        "0.jpg": ("non-covid", "test", "ucsd:non-covid:crawled_patient_0", None),
    }
    assert {(e.modality, e.view) for e in listing.entries} == {("ct", "axial")}
    assert (listing.missing, listing.extra) == ((), ())
    notes = " ".join(listing.notes)
    assert "4 images tell no patient" in notes
    assert "The official parts cut 1 patients or groups" in notes


def test_a_spreadsheet_as_the_repository_has_it(tmp_path: Path) -> None:
    write(tmp_path)
    write_xlsx(
        tmp_path / "COVID-CT-MetaInfo.xlsx", [["File name", "Patient ID"], ["PIIS0140673620303603%8", "Patient 214"]]
    )
    found = {Path(e.file).name: e.patient_id for e in LAYOUT.read(tmp_path).entries}
    assert found["PIIS0140673620303603%8.png"] == "ucsd:covid:Patient 214"


def write_xlsx(path: Path, rows: list[list[str]]) -> None:
    main = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    cells = (
        f'<row r="{n}">'
        + "".join(f'<c r="{c}{n}" t="inlineStr"><is><t>{v}</t></is></c>' for c, v in zip("AB", row, strict=True))
        + "</row>"
        for n, row in enumerate(rows, 1)
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            "xl/worksheets/sheet1.xml", f"<worksheet {main}><sheetData>{''.join(cells)}</sheetData></worksheet>"
        )


def test_missing_and_extra_are_named(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "Images-processed/CT_COVID/kjr-21-e24-p5-29.png").unlink()
    put(tmp_path, "Images-processed/CT_COVID/new.png", "figures/a.png")
    listing = LAYOUT.read(tmp_path)
    assert listing.missing == ("Images-processed/CT_COVID/kjr-21-e24-p5-29.png",)
    assert listing.extra == ("Images-processed/CT_COVID/new.png", "figures/a.png")
    assert len(listing.entries) == 9


def test_the_folder_above_and_the_one_with_the_images(tmp_path: Path) -> None:
    write(tmp_path / "COVID-CT-master")
    assert {e.split for e in LAYOUT.read(tmp_path).entries} == {"train", "val", "test"}
    listing = LAYOUT.read(tmp_path / "COVID-CT-master" / "Images-processed")
    assert len(listing.entries) == 10
    assert {e.split for e in listing.entries} == {None}
    assert listing.notes[0].startswith("No parts")


@pytest.mark.parametrize("name", ["../../secret.png", "/etc/passwd", "..\\x.png", "..", "a\x00b.png"])
def test_a_hostile_name_in_a_list_is_left_out(tmp_path: Path, name: str) -> None:
    put(tmp_path, "secret.png")
    write(tmp_path / "set")
    path = tmp_path / "set" / "Data-split/COVID/testCT_COVID.txt"
    path.write_text(path.read_text() + "\r\n" + name + "\n")
    listing = LAYOUT.read(tmp_path / "set")
    assert len(listing.entries) == 10
    assert listing.missing == ()
    assert "1 names in the lists are no names of files" in listing.notes[0]


def test_an_image_in_two_parts_and_a_table_without_patients_are_told(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "Data-split/COVID/valCT_COVID.txt").write_text("2020.01.24.919183-p27-132.png\n")
    (tmp_path / "COVID-CT-MetaInfo.csv").write_text("a,b\n1,2\n")
    notes = LAYOUT.read(tmp_path).notes
    assert notes[0] == "1 images are in two lists; the later part counts."
    assert notes[1].startswith("COVID-CT-MetaInfo is not there, or names no patient")


def test_lists_that_are_not_all_there_are_refused(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "Data-split/COVID/valCT_COVID.txt").unlink()
    with pytest.raises(DataError, match=r"expected six lists or none, found 5. Download valCT_COVID.txt too"):
        LAYOUT.read(tmp_path)


def test_zips_that_are_not_unpacked_are_refused(tmp_path: Path) -> None:
    put(tmp_path, "Images-processed/CT_COVID.zip", "Images-processed/CT_NonCOVID.zip")
    with pytest.raises(DataError, match="unpack the two zips"):
        LAYOUT.read(tmp_path)
    put(tmp_path, "Images-processed/CT_COVID/a.txt", "Images-processed/CT_NonCOVID/a.txt")
    with pytest.raises(DataError, match=r"found none\. Unpack the two zips first"):
        LAYOUT.read(tmp_path)


@pytest.mark.shared
def test_real_images_read_as_labels_csv_has_them(tmp_path: Path, shared_data: Path) -> None:
    tool = load_tool()
    rows = {r["orig_name"]: r for r in tool.rebuild("ucsd-covid-ct", tmp_path, shared_data)}
    listing = LAYOUT.read(tmp_path)
    assert len(listing.entries) == len(rows) == 596
    assert len(listing.missing) + len(rows) == sum(LAYOUT.expected.values()) == 746
    for entry in listing.entries:
        row = rows[Path(entry.file).name]
        assert (entry.label, entry.patient_id or "") == (row["label"], row["patient_id"])
        assert entry.split == tool.noted(row, "official split")
        assert (entry.group_id == CONFLICT) >= ("LABEL CONFLICT" in row["notes"])
        assert entry.group_id or entry.patient_id


@pytest.mark.shared
def test_neighbouring_numbers_hold_every_medpix_patient_together(tmp_path: Path, shared_data: Path) -> None:
    rows = {r["orig_name"]: r for r in load_tool().rebuild("ucsd-covid-ct", tmp_path, shared_data)}
    (tmp_path / "NonCOVID-CT-MetaInfo.csv").unlink()
    runs: dict[str, set[str | None]] = {}
    for entry in LAYOUT.read(tmp_path).entries:
        if entry.source == "medpix":
            runs.setdefault(rows[Path(entry.file).name]["patient_id"], set()).add(entry.group_id)
    assert len(runs) > 60
    assert all(len(found) == 1 for found in runs.values())
