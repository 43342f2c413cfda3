"""Screening: the same answer as torch, in batches, and one bad path never stops the others."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from pneumoscope import api, phantoms
from pneumoscope import bundle as bundles
from pneumoscope.core.image import Geometry, Volume
from pneumoscope.errors import BundleError, IntegrityError, UsageError
from pneumoscope.explain.rebuild import layer_cam, rebuild
from pneumoscope.io import load
from pneumoscope.nets.build import ScreeningNet
from pneumoscope.prep import pipeline
from pneumoscope.runtime import engine
from pneumoscope.runtime.screen import BATCH, Screener


@pytest.fixture
def screener(made_run: Path) -> Screener:
    return Screener(bundles.load(str(made_run / "bundle")))


def test_the_graph_answers_as_torch_does(made_run: Path, xray_png: Path) -> None:
    bundle = bundles.load(str(made_run / "bundle"))
    prepared = pipeline.run(api.load_study(xray_png).images[0], bundle.facts.recipe.prep)
    images = np.stack([prepared.pixels, prepared.pixels[:, ::-1]])
    got, cam = engine.Engine(bundle.read(bundles.GRAPH)).run(images)
    with torch.inference_mode():
        expected, maps = ScreeningNet(rebuild(bundle)).eval()(torch.from_numpy(images.copy()).unsqueeze(1))
    np.testing.assert_allclose(got, expected.numpy(), atol=1e-5)
    np.testing.assert_allclose(cam, maps.numpy(), rtol=1e-3, atol=1e-8)


def test_the_graphs_map_is_autograds_grad_cam(made_run: Path, xray_png: Path) -> None:
    """The map that the base install gives is the one that torch's gradients give, at the last feature map."""
    bundle = bundles.load(str(made_run / "bundle"))
    prepared = pipeline.run(api.load_study(xray_png).images[0], bundle.facts.recipe.prep)
    _, cam = engine.Engine(bundle.read(bundles.GRAPH)).run(prepared.pixels[np.newaxis])
    for k, name in enumerate(bundle.facts.recipe.classes.names):
        expected = layer_cam(bundle, prepared.pixels, layer="features", target=name)
        np.testing.assert_allclose(cam[0, k], expected, rtol=1e-3, atol=1e-5 * max(expected.max(), 1e-9))


def test_the_map_is_in_the_pixels_of_the_source(screener: Screener, xray_png: Path) -> None:
    (result,) = screener.screen([xray_png])
    assert result.image is not None
    assert result.explanation is not None
    assert result.explanation.map.shape == result.image.shape == (128, 128)
    assert result.explanation.map.max() == pytest.approx(1)
    assert result.explanation.target == result.prediction.decision


def test_one_bad_path_never_stops_the_others(screener: Screener, xray_png: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_text("hello")
    results = list(
        screener.screen([tmp_path / "empty.png", xray_png, tmp_path / "none.png", tmp_path / "text.png", xray_png])
    )
    assert [r.prediction.accepted for r in results] == [False, True, False, False, True]
    assert all(r.prediction.reasons and not r.prediction.probabilities for r in results if not r.prediction.accepted)
    assert all("\n" not in reason for r in results for reason in r.prediction.reasons)


def test_batches_change_no_answer_and_keep_the_order(screener: Screener, tmp_path: Path) -> None:
    names = []
    for i in range(2 * BATCH + 3):
        path = tmp_path / f"{i:02d}.png"
        phantoms.write_png(phantoms.make_xray("normal", seed=i, size=96), path)
        names.append(path)
    together = [r.prediction for r in screener.screen(names)]
    alone = [next(iter(screener.screen([name]))).prediction for name in names]
    folder = [r.prediction for r in screener.screen([tmp_path])]
    assert [p.path for p in together] == [str(n) for n in names]
    for p in (alone, folder):
        np.testing.assert_allclose(
            [x.probabilities["covid"] for x in p], [x.probabilities["covid"] for x in together], atol=1e-6
        )


def test_a_zip_and_a_dicom_are_screened_as_the_png_is(tmp_path: Path) -> None:
    screener = Screener(bundles.load("phantom"))
    phantom = phantoms.make_xray("covid", seed=3, size=256)
    phantoms.write_png(phantom, tmp_path / "a.png")
    phantoms.write_png(dataclasses.replace(phantom, pixels=1 - phantom.pixels), tmp_path / "negative.png")
    phantoms.write_dicom(phantom, tmp_path / "a.dcm")
    phantoms.write_dicom(phantom, tmp_path / "inverted", photometric="MONOCHROME1")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / "a.png", "x/a.png")
    paths = [tmp_path / n for n in ("a.png", "a.dcm", "inverted", "a.zip")]
    answers = [r.prediction.probabilities["covid"] for r in screener.screen(paths)]
    np.testing.assert_allclose(answers, answers[0], atol=0.01)
    (negative,) = screener.screen([tmp_path / "negative.png"])
    assert "looks like a negative" in negative.prediction.reasons[0]
    assert negative.prediction.gate["negative"].verdict == "refused"


