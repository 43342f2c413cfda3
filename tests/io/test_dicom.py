from __future__ import annotations

import numpy as np
import pytest
from dicom_making import (
    BIG_ENDIAN,
    CT,
    EXPLICIT,
    GREY,
    IMPLICIT,
    WINDOW,
    make,
    pixels_of,
    refusal,
    slice_of,
    without_meta,
)

from pneumoscope.core.study import pseudonym
from pneumoscope.io.dicom import is_dicom, read_dicom, read_facts


def test_facts_of_an_xray() -> None:
    data = make(GREY, ViewPosition="pa", BodyPartExamined="CHEST", PixelSpacing=[0.2, 0.3], SeriesNumber=3, **WINDOW)
    image, facts = read_dicom(data, "x.dcm")
    assert facts == read_facts(data, "x.dcm")
    assert (facts.modality, facts.view, facts.body_part, facts.series_number) == ("xray", "PA", "CHEST", 3)
    assert facts.patient == pseudonym("MRN-4711")
    assert facts.study_uid == "1.2.3"
    assert image.geometry is not None
    assert image.geometry.spacing_mm == (0.2, 0.3)
    assert image.geometry.origin_mm is None
    assert "Doe" not in repr((image, facts))
    assert "4711" not in repr((image, facts))


def test_no_patient_id_is_no_patient() -> None:
    for identifier in (None, "", "  "):
        assert read_facts(make(GREY, PatientID=identifier), "x").patient is None


def test_detector_spacing_is_recorded() -> None:
    image, _ = read_dicom(make(GREY, ImagerPixelSpacing=[0.1, 0.1], **WINDOW), "x.dcm")
    assert image.geometry is not None
    assert image.geometry.spacing_mm == (0.1, 0.1)
    assert image.steps[-1].args == {"from": "ImagerPixelSpacing"}
    assert read_dicom(make(GREY, PixelSpacing=[0, 0.1]), "x.dcm")[0].geometry is None


@pytest.mark.parametrize(
    ("orientation", "view"),
    [([1, 0, 0, 0, 1, 0], "axial"), ([1, 0, 0, 0, 0, -1], "coronal"), ([0, 1, 0, 0, 0, -1], "sagittal")],
)
def test_ct_has_a_place(orientation: list[int], view: str) -> None:
    place = {"ImagePositionPatient": [-1, -2, 3.5], "ImageOrientationPatient": orientation, "PixelSpacing": [2, 1]}
    image, facts = read_dicom(slice_of(GREY.astype(np.uint16), **place), "x.dcm")
    assert (image.unit, image.modality, image.view, facts.view) == ("HU", "ct", view, view)
    assert image.geometry is not None
    assert image.geometry.origin_mm == (-1, -2, 3.5)
    assert image.geometry.spacing_mm == (2, 1)
    assert image.geometry.direction == tuple(orientation)


def test_ct_without_rescale_is_refused() -> None:
    assert "Hounsfield" in refusal(slice_of(GREY.astype(np.uint16), RescaleSlope=None))


def test_a_single_slice_says_what_a_series_says() -> None:
    stored = np.array([[0, 1000], [1044, 2047]], np.uint16)
    water = {"RescaleIntercept": 0, "PixelPaddingValue": 0}
    image, _ = read_dicom(slice_of(stored, RescaleType="OD", **water), "x.dcm")
    np.testing.assert_array_equal(image.pixels, stored.astype(np.float32))
    assert "PixelPaddingValue 0 stands for 0 HU, which tissue has as well: 1 voxels" in image.warnings[0]
    assert "RescaleType is OD; values were taken" in image.warnings[1]
    image, _ = read_dicom(slice_of(stored, RescaleSlope=0.5, PixelPaddingValue=0), "x.dcm")
    assert image.pixels.tolist() == [[-1024, -524], [-502, -0.5]]  # nothing is rounded
    assert image.steps[1].args == {"pixels": 1, "to": -1024.0}
    assert image.warnings == ()


def test_padding_of_an_xray_that_does_not_fit_its_bits_is_dark() -> None:
    stored = np.array([[65535, 1000], [2000, 4095]], np.uint16)
    data = make(stored, BitsStored=12, PixelPaddingValue=65535, PhotometricInterpretation="MONOCHROME1")
    assert pixels_of(data)[0, 0] == 0  # in 12 bits it would be 4095, as the brightest is
    assert pixels_of(data)[0, 1] == 1


@pytest.mark.parametrize("modality", ["MR", "US", "NM", "MG", "PT", "RTPLAN", "XA", "OT"])
def test_other_modalities_are_named(modality: str) -> None:
    assert f"Modality: expected CR, DX or CT, found {modality}." in refusal(make(GREY, Modality=modality))


@pytest.mark.parametrize("modality", ["CR", "DX", "RG", "dx "])
def test_xray_modalities(modality: str) -> None:
    assert read_facts(make(GREY, Modality=modality), "x").modality == "xray"


def test_without_modality_the_class_decides() -> None:
    assert read_facts(make(GREY, Modality=None), "x").modality == "xray"
    assert read_facts(make(GREY, Modality=None, SOPClassUID=CT), "x").modality == "ct"
    assert "found none, of SOP class" in refusal(make(GREY, Modality=None, SOPClassUID="1.2.840.10008.5.1.4.1.1.7"))


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG_ENDIAN])
def test_no_meta_header(syntax: str) -> None:
    pixels = GREY.astype(np.uint16)
    bare = without_meta(make(pixels, syntax, **WINDOW))
    np.testing.assert_allclose(pixels_of(bare), pixels / 256, atol=1e-6)
    assert is_dicom(bare)


def test_one_stray_byte_is_skipped_aloud() -> None:
    image, _ = read_dicom(b" " + without_meta(make(GREY, **WINDOW)), "x.dcm")
    np.testing.assert_allclose(image.pixels, GREY / 256, atol=1e-6)
    assert "stray byte" in image.warnings[-1]


@pytest.mark.parametrize("junk", [b"", b"\x08\0", b"\x08\0\x05\0CS\x0a\0ISO_IR 100", b"\x08\0" * 500, b"text " * 50])
def test_junk_is_no_dicom(junk: bytes) -> None:
    assert not is_dicom(junk)
    refusal(junk)
