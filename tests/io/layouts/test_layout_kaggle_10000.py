"""The Kaggle set of 10,000 images that has a hundred: folders, and patients of the sets it was taken from."""

from __future__ import annotations

from pathlib import Path

import pytest
from as_downloaded_tool import put

from pneumoscope.errors import DataError
from pneumoscope.io.layouts.kaggle_10000 import LAYOUT

FILES = ("dataset/covid/a.jpg", "dataset/covid/b.jpg", "dataset/normal/NORMAL2-IM-0959-0001.jpeg")


@pytest.mark.parametrize("below", ["", "dataset"])
def test_folders_give_the_label(tmp_path: Path, below: str) -> None:
    listing = LAYOUT.read(put(tmp_path, *FILES) / below)
    assert [(e.label, e.patient_id) for e in listing.entries] == [
        ("covid", None),
        ("covid", None),
        ("normal", "kermany:NORMAL2-IM-0959"),
    ]
    assert "2 of 3 images tell no patient." in listing.notes


@pytest.mark.parametrize("place", ["metadata.csv", "dataset/metadata.csv"])
def test_metadata_of_ieee8023_gives_patients(tmp_path: Path, place: str) -> None:
    put(tmp_path, *FILES)
    rows = "patientid,offset,finding,filename\n7,0,COVID-19,a.jpg\n,0,COVID-19,b.jpg\n8,0,COVID-19,../a.jpg\n"
    (tmp_path / place).write_text(rows)
    assert [e.patient_id for e in LAYOUT.read(tmp_path).entries][:2] == ["ieee8023:7", None]


def test_a_metadata_csv_of_another_kind_is_left_alone(tmp_path: Path) -> None:
    put(tmp_path, *FILES)
    (tmp_path / "metadata.csv").write_text("a,b\n1,2\n")
    assert [e.patient_id for e in LAYOUT.read(tmp_path).entries][:2] == [None, None]


def test_extra_files_are_named_and_another_folder_is_refused(tmp_path: Path) -> None:
    listing = LAYOUT.read(put(tmp_path / "set", *FILES, "dataset/pneumonia/x.jpg", "preview.png"))
    assert listing.extra == ("dataset/pneumonia/x.jpg", "preview.png")
    with pytest.raises(DataError, match="expected the folders covid and normal"):
        LAYOUT.read(put(tmp_path / "other", "covid/a.jpg"))
    with pytest.raises(DataError, match="found none"):
        LAYOUT.read(put(tmp_path / "empty", "covid/a.txt", "normal/a.txt"))
