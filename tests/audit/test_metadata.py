"""Metadata: what a header gives away becomes numbers, and the picture does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from pneumoscope.audit.metadata import BYTES, DICOM, FILE, ORIGINAL, facts_about, table
from pneumoscope.phantoms.files import write_dicom
from pneumoscope.phantoms.xray import make_xray


def jpeg(path: Path, *, quality: int, seed: int = 0, size: tuple[int, int] = (48, 32)) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 255, size[::-1], dtype=np.uint8)
    Image.fromarray(pixels).save(path, quality=quality)
    return path


def test_quality_shows_in_the_tables_and_the_picture_does_not(tmp_path: Path) -> None:
    one = facts_about(jpeg(tmp_path / "a.jpg", quality=60), {})[FILE]
    other = facts_about(jpeg(tmp_path / "b.jpg", quality=90), {})[FILE]
    same = facts_about(jpeg(tmp_path / "c.jpg", quality=60, seed=1), {})[FILE]
    assert (one["width"], one["height"], one["aspect"], one["format"]) == (48.0, 32.0, 1.5, "jpeg")
    assert float(one["table 0"]) > float(other["table 0"])
    assert one["tables"] == same["tables"] != other["tables"]
    assert facts_about(tmp_path / "a.jpg", {})[BYTES]["bytes"] == (tmp_path / "a.jpg").stat().st_size


def test_the_original_size_is_a_group_of_its_own_and_absent_where_it_is_not_given(tmp_path: Path) -> None:
    path = jpeg(tmp_path / "a.jpg", quality=60)
    found = facts_about(path, {"orig_w": "1024", "orig_h": "512", "orig_name": "x/IMG.PNG"})[ORIGINAL]
    assert found == {"width": 1024, "height": 512, "aspect": 2.0, "pixels": 524288, "format": ".png"}
    for row in ({}, {"orig_w": "", "orig_h": ""}, {"orig_w": "0", "orig_h": "5"}, {"orig_w": "many", "orig_h": "5"}):
        assert set(facts_about(path, row)) == {FILE, BYTES}


def test_dicom_headers(tmp_path: Path) -> None:
    write_dicom(make_xray("normal", 1, size=64), tmp_path / "a.dcm")
    found = facts_about(tmp_path / "a.dcm", {})
    assert set(found) == {FILE, DICOM, BYTES}
    assert found[DICOM]["Rows"] == 64.0
    assert isinstance(found[DICOM]["Manufacturer"], str)
    assert not any("Patient" in name for name in found[DICOM])


def test_a_file_that_cannot_be_read_tells_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    assert facts_about(tmp_path / "a.jpg", {}) == {}


def test_numbers_are_columns_and_frequent_texts_are_too() -> None:
    facts = [{"w": 3.0, "f": "png"}, {"w": 4.0, "f": "jpeg"}, {"f": "png"}]
    assert table(facts).tolist() == [[3, 1, 0], [4, 0, 1], [-1, 1, 0]]
    assert table([{}, {}]).shape == (2, 0)
    many = table([{"f": f"value {i}"} for i in range(50)])
    assert many.shape == (50, 12)
