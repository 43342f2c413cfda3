"""Figure 1: rows that name no file, letters that count a patient's images."""

from __future__ import annotations

import csv
import re
import shutil
from pathlib import Path

import pytest

from pneumoscope.errors import DataError
from pneumoscope.io.layouts.figure1 import LAYOUT, patient

HEAD = "patientid,offset,sex,age,finding,survival,temperature,pO2 saturation,view,modality,artifacts/distortion,notes"
EARLY = HEAD.replace("modality,", "modality,originalfile,")


def write(base: Path, lines: list[str], files: list[str], head: str = HEAD, encoding: str = "utf-8") -> Path:
    (base / "images").mkdir(parents=True)
    (base / "metadata.csv").write_text("\n".join([head, *lines]) + "\n", encoding=encoding)
    for name in files:
        (base / "images" / name).write_bytes(b"not read")
    return base


def test_rows_find_their_files_by_name_whatever_the_ending(tmp_path: Path) -> None:
    lines = [
        "COVID-00003a,8,M,28,,,39.1,90,AP erect,X-ray,,a private story",
        "COVID-00015a,,,67+,COVID-19,,,,,X-ray,,",
        "COVID-00023,,,,No finding,,,,,X-ray,,",
        "COVID-00031,,,,Pneumonia,,,,PA,X-ray,,labeled pneumonia",
    ]
    files = ["COVID-00003a.jpg", "COVID-00015a.png", "COVID-00023.jpg", "COVID-00031.jpg"]
    listing = LAYOUT.read(write(tmp_path / "set", lines, files))
    found = [(entry.file, entry.label, entry.patient_id, entry.view) for entry in listing.entries]
    assert found == [
        ("images/COVID-00003a.jpg", "unlabelled", "figure1:COVID-00003", "AP erect"),
        ("images/COVID-00015a.png", "covid", "figure1:COVID-00015", None),
        ("images/COVID-00023.jpg", "normal", "figure1:COVID-00023", None),
        ("images/COVID-00031.jpg", "pneumonia", "figure1:COVID-00031", "PA"),
    ]
    assert listing.entries[0].notes == "offset=8; sex=M; age=28"
    assert (listing.missing, listing.extra, listing.notes) == ((), (), ())


def test_a_letter_counts_images_and_not_patients() -> None:
    assert [patient(s) for s in ("COVID-00039c", "COVID-00039", "odd")] == ["COVID-00039", "COVID-00039", "odd"]


def test_early_tables_and_latin_letters(tmp_path: Path) -> None:
    lines = ["COVID-00007,,,73,COVID-19,,38+,,,X-ray,COVID-0033.jpeg,,Fever 38° + cough"]
    (entry,) = LAYOUT.read(write(tmp_path / "set", lines, ["COVID-00007.jpg"], EARLY, "latin-1")).entries
    assert entry.label == "covid"


def test_missing_extra_and_a_second_file_of_one_name(tmp_path: Path) -> None:
    lines = ["COVID-00001,,,,COVID-19,,,,,X-ray,,", "COVID-00002,,,,,,,,,X-ray,,"]
    files = ["COVID-00002.jpg", "COVID-00002.png", "COVID-00099.jpg"]
    listing = LAYOUT.read(write(tmp_path / "set", lines, files))
    assert [entry.file for entry in listing.entries] == ["images/COVID-00002.jpg"]
    assert listing.missing == ("images/COVID-00001.*",)
    assert listing.extra == ("images/COVID-00002.png", "images/COVID-00099.jpg")


@pytest.mark.parametrize("name", ["../COVID-00001", "/tmp/COVID-00001", "..\\COVID-00001", ".."])
def test_names_that_lead_out_are_left_out(tmp_path: Path, name: str) -> None:
    base = write(tmp_path / "set", [f"{name},,,,COVID-19,,,,,X-ray,,"], [])
    (base / "COVID-00001.jpg").write_bytes(b"x")
    listing = LAYOUT.read(base)
    assert (listing.entries, listing.missing) == ((), ())
    assert listing.notes == ("rows left out, naming no file of their own inside the folder: 1",)


def test_the_tables_of_its_sisters_are_refused(tmp_path: Path) -> None:
    head = HEAD.replace("modality,", "modality,imagename,")
    base = write(tmp_path / "set", ["ANON1,,,,COVID-19,,,,PA,X-ray,a.png,,"], [], head)
    with pytest.raises(DataError, match="names no files"):
        LAYOUT.read(base)


@pytest.mark.shared
def test_the_real_names_give_the_real_labels(tmp_path: Path, shared_data: Path) -> None:
    source = shared_data / "xray" / "figure1"
    with (source / "labels.csv").open(newline="", encoding="utf-8") as file:
        real = {line["orig_name"]: line for line in csv.DictReader(file)}
    lines = []
    for name, line in real.items():
        found = re.search(r"finding=([^;]*)", line["notes"])
        finding = found[1].removesuffix("blank (inconclusive)") if found else ""
        lines.append(f"{Path(name).stem},,,,{finding},,,,{line['view']},X-ray,,")
    base = write(tmp_path / "set", lines, [])
    for name, line in real.items():
        shutil.copyfile(source / line["file"], base / "images" / name)
    listing = LAYOUT.read(base)
    got = {Path(entry.file).name: (entry.label, entry.patient_id, entry.view or "") for entry in listing.entries}
    assert got == {name: (line["label"], line["patient_id"], line["view"]) for name, line in real.items()}
    assert (listing.missing, listing.extra, listing.notes) == ((), (), ())
