from __future__ import annotations

import io
import logging
import struct
import tracemalloc
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pydicom
import pytest
from dicom_making import (
    DEFLATED,
    EXPLICIT,
    GREY,
    IMPLICIT,
    LOSSLESS,
    RLE,
    WINDOW,
    by_pillow,
    data_set,
    make,
    pixels_of,
    refusal,
    with_syntax,
    write,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.encaps import encapsulate

from pneumoscope.errors import InputError
from pneumoscope.io.dicom import read_dicom, read_facts


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"NumberOfFrames": 2}, "NumberOfFrames: expected 1, found 2"),
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, "found RGB"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "found PALETTE COLOR"),
        ({"PhotometricInterpretation": "YBR_FULL_422"}, "found YBR_FULL_422"),
        ({"SamplesPerPixel": 3}, "PhotometricInterpretation"),
        ({"Rows": 65535, "Columns": 65535}, "at most 50 megapixels, found 65535 x 65535"),
        ({"Rows": 0}, "at least 1 x 1"),
        ({"Rows": None}, "Rows: expected a number, found none"),
        ({"Rows": 4000}, "pixel data: expected 120,000 bytes, found 1,200"),
        ({"BitsAllocated": 32}, "found 32/"),
        ({"BitsStored": 9}, "found 8/9/"),
        ({"HighBit": 9}, "found 8/8/9"),
        ({"RescaleSlope": 0, "RescaleIntercept": 1}, "RescaleSlope"),
    ],
)
def test_absurd_headers_are_refused(attributes: dict[str, Any], said: str) -> None:
    assert said in refusal(make(GREY, **attributes))


def test_no_pixel_data() -> None:
    ds = data_set(GREY)
    del ds.PixelData
    assert "expected pixel data, found none" in refusal(write(ds))
    with pytest.raises(InputError, match="expected pixel data, found none"):
        read_facts(write(ds), "x.dcm")


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, DEFLATED, RLE, "1.2.840.10008.1.2.4.70", *LOSSLESS[2:]])
def test_truncated_anywhere_is_one_line(syntax: str, capfd: pytest.CaptureFixture[str]) -> None:
    data = make(GREY, syntax, **WINDOW)
    end = len(data) - (12 if syntax in (RLE, *LOSSLESS) else 2)  # the last bytes may be padding and delimiters
    for cut in [*range(0, 200, 7), *range(200, end, 41), end]:
        refusal(data[:cut])
    assert capfd.readouterr() == ("", "")


def test_truncated_baseline_in_a_whole_file_is_refused() -> None:
    ds = data_set(GREY)
    whole = pydicom.dcmread(io.BytesIO(by_pillow(GREY))).PixelData
    from pydicom.encaps import get_frame

    frame = get_frame(whole, 0, number_of_frames=1)
    for cut in range(2, len(frame) - 2, 37):
        ds.PixelData = encapsulate([frame[:cut]])
        ds["PixelData"].VR = "OB"
        refusal(write(ds, "1.2.840.10008.1.2.4.50"))


def test_a_stream_of_another_size_than_the_header_is_refused() -> None:
    data = by_pillow(GREY)
    at = data.index(b"\xff\xc0\x00\x0b\x08") + 5
    bomb = data[:at] + struct.pack(">HH", 65500, 65500) + data[at + 4 :]
    assert "found 65500 x 65500" in refusal(bomb)
    j2k = make(GREY, "1.2.840.10008.1.2.4.90")
    at = j2k.index(b"\xff\x4f\xff\x51") + 8
    bomb = j2k[:at] + struct.pack(">II", 2**31 - 1, 2**31 - 1) + j2k[at + 8 :]
    assert "compressed pixel data: expected 30 x 40" in refusal(bomb)


