"""The order of slices, and what is refused or warned of."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from series_making import body, members, series

from pneumoscope.errors import InputError
from pneumoscope.io import series as module
from pneumoscope.io.series import MAX_SLICES, check_bounds, order
from pneumoscope.io.studies import Member

TEN = members(series())


def refusal(found: list[Member]) -> str:
    with pytest.raises(InputError) as caught:
        order(found, "scan")
    text = str(caught.value)
    assert "\n" not in text
    assert "expected" in text
    assert "found" in text
    assert "4711" not in text
    return text


def spoiled(*which: int, **attributes: Any) -> list[Member]:
    usual = {"ConvolutionKernel": "B30f", "TemporalPositionIdentifier": 1}
    return members(series(spoil=dict.fromkeys(which, attributes), **usual))


@given(st.permutations(range(10)))
def test_position_decides_and_nothing_else(shuffled: list[int]) -> None:
    stack = order([TEN[i] for i in shuffled], "scan")
    assert [p[0].path for p in stack.places] == [f"{10 - i:03d}.dcm" for i in range(10)]
    assert stack.warnings == ()
    np.testing.assert_allclose(stack.origin, [-10, -20, -100])
    np.testing.assert_allclose(stack.steps, [[0, 0, 2], [0, 0.75, 0], [0.5, 0, 0]])


def test_a_gap_is_a_warning_that_names_its_place() -> None:
    stack = order(spoiled(4, 5, leave_out=True), "scan")
    (warning,) = stack.warnings
    assert "6 mm between 007.dcm and 004.dcm (2 missing)" in warning
    assert stack.steps[0].tolist() == [0, 0, 2]


def test_a_slice_in_between_is_a_warning() -> None:
    (warning,) = order(spoiled(4, ImagePositionPatient=[-10, -20, -91.0]), "scan").warnings
    assert "3 mm between 007.dcm and 006.dcm, 1 mm between 006.dcm and 005.dcm" in warning


def test_distances_that_change_all_over_are_refused() -> None:
    files = series(spoil={i: {"ImagePositionPatient": [-10, -20, float(i * i)]} for i in range(10)})
    assert "found 8 of 9 other than the usual 9 mm, from 1 to 17 mm" in refusal(members(files))


def at(heights: list[float]) -> list[Member]:
    hu = body(len(heights))
    return members(series(hu, spoil={i: {"ImagePositionPatient": [-10, -20, z]} for i, z in enumerate(heights)}))


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ([7.0] * 10, "found 10 of 49 other than the usual 2 mm, from 2 to 7 mm"),
        ([7.0] * 3, "found 3 of 42 other than the usual 2 mm"),
        ([7.0, 3.0, 5.0], "found 3 of 42 other than"),
        ([6.0] * 10, "011.dcm: expected slices 2 mm apart as in the others of its series, found another distance"),
        ([6.0] * 3, "004.dcm: expected slices 2 mm apart"),
        ([2.18] * 20, "021.dcm: expected slices 2.061 mm apart"),  # each within the tolerance, together 2.4 mm
    ],
)
def test_a_distance_that_changes_is_refused(more: list[float], says: str) -> None:
    assert says in refusal(at(np.cumsum([0.0, *[2.0] * 39, *more]).tolist()))


def test_real_gaps_are_a_warning_and_the_true_heights_are_kept() -> None:
    steps = [2.0] * 12 + [7.0, 7.0] + [2.0] * 12 + [4.0, 6.0, 4.0] + [2.0] * 12
    heights = np.cumsum([0.0, *steps])
    stack = order(at(heights.tolist()), "scan")
    assert stack.heights == tuple(heights)
    assert stack.steps[0].tolist() == [0, 0, 2]
    assert "7 mm between 030.dcm and 029.dcm, 7 mm between" in stack.warnings[0]
    assert order(TEN, "scan").heights == ()


@pytest.mark.parametrize(("usual", "small", "large"), [(5.0, 0.45, 0.55), (0.5, 0.09, 0.12)])
def test_a_distance_is_odd_above_a_tenth_and_a_tenth_of_a_millimetre(usual: float, small: float, large: float) -> None:
    heights = usual * np.arange(12)
    for moved, warned in ((small, False), (large, True)):
        heights[6] = usual * 6 + moved
        stack = order(at(heights.tolist()), "scan")
        assert any("apart, but" in warning for warning in stack.warnings) == warned
        assert bool(stack.heights) == warned


def test_positions_written_with_few_digits_are_even() -> None:
    files = series(spoil={i: {"ImagePositionPatient": [-10, -20, round(i * 0.625, 1)]} for i in range(10)})
    assert order(members(files), "scan").warnings == ()


def test_a_thinned_series_is_read_with_a_warning() -> None:
    (warning,) = order(members(series(step=8)), "scan").warnings
    assert warning.startswith("Slices of 2 mm are 8 mm apart")


@pytest.mark.parametrize(
    ("attributes", "says"),
    [
        ({"PixelSpacing": [0.8, 0.8]}, "006.dcm, PixelSpacing: expected 0.75, 0.5 as in the others of its series"),
        ({"PixelSpacing": None}, "006.dcm, PixelSpacing: expected two numbers from 0.01 to 100 mm, found none"),
        ({"PixelSpacing": [1e300, 1]}, "PixelSpacing: expected two numbers from 0.01 to 100 mm, found 1e+300, 1"),
        ({"ImagePositionPatient": [0, 0, 1e300]}, "006.dcm: expected a position within 100 m"),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}, "006.dcm, ImageOrientationPatient: expected 1, 0, 0, 0, 1"),
        ({"ImageOrientationPatient": None}, "006.dcm, ImageOrientationPatient: expected six numbers, found none"),
        ({"ImagePositionPatient": None}, "006.dcm, ImagePositionPatient: expected three numbers, found none, as in 1"),
        ({"SliceThickness": 1}, "006.dcm, SliceThickness: expected 2 as in the others of its series, found 1, as in 1"),
        ({"ConvolutionKernel": "B60f"}, "006.dcm, ConvolutionKernel: expected B30f as in others of its series"),
        ({"TemporalPositionIdentifier": 2}, "006.dcm, TemporalPositionIdentifier: expected 1 as in others"),
        ({"pixels": body(1, 18)[0]}, "006.dcm, columns and rows: expected 16, 16 as in the others"),
        ({"RescaleSlope": None}, "006.dcm, RescaleSlope and RescaleIntercept: expected numbers"),
        ({"RescaleSlope": 0, "pixels": np.zeros((16, 16))}, "006.dcm, RescaleSlope"),
        ({"FrameOfReferenceUID": "1.77"}, "FrameOfReferenceUID: expected one for all 10 slices"),
        ({"ImagePositionPatient": [-40, -20, -92.0]}, "006.dcm, ImagePositionPatient: expected slices straight above"),
    ],
)
def test_a_slice_of_another_kind_is_named(attributes: dict[str, Any], says: str) -> None:
    assert says in refusal(spoiled(4, **attributes))


def test_axes_that_are_none_are_refused() -> None:
    assert "two unit vectors" in refusal(members(series(ImageOrientationPatient=[1, 0, 0, 1, 0, 0])))
    assert "two unit vectors" in refusal(members(series(ImageOrientationPatient=[0, 0, 0, 0, 0, 0])))
    assert "two unit vectors" in refusal(members(series(ImageOrientationPatient=[1e300, 0, 0, 0, 1e300, 0])))


def test_without_positions_the_slice_location_orders_and_nothing_else() -> None:
    spoil = {i: {"SliceLocation": 2.0 * i} for i in range(10)}
    stack = order(members(series(spoil=spoil, ImagePositionPatient=None)), "scan")
    assert [p[0].path for p in stack.places] == [f"{10 - i:03d}.dcm" for i in range(10)]
    assert "ordered by SliceLocation" in stack.warnings[0]
    down = {"ImageOrientationPatient": [1, 0, 0, 0, -1, 0]}  # the normal runs to the feet, the location to the head
    stack = order(members(series(spoil=spoil, ImagePositionPatient=None, **down)), "scan")
    assert [p[0].path for p in stack.places] == [f"{i + 1:03d}.dcm" for i in range(10)]
    np.testing.assert_allclose(stack.steps[0], [0, 0, -2])
    assert stack.origin[2] == 18
    del spoil[4]
    assert "006.dcm: expected ImagePositionPatient, or else SliceLocation, found neither" in refusal(
        members(series(spoil=spoil, ImagePositionPatient=None))
    )


def test_without_orientation_the_usual_one_is_assumed_aloud() -> None:
    stack = order(members(series(ImageOrientationPatient=None)), "scan")
    assert "lack ImageOrientationPatient" in stack.warnings[0]
    supine, prone = (members(series(ImageOrientationPatient=None, PatientPosition=p)) for p in ("HFS", "HFP"))
    assert order(supine, "scan").warnings == stack.warnings
    assert "a patient who lies HFP: left and right cannot be told" in refusal(prone)


def test_half_a_series_turned_round_is_refused_by_what_a_slice_says() -> None:
    assert "expected -1, 0, 0, 0, 1, 0 as in the others" in refusal(
        spoiled(*range(5), ImageOrientationPatient=[-1, 0, 0, 0, 1, 0])
    )


def test_two_scans_that_take_turns_are_told_and_blocks_of_one_are_not() -> None:
    turns = members(series(spoil={i: {"AcquisitionNumber": i % 2} for i in range(10)}))
    assert "AcquisitionNumber changes 9 times along the series, between 0, 1" in order(turns, "scan").warnings[0]
    blocks = members(series(spoil={i: {"AcquisitionNumber": i // 4} for i in range(10)}))
    assert order(blocks, "scan").warnings == ()


def test_what_can_be_done_without_may_be_broken() -> None:
    assert order(members(series(SliceLocation=1e7, GantryDetectorTilt="NaN")), "scan").warnings == ()


def test_a_tilted_gantry_is_a_warning_with_its_angle() -> None:
    sine, cosine = float(np.sin(np.radians(12))), float(np.cos(np.radians(12)))
    files = series(ImageOrientationPatient=[1, 0, 0, 0, cosine, -sine], GantryDetectorTilt=12)
    (warning,) = order(members(files), "scan").warnings
    assert "tilted by 12.0 degrees" in warning
    (warning,) = order(members(series(GantryDetectorTilt=-5)), "scan").warnings
    assert "GantryDetectorTilt is 5.0 degrees, but" in warning


def test_slices_at_one_place_stand_together() -> None:
    stack = order([*TEN, dataclasses.replace(TEN[3], path="again.dcm")], "scan")
    assert len(stack.places) == 10
    assert [m.path for m in stack.places[3]] == ["007.dcm", "again.dcm"]
    assert "all 2 at one" in refusal([TEN[0], dataclasses.replace(TEN[0], path="again.dcm")])


def test_too_much_is_refused_before_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert f"at most {MAX_SLICES:,} slices, found 5,000" in refusal([TEN[0]] * 5000)
    for slices, rows, columns in ((4096, 512, 512), (512, 2048, 1024)):  # just 2 GiB of int16
        with pytest.raises(InputError, match="less than 2 GiB of voxels"):
            check_bounds(slices, rows, columns, "scan")
    check_bounds(4095, 512, 512, "scan")
    monkeypatch.setattr(module, "MAX_VOXELS", 2559)
    assert "10 slices of 16 x 16" in refusal(TEN)
