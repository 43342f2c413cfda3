"""Datasets and DICOM files of phantoms: whole or absent, balanced, valid, and never called real."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import config

from pneumoscope.errors import UsageError
from pneumoscope.phantoms import XRAY_LABELS, files, make_xray, write_dicom, write_png, write_xrays


@pytest.fixture
def strict_dicom() -> Iterator[None]:
    before = config.settings.writing_validation_mode
    config.settings.writing_validation_mode = config.RAISE
    yield
    config.settings.writing_validation_mode = before


def _rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_dataset_is_complete_balanced_and_grouped(tmp_path: Path) -> None:
    folder = write_xrays(tmp_path / "set", patients=18, seed=4, size=64)
    rows = _rows(folder)
    assert list(rows[0]) == ["file", "label", "patient_id", "group_id", "view", "source"]
    assert {row["file"] for row in rows} == {f"images/{p.name}" for p in (folder / "images").iterdir()}
    assert {row["source"] for row in rows} == {"pneumoscope phantom"}
    labels = {row["patient_id"]: row["label"] for row in rows}
    assert Counter(labels.values()) == dict.fromkeys(XRAY_LABELS, 6)
    assert Counter(Counter(row["patient_id"] for row in rows).values()) == {1: 12, 2: 6}
    assert Counter(row["label"] for row in rows) == dict.fromkeys(XRAY_LABELS, 8)
    assert all(row["label"] not in row["file"] for row in rows)


def test_png_holds_the_pixels_in_eight_bits(tmp_path: Path) -> None:
    phantom = make_xray("covid", 2, size=64)
    write_png(phantom, tmp_path / "one.png")
    with Image.open(tmp_path / "one.png") as image:
        assert (image.mode, image.size) == ("L", (64, 64))
        assert np.abs(np.asarray(image) / 255 - phantom.pixels).max() <= 0.5 / 255 + 1e-6


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    one, two = (write_xrays(tmp_path / name, patients=3, seed=1, size=64) for name in ("a", "b"))
    other = write_xrays(tmp_path / "c", patients=3, seed=2, size=64)
    names = [row["file"] for row in _rows(one)]
    assert [(one / name).read_bytes() for name in names] == [(two / name).read_bytes() for name in names]
    assert names != [row["file"] for row in _rows(other)]


def test_a_folder_in_use_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(UsageError, match="expected a new or empty folder"):
        write_xrays(tmp_path, patients=1, seed=0, size=64)
    with pytest.raises(UsageError, match="expected a new or empty folder"):
        write_xrays(tmp_path / "mine.txt", patients=1, seed=0, size=64)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    assert len(_rows(write_xrays(tmp_path, patients=1, seed=0, size=64))) == 2


def test_a_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(files, "make_xray", full)
    with pytest.raises(OSError, match="no space left"):
        write_xrays(tmp_path / "set", patients=2, seed=0, size=64)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("patients", "seed"), [(0, 1), (3, -1)])
def test_numbers_out_of_range_are_refused(tmp_path: Path, patients: int, seed: int) -> None:
    with pytest.raises(UsageError, match="patients, seed"):
        write_xrays(tmp_path / "set", patients=patients, seed=seed, size=64)


@pytest.mark.usefixtures("strict_dicom")
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_dicom_reads_back_as_written(tmp_path: Path, photometric: str) -> None:
    phantom = make_xray("covid", 9, size=96)
    write_dicom(phantom, tmp_path / "one.dcm", seed=9, photometric=photometric)
    ds = pydicom.dcmread(tmp_path / "one.dcm")
    stored = ds.pixel_array.astype(np.float32) / 4095
    shown = 1 - stored if photometric == "MONOCHROME1" else stored
    assert np.abs(shown - phantom.pixels).max() <= 0.5 / 4095 + 1e-6
    assert ds.SOPClassUID.name == "Digital X-Ray Image Storage - For Presentation"
    assert (ds.PhotometricInterpretation, ds.BitsAllocated, ds.BitsStored, ds.HighBit) == (photometric, 16, 12, 11)
    assert (ds.Modality, ds.ViewPosition, ds.BodyPartExamined) == ("DX", "PA", "CHEST")
    assert float(ds.ImagerPixelSpacing[0]) == pytest.approx(phantom.spacing_mm, abs=1e-5)
    for uid in (ds.SOPInstanceUID, ds.StudyInstanceUID, ds.SeriesInstanceUID):
        assert uid.is_valid
    assert ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID


def test_dicom_never_claims_to_be_real(tmp_path: Path) -> None:
    write_dicom(make_xray("normal", 1, size=64), tmp_path / "one.dcm", seed=1)
    ds = pydicom.dcmread(tmp_path / "one.dcm")
    assert "PHANTOM" in str(ds.PatientName)
    assert "PHANTOM" in ds.PatientID
    assert ds.Manufacturer == "pneumoscope phantom"
    assert ds.ImageType[0] == "DERIVED"
    assert ds.BurnedInAnnotation == "NO"
    assert not ds.StudyDate


def test_dicom_is_repeatable_and_each_image_has_its_own_uid(tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.dcm" for i in range(4)]
    for path, seed, at in zip(paths, (1, 1, 2, 1), (1, 1, 1, 3), strict=True):
        write_dicom(make_xray("normal", at, size=64), path, seed=seed)
    uids = [pydicom.dcmread(path).SOPInstanceUID for path in paths]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert len(set(uids)) == 3


def test_another_photometric_interpretation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected MONOCHROME1 or MONOCHROME2, found 'RGB'"):
        write_dicom(make_xray("normal", 1, size=64), tmp_path / "one.dcm", photometric="RGB")
    assert not (tmp_path / "one.dcm").exists()
