"""DarkCovidNet: no list, so folders and names must do."""

from __future__ import annotations

import csv
import itertools
import shutil
from pathlib import Path

import pytest

from pneumoscope.errors import DataError
from pneumoscope.io.layouts.darkcovidnet import FOLDERS, LAYOUT, case

SET = "X-Ray Image DataSet"


def write(base: Path, files: list[str]) -> Path:
    for folder in FOLDERS:
        (base / folder).mkdir(parents=True)
    for name in files:
        (base / name).write_bytes(b"not read")
    return base


def test_folders_are_labels_and_nih_names_are_patients(tmp_path: Path) -> None:
    files = ["Covid-19/jkms-35-e79-g001-l-a.jpg", "No_findings/00001280_004.png", "Pneumonia/00000061_012.png"]
    write(tmp_path / SET, files)
    for root, prefix in ((tmp_path, f"{SET}/"), (tmp_path / SET, "")):
        listing = LAYOUT.read(root)
        assert [(e.file, e.label, e.patient_id, e.group_id, e.source) for e in listing.entries] == [
            (prefix + files[0], "covid", None, "darkcovidnet:jkms-35-e79-g001", "darkcovidnet/ieee8023"),
            (prefix + files[1], "normal", "nih:00001280", None, "darkcovidnet/nih"),
            (prefix + files[2], "pneumonia", "nih:00000061", None, "darkcovidnet/nih"),
        ]
        assert (listing.missing, listing.extra) == ((), ())
    assert listing.notes == (
        "The set has no list, so what is missing cannot be named: 1 covid of 125, 1 normal of 500, 1 pneumonia of 500 "
        "are here",
    )


@pytest.mark.parametrize(
    "names",
    [
        ("covid-19-pneumonia-24-day6.jpg", "covid-19-pneumonia-24-day12.jpg"),
        ("nejmoa2001191_f1-PA.jpeg", "nejmoa2001191_f4.jpeg", "nejmoa2001191_f5-PA.jpeg"),
        ("lancet-case2a.jpg", "lancet-case2b.jpg"),
        ("x-ards-admission.jpg", "x-ards-day-1.jpg"),
        ("auntminnie-a-2020_01_28.jpeg", "auntminnie-d-2020_01_28.jpeg"),
    ],
)
def test_images_of_a_case_share_a_group(names: tuple[str, ...]) -> None:
    assert len({case(name) for name in names}) == 1


def test_cases_keep_apart() -> None:
    names = [
        "covid-19-pneumonia-12.jpg",
        "covid-19-pneumonia-19.jpg",
        "kjr-21-e24-g002-l-a.jpg",
        "kjr-21-e24-g003-l-a.jpg",
    ]
    assert len({case(name) for name in names}) == 4
    assert case("PA.png") == "PA"


def test_what_cannot_be_the_sets_is_extra(tmp_path: Path) -> None:
    files = ["Covid-19/00001280_004.png", "No_findings/my own.png", "Pneumonia/00000061_012.png", "Thumbs.png"]
    listing = LAYOUT.read(write(tmp_path, files))
    assert [entry.file for entry in listing.entries] == ["Pneumonia/00000061_012.png"]
    assert listing.extra == ("Covid-19/00001280_004.png", "No_findings/my own.png", "Thumbs.png")


def test_an_image_in_two_folders_is_noted(tmp_path: Path) -> None:
    listing = LAYOUT.read(write(tmp_path, ["No_findings/00001280_004.png", "Pneumonia/00001280_004.png"]))
    assert listing.notes[1] == "images in two folders, so with two labels: 1"


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "secret.png").write_bytes(b"x")
    base = write(tmp_path / "set", [])
    (base / "Covid-19" / "a.png").symlink_to(tmp_path / "out" / "secret.png")
    assert LAYOUT.read(base).entries == ()
    (base / "Covid-19" / "a.png").unlink()
    (base / "Covid-19").rmdir()
    (base / "Covid-19").symlink_to(tmp_path / "out")
    with pytest.raises(DataError):
        LAYOUT.read(base)


def test_other_folders_and_two_copies_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Covid-19, No_findings, Pneumonia"):
        LAYOUT.read(tmp_path)
    write(tmp_path / "Dataset", [])
    write(tmp_path / SET, [])
    with pytest.raises(DataError, match="found 2"):
        LAYOUT.read(tmp_path)


@pytest.mark.shared
def test_the_real_names_give_the_real_labels(tmp_path: Path, shared_data: Path) -> None:
    source, folder = shared_data / "xray" / "darkcovidnet", {label: name for name, label in FOLDERS.items()}
    with (source / "labels.csv").open(newline="", encoding="utf-8") as file:
        real = {line["orig_name"]: line for line in csv.DictReader(file)}
    base = write(tmp_path / SET, [])
    for name, line in real.items():
        shutil.copyfile(source / line["file"], base / folder[line["label"]] / name)
    listing = LAYOUT.read(tmp_path)
    got = {Path(entry.file).name: entry for entry in listing.entries}
    assert {name: entry.label for name, entry in got.items()} == {name: line["label"] for name, line in real.items()}
    assert listing.extra == ()
    nih = {name: line["patient_id"] for name, line in real.items() if line["label"] != "covid"}
    assert nih == {name: entry.patient_id for name, entry in got.items() if entry.label != "covid"}
    # what LAYOUT.patients promises of the COVID-19 images: pairs of one patient that names alone find
    covid = [name for name, line in real.items() if line["label"] == "covid"]
    pairs = [(a, b) for a, b in itertools.combinations(covid, 2) if real[a]["patient_id"] == real[b]["patient_id"]]
    assert (sum(got[a].group_id == got[b].group_id for a, b in pairs), len(pairs)) == (42, 51)
    assert "42 of the 51" in LAYOUT.patients