def test_an_app_segment_that_libjpeg_warns_of_does_not_end_the_process() -> None:
    data = by_pillow(GREY, **WINDOW)
    at = data.index(b"JFIF\0") + 5
    odd = data[:at] + b"\xa1" + data[at + 1 :]
    np.testing.assert_array_equal(pixels_of(odd), pixels_of(data))
    soi = data.index(b"\xff\xd8\xff\xe0") + 2
    for junk in (b"\0\0\0\0", b"\xff\0\0\x10", b"\xff\xd0\0\x10"):
        refusal(data[:soi] + junk + data[soi + 4 :])


def test_a_deflate_bomb_is_refused_in_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pneumoscope.io.dicom.MAX_INFLATED", 8 * 2**20)
    whole = make(GREY, DEFLATED)
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = engine.compress(b"\x08\0\x05\0UN\0\0\xf0\xff\xff\x7f")
    body += b"".join(engine.compress(bytes(2**20)) for _ in range(64)) + engine.flush()
    bomb = whole[: 144 + int.from_bytes(whole[140:144], "little")] + body
    assert len(bomb) < 2**20
    with peak_below(20):
        assert "at most 8 MiB" in refusal(bomb)


def test_a_run_length_bomb_stops_at_the_size() -> None:
    ds = data_set(GREY, **WINDOW)
    ds.PixelData = encapsulate([struct.pack("<16I", 1, 64, *[0] * 14) + b"\x81\x05" * 2**20])
    ds["PixelData"].VR = "OB"
    with peak_below(30):
        np.testing.assert_allclose(pixels_of(with_syntax(write(ds, "1.2.840.10008.1.2.4.50"), RLE)), 5 / 256)


@contextmanager
def peak_below(mebibytes: float) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < mebibytes * 2**20
    finally:
        tracemalloc.stop()


def test_lengths_and_nesting_that_lie() -> None:
    data = make(GREY)
    at = data.index(b"\x20\0\x0d\0UI")  # StudyInstanceUID
    for element in (
        b"\x20\0\x0c\0SQ\0\0\xff\xff\xff\xff"
        + b"\xfe\xff\x00\xe0\xff\xff\xff\xff\x20\0\x0c\0SQ\0\0\xff\xff\xff\xff" * 3000,
        b"\x20\0\x0c\0SQ\0\0\xfe\xff\xff\x7f",
        b"\x20\0\x0c\0OB\0\0\xff\xff\xff\xff",
        b"\x20\0\x0c\0UN\0\0\xff\xff\xff\x7f",
    ):
        refusal(data[:at] + element + data[at:])


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_flipped_bytes_read_or_refuse_on_one_line(data: st.DataObject) -> None:
    file = bytearray(make(GREY, data.draw(st.sampled_from([EXPLICIT, IMPLICIT, RLE])), WindowCenter=9, WindowWidth=3))
    for _ in range(data.draw(st.integers(1, 8))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    try:
        image, _ = read_dicom(bytes(file), "x.dcm")
    except InputError:
        refusal(bytes(file))
    else:
        assert np.isfinite(image.pixels).all()


def test_invalid_values_neither_warn_nor_leak_nor_stay(caplog: pytest.LogCaptureFixture) -> None:
    ds = data_set(GREY, **WINDOW)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds.add_new("PatientBirthDate", "DA", "Doe")
        ds.add_new("SeriesInstanceUID", "UI", "98C1066-not-a-uid")
        ds.add_new("SeriesNumber", "IS", "7")
        ds.add_new("BodyPartExamined", "CS", "chest, of a patient whose name is very long indeed")
        data = write(ds)
    before = list(warnings.filters), pydicom.config.settings.reading_validation_mode
    caplog.clear()
    with caplog.at_level(logging.DEBUG):
        _, facts = read_dicom(data, "x.dcm")
    assert facts.series_uid == "98C1066-not-a-uid"
    assert before == (list(warnings.filters), pydicom.config.settings.reading_validation_mode)
    assert caplog.text == ""


def test_text_where_a_number_belongs() -> None:
    data = make(GREY, WindowCenter=123.25, WindowWidth=77)
    assert "WindowCenter: expected a number" in refusal(data.replace(b"123.25", b"many  "))
    assert "WindowCenter: expected a finite number" in refusal(data.replace(b"123.25", b"inf   "))
