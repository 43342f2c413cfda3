from __future__ import annotations

import numpy as np
import pytest
from dicom_making import (
    CT,
    GREY,
    WINDOW,
    data_set,
    make,
    pixels_of,
    refusal,
    write,
)
from pydicom import Dataset

from pneumoscope.io.dicom import read_dicom


def test_window_is_that_of_the_standard() -> None:
    ds = data_set(GREY, WindowCenter=100, WindowWidth=50)
    from pydicom.pixels.processing import apply_windowing  # an oracle: 0..255 for 8 bits

    oracle = np.asarray(apply_windowing(GREY, ds)) / 255
    np.testing.assert_allclose(pixels_of(write(ds)), oracle, atol=1e-6)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_window_functions_after_rescale(function: str) -> None:
    from pydicom.pixels.processing import apply_modality_lut, apply_windowing

    stored = np.arange(1200, dtype=np.uint16).reshape(30, 40)
    more = {"WindowCenter": [700, 10], "WindowWidth": [900, 20], "VOILUTFunction": function, "BitsStored": 12}
    ds = data_set(stored, RescaleSlope=2, RescaleIntercept=-100, RescaleType="US", **more)
    out = np.asarray(apply_windowing(np.asarray(apply_modality_lut(stored, ds)), ds))
    low, high = -100, 2 * 4095 - 100
    image, _ = read_dicom(write(ds), "x.dcm")
    np.testing.assert_allclose(image.pixels, (out - low) / (high - low), atol=2e-6)
    assert [s.name for s in image.steps] == ["rescale", "window"]


def test_no_window_is_said() -> None:
    image, _ = read_dicom(make(GREY), "x.dcm")
    np.testing.assert_allclose(image.pixels, GREY / GREY.max(), atol=1e-6)
    assert "no window" in image.warnings[0]
    assert image.steps[0].name == "stretch"


@pytest.mark.parametrize("width", [0, -5, 0.5])
def test_a_useless_window_is_said(width: float) -> None:
    image, _ = read_dicom(make(GREY, WindowCenter=5, WindowWidth=width), "x.dcm")
    assert "cannot be used" in image.warnings[0]


def lut(values: np.ndarray, first: int, bits: int = 16) -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(values) & 0xFFFF, first, bits])
    item.add_new("LUTData", "OW", values.astype("<u2").tobytes())
    return item


def test_voi_lut_goes_before_the_window_and_to_its_own_range() -> None:
    table = (np.arange(256)[::-1] ** 2 // 16).astype(np.uint16)  # 12 bits used, 16 stated
    ds = data_set(GREY, VOILUTSequence=[lut(table, 0)], **WINDOW)
    image, _ = read_dicom(write(ds), "x.dcm")
    np.testing.assert_allclose(image.pixels, table[GREY] / table.max(), atol=1e-6)
    assert [(s.name, s.args) for s in image.steps] == [("lut", {"of": "voi"})]


def test_lut_ends_and_negative_first_value() -> None:
    stored = np.array([[-300, -100, 0], [50, 100, 400]], dtype=np.int16)
    ds = data_set(stored, VOILUTSequence=[lut(np.arange(201), -100)])
    np.testing.assert_allclose(pixels_of(write(ds)), [[0, 0, 0.5], [0.75, 1, 1]], atol=1e-6)


def test_modality_lut_then_window() -> None:
    ds = data_set(GREY, ModalityLUTSequence=[lut(np.arange(256) * 4, 0)], WindowCenter=512, WindowWidth=1024)
    ds.VOILUTFunction = "LINEAR_EXACT"
    np.testing.assert_allclose(pixels_of(write(ds)), GREY.astype(float) * 4 / 1024, atol=1e-6)


def test_a_short_lut_is_refused() -> None:
    item = lut(np.arange(256), 0)
    item.LUTDescriptor = [300, 0, 16]
    assert "LUTData: expected 300 entries, found 256" in refusal(write(data_set(GREY, VOILUTSequence=[item])))


@pytest.mark.parametrize(
    "more",
    [
        {"PhotometricInterpretation": "MONOCHROME1"},
        {"PresentationLUTShape": "INVERSE"},
        {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"},
    ],
)
def test_inverse_images_are_turned_once(more: dict[str, str]) -> None:
    image, _ = read_dicom(make(GREY, **WINDOW, **more), "x.dcm")
    np.testing.assert_allclose(image.pixels, 1 - GREY / 256, atol=1e-6)
    assert image.steps[-1].name == "invert"


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_dark_and_out_of_the_range(photometric: str) -> None:
    stored = np.full((10, 10), 1000, np.uint16)
    stored[2:8, 2:8] = np.linspace(1200, 2000, 36).astype(np.uint16).reshape(6, 6)
    stored[0], stored[1] = 5000, 5010
    more = {"PixelPaddingValue": 5000, "PixelPaddingRangeLimit": 5010, "PhotometricInterpretation": photometric}
    image, _ = read_dicom(make(stored, **more), "x.dcm")
    expected = (stored.astype(float) - 1000) / 1000
    expected = 1 - expected if photometric == "MONOCHROME1" else expected
    expected[:2] = 0
    np.testing.assert_allclose(image.pixels, expected, atol=1e-6)


def test_signed_padding_written_unsigned() -> None:
    stored = np.array([[-2000, 0], [100, 200]], dtype=np.int16)
    ds = data_set(stored, Modality="CT", SOPClassUID=CT, RescaleSlope=1, RescaleIntercept=-1000)
    ds.add_new("PixelPaddingValue", "US", 65536 - 2000)
    image, _ = read_dicom(write(ds), "x.dcm")
    np.testing.assert_array_equal(image.pixels, [[-1024, -1000], [-900, -800]])


def test_nothing_but_padding_is_refused() -> None:
    assert "nothing but padding" in refusal(make(GREY * 0, PixelPaddingValue=0))
