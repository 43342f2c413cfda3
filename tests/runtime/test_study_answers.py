"""A study, slice by slice: every slice judged, in bounded memory; one answer; the slices that matter, by rules."""

from __future__ import annotations

import dataclasses
import shutil
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from fixtures_study import small_recipe
from hypothesis import given
from hypothesis import strategies as st

from pneumoscope import api
from pneumoscope import bundle as bundles
from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.image import Image2D
from pneumoscope.core.result import Prediction
from pneumoscope.core.study import Source, Study
from pneumoscope.prep import pipeline
from pneumoscope.runtime import engine, studies
from pneumoscope.runtime.screen import Screener
from pneumoscope.runtime.screened import Screened

CLASSES = ClassSet(names=("normal", "pneumonia", "covid"), positive="covid", normal="normal")


@pytest.fixture(scope="module")
def screener(made_study_bundle: Path) -> Screener:
    return Screener(bundles.load(str(made_study_bundle)))


@pytest.fixture(scope="module")
def screened(screener: Screener, one_series: Path) -> Screened:
    (result,) = screener.screen([one_series])
    return result


# --- what is said of a series ------------------------------------------------------------------------------------


def test_every_slice_is_judged_from_the_feet_to_the_head(screened: Screened, one_series: Path) -> None:
    p, volume = screened.prediction, screened.volume
    assert p.accepted
    assert volume is not None
    assert [s.source for s in p.slices] == list(volume.slices)
    assert len(p.slices) == len(list(one_series.iterdir()))
    assert [s.position_mm for s in p.slices] == pytest.approx(
        [i * volume.geometry.spacing_mm[0] for i in range(len(p.slices))], abs=1e-3
    )
    assert p.series is not None
    assert p.series.shape == volume.shape
    assert p.series.rule == "the only series"
    for found in (p.probabilities, *(s.probabilities for s in p.slices), *p.members.values()):
        assert sum(found.values()) == pytest.approx(1, abs=1e-5)


def test_the_answer_is_the_ensembles_and_every_classifiers_is_there(screened: Screened, screener: Screener) -> None:
    p = screened.prediction
    assert p.combined == "ensemble"
    assert list(p.members) == [stage.name for stage in screener.recipe.members]
    assert p.decision == max(p.probabilities, key=lambda name: p.probabilities[name])


def test_each_slice_is_answered_as_it_would_be_alone(screened: Screened, made_study_bundle: Path) -> None:
    """Batches and threads change nothing, and no slice is taken for another."""
    bundle = bundles.load(str(made_study_bundle))
    runner = engine.of_bundle(bundle)
    assert screened.volume is not None
    for image, answer in zip(screened.volume.images(), screened.prediction.slices, strict=True):
        alone, _ = runner.run(pipeline.run(image, bundle.facts.recipe.prep).pixels[np.newaxis])
        np.testing.assert_allclose(alone[0], list(answer.probabilities.values()), atol=1e-5)
    assert np.ptp([s.probabilities["covid"] for s in screened.prediction.slices]) > 0.01


def test_maps_of_the_slices_that_matter_are_in_their_own_pixels(screened: Screened) -> None:
    p = screened.prediction
    assert {s.number for s in screened.shown} == {i for i, s in enumerate(p.slices) if s.matters}
    assert 1 <= len(screened.shown) <= studies.MOST
    for shown in screened.shown:
        assert shown.explanation.map.shape == shown.image.shape
        assert shown.explanation.target == p.focus
        assert shown.image.source == p.slices[shown.number].source
    strengths = [p.slices[s.number].probabilities[str(p.focus)] for s in screened.shown]
    assert strengths == sorted(strengths, reverse=True)


