"""Phantom CT series as DICOM and as a dataset: what is written is what was made, and no name or tag tells a label."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import config

from pneumoscope.errors import UsageError
from pneumoscope.io.load import load_study
from pneumoscope.phantoms import CT_LABELS, ct_files, phantom_ct, write_ct, write_cts, write_localizer


@pytest.fixture
def strict_dicom() -> Iterator[None]:
    before = config.settings.writing_validation_mode
    config.settings.writing_validation_mode = config.RAISE
    yield
    config.settings.writing_validation_mode = before


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _read(folder: Path) -> list[pydicom.Dataset]:
    return sorted((pydicom.dcmread(p) for p in folder.iterdir()), key=lambda ds: ds.ImagePositionPatient[2])


def _hu(ds: pydicom.Dataset) -> np.ndarray:
    stored = ds.pixel_array.astype(np.int32)
    hu = stored * int(ds.RescaleSlope) + int(ds.RescaleIntercept)
    return np.where(stored == ds.PixelPaddingValue, -1024, hu)


@pytest.mark.usefixtures("strict_dicom")
@pytest.mark.parametrize("seed", [3, 4])
def test_a_series_reads_back_as_made(tmp_path: Path, seed: int) -> None:
    phantom = phantom_ct("covid", seed, size=64, slices=12)
    names = write_ct(phantom, tmp_path)
    read = _read(tmp_path)
    assert np.array_equal(np.stack([_hu(ds) for ds in read]), phantom.voxels)
    assert [Path(str(ds.filename)).name for ds in read] == names
    z, y, x = phantom.geometry.spacing_mm
    heights = [float(ds.ImagePositionPatient[2]) for ds in read]
    assert np.diff(heights) == pytest.approx(z, abs=1e-3)
    assert [float(v) for v in read[0].ImagePositionPatient] == pytest.approx(phantom.geometry.origin_mm, abs=1e-3)
    for k, ds in enumerate(read):
        assert ds.SOPClassUID.name == "CT Image Storage"
        assert [float(v) for v in ds.PixelSpacing] == pytest.approx([y, x], abs=1e-5)
        assert float(ds.SliceThickness) == pytest.approx(phantom.scan.thickness_mm, abs=1e-3)
        assert list(ds.ImageOrientationPatient) == [1, 0, 0, 0, 1, 0]
        assert ds.InstanceNumber == (len(read) - k if phantom.scan.head_first else k + 1)
        assert (ds.ConvolutionKernel, ds.Modality, ds.RescaleType) == (phantom.scan.kernel, "CT", "HU")
        assert (ds.WindowCenter, ds.WindowWidth) == (-600, 1500)
        assert ds.PixelPaddingValue == -2000
        assert (ds.pixel_array[~phantom.scan.scanned] == -2000).all()
        assert ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID
    assert len({ds.SOPInstanceUID for ds in read}) == len(read)
    assert len({(ds.SeriesInstanceUID, ds.StudyInstanceUID, ds.FrameOfReferenceUID) for ds in read}) == 1


def test_names_are_in_no_order_of_position(tmp_path: Path) -> None:
    names = write_ct(phantom_ct("normal", 1, size=64, slices=20), tmp_path)
    ranks = np.argsort(np.argsort(names))
    assert abs(np.corrcoef(ranks, np.arange(20))[0, 1]) < 0.7


def test_a_series_never_claims_to_be_real(tmp_path: Path) -> None:
    write_ct(phantom_ct("normal", 1, size=64, slices=8), tmp_path)
    for ds in _read(tmp_path):
        assert ds.PatientName == "PHANTOM^SYNTHETIC"
        assert ds.PatientID == "PHANTOM-1"
        assert ds.Manufacturer == "pneumoscope phantom"
        assert not ds.StudyDate


def test_no_tag_but_the_uids_depends_on_the_label(tmp_path: Path) -> None:
    def told(label: str) -> list[str]:
        write_ct(phantom_ct(label, 6, size=64, slices=8), tmp_path / label)
        return [str([e for e in ds if e.VR != "UI" and e.keyword != "PixelData"]) for ds in _read(tmp_path / label)]

    assert told("normal") == told("pneumonia") == told("covid")


@pytest.mark.usefixtures("strict_dicom")
def test_a_localizer_says_what_it_is(tmp_path: Path) -> None:
    phantom = phantom_ct("normal", 1, size=64, slices=10)
    names = write_ct(phantom, tmp_path)
    ds = pydicom.dcmread(tmp_path / write_localizer(phantom, tmp_path))
    axial = pydicom.dcmread(tmp_path / names[0])
    assert list(ds.ImageType) == ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    assert list(ds.ImageOrientationPatient) == [1, 0, 0, 0, 0, -1]
    assert ds.SeriesInstanceUID != axial.SeriesInstanceUID
    assert (ds.StudyInstanceUID, ds.FrameOfReferenceUID) == (axial.StudyInstanceUID, axial.FrameOfReferenceUID)
    # its plane goes through the middle of the axial slices
    front, across = float(axial.ImagePositionPatient[1]), float(axial.PixelSpacing[0])
    assert float(ds.ImagePositionPatient[1]) == pytest.approx(front + 31.5 * across, abs=across)
    span = phantom.geometry.spacing_mm[0] * 10
    assert ds.Rows * float(ds.PixelSpacing[0]) == pytest.approx(span, rel=0.05)
    hu = ds.pixel_array.astype(float) - 1024
    assert hu[:, 28:36].mean() > hu[:, :4].mean() + 300
    # its first row is the head's end, at the height that it states
    top, step = float(ds.ImagePositionPatient[2]), float(ds.PixelSpacing[0])
    heights = float(axial.ImagePositionPatient[2]) + phantom.geometry.spacing_mm[0] * np.arange(10)
    seen = np.interp(heights, (top - step * np.arange(ds.Rows))[::-1], hu.mean(1)[::-1])
    assert np.corrcoef(seen, phantom.voxels.mean((1, 2)))[0, 1] > 0.98


@pytest.mark.parametrize("seed", [3, 4])
def test_a_series_is_read_as_it_was_made(tmp_path: Path, seed: int) -> None:
    phantom = phantom_ct("covid", seed, size=64, slices=12)
    names = write_ct(phantom, tmp_path)
    write_localizer(phantom, tmp_path)
    volume = load_study(tmp_path).volume
    assert volume is not None
    assert np.array_equal(volume.voxels, phantom.voxels)
    assert [Path(path).name for path in volume.slices] == names
    made, read = phantom.geometry, volume.geometry
    assert read.spacing_mm == pytest.approx(made.spacing_mm, abs=1e-3)
    assert read.origin_mm == pytest.approx(made.origin_mm, abs=1e-3)
    assert read.direction == made.direction


def test_a_dataset_is_complete_balanced_and_agrees_with_the_masks(tmp_path: Path) -> None:
    folder = write_cts(tmp_path / "set", patients=6, seed=4, size=64, slices=12)
    rows, slices = _rows(folder / "labels.csv"), _rows(folder / "slices.csv")
    assert list(rows[0]) == ["file", "label", "patient_id", "group_id", "modality", "view", "source"]
    assert Counter(row["label"] for row in rows) == dict.fromkeys(CT_LABELS, 2)
    assert [row["label"] for row in rows] != [*CT_LABELS, *CT_LABELS]  # no number tells a label
    assert {row["modality"] for row in rows} == {"ct"}
    assert all(row["label"] not in row["file"] for row in rows)
    infection = {row["file"]: row["infection"] for row in slices}
    files = {str(p.relative_to(folder)) for p in (folder / "series").rglob("*.dcm")}
    assert set(infection) == files
    assert list(infection) == sorted(infection)
    counts = set()
    for row in rows:
        paths = sorted((folder / row["file"]).iterdir())
        counts.add(len(paths))
        seen = [infection[str(p.relative_to(folder))] for p in paths]
        assert ("1" in seen) == (row["label"] != "normal")
        assert {str(pydicom.dcmread(p, stop_before_pixels=True).PatientID) for p in paths} == {row["patient_id"]}
    assert len(counts) > 1
    assert all(10 <= count <= 14 for count in counts)


def test_slices_csv_says_which_slices_have_a_lesion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def kept(*args: object, **options: object) -> object:
        made.append(phantom_ct(*args, **options))
        return made[-1]

    monkeypatch.setattr(ct_files, "phantom_ct", kept)
    folder = write_cts(tmp_path / "set", patients=3, seed=1, size=64, slices=12)
    infection = {row["file"]: row["infection"] for row in _rows(folder / "slices.csv")}
    for row, phantom in zip(_rows(folder / "labels.csv"), made, strict=True):
        names = [Path(str(ds.filename)).name for ds in _read(folder / row["file"])]
        told = [infection[f"{row['file']}/{name}"] == "1" for name in names]
        assert told == [bool(mask.any()) for mask in phantom.lesions]


def test_extras_lie_in_the_same_folder_as_series_of_their_own(tmp_path: Path) -> None:
    folder = write_cts(tmp_path / "set", patients=1, seed=2, size=64, slices=16, extras=True)
    (study,) = (folder / "series").iterdir()
    read = [pydicom.dcmread(p, stop_before_pixels=True) for p in study.iterdir()]
    series = Counter((str(ds.SeriesInstanceUID), ds.ImageType[2], str(ds.ConvolutionKernel)) for ds in read)
    assert Counter(kind for _, kind, _ in series) == {"AXIAL": 2, "LOCALIZER": 1}
    assert len({ds.SOPInstanceUID for ds in read}) == len(read)
    volume = load_study(study).volume
    assert volume is not None
    labelled = {str(folder / row["file"]) for row in _rows(folder / "slices.csv")}
    assert labelled == set(volume.slices)  # of the series that is read, and of no other
    assert len({ds.StudyInstanceUID for ds in read}) == 1


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    one, two = (write_cts(tmp_path / name, patients=2, seed=1, size=64, slices=8) for name in ("a", "b"))
    files = [p.relative_to(one) for p in sorted(one.rglob("*")) if p.is_file()]
    assert [(one / f).read_bytes() for f in files] == [(two / f).read_bytes() for f in files]


def test_a_folder_in_use_is_refused_and_a_failure_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(UsageError, match="expected a new or empty folder"):
        write_cts(tmp_path, patients=1, seed=0, size=64, slices=8)
    monkeypatch.setattr(ct_files, "write_ct", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_cts(tmp_path / "set", patients=1, seed=0, size=64, slices=8)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(("patients", "seed", "slices"), [(0, 1, 8), (3, -1, 8), (1, 1, 2)])
def test_numbers_out_of_range_are_refused(tmp_path: Path, patients: int, seed: int, slices: int) -> None:
    with pytest.raises(UsageError, match="expected"):
        write_cts(tmp_path / "set", patients=patients, seed=seed, size=64, slices=slices)
