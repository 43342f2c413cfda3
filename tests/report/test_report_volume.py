"""The report of a series judged as one volume: planes, the view in space, the steps, the selection, the files."""

from __future__ import annotations

import dataclasses
import gzip

import cv2
import numpy as np
import pytest
from report_examples import HOSTILE, THREE, Page, facts, recipe

from pneumoscope.core.image import Volume
from pneumoscope.core.result import Explanation, Prediction, Series
from pneumoscope.core.stage import Step
from pneumoscope.phantoms import phantom_ct
from pneumoscope.prep.volume_steps import prepare_volume, to_source_volume
from pneumoscope.report import html, planes, volume, volume_steps
from pneumoscope.runtime.screened import Screened

SIZE = 48
BEFORE = (
    Step(name="grey"),
    Step(name="resample", args={"in_plane": 1.5, "slices": 0.5}),
    Step(name="fit", args={"size": SIZE}),
)
AFTER = (Step(name="select", args={"share": 0.7}), Step(name="cube", args={"size": SIZE}))
PAPER = (*BEFORE, Step(name="lung", args={"method": "paper"}), *AFTER)
OURS = (*BEFORE, Step(name="lung", args={"method": "ours"}), *AFTER)


@pytest.fixture(scope="module")
def scan() -> Volume:
    made = phantom_ct("covid", 3, size=96, slices=30)
    names = tuple(f"{n:03d}.dcm" for n in range(30))
    return Volume(voxels=made.voxels, geometry=made.geometry, slices=names)


@pytest.fixture(scope="module")
def judged(scan: Volume) -> Screened:
    return screened(scan)


def screened(scan: Volume, *, steps: tuple[Step, ...] = PAPER, hot: bool = True, **kw: object) -> Screened:
    prepared = prepare_volume(scan, steps)
    cam = np.zeros((4, 4, 4), np.float32)
    cam[1, 2, 3] = hot
    values = to_source_volume(cam, prepared, scan.shape)
    values /= max(values.max(), 1)
    p = Prediction(
        path="a/study",
        accepted=True,
        bundle="0" * 32,
        probabilities=dict(zip(THREE, (0.2, 0.3, 0.5), strict=True)),
        decision="covid",
        focus="covid",
        series=Series(rule="the only series", shape=scan.shape, spacing_mm=scan.geometry.spacing_mm),
    )
    explanation = Explanation(method="grad-cam", layer="layer4", target="covid", map=values)
    return Screened(
        prediction=dataclasses.replace(p, **kw),
        modality="ct",
        volume=scan,
        prepared=prepared,
        explanation=explanation,
    )


def page(*studies: Screened, steps: tuple[Step, ...] = PAPER) -> Page:
    of = recipe(THREE, prep=steps, modalities=("ct",))
    return Page(html.screening_report(studies, facts(THREE, recipe=of, threshold=None)))


def test_every_part_is_shown(judged: Screened) -> None:
    found = page(judged)
    assert len(found.all("img")) == 6 + 2 + 8 + 1  # planes, in space, steps, the scale
    assert len(found.all("svg", "profile")) == 1
    for text in ("The only series", "Axial", "Coronal", "Sagittal", "Lungs found", "Slices selected", "layer4"):
        assert text in found.text
    assert "48 x 48 x 48 voxels" in found.text
    assert "of the map lies in the lungs" in found.text
    assert "colours of two images cannot be compared" in found.text


def test_a_scan_without_a_map_says_so(scan: Volume) -> None:
    found = page(screened(scan, hot=False))
    assert "Nothing in this scan speaks for covid" in found.text
    assert len(found.all("img")) == 3 + 1 + 8


def test_studies_stand_in_the_table_with_a_slice(judged: Screened) -> None:
    found = page(judged, judged)
    assert len(found.all("td", "thumb")) == 2
    assert len(found.all("img")) == 2 * 17 + 2


def test_what_was_not_judged_as_a_volume_has_no_such_part(judged: Screened) -> None:
    for gone in ("volume", "prepared", "explanation"):
        less = dataclasses.replace(judged, **{gone: None})
        assert volume.view(less, PAPER) is None
        assert volume.files(less, PAPER) == {}
    assert "Where the network looked" not in page(dataclasses.replace(judged, volume=None, prepared=None)).text


def test_text_from_elsewhere_is_inert(scan: Volume, judged: Screened) -> None:
    assert judged.explanation is not None
    odd = dataclasses.replace(judged, explanation=dataclasses.replace(judged.explanation, target=HOSTILE))
    found = page(dataclasses.replace(odd, prediction=dataclasses.replace(odd.prediction, path=HOSTILE)))
    assert len(found.all("script")) == 1
    assert not any(a.get("src") == "x" for a in found.all("img"))


def test_the_planes_go_through_the_lungs_where_the_map_is_strongest_outside(scan: Volume) -> None:
    prepared = prepare_volume(scan, OURS)
    assert prepared.mask is not None
    cam = np.full((2, 2, 2), 0.5, np.float32)
    cam[0, 0, 0] = 1  # strongest in a corner of the field
    values = to_source_volume(cam, prepared, scan.shape)
    odd = dataclasses.replace(
        screened(scan, steps=OURS), explanation=Explanation(method="grad-cam", layer="", target="covid", map=values)
    )
    view = volume.view(odd, OURS)
    assert view is not None
    corner = np.unravel_index(values.argmax(), values.shape)
    assert volume.on_prepared(values, prepared)[prepared.mask > 0].max() < values.max()
    at = volume._place(scan, prepared, odd.explanation)
    cells = [round((a - offset) / scale) for a, (scale, offset) in zip(at, prepared.to_source, strict=True)]
    near = tuple(slice(max(0, n - 1), n + 2) for n in cells)
    assert prepared.mask[near].any()
    assert at != corner
    assert at[0] + 1 == view["slice"]


