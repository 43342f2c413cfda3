"""COVIDx: lines of three and four columns, blanks in names, sources that join with other sets."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pneumoscope.errors import DataError
from pneumoscope.io.layouts.covidx import CLASSES, LAYOUT, Line, _line

UUID = "46baab38-2341-4b1b-bd3c-fb16e4b1237f"


def write(base: Path, lists: dict[str, list[str]], files: list[str]) -> Path:
    for name, lines in lists.items():
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    for name in files:
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_bytes(b"not read")
    return base


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{UUID} {UUID}.png normal", Line(UUID, f"{UUID}.png", "normal", "rsna")),
        (f"{UUID} {UUID}.png pneumonia rnsa", Line(UUID, f"{UUID}.png", "pneumonia", "rsna")),
        ("19 gr2_lrg-a.jpg COVID-19", Line("19", "gr2_lrg-a.jpg", "COVID-19", "ieee8023")),
        ("319a gr1.png COVID-19 cohen", Line("319a", "gr1.png", "COVID-19", "ieee8023")),
        ("COVID-00025 COVID-00025.jpg positive fig1", Line("COVID-00025", "COVID-00025.jpg", "positive", "figure1")),
        ("ANON45 CR.1.2.png COVID-19", Line("ANON45", "CR.1.2.png", "COVID-19", "actualmed")),
        ("SITE2-1 MIDRC-1.png positive ricord", Line("SITE2-1", "MIDRC-1.png", "positive", "ricord")),
        ("COVID 70 COVID(70).png COVID-19 sirm", Line("COVID 70", "COVID(70).png", "COVID-19", "sirm")),
        ("COVID 70 COVID(70).png COVID-19", Line("COVID 70", "COVID(70).png", "COVID-19", "sirm")),
        ("COVID 106 COVID (106).png positive sirm", Line("COVID 106", "COVID (106).png", "positive", "sirm")),
        ("COVID(106) COVID (106).png positive sirm", Line("COVID(106)", "COVID (106).png", "positive", "sirm")),
        ("x9 x.png negative", Line("x9", "x.png", "negative", "covidx")),
    ],
)
def test_lines(text: str, expected: Line) -> None:
    assert _line(text, ()) == expected


def test_a_file_that_is_here_says_where_the_patient_ends() -> None:
    assert _line("19 a scan of.png normal", {"scan of.png"}) == Line("19 a", "scan of.png", "normal", "covidx")


@given(st.text())
def test_any_line_is_read_or_refused(text: str) -> None:
    line = _line(text, ())
    assert line is None or line.original.lower() in CLASSES


def test_three_classes_in_two_parts(tmp_path: Path) -> None:
    lists = {
        "train_COVIDx4.txt": [f"{UUID} {UUID}.png normal", "8 SARS.jpeg pneumonia"],
        "test_COVIDx4.txt": ["COVID 106 COVID (106).png COVID-19 sirm", "COVID-00039b COVID-00039b.jpg COVID-19 fig1"],
    }
    files = [f"data/train/{UUID}.png", "data/train/SARS.jpeg", "data/test/COVID (106).png"]
    listing = LAYOUT.read(write(tmp_path, lists, [*files, "data/test/COVID-00039b.jpg"]))
    assert [(e.file, e.label, e.patient_id, e.split) for e in listing.entries] == [
        (f"data/train/{UUID}.png", "normal", f"rsna:{UUID}", "train"),
        ("data/train/SARS.jpeg", "pneumonia", "ieee8023:8", "train"),
        ("data/test/COVID (106).png", "covid", "sirm:COVID 106", "test"),
        ("data/test/COVID-00039b.jpg", "covid", "figure1:COVID-00039", "test"),
    ]
    assert (listing.missing, listing.extra, listing.notes) == ((), (), ())


def test_negative_is_not_normal(tmp_path: Path) -> None:
    lists = {"labels/train_COVIDx9B.txt": ["a1 a.png negative bimcv", "a2 b.png positive bimcv"]}
    listing = LAYOUT.read(write(tmp_path, lists, ["train/a.png", "train/b.png"]))
    assert [(e.label, e.original, e.source) for e in listing.entries] == [
        ("non-covid", "negative", "bimcv"),
        ("covid", "positive", "bimcv"),
    ]


def test_kaggle_names_with_a_validation_part(tmp_path: Path) -> None:
    lists = {f"{part}.txt": [f"p{part} x.png positive ricord"] for part in ("train", "val", "test")}
    listing = LAYOUT.read(write(tmp_path / "up" / "covidx", lists, []).parent)
    assert listing.missing == ("test/x.png", "train/x.png", "val/x.png")
    write(tmp_path / "up" / "covidx", {}, ["train/x.png", "val/x.png", "test/x.png"])
    found = LAYOUT.read(tmp_path / "up").entries
    assert {entry.split: entry.file for entry in found} == {p: f"covidx/{p}/x.png" for p in ("train", "val", "test")}


def test_pointed_at_data(tmp_path: Path) -> None:
    write(tmp_path, {"labels/test_COVIDx2.txt": ["19 a.jpg COVID-19"]}, ["data/test/a.jpg"])
    assert [entry.file for entry in LAYOUT.read(tmp_path / "data").entries] == ["test/a.jpg"]


def test_images_without_folders_of_parts(tmp_path: Path) -> None:
    lists = {
        "train.txt": ["19 a.jpg COVID-19", "19 c.jpg COVID-19"],
        "test.txt": ["19 b.jpg COVID-19", "19 a.jpg normal"],
    }
    listing = LAYOUT.read(write(tmp_path, lists, ["images/a.jpg", "images/b.jpg"]))
    assert [(entry.file, entry.split) for entry in listing.entries] == [
        ("images/a.jpg", "train"),
        ("images/b.jpg", "test"),
    ]
    assert listing.missing == ("train/c.jpg",)
    assert listing.notes == (
        "lines naming a file a second time, the first counts: 1",
        "patients with images in more than one part: 1",
    )


def test_missing_and_extra_and_the_wrong_part(tmp_path: Path) -> None:
    listing = LAYOUT.read(write(tmp_path, {"train.txt": ["19 a.jpg COVID-19"]}, ["test/a.jpg", "train/b.jpg"]))
    assert (listing.entries, listing.missing) == ((), ("train/a.jpg",))
    assert listing.extra == ("test/a.jpg", "train/b.jpg")


@pytest.mark.parametrize("name", ["../a.jpg", "/tmp/a.jpg", "..\\a.jpg", "C:a.jpg", "..", "a\x1b.jpg"])
def test_names_that_lead_out_are_left_out(tmp_path: Path, name: str) -> None:
    listing = LAYOUT.read(write(tmp_path / "set", {"train.txt": [f"19 {name} COVID-19"]}, ["a.jpg"]))
    assert (listing.entries, listing.missing) == ((), ())
    assert listing.notes == ("rows left out, naming no file of their own inside the folder: 1",)


def test_two_versions_are_refused(tmp_path: Path) -> None:
    lists = {f"labels/train_COVIDx{v}.txt": ["19 a.jpg COVID-19"] for v in ("8A", "9A")}
    with pytest.raises(DataError, match=r"one train list, found 2 \(train_COVIDx8A.txt, train_COVIDx9A.txt\)"):
        LAYOUT.read(write(tmp_path, lists, []))


@pytest.mark.parametrize("line", ["p1 a.png level1 ricord", "train/a.png 0", "only", "x " * 1000])
def test_other_lists_are_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(DataError, match=r"train\.txt, line 2: expected"):
        LAYOUT.read(write(tmp_path, {"train.txt": ["19 a.jpg COVID-19", line]}, []))


@pytest.mark.parametrize("name", ["train_pnemunia.txt", "train_COVIDxSev.txt", "readme.txt"])
def test_lists_of_other_tasks_are_not_its(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="expected a list such as"):
        LAYOUT.read(write(tmp_path, {name: ["p a.png positive"]}, ["train/a.png"]))
