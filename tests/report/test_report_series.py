"""The report of a study: its profile, the slices that matter with maps, the strip and the scores."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from report_examples import HOSTILE, THREE, Page, facts, recipe

from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.image import Geometry, Volume
from pneumoscope.core.result import Explanation, Prediction, Series, SliceAnswer
from pneumoscope.report import html, series
from pneumoscope.runtime.screened import Screened, Shown

CLASSES = ClassSet(names=THREE, positive="covid", normal="normal")
SLICES, SPACING = 20, 5.0


def volume(lung: tuple[int, int] = (5, 15)) -> Volume:
    """A body of water on a table like lung, with lungs in some slices."""
    voxels = np.full((SLICES, 64, 64), -1000, np.int16)
    voxels[:, 8:48, 8:56] = 20
    voxels[lung[0] : lung[1] + 1, 16:40, 16:48] = -800
    voxels[:, 56:60, :] = -800
    return Volume(
        voxels=voxels,
        geometry=Geometry(spacing_mm=(SPACING, 1.0, 1.0)),
        slices=tuple(f"x/{n:02d}.dcm" for n in range(SLICES)),
    )


def study(
    decision: str = "covid", focus: str = "covid", heat: float = 1.0, source: str = "x/", **kw: object
) -> Screened:
    chosen = (9, 4)
    answers = tuple(
        SliceAnswer(
            source=f"{source}{n:02d}.dcm",
            position_mm=n * SPACING,
            probabilities=dict(zip(THREE, (0.7, 0.2, 0.1) if n != 9 else (0.1, 0.1, 0.8), strict=True)),
            matters=n in chosen,
        )
        for n in range(SLICES)
    )
    scores = dict(zip(THREE, (0.2, 0.3, 0.5), strict=True))
    p = Prediction(
        path="a/study",
        accepted=True,
        bundle="0" * 32,
        probabilities=scores,
        decision=decision,
        series=Series(rule="the only series", shape=(SLICES, 64, 64), spacing_mm=(SPACING, 1.0, 1.0)),
        slices=answers,
        members={"maxpool": scores, "bilstm": scores},
        combined="ensemble",
        focus=focus,
    )
    found = volume()
    map_ = np.zeros((64, 64), np.float32)
    map_[20:30, 20:30] = heat
    explanation = Explanation(method="grad-cam", layer="features", target=focus, map=map_)
    shown = tuple(Shown(number=n, image=found.image(n), explanation=explanation) for n in chosen)
    return Screened(prediction=dataclasses.replace(p, **kw), modality="ct", volume=found, shown=shown)


def page(*studies: Screened) -> Page:
    return Page(html.screening_report(studies, facts(THREE, recipe=recipe(THREE, classes=CLASSES), threshold=None)))


def test_every_part_is_shown() -> None:
    found = page(study())
    assert len(found.all("svg", "profile")) == 1
    assert [len(a["points"].split()) for a in found.all("polyline", "curve")] == [SLICES] * 3
    assert len(found.all("img")) >= 4 + 11
    for text in ("maxpool", "bilstm", "The only series", "20, 5 mm apart", "64 x 64 pixels of 1 mm", "Slice 10"):
        assert text in found.text
    assert "covid 80.0 %" in found.text
    assert "the class decided for" in found.text
    assert "1 of 20 is more like covid than any other class" in found.text
    assert "features" in found.text  # how to read the maps


def test_the_profile_runs_from_the_feet_to_the_head_with_the_slices_that_matter_marked() -> None:
    drawn = series.profile(study().prediction, CLASSES, (5, 15))
    assert drawn is not None
    assert [(m["n"], m["x"]) for m in drawn["marks"]] == [
        (5, round(series.WIDTH * 4 / 19, 1)),
        (10, round(series.WIDTH * 9 / 19, 1)),
    ]
    assert drawn["marks"][1]["y"] == pytest.approx(0.2 * series.HEIGHT)
    assert [t["mm"] for t in drawn["ticks"]] == [0, 20, 40, 60, 80]
    first = drawn["curves"][0]["points"].split()
    assert first[0].startswith("0,")
    assert first[-1].startswith(f"{series.WIDTH},")


def test_one_slice_has_no_profile() -> None:
    p = study().prediction
    assert series.profile(dataclasses.replace(p, slices=p.slices[:1]), CLASSES, (0, 0)) is None


@pytest.mark.parametrize("lung", [(5, 15), (0, 19), (7, 7)])
def test_lung_is_found_inside_the_body_alone(lung: tuple[int, int]) -> None:
    assert series.lung_range(volume(lung)) == lung


def test_a_block_without_lung_is_shown_whole() -> None:
    empty = dataclasses.replace(volume(), voxels=np.zeros((SLICES, 64, 64), np.int16))
    assert series.lung_range(empty) == (0, SLICES - 1)


def test_a_normal_study_is_shown_with_what_speaks_against_it() -> None:
    found = page(study(decision="normal", focus="covid"))
    assert "Decided for normal. These slices speak most against it: they are the most like covid." in found.text


def test_a_class_that_was_asked_about_is_said() -> None:
    assert "These slices are the most like covid, the class asked about." in page(study(decision="pneumonia")).text


def test_a_slice_without_a_map_is_said() -> None:
    assert "nothing speaks for it: no map" in page(study(heat=0.0)).text


def test_the_mean_of_slices_is_said() -> None:
    found = page(study(members={}, combined="mean of slices"))
    assert "The study's answer is the mean of its slices' probabilities." in found.text
    assert found.all("table", "scores") == []


def test_text_from_elsewhere_is_inert() -> None:
    odd = study(source=HOSTILE, members={HOSTILE: study().prediction.probabilities})
    odd = dataclasses.replace(
        odd,
        prediction=dataclasses.replace(
            odd.prediction, series=Series(rule=HOSTILE, shape=(20, 64, 64), spacing_mm=(5.0, 1.0, 0.9))
        ),
    )
    found = page(odd)
    assert len(found.all("script")) == 1
    assert not any(a.get("src") == "x" for a in found.all("img"))


def test_studies_stand_in_the_table_with_the_slice_that_matters_most() -> None:
    found = page(study(), study())
    assert len(found.all("td", "thumb")) == 2
    ids = [a["id"] for _, a in found.tags if "id" in a]
    assert len(ids) == len(set(ids))
