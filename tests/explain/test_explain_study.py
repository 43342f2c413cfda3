"""Maps of a study's slices at the stages of the backbone, against gradients taken in a loop of the test's own."""

from __future__ import annotations

import dataclasses
import functools
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from pneumoscope import api
from pneumoscope.core.resolve import resolve
from pneumoscope.core.result import Prediction
from pneumoscope.errors import InputError, UsageError
from pneumoscope.explain import rebuild as rebuilding
from pneumoscope.explain.rebuild import layer_cams
from pneumoscope.nets.build import Net, build
from pneumoscope.recipes import find

SIZE = 64


@functools.cache
def garg() -> Net:
    """The slice network of Garg 2021, drawn, with statistics of real activations, so that none of its maps is dead."""
    recipe = resolve(find("garg2021")[0])
    stage = dataclasses.replace(recipe.stages[0], init="random")
    net, _ = build(stage, recipe.classes, input_size=(SIZE, SIZE), weights_dir=None, seed=4)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        net.train()(torch.rand(4, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(1)))
    return net.eval()


@pytest.fixture
def bundle(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A bundle whose network is `garg`: to export it would take longer than the test."""
    monkeypatch.setattr(rebuilding, "rebuild", lambda _: garg())
    return SimpleNamespace(facts=SimpleNamespace(explains="features"))


def by_hand(net: Net, image: np.ndarray, stage: str, k: int) -> np.ndarray:
    """Of one image: activations times the mean over all places of the gradient of class k's logit there."""
    backbone = net.backbone.net
    x = (torch.from_numpy(image)[None, None] - net.backbone.mean) / net.backbone.std
    x = backbone.maxpool(backbone.act1(backbone.bn1(backbone.conv1(x))))
    ends = {}
    for name in ("layer1", "layer2", "layer3", "layer4"):
        x = getattr(backbone, name)(x)
        x.retain_grad()
        ends[name] = x
    pooled = torch.cat([ends[name].mean((2, 3)) for name in ("layer2", "layer3", "layer4")], 1)
    hidden = net.head.linears[0](pooled).relu()
    net.head.linears[1](hidden)[0, k].backward()
    net.zero_grad()
    end = ends[stage]
    alpha = end.grad[0].sum((1, 2)) / end[0, 0].numel()
    cam = sum(a * channel for a, channel in zip(alpha, end[0].detach(), strict=True))
    return np.maximum(np.asarray(cam), 0)


@pytest.mark.parametrize(
    ("stage", "layer"), [("layer2", "net.layer2"), ("layer3", "net.layer3"), ("layer4", "features")]
)
def test_maps_of_stages_3_4_and_5_are_grad_cam(bundle: Any, stage: str, layer: str) -> None:
    images = np.random.default_rng(2).random((2, SIZE, SIZE), dtype=np.float32)
    strongest = 0.0
    for k, target in enumerate(garg().classes.names):
        expected = np.stack([by_hand(garg(), image, stage, k) for image in images])
        found = layer_cams(bundle, images, layer=layer, target=target)
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * expected.max())
        strongest = max(strongest, float(expected.max()))
    assert strongest > 0  # of some class: a map may be 0 where all of it speaks against a class


@pytest.mark.parametrize("layer", ["layer9", "stage 4", ""])
def test_a_wrong_layer_names_the_stages(bundle: Any, layer: str) -> None:
    with pytest.raises(
        UsageError, match=r"features, net\.layer3, net\.layer2, net\.layer1, the last one first"
    ) as caught:
        layer_cams(bundle, np.zeros((1, SIZE, SIZE), np.float32), layer=layer, target="covid")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250


def maps_of(p: Prediction) -> list[np.ndarray]:
    return [cv2.imread(p.outputs[f"slice-{n:04d}/map"], cv2.IMREAD_UNCHANGED) for n in shown(p)]


def shown(p: Prediction) -> list[int]:
    """Numbers of the slices that matter, from 1."""
    return [n for n, s in enumerate(p.slices, 1) if s.matters]


def test_a_study_is_explained_slice_by_slice_at_any_layer(
    made_study_bundle: Path, one_series: Path, tmp_path: Path
) -> None:
    def explained(layer: str | None, target: str) -> Prediction:
        out = tmp_path / f"{layer}-{target}"
        return api.explain(str(made_study_bundle), one_series, out=out, layer=layer, target=target)

    lit = []
    for target in ("normal", "pneumonia", "covid"):
        p = explained("features.8", target)
        assert sorted(p.outputs) == [f"slice-{n:04d}/{kind}" for n in shown(p) for kind in ("map", "overlay")]
        assert {m.shape for m in maps_of(p)} == {p.series.shape[1:]}  # type: ignore[union-attr]
        lit.append(max(int(m.max()) for m in maps_of(p)))
    assert max(lit) == 65535  # the strongest place; of a class that all speaks against there may be no map
    last, same = explained(None, "covid"), explained("features", "covid")
    np.testing.assert_array_equal(maps_of(last), maps_of(same))
    assert "<code>features.8</code>" in (tmp_path / "features.8-covid" / "report.html").read_text()
    saved = json.loads((tmp_path / "None-covid" / "predictions.json").read_text())
    assert [n for n, s in enumerate(saved[0]["slices"], 1) if s["matters"]] == shown(last)


def test_several_studies_are_named_and_none_is_explained(
    made_study_bundle: Path, series_data: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"expected one study, found 6: .*phantom-3-0001.*Give one of them\."):
        api.explain(str(made_study_bundle), series_data / "series", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
