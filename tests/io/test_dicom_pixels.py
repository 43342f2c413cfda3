from __future__ import annotations

import numpy as np
import pytest
from dicom_making import (
    BIG_ENDIAN,
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
    slice_of,
    with_syntax,
    write,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.encaps import encapsulate


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, DEFLATED, BIG_ENDIAN, RLE, *LOSSLESS])
@pytest.mark.parametrize("signed", [False, True])
def test_stored_values_survive_each_syntax(syntax: str, signed: bool) -> None:
    rng = np.random.default_rng(0)
    low, high = (-1024, 3000) if signed else (0, 4096)
    stored = rng.integers(low, high, (24, 35)).astype(np.int16 if signed else np.uint16)
    data = slice_of(stored, syntax=syntax, BitsStored=16 if signed else 12)
    np.testing.assert_array_equal(pixels_of(data), stored.astype(np.float32) - 1024)


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, DEFLATED, RLE, *LOSSLESS])
def test_8_bit_images_survive_each_syntax(syntax: str) -> None:
    data = make(GREY, syntax, **WINDOW)
    np.testing.assert_allclose(pixels_of(data), GREY / 256, atol=1e-6)


@pytest.mark.parametrize("kind", ["50", "51", "91"])
def test_lossy_syntaxes_are_near(kind: str) -> None:
    smooth = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)
    data = by_pillow(smooth, f"1.2.840.10008.1.2.4.{kind}", **WINDOW)
    assert np.abs(pixels_of(data) * 256 - smooth).max() <= 4


def test_12_bit_jpeg_extended_is_refused_by_name() -> None:
    data = by_pillow(GREY, "1.2.840.10008.1.2.4.51")
    at = data.index(b"\xff\xc0\x00\x0b\x08")
    deep = data[:at] + b"\xff\xc1\x00\x0b\x0c" + data[at + 5 :]
    deep = deep.replace(b"\x28\0\0\x01US\2\0\x08\0", b"\x28\0\0\x01US\2\0\x10\0")
    assert "JPEG Extended of 8 bits, found 12 bits" in refusal(deep)


def test_big_endian_bytes_in_words_are_put_in_order() -> None:
    ds = data_set(GREY, **WINDOW)
    ds["PixelData"].VR = "OW"
    np.testing.assert_allclose(pixels_of(write(ds, BIG_ENDIAN)), GREY / 256, atol=1e-6)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.92", "1.2.840.10008.1.2.4.66", "1.2.3.4"])
def test_other_syntaxes_are_named(syntax: str) -> None:
    ds = data_set(GREY)
    ds.PixelData = encapsulate([b"\0" * 64])
    ds["PixelData"].VR = "OB"
    assert f"found {syntax}" in refusal(with_syntax(write(ds, "1.2.840.10008.1.2.4.50"), syntax))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 16), st.data())
def test_any_stored_bits_anywhere_in_the_word(stored: int, data: st.DataObject) -> None:
    high = data.draw(st.integers(stored - 1, 15))
    signed = data.draw(st.booleans())
    least = -(2 ** (stored - 1)) if signed else 0
    values = np.array(data.draw(st.lists(st.integers(least, least + 2**stored - 1), min_size=6, max_size=6)))
    junk = np.array(data.draw(st.lists(st.integers(0, 65535), min_size=6, max_size=6)))
    shift = high + 1 - stored
    mask = ((1 << stored) - 1) << shift
    words = ((values << shift) & mask | junk & ~mask).astype(np.uint16).reshape(2, 3)
    file = slice_of(words, BitsStored=stored, HighBit=high, PixelRepresentation=int(signed), RescaleIntercept=0)
    np.testing.assert_array_equal(pixels_of(file).ravel(), values.astype(np.float32))
