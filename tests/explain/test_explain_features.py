"""Feature maps of a bundle's image: through the api and the command, at any layer, with and without the extra."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from safetensors.torch import load_file

from pneumoscope import api
from pneumoscope import bundle as bundles
from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.image import Image2D
from pneumoscope.core.stage import Head
from pneumoscope.errors import MissingError, UsageError
from pneumoscope.explain import rebuild as rebuilding
from pneumoscope.explain.rebuild import layer_maps
from pneumoscope.nets.build import Net
from pneumoscope.nets.cnn import OWN
from pneumoscope.nets.head import MlpHead
from pneumoscope.nets.maps import grid
from pneumoscope.prep import pipeline

# of the tiny bundle's network, the recipe's own CNN
THREE = ("features.2", "features.10", "features")


def prepared(bundle: Path, png: Path) -> np.ndarray:
    image: Image2D = api.load_study(png).images[0]
    return pipeline.run(image, bundles.load(str(bundle)).facts.recipe.prep).pixels


def test_maps_are_of_the_bundles_own_weights(made_run: Path, xray_png: Path) -> None:
    bundle = bundles.load(str(made_run / "bundle"))
    pixels = prepared(made_run / "bundle", xray_png)
    maps = layer_maps(bundle, pixels, layer="features.0")["features.0"]
    weights = load_file(made_run / "bundle" / "weights.safetensors")["backbone.features.0.weight"].numpy()
    x = np.pad(pixels * 4 - 2, 1)  # as the network centres it
    expected = np.array([sum(w[0, i, j] * x[i:, j:][:64, :64] for i in range(3) for j in range(3)) for w in weights])
    np.testing.assert_allclose(maps, expected, rtol=1e-4, atol=1e-5)
    assert tuple(layer_maps(bundle, pixels, layer=None)) == THREE


@pytest.mark.parametrize(("layer", "expected"), [(None, THREE), ("features.8", ("features.8",))])
def test_grids_are_files_and_stand_in_the_report(
    made_run: Path, xray_png: Path, tmp_path: Path, layer: str | None, expected: tuple[str, ...]
) -> None:
    out = tmp_path / "out"
    prediction = api.explain(str(made_run / "bundle"), xray_png, out=out, layer=layer, features=True)
    assert set(prediction.outputs) == {"overlay", "map", *(f"features/{name}" for name in expected)}
    assert {p.name for p in (out / "features").iterdir()} == {f"{name}.png" for name in expected}
    maps = layer_maps(bundles.load(str(made_run / "bundle")), prepared(made_run / "bundle", xray_png), layer=layer)
    for name in expected:
        written = cv2.imread(prediction.outputs[f"features/{name}"], cv2.IMREAD_UNCHANGED)
        assert np.array_equal(written, np.round(grid(maps[name]) * 255).astype(np.uint8))
    report = (out / "report.html").read_text()
    assert "Inside the network" in report
    assert "Light is a high output" in report
    for name in expected:
        assert f"<bdi>{name}: " in report
    saved = json.loads((out / "predictions.json").read_text())
    assert saved[0]["outputs"] == dict(prediction.outputs)


def test_a_layer_without_features_is_grad_cam_alone(made_run: Path, xray_png: Path, tmp_path: Path) -> None:
    plain = api.explain(str(made_run / "bundle"), xray_png, out=tmp_path / "plain", layer="features.8")
    both = api.explain(str(made_run / "bundle"), xray_png, out=tmp_path / "both", layer="features.8", features=True)
    assert set(plain.outputs) == {"overlay", "map"}
    assert "Inside the network" not in (tmp_path / "plain" / "report.html").read_text()
    assert Path(plain.outputs["map"]).read_bytes() == Path(both.outputs["map"]).read_bytes()


def test_an_unknown_layer_is_an_error_before_anything_is_written(
    made_run: Path, xray_png: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"--layer: expected a layer of the network, found 'features\.88'"):
        api.explain(str(made_run / "bundle"), xray_png, out=tmp_path / "out", layer="features.88", features=True)
    bundle = bundles.load(str(made_run / "bundle"))
    with pytest.raises(UsageError, match=r"Did you mean 'features\.8'"):
        layer_maps(bundle, prepared(made_run / "bundle", xray_png), layer="featuers.8")
    assert not (tmp_path / "out").exists()


def test_the_heads_map_is_no_layer_where_the_head_does_not_convolve(made_run: Path, xray_png: Path) -> None:
    bundle = bundles.load(str(made_run / "bundle"))
    assert bundle.facts.explains == "features"
    with pytest.raises(UsageError, match=r"--layer: expected a layer of the network, found 'head\.maps'"):
        layer_maps(bundle, prepared(made_run / "bundle", xray_png), layer="head.maps")
    assert rebuilding.rebuild(bundle).head.convolution is None


def test_the_heads_map_is_the_last_layer_where_the_head_convolves(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = OWN.resolve("cnn")()
    head = MlpHead(Head(pooling="average", convolution=3), channels=128, grid=(4, 4), outputs=1)
    net = Net(backbone, head, ClassSet(names=("no", "yes"), positive="yes"))
    monkeypatch.setattr(rebuilding, "rebuild", lambda _: net)
    bundle: Any = SimpleNamespace(facts=SimpleNamespace(explains="head.maps"))
    pixels = np.random.default_rng(0).random((64, 64), dtype=np.float32)
    assert layer_maps(bundle, pixels, layer="head.maps")["head.maps"].shape == (3, 4, 4)
    assert tuple(layer_maps(bundle, pixels, layer=None))[-1] == "head.maps"
    assert layer_maps(bundle, pixels, layer="features")["features"].shape == (128, 4, 4)


def test_without_the_extra_the_command_says_what_to_install(
    made_run: Path, xray_png: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else found(name))
    with pytest.raises(MissingError, match=r"pip install 'pneumoscope\[train\]'") as caught:
        api.explain(str(made_run / "bundle"), xray_png, out=tmp_path / "out", features=True)
    assert caught.value.exit_code == 5
    assert not (tmp_path / "out").exists()
    api.explain(str(made_run / "bundle"), xray_png, out=tmp_path / "out")  # as before