def test_a_precision_that_was_not_validated_is_refused(made_run: Path) -> None:
    bundle = bundles.load(str(made_run / "bundle"))
    with pytest.raises(BundleError, match="expected one that the bundle was validated in"):
        Screener(bundle, precision="int8")  # type: ignore[arg-type]


def test_a_precision_that_the_cpu_lacks_is_refused(made_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "supported_precisions", lambda: ("fp32",))
    graph = bundles.load(str(made_run / "bundle")).read(bundles.GRAPH)
    with pytest.raises(UsageError, match="expected one that this CPU has, found 'bf16'"):
        engine.Engine(graph, precision="bf16")


def test_a_graph_whose_bytes_changed_never_runs(tiny_bundle: Path) -> None:
    path = tiny_bundle / "graph.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(IntegrityError):
        Screener(bundles.load(str(tiny_bundle)))


def test_the_predictions_file_is_what_the_api_returns(made_run: Path, xray_png: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (prediction,) = api.predict(str(made_run / "bundle"), [xray_png], out=out, explain=True)
    (saved,) = json.loads((out / "predictions.json").read_text())
    assert saved["probabilities"] == dict(prediction.probabilities)
    assert saved["decision"] == prediction.decision
    assert saved["threshold"] == 0.5
    for path in prediction.outputs.values():
        assert Path(path).is_file()
    assert (out / "report.html").is_file()
    with pytest.raises(UsageError, match="expected a new or empty folder"):
        api.predict(str(made_run / "bundle"), [xray_png], out=out)


def test_what_a_folder_holds_besides_images_is_said(made_run: Path, tiny_data: Path) -> None:
    said: list[str] = []
    predictions = api.predict(str(made_run / "bundle"), [tiny_data], say=said.append)
    assert all(p.accepted for p in predictions)
    assert [s for s in said if "labels.csv" in s]


def test_a_modality_that_the_model_never_learned_from_is_refused(
    screener: Screener, xray_png: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert screener.bundle.facts.data.modalities == {"xray": screener.bundle.facts.data.n_images}
    study = load.read(load.discover(xray_png).found[0])
    slice_ = dataclasses.replace(study.images[0], modality="ct")
    monkeypatch.setattr(load, "read", lambda found: dataclasses.replace(study, images=(slice_,)))
    (result,) = screener.screen([xray_png])
    assert screener.recipe.modalities == ("xray", "ct")
    assert result.prediction.reasons == ("modality: expected a chest X-ray, found a chest CT.",)
    assert not result.prediction.probabilities


def test_a_ct_series_is_refused_in_words(screener: Screener, xray_png: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = load.read(load.discover(xray_png).found[0])
    volume = Volume(
        voxels=np.zeros((12, 20, 20), np.int16),
        geometry=Geometry(spacing_mm=(1, 1, 1)),
        slices=tuple("x" * 12),
        warnings=("odd",),
    )
    monkeypatch.setattr(load, "read", lambda found: dataclasses.replace(study, images=(), volume=volume))
    (result,) = screener.screen([xray_png])
    assert not result.prediction.accepted
    assert "found a CT series of 12 slices" in result.prediction.reasons[0]
    assert result.prediction.warnings == ("odd",)


def test_no_paths_is_an_error(made_run: Path) -> None:
    with pytest.raises(UsageError, match="expected at least one"):
        api.predict(str(made_run / "bundle"), [])
