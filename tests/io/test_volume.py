"""A series as int16 in Hounsfield units: exact values, padding, copies, and values that cannot be right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from dicom_making import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT, LOSSLESS, RLE, data_set, write
from hypothesis import given
from hypothesis import strategies as st
from series_making import body, members, series, slice_set

from pneumoscope.core.image import Volume
from pneumoscope.errors import InputError
from pneumoscope.io.dicom_pixels import Layout, padding_range
from pneumoscope.io.dicom_slice import AIR, SliceFacts, write_hounsfield
from pneumoscope.io.volume import implausible, read_series


def volume(files: Mapping[str, bytes]) -> Volume:
    return read_series(members(dict(files)), lambda m: files[m.path], "scan")


def refusal(files: Mapping[str, bytes]) -> str:
    with pytest.raises(InputError) as caught:
        volume(files)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED, RLE, *LOSSLESS[1:]])
def test_every_syntax_gives_the_same_voxels(syntax: str) -> None:
    read = volume(series(syntax=syntax))
    np.testing.assert_array_equal(read.voxels, body())
    assert read.voxels.flags.c_contiguous
    assert read.geometry.spacing_mm == (2, 0.75, 0.5)
    assert read.geometry.origin_mm == (-10, -20, -100)
    assert read.slices == tuple(f"{10 - i:03d}.dcm" for i in range(10))
    assert read.warnings == ()
    assert [s.name for s in read.steps] == ["order", "rescale"]


def test_a_signed_series_of_16_bits() -> None:
    np.testing.assert_array_equal(volume(series(PixelRepresentation=1, BitsStored=16)).voxels, body())


IN_PLANE = [(r, c) for r in ((1, 0), (-1, 0), (0, 1), (0, -1)) for c in ((1, 0), (-1, 0), (0, 1), (0, -1))]


@pytest.mark.parametrize(("row", "column"), [(r, c) for r, c in IN_PLANE if r[0] * c[0] + r[1] * c[1] == 0])
def test_the_patient_may_lie_as_he_likes(row: tuple[int, int], column: tuple[int, int]) -> None:
    """Each voxel of the volume is where its slice said."""
    hu = np.arange(10 * 16 * 16).reshape(10, 16, 16).astype(np.int16) - 1000
    read = volume(series(hu, ImageOrientationPatient=[*row, 0, *column, 0]))
    geometry = read.geometry
    assert geometry.origin_mm is not None
    for z, y, x in np.argwhere(read.voxels > -5000)[::97]:
        place = np.array(geometry.origin_mm) + np.array([x, y, z]) * np.array(geometry.spacing_mm)[::-1]
        k, r, c = np.argwhere(hu == read.voxels[z, y, x])[0]
        expected = (
            np.array([-10.0, -20, -100 + 2 * k]) + c * 0.5 * np.array([*row, 0]) + r * 0.75 * np.array([*column, 0])
        )
        np.testing.assert_allclose(place, expected, atol=1e-9)
        assert read.slices[z] == f"{10 - k:03d}.dcm"


def test_slope_and_intercept_of_each_slice() -> None:
    spoil = {i: {"RescaleSlope": 1 + i % 2, "RescaleIntercept": -1100 + 2 * i} for i in range(10)}
    read = volume(series(spoil=spoil))
    assert np.abs(read.voxels.astype(int) - body()).max() <= 1  # odd numbers of HU are not stored by a slope of 2
    assert read.steps[1].args["slopes"] == [1, 2]
    assert read.warnings == ()


def test_broken_slopes_are_rounded_aloud() -> None:
    read = volume(series(RescaleSlope=0.75, RescaleIntercept=-1024.5))
    assert np.abs(read.voxels.astype(int) - body()).max() <= 1
    assert "rounded to whole HU" in read.warnings[0]


def test_padding_becomes_air_and_is_no_proof_of_air() -> None:
    hu = body()
    hu[:, :2] = -2000 - 1024
    more = {"PixelRepresentation": 1, "BitsStored": 16, "PixelPaddingValue": -2000}
    read = volume(series(hu, **more))
    assert (read.voxels[:, :2] == AIR).all()
    np.testing.assert_array_equal(read.voxels[:, 2:], hu[:, 2:])
    assert read.steps[2].args == {"voxels": 10 * 2 * 16, "to": AIR}
    hu[:, 2:] = 40
    assert "expected air (-1020 to -800), found hardly any" in volume(series(hu, **more)).warnings[0]


@pytest.mark.parametrize(("signed", "stated"), [(0, 63536), (0, -2000), (1, 63536), (1, -2000)])
def test_padding_may_be_written_with_the_other_sign(signed: int, stated: int) -> None:
    facts = data_set(np.zeros((2, 2), np.uint16), PixelRepresentation=signed)
    facts.add_new(0x00280120, "SS" if stated < 0 else "US", stated)
    value = -2000 if signed else 63536
    assert padding_range(facts, bool(signed)) == (value, value)


def test_true_heights_are_recorded_from_feet_to_head() -> None:
    gap = {3: {"leave_out": True}}
    turned: dict[str, Any] = {"ImageOrientationPatient": [1, 0, 0, 0, -1, 0]}
    for more in ({}, turned):
        read = volume(series(spoil=gap, **more))
        assert read.steps[0].args["heights_mm"] == [0, 2, 4, 8, 10, 12, 14, 16, 18]
        assert read.slices[3] == "006.dcm"
    assert "heights_mm" not in volume(series()).steps[0].args


def test_padding_that_may_be_tissue_is_kept_aloud() -> None:
    """0 without an intercept is water: half of an organ would become air."""
    hu = body()
    hu[:, 6:8, 8:10] = 0
    read = volume(series(hu, PixelRepresentation=1, BitsStored=16, RescaleIntercept=0, PixelPaddingValue=0))
    np.testing.assert_array_equal(read.voxels, hu)
    (warning,) = read.warnings
    assert warning.startswith("PixelPaddingValue 0 stands for 0 HU, which tissue has as well: 40 voxels of it were")
    assert [s.name for s in read.steps] == ["order", "rescale"]


@pytest.mark.parametrize(
    ("value", "limit", "kept"),
    [(123, None, False), (124, None, True), (0, 123, False), (0, 124, True), (4095, None, True), (4096, None, False)],
)
def test_padding_is_kept_where_its_value_is_of_tissue(value: int, limit: int | None, kept: bool) -> None:
    stored = np.array([[value if limit is None else limit, 1000]], np.uint16)
    layout = Layout(1, 2, 16, 16, 15, False, (value, value if limit is None else limit))
    out = np.empty((1, 2), np.int16)
    written = write_hounsfield(stored, SliceFacts(layout=layout, rescale=(1.0, -1024.0)), out)
    assert (written.padded, written.kept) == ((0, 1) if kept else (1, 0))
    assert (out[0, 0] == AIR) != kept


@pytest.mark.parametrize("signed", [0, 1])
@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED, RLE])
def test_padding_that_does_not_fit_its_bits_is_known_before_they_are_cut(syntax: str, signed: int) -> None:
    """63536 in 12 bits would be 2096, which is bone, and bone is kept."""
    hu = body()
    hu[:, 5, 5] = 1072 if not signed else -24  # what the padding would become
    outside = (63536 if not signed else -3096) - 1024
    hu = hu.astype(np.int32)
    hu[:, 0, 1:-1] = outside
    padding = 63536 if not signed else -3096
    more: dict[str, Any] = {"PixelRepresentation": signed, "PixelPaddingValue": padding}
    read = volume(series(hu, syntax=syntax, **more))
    assert (read.voxels[:, 0, 1:-1] == AIR).all()
    np.testing.assert_array_equal(read.voxels[:, 1:], hu[:, 1:])
    assert read.warnings == ()
    assert read.steps[2].args["voxels"] == 10 * 14
    (warning,) = volume(series(syntax=syntax, **more)).warnings
    assert f"PixelPaddingValue {padding} does not fit BitsStored 12, and no voxel has it" in warning


@pytest.mark.parametrize("syntax", [EXPLICIT, BIG_ENDIAN])
def test_a_series_of_8_bits(syntax: str) -> None:
    """In words of Big Endian the bytes are swapped in pairs, which only the parser knows."""
    stored = (body().astype(int) + 1024) // 8
    files = {}
    for i, plane in enumerate(stored):
        ds = slice_set(body()[i], i, 2.0 * i, BitsAllocated=8, BitsStored=8, RescaleSlope=8)
        ds.PixelData = plane.astype(np.uint8).tobytes()
        ds["PixelData"].VR = "OW"
        files[f"{i}.dcm"] = write(ds, syntax)
    np.testing.assert_array_equal(volume(files).voxels, stored * 8 - 1024)


def test_values_beyond_int16_are_clipped_aloud() -> None:
    hu = body().astype(np.float64)
    hu[4, 8, 8] = 40000
    read = volume(series(hu, RescaleIntercept=-1100, BitsStored=16))
    assert read.voxels[4, 8, 8] == 32767
    assert "1 voxels were beyond -32768 to 32767 HU" in read.warnings[0]


@given(st.data())
def test_hounsfield_units_are_exact_wherever_they_can_be(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["u1", "u2", "i2"]))
    limits = np.iinfo(kind)
    stored = np.array([data.draw(st.lists(st.integers(limits.min, limits.max), min_size=1, max_size=6))], kind)
    intercept = float(data.draw(st.integers(-70000, 70000)))
    slope = data.draw(st.sampled_from([1.0, 2.0, 0.5, -1.0]))
    layout = Layout(1, stored.shape[1], stored.dtype.itemsize * 8, stored.dtype.itemsize * 8, 15, kind == "i2")
    out = np.empty(stored.shape, np.int16)
    written = write_hounsfield(stored, SliceFacts(layout=layout, rescale=(slope, intercept)), out)
    exact = stored.astype(np.float64) * slope + intercept
    expected = np.clip(np.rint(exact), -32768, 32767)
    np.testing.assert_array_equal(out, expected)
    assert written.clipped == int((np.rint(exact) != expected).sum())
    assert written.rounded == bool((np.rint(exact) != exact).any())


def test_a_huge_slope_is_clipped() -> None:
    out = np.empty((1, 2), np.int16)
    facts = SliceFacts(layout=Layout(1, 2, 16, 16, 15, False), rescale=(1e300, 0.0))
    assert write_hounsfield(np.array([[60000, 0]], np.uint16), facts, out).clipped == 1
    assert out.tolist() == [[32767, 0]]


def test_the_same_slice_twice_is_read_once() -> None:
    files = series()
    files |= {f"copy{i}.dcm": files[f"00{i}.dcm"] for i in range(1, 6)}
    read = volume(files)
    np.testing.assert_array_equal(read.voxels, body())
    assert read.warnings[0].startswith("5 slice(s) stand there twice")
    assert "copy5.dcm, copy4.dcm, copy3.dcm and 2 more" in read.warnings[0]


def test_two_reconstructions_in_one_series_are_refused() -> None:
    files = series(AcquisitionNumber=3)
    other = series(body() + 5, AcquisitionNumber=4)
    text = refusal(files | {f"x{name}": data for name, data in other.items()})
    assert text.startswith("010.dcm and x010.dcm: expected one slice at a place, found two with other pixels (")
    assert "(AcquisitionNumber 3 and 4)" in text
    assert "phases" in text


def test_a_lost_rescale_is_told_by_its_values() -> None:
    hu = body() + 1024  # the stored values taken for HU
    (warning,) = volume(series(hu, RescaleIntercept=0)).warnings
    assert "expected air (-1020 to -800) and soft tissue" not in warning
    assert "expected air" in warning
    assert "at most 24, " in warning


@pytest.mark.parametrize(("value", "missing"), [(-1000, "soft tissue"), (40, "air"), (500, "air (-1020 to -800) and")])
def test_what_is_no_chest(value: int, missing: str) -> None:
    (warning,) = implausible(np.full((3, 40, 40), value, np.int16))
    assert f"expected {missing}" in warning


@pytest.mark.parametrize("syntax", [EXPLICIT, RLE])
def test_short_or_changed_pixels(syntax: str) -> None:
    files = series(syntax=syntax)
    found = members(files)
    files["005.dcm"] = files["005.dcm"][:-100]
    with pytest.raises(InputError, match=r"005\.dcm"):
        read_series(found, lambda m: files[m.path], "scan")
    files["005.dcm"] = series(body(10, 18), syntax=syntax)["005.dcm"]
    with pytest.raises(InputError, match="expected the file that was found, found another in its place"):
        read_series(found, lambda m: files[m.path], "scan")


def test_an_odd_unit_is_told() -> None:
    assert "RescaleType is OD; values were taken" in volume(series(RescaleType="OD")).warnings[0]


def test_headers_are_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    import pydicom.filereader

    files = series()
    found = members(files)

    def parsed(*args: Any, **options: Any) -> Any:
        raise AssertionError("parsed again")

    monkeypatch.setattr(pydicom.filereader, "read_dataset", parsed)
    np.testing.assert_array_equal(read_series(found, lambda m: files[m.path], "scan").voxels, body())