def test_a_zip_is_answered_as_the_folder(
    screened: Screened, screener: Screener, one_series: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in sorted(one_series.iterdir(), reverse=True):
            archive.write(path, f"x/{path.name}")
    (zipped,) = screener.screen([tmp_path / "a.zip"], maps=False)
    assert zipped.shown == ()
    assert zipped.volume is None
    assert zipped.prediction.probabilities == pytest.approx(dict(screened.prediction.probabilities), abs=1e-6)
    assert [s.matters for s in zipped.prediction.slices] == [s.matters for s in screened.prediction.slices]


def test_a_target_turns_the_maps_and_the_slices_to_it(screener: Screener, one_series: Path) -> None:
    (result,) = screener.screen([one_series], target="normal")
    assert result.prediction.focus == "normal"
    assert {s.explanation.target for s in result.shown} == {"normal"}


def test_a_single_image_is_a_study_of_one_slice_and_is_said_so(
    screener: Screener, screened: Screened, tmp_path: Path
) -> None:
    rows, columns = np.mgrid[0:96, 0:96]
    cv2.imwrite(str(tmp_path / "slice.png"), (90 + 80 * np.sin(rows / 9) * np.cos(columns / 7)).astype(np.uint8))
    (result,) = screener.screen([tmp_path / "slice.png"])
    p = result.prediction
    assert p.accepted
    assert len(p.slices) == 1
    assert p.slices[0].position_mm is None
    assert p.series is None
    assert len(p.members) == 4
    assert any("study of one slice" in warning for warning in p.warnings)
    assert result.explanation is not None
    assert result.explanation.map.shape == (96, 96)
    assert not any("one slice" in warning for warning in screened.prediction.warnings)


def test_memory_holds_some_slices_at_a_time(
    screener: Screener, one_series: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = api.load_study(one_series)
    assert study.volume is not None
    many = dataclasses.replace(
        study.volume, voxels=np.repeat(study.volume.voxels, 5, axis=0), slices=study.volume.slices * 5
    )
    seen: list[int] = []
    describe = screener.answerer.engine.describe
    monkeypatch.setattr(screener.answerer.engine, "describe", lambda x: (seen.append(len(x)), describe(x))[1])
    found = studies.describe(screener.answerer.engine, dataclasses.replace(study, volume=many), screener.recipe)
    assert sum(seen) == len(many.voxels) == len(found.probabilities)
    assert max(seen) <= studies.BATCH
    of_one = found.probabilities.reshape(-1, 5, 3)
    np.testing.assert_allclose(of_one, np.repeat(of_one[:, :1], 5, axis=1), atol=1e-5)


# --- a bundle that knows slices only -----------------------------------------------------------------------------


def test_a_bundle_of_slices_answers_for_a_series_by_their_mean(made_slice_bundle: Path, one_series: Path) -> None:
    (p,) = api.predict(str(made_slice_bundle), [one_series])
    mean = np.mean([list(s.probabilities.values()) for s in p.slices], axis=0)
    np.testing.assert_allclose(list(p.probabilities.values()), mean, atol=1e-5)
    assert p.combined == "mean of slices"
    assert p.members == {}
    assert any("mean of its slices" in warning for warning in p.warnings)


def test_a_bundle_of_slices_judges_a_slice_as_one(made_slice_bundle: Path, one_series: Path) -> None:
    (p,) = api.predict(str(made_slice_bundle), [min(one_series.iterdir())])
    assert p.accepted
    assert (p.slices, p.combined, p.focus) == ((), None, None)
    assert api.verify(str(made_slice_bundle)) < 1e-4


# --- the rules ---------------------------------------------------------------------------------------------------


@given(
    values=st.lists(st.floats(0, 1), min_size=1, max_size=60),
    spacing=st.one_of(st.none(), st.floats(0.3, 20)),
)
def test_slices_that_matter_keep_the_rules(values: list[float], spacing: float | None) -> None:
    found = studies.that_matter(np.array(values), spacing)
    assert 1 <= len(found) <= studies.MOST
    assert len(set(found)) == len(found)
    assert values[found[0]] == max(values)
    assert [values[i] for i in found] == sorted((values[i] for i in found), reverse=True)
    assert all(values[i] >= studies.LEAST * max(values) for i in found)
    if spacing is not None:
        gaps = np.diff(sorted(found)) * spacing
        assert (gaps >= studies.APART_MM).all()


def test_a_normal_study_is_looked_through_for_what_speaks_against_it() -> None:
    slices = np.array([[0.9, 0.05, 0.05], [0.6, 0.1, 0.3], [0.7, 0.25, 0.05]])
    assert studies.focus(slices, "normal", CLASSES) == "covid"
    assert studies.focus(slices, "pneumonia", CLASSES) == "pneumonia"
    assert studies.focus(slices, "normal", dataclasses.replace(CLASSES, normal=None)) == "normal"


def test_a_slice_that_the_gate_refuses_is_left_out_of_its_study(screener: Screener) -> None:
    rng = np.random.default_rng(0)
    good = [Image2D(pixels=rng.random((80, 80), dtype=np.float32), unit="unit", source=f"{i}.png") for i in range(3)]
    empty = Image2D(pixels=np.zeros((80, 80), np.float32), unit="unit")
    parts = [Study(key="s", source=Source(path="", format="png"), images=(i,)) for i in (good[0], empty, *good[1:])]
    p: Prediction = screener.answer("group", parts).prediction
    assert [s.source for s in p.slices] == ["0.png", "1.png", "2.png"]
    assert any(w.startswith("1 of 4 slices were left out, the first one for: contrast") for w in p.warnings)
    assert len(p.warnings) == len(set(p.warnings))
    refused = screener.answer("group", parts[1:2]).prediction
    assert not refused.accepted


def test_many_files_passed_over_for_one_reason_are_one_line(
    made_study_bundle: Path, one_series: Path, tmp_path: Path
) -> None:
    shutil.copytree(one_series, tmp_path / "study")
    for i in range(9):
        (tmp_path / "study" / f"{i}.txt").write_text("a text")
    (tmp_path / "study" / "x.pdf").write_bytes(b"%PDF-1.4 " + bytes(200))
    said: list[str] = []
    (result,) = Screener(bundles.load(str(made_study_bundle)), say=said.append).screen([tmp_path / "study"])
    assert result.prediction.accepted
    assert len(said) == 2
    assert f"passed over 9 files, {tmp_path}/study/0.txt for one: text, no image that is read" in said


def test_the_recipe_tells_its_classifiers_of_studies() -> None:
    assert len(small_recipe().members) == 4
    assert small_recipe(("slice",)).members == ()
