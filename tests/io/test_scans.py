"""What a CT series, a zip of one and a NIfTI scan say before their pixels, through `read_header`."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_making import make
from hypothesis import given
from hypothesis import strategies as st
from series_making import body, nifti, series

from pneumoscope.errors import InputError
from pneumoscope.io.headers import Header, read_header
from pneumoscope.io.load import load_study
from pneumoscope.io.scans import nifti_scan

AXES = np.diag([-0.5, -0.75, 3.0, 1.0])


def folder(root: Path, files: dict[str, bytes]) -> Path:
    root.mkdir(parents=True)
    for name, data in files.items():
        (root / name).write_bytes(data)
    return root


def header(path: Path) -> Header:
    return read_header(path, path.name)


def test_a_folder_with_a_series(tmp_path: Path) -> None:
    root = folder(tmp_path / "s", series(ConvolutionKernel="B60f", Manufacturer="Maker", SliceThickness=1.5))
    found = header(root)
    assert (found.format, found.width, found.height, found.depth) == ("dicom series", 16, 16, "12-bit MONOCHROME2")
    scan = found.scan
    assert scan is not None
    assert (scan.slices, scan.spacing_mm) == (10, (2.0, 0.75, 0.5))
    assert (scan.thickness_mm, scan.kernel, scan.manufacturer) == (1.5, "B60f", "Maker")


def test_slices_are_told_from_feet_to_head_as_they_are_read(tmp_path: Path) -> None:
    for name, more in (("up", {}), ("down", {"ImageOrientationPatient": [1, 0, 0, 0, -1, 0]})):
        root = folder(tmp_path / name, series(**more))
        scan = header(root).scan
        volume = load_study(root).volume
        assert scan is not None
        assert volume is not None
        assert [str(path) for path in scan.files] == list(volume.slices)
        assert scan.spacing_mm == pytest.approx(volume.geometry.spacing_mm)


def test_a_zip_with_a_series_or_an_image(tmp_path: Path) -> None:
    for name, files in (("series", series()), ("image", {"one.dcm": make(np.zeros((5, 4), np.uint16))})):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as archive:
            for member, data in files.items():
                archive.writestr(f"deep/{member}", data)
    found = header(tmp_path / "series.zip")
    assert found.format == "zip with a dicom series"
    assert found.scan is not None
    assert (found.scan.slices, found.scan.files) == (10, ())
    image = header(tmp_path / "image.zip")
    assert (image.format, image.width, image.height, image.scan) == ("dicom", 4, 5, None)


def test_a_folder_with_one_image_is_that_image(tmp_path: Path) -> None:
    found = header(folder(tmp_path / "s", {"one.dcm": make(np.zeros((5, 4), np.uint16))}))
    assert (found.format, found.width, found.height, found.problem) == ("dicom", 4, 5, "")


def test_pixels_are_not_looked_at(tmp_path: Path) -> None:
    files = {name: data[:-100] for name, data in series().items()}
    assert header(folder(tmp_path / "s", files)).scan is not None


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"ImagePositionPatient": None}, "found neither"),
        ({"spoil": {2: {"Rows": 8, "pixels": body(1, 16)[0, :8]}}}, "columns and rows"),
        ({"step": 0.0}, "at several places"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "found a localizer"),
    ],
)
def test_slices_that_make_no_volume_are_a_problem(tmp_path: Path, more: dict[str, Any], said: str) -> None:
    found = header(folder(tmp_path / "s", series(**more)))
    assert said in found.problem
    assert str(tmp_path) not in found.problem
    assert (found.width, found.scan) == (0, None)


def test_nothing_and_several_studies_are_a_problem(tmp_path: Path) -> None:
    text = header(folder(tmp_path / "text", {"a.txt": b"hello"})).problem
    assert text.startswith("expected PNG")
    assert "found 1 files of none" in text
    files = {f"{k}{name}": data for k in "ab" for name, data in series(StudyInstanceUID=f"1.{ord(k)}").items()}
    assert "expected one study, found 2" in header(folder(tmp_path / "two", files)).problem


def test_a_nifti_scan_by_its_header(tmp_path: Path) -> None:
    stored = body(12, 16).transpose(2, 1, 0)[:, ::2]
    (tmp_path / "a.nii").write_bytes(nifti(stored, AXES))
    found = header(tmp_path / "a.nii")
    assert (found.format, found.width, found.height, found.depth) == ("nifti", 16, 8, "16-bit grey")
    assert found.scan is not None
    assert (found.scan.slices, found.scan.spacing_mm) == (12, (3.0, 0.75, 0.5))


@given(st.permutations(range(3)), st.tuples(*[st.sampled_from([-1, 1])] * 3), st.booleans())
def test_the_slices_of_a_nifti_scan_lie_along_the_axis_to_the_head(
    axes: list[int], signs: tuple[int, int, int], big: bool
) -> None:
    spacing = np.array([0.5, 0.75, 3.0])
    affine = np.eye(4)
    affine[:3, :3] = (np.diag(spacing * signs))[:, axes]
    stored = np.zeros([(16, 24, 40)[a] for a in axes], np.int16)
    scan = nifti_scan(nifti(stored, affine, order=">" if big else "<")[:352], "n")
    assert (scan.slices, scan.spacing_mm[0]) == (40, pytest.approx(3.0))
    assert {(scan.width, round(scan.spacing_mm[2], 3)), (scan.height, round(scan.spacing_mm[1], 3))} == {
        (16, 0.5),
        (24, 0.75),
    }


def test_the_spacing_of_a_leaning_scan_is_as_when_it_is_read(tmp_path: Path) -> None:
    affine = AXES.copy()
    affine[1, 2] = 1.2
    (tmp_path / "a.nii").write_bytes(nifti(body(12, 16).transpose(2, 1, 0), affine))
    scan, volume = header(tmp_path / "a.nii").scan, load_study(tmp_path / "a.nii").volume
    assert scan is not None
    assert volume is not None
    assert scan.spacing_mm == volume.geometry.spacing_mm == pytest.approx((3, 0.75, 0.5))


def test_a_quaternion_tells_the_axes_as_well() -> None:
    half = 0.5**0.5  # a quarter turn about the first axis: the second one goes to the head
    stored = np.zeros((16, 40, 24), np.int16)
    quaternion = (half, 0.0, 0.0, 0.0, 0.0, 0.0)
    pixdim = (1, 0.5, 3.0, 0.75, 0, 0, 0, 0)
    scan = nifti_scan(nifti(stored, np.eye(4), sform=0, qform=1, quaternion=quaternion, pixdim=pixdim)[:352], "n")
    assert (scan.slices, scan.spacing_mm) == (40, pytest.approx((3.0, 0.75, 0.5)))


@pytest.mark.parametrize(
    "put",
    [
        {"at_40": ("8h", (2, 9, 9, 1, 1, 1, 1, 1))},
        {"at_40": ("8h", (4, 9, 9, 9, 5, 1, 1, 1))},
        {"at_40": ("8h", (3, 9, 9, -9, 1, 1, 1, 1))},
        {"at_40": ("8h", (3, 9, 9, 32767, 1, 1, 1, 1))},
        {"at_40": ("8h", (3, 9, 9, 4, 1, 1, 1, 1))},
        {"at_70": ("h", 128)},
        {"at_123": ("B", 7)},
        {"at_252": ("h", 0), "at_254": ("h", 0)},
        {"at_280": ("f", float("nan"))},
        {"at_280": ("f", float("inf"))},
        {"at_280": ("f", 0.0)},
    ],
)
def test_a_nifti_header_that_is_none_is_refused(put: dict[str, tuple[str, Any]]) -> None:
    head = bytearray(nifti(np.zeros((9, 9, 9), np.int16), AXES)[:352])
    import struct

    for key, (form, value) in put.items():
        struct.pack_into("<" + form, head, int(key[3:]), *(value if isinstance(value, tuple) else (value,)))
    with pytest.raises(InputError, match="expected"):
        nifti_scan(bytes(head), "n")


@given(st.binary(min_size=352, max_size=352))
def test_any_bytes_are_a_scan_or_an_error(head: bytes) -> None:
    try:
        scan = nifti_scan(head, "n")
    except InputError:
        return
    assert scan.slices >= 8
