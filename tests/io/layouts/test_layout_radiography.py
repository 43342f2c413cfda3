"""COVID-19 Radiography Database: the release with masks and those without."""

from __future__ import annotations

from pathlib import Path

import pytest
from as_downloaded_tool import put

from pneumoscope.errors import DataError
from pneumoscope.io.layouts.radiography import LAYOUT

NEW = (
    "COVID/images/COVID-1.png",
    "Lung_Opacity/images/Lung_Opacity-1.png",
    "Normal/images/Normal-1.png",
    "Viral Pneumonia/images/Viral Pneumonia-1.png",
)
LABELS = ["covid", "other", "normal", "pneumonia"]


def test_the_newer_release(tmp_path: Path) -> None:
    top = "COVID-19_Radiography_Dataset"
    put(tmp_path, *(f"{top}/{f}" for f in NEW), *(f"{top}/{f.replace('images', 'masks')}" for f in NEW))
    put(tmp_path, f"{top}/COVID.metadata.xlsx", f"{top}/README.md.txt")
    listing = LAYOUT.read(tmp_path)
    assert [(e.file, e.label) for e in listing.entries] == list(zip((f"{top}/{f}" for f in NEW), LABELS, strict=True))
    assert {(e.patient_id, e.group_id, e.split, e.modality) for e in listing.entries} == {(None, None, None, "xray")}
    assert (listing.missing, listing.extra) == ((), ())
    assert "4 lung masks were passed over." in listing.notes


def test_an_older_release(tmp_path: Path) -> None:
    files = ("COVID-19/COVID-19 (1).png", "NORMAL/NORMAL (1).png", "Viral Pneumonia/Viral Pneumonia (1).png")
    listing = LAYOUT.read(put(tmp_path, *files))
    assert [(e.file, e.label, e.original) for e in listing.entries] == [
        (files[0], "covid", "COVID-19"),
        (files[1], "normal", "NORMAL"),
        (files[2], "pneumonia", "Viral Pneumonia"),
    ]


def test_a_mask_names_the_image_that_is_missing(tmp_path: Path) -> None:
    put(tmp_path, *NEW, "COVID/masks/COVID-1.png", "COVID/masks/COVID-2.png", "stray.png", "Normal/other/Normal-9.png")
    listing = LAYOUT.read(tmp_path)
    assert listing.missing == ("COVID/images/COVID-2.png",)
    assert listing.extra == ("Normal/other/Normal-9.png", "stray.png")


def test_another_folder_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "COVID/a.png", "Normal/a.png")
    with pytest.raises(DataError, match="expected the folders COVID"):
        LAYOUT.read(tmp_path)
    put(tmp_path / "empty", "COVID/a.txt", "Normal/a.txt", "Viral Pneumonia/a.txt")
    with pytest.raises(DataError, match=r"found none\. Unpack the archive"):
        LAYOUT.read(tmp_path / "empty")
