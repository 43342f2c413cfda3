"""What a file's header says, of good files and of bad ones."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from dicom_making import DEFLATED, data_set, make, write
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pneumoscope.io import dicom
from pneumoscope.io.headers import Header, read_header

GREY = np.arange(600, dtype=np.uint8).reshape(20, 30)


def saved(pixels: np.ndarray, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


def header(folder: Path, data: bytes) -> Header:
    (folder / "x").write_bytes(data)
    return read_header(folder / "x", "x")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (saved(GREY, "PNG"), ("png", "8-bit grey")),
        (saved(GREY.astype(np.uint16) * 9, "PNG"), ("png", "16-bit grey")),
        (saved(GREY > 3, "PNG"), ("png", "1-bit grey")),
        (saved(np.dstack([GREY] * 3), "PNG"), ("png", "8-bit colour")),
        (saved(np.dstack([GREY] * 4), "PNG"), ("png", "8-bit colour with alpha")),
        (saved(GREY, "JPEG"), ("jpeg", "8-bit grey")),
        (saved(np.dstack([GREY] * 3), "JPEG", progressive=True), ("jpeg", "8-bit colour")),
        (make(GREY), ("dicom", "8-bit MONOCHROME2")),
        (make(GREY.astype(np.uint16), DEFLATED, BitsStored=12), ("dicom", "12-bit MONOCHROME2")),
    ],
)
def test_format_size_and_depth_are_told(tmp_path: Path, data: bytes, expected: tuple[str, str]) -> None:
    found = header(tmp_path, data)
    assert (found.format, found.depth) == expected
    assert (found.width, found.height, found.problem) == (30, 20, "")


def test_a_dicom_header_that_is_long_is_read_to_its_end(tmp_path: Path) -> None:
    ds = data_set(GREY)
    ds.add_new(0x00420011, "OB", bytes(dicom.DICOM_HEAD))
    assert header(tmp_path, write(ds)).width == 30


def test_the_pixels_of_a_dicom_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = make(np.zeros((600, 600), np.uint16))
    seen = []
    monkeypatch.setattr(dicom, "read_facts", lambda data, name: seen.append(len(data)) or real(data, name))
    assert header(tmp_path, data).width == 600
    assert seen == [dicom.DICOM_HEAD]


real = dicom.read_facts

BAD = [
    (b"", "an empty file"),
    (b"hello", "text"),
    (b"II*\0" + bytes(50), "TIFF"),
    (saved(GREY, "PNG")[:20], "png"),
    (saved(GREY, "PNG")[:16] + bytes(8) + saved(GREY, "PNG")[24:], "png"),  # 0 x 0
    (saved(GREY, "PNG")[:16] + b"\x7f" * 8 + saved(GREY, "PNG")[24:], "png"),  # 4 exapixels
    (saved(GREY, "JPEG")[:40], "jpeg"),
    (make(GREY, Modality="MR", SOPClassUID="1.2.840.10008.5.1.4.1.1.4"), "dicom"),
    (make(GREY)[:300], "dicom"),
    (b"\x08\0\x08\0" + bytes(30), "an unknown format"),
]


@pytest.mark.parametrize(("data", "kind"), BAD)
def test_what_cannot_be_read_is_a_problem_and_no_exception(tmp_path: Path, data: bytes, kind: str) -> None:
    found = header(tmp_path, data)
    assert found.format == kind
    assert found.problem.count("expected") == 1
    assert "\n" not in found.problem
    assert (found.width, found.height) == (0, 0)


def test_no_patient_is_named(tmp_path: Path) -> None:
    bad = make(GREY, Modality="MR", PatientName="Doe^Jane", PatientID="4711")
    assert not {"Doe", "4711"} & set(header(tmp_path, bad).problem.replace("^", " ").split())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_rights_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(saved(GREY, "PNG"))
    (tmp_path / "x").chmod(0)
    assert "permission" in read_header(tmp_path / "x", "x").problem


def test_a_file_that_is_gone_is_a_problem(tmp_path: Path) -> None:
    assert "no such file" in read_header(tmp_path / "x", "x").problem


@given(
    start=st.sampled_from([saved(GREY, "PNG"), saved(GREY, "JPEG"), make(GREY)]),
    at=st.integers(0, 400),
    junk=st.binary(min_size=1, max_size=40),
)
def test_damage_never_raises(tmp_path_factory: pytest.TempPathFactory, start: bytes, at: int, junk: bytes) -> None:
    found = header(tmp_path_factory.getbasetemp(), start[:at] + junk + start[at + len(junk) :])
    assert bool(found.problem) == (not found.width)