def test_the_planes_go_through_the_strongest_place(judged: Screened) -> None:
    assert judged.explanation is not None
    view = volume.view(judged, PAPER)
    assert view is not None
    strongest = np.unravel_index(judged.explanation.map.argmax(), judged.explanation.map.shape)
    assert abs(view["slice"] - 1 - strongest[0]) <= 3
    assert f"slice {view['slice']} of 30" in view["planes"][0]["place"]


def test_the_slices_selected_are_those_of_which_half_was_judged(judged: Screened) -> None:
    assert judged.volume is not None
    assert judged.prepared is not None
    first, last = volume.selected(judged.volume, judged.prepared)
    select = next(step.args for step in judged.prepared.steps if step.name == "select")
    assert abs(2 * first - select["first"]) <= 1  # the resampled slices are half as thick
    assert abs(2 * (last + 1) - select["first"] - select["slices"]) <= 1
    ones = to_source_volume(np.ones((2, 2, 2), np.float32), judged.prepared, judged.volume.shape)
    inside = np.flatnonzero(ones.any(axis=(1, 2)))  # at the ends, exactly one half may count or not
    assert first <= inside[0] <= first + 1
    assert last - 1 <= inside[-1] <= last


def test_a_map_over_the_prepared_voxels_is_that_over_the_scan(judged: Screened) -> None:
    assert judged.volume is not None
    assert judged.prepared is not None
    z = np.broadcast_to(np.arange(30, dtype=np.float32)[:, np.newaxis, np.newaxis], judged.volume.shape)
    found = volume.on_prepared(z, judged.prepared)
    assert found.shape == (SIZE, SIZE, SIZE)
    scale, offset = judged.prepared.to_source[0]
    np.testing.assert_allclose(found[:, 0, 0], scale * np.arange(SIZE) + offset, atol=0.5)


def test_the_files_lie_in_the_place_of_the_scan(judged: Screened) -> None:
    found = volume.files(judged, PAPER)
    assert list(found) == ["planes.png", "rendered.png", "steps.png", "map.nii.gz"]
    for name in list(found)[:3]:
        assert cv2.imdecode(np.frombuffer(found[name], np.uint8), cv2.IMREAD_COLOR).shape[2] == 3
    assert judged.volume is not None
    assert judged.explanation is not None
    nibabel = pytest.importorskip("nibabel", reason="expected nibabel, an independent reader, found none")
    image = nibabel.Nifti1Image.from_bytes(gzip.decompress(found["map.nii.gz"]))
    np.testing.assert_allclose(image.get_fdata().transpose(2, 1, 0), judged.explanation.map, atol=0.5 / 255 + 1e-6)
    lps = np.array(judged.volume.geometry.origin_mm)
    np.testing.assert_allclose(image.affine[:3, 3], lps * [-1, -1, 1], atol=1e-3)
    assert volume.files(judged, PAPER) == found


@pytest.mark.parametrize(("steps", "count"), [(PAPER, 8), (OURS, 4), ((*BEFORE, AFTER[1]), 2)])
def test_the_pictures_of_the_steps(scan: Volume, steps: tuple[Step, ...], count: int) -> None:
    made = volume_steps.made(scan, steps, 14)
    assert len(made.pictures) == count
    for picture in made.pictures:
        assert picture.pixels.dtype == np.float32
        assert 0 <= picture.pixels.min() <= picture.pixels.max() <= 1
    assert made.pictures[0].pixels.shape == (96, 96)
    assert all(picture.pixels.shape == (SIZE, SIZE) for picture in made.pictures[1:])
    assert len(made.area) == len(made.mm_above) == (60 if count > 2 else 0)
    tiles = cv2.imdecode(np.frombuffer(volume_steps.steps_png(made.pictures), np.uint8), cv2.IMREAD_COLOR)
    assert tiles.shape[:2] == (
        -(-count // 4) * (volume_steps.TILE + volume_steps.CAPTION + planes.MARGIN),
        4 * (volume_steps.TILE + planes.MARGIN),
    )


@pytest.mark.parametrize("steps", [PAPER, OURS])
def test_the_last_picture_is_what_the_method_keeps(scan: Volume, steps: tuple[Step, ...]) -> None:
    pictures = volume_steps.made(scan, steps, 14).pictures
    np.testing.assert_allclose(pictures[-1].pixels, pictures[1].pixels * pictures[-2].pixels, atol=1e-6)
    assert 0.02 < pictures[-2].pixels.mean() < 0.6


def test_the_selection_is_the_one_that_was_made(scan: Volume, judged: Screened) -> None:
    assert judged.prepared is not None
    made = volume_steps.made(scan, PAPER, 14)
    select = next(step.args for step in judged.prepared.steps if step.name == "select")
    wide = np.flatnonzero(made.area >= 0.7)
    assert (wide[0], wide[-1] - wide[0] + 1) == (select["first"], select["slices"])
    assert made.area.max() == 1
    np.testing.assert_allclose(np.diff(made.mm_above), scan.geometry.spacing_mm[0] / 2)
