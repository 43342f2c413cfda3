"""Actualmed: its table, its pseudonyms, and what is inconclusive."""

from __future__ import annotations

import csv
import re
import shutil
from pathlib import Path

import pytest

from pneumoscope.errors import DataError
from pneumoscope.io.layouts.actualmed import LAYOUT

HEAD = (
    "patientid,offset,sex,age,finding,survival,temperature,pO2 saturation,view,modality,imagename,"
    "artifacts/distortion,notes"
)
NAME = "CR.1.2.840.113564.1722810170.20200318082923328940.1003000225002.png"


def write(base: Path, lines: list[str], files: list[str], head: str = HEAD) -> Path:
    (base / "images").mkdir(parents=True)
    (base / "metadata.csv").write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")
    for name in files:
        (base / "images" / name).write_bytes(b"not read")
    return base


def test_rows_become_entries(tmp_path: Path) -> None:
    lines = [
        f'ANON196,,,,COVID-19,,,,PA,X-ray,{NAME},,", date taken (YYYYMMDD): 20200318"',
        'ANON196,,,,,,,,AP,X-ray,b.png,,"Inconclusive, date taken (YYYYMMDD): 20200313"',
        'ANON56,,,,No finding,,,,PA,X-ray,c.png,,"Negative (covid-19 viral infection is excluded)"',
    ]
    listing = LAYOUT.read(write(tmp_path / "set", lines, [NAME, "b.png", "c.png"]))
    assert [(e.file, e.label, e.patient_id, e.view) for e in listing.entries] == [
        (f"images/{NAME}", "covid", "actualmed:ANON196", "PA"),
        ("images/b.png", "unlabelled", "actualmed:ANON196", "AP"),
        ("images/c.png", "normal", "actualmed:ANON56", "PA"),
    ]
    assert all(entry.notes == "" for entry in listing.entries)
    assert (listing.missing, listing.extra, listing.notes) == ((), (), ())


def test_missing_extra_and_names_that_lead_out(tmp_path: Path) -> None:
    lines = [f"ANON1,,,,COVID-19,,,,PA,X-ray,{name},," for name in ("a.png", "../b.png", "/c.png", "d\\e.png")]
    listing = LAYOUT.read(write(tmp_path / "set", lines, ["SAMPLE.png"]))
    assert (listing.entries, listing.missing, listing.extra) == ((), ("images/a.png",), ("images/SAMPLE.png",))
    assert listing.notes == ("rows left out, naming no file of their own inside the folder: 3",)


def test_the_table_of_figure1_is_refused(tmp_path: Path) -> None:
    base = write(tmp_path / "set", ["COVID-00001,,,,,,,,PA,X-ray,,"], [], HEAD.replace("imagename,", ""))
    with pytest.raises(DataError, match="none called 'imagename'"):
        LAYOUT.read(base)


def test_the_counts_are_those_of_the_repository() -> None:
    assert sum(LAYOUT.expected.values()) == 238


@pytest.mark.shared
def test_the_real_names_give_the_real_labels(tmp_path: Path, shared_data: Path) -> None:
    source = shared_data / "xray" / "actualmed"
    with (source / "labels.csv").open(newline="", encoding="utf-8") as file:
        real = {line["orig_name"]: line for line in csv.DictReader(file)}
    lines = []
    for name, line in real.items():
        found = re.search(r"finding=([^;]*)", line["notes"])
        finding = found[1].removesuffix("blank (inconclusive)") if found else ""
        who = line["patient_id"].removeprefix("actualmed:")
        lines.append(f"{who},,,,{finding},,,,{line['view']},X-ray,{name},,")
    base = write(tmp_path / "set", lines, [])
    for name, line in real.items():
        shutil.copyfile(source / line["file"], base / "images" / name)
    listing = LAYOUT.read(base)
    got = {Path(entry.file).name: (entry.label, entry.patient_id, entry.view or "") for entry in listing.entries}
    assert got == {name: (line["label"], line["patient_id"], line["view"]) for name, line in real.items()}
    assert (listing.missing, listing.extra, listing.notes) == ((), (), ())
