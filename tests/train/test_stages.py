"""Frozen backbones: features computed once, found again, and the same as the whole network's answer."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from pneumoscope.core.dataset import Dataset
from pneumoscope.core.progress import silent
from pneumoscope.core.recipe import Recipe
from pneumoscope.core.resolve import resolve
from pneumoscope.io.manifest import read_dataset
from pneumoscope.nets.build import probabilities
from pneumoscope.recipes import find
from pneumoscope.train import learner, loop
from pneumoscope.train.bench import Bench
from pneumoscope.train.data import prepare
from pneumoscope.train.environment import Clock
from pneumoscope.train.features import weights_digest
from pneumoscope.train.stages import fit_stages, predict

OVERRIDES = {
    "stages.head.net": "mobilenetv2",
    "stages.head.init": "random",
    "stages.head.epochs": "2",
    "prep.resize.size": "32",
    "stages.head.head.hidden": "[8]",
}


@pytest.fixture
def dataset(tiny_data: Path) -> Dataset:
    recipe, _ = find("szalay2021")
    return read_dataset(tiny_data, recipe.classes, mapping={"normal": "non-covid", "pneumonia": "non-covid"})


def bench(dataset: Dataset, recipe: Recipe, tmp_path: Path) -> Bench:
    return Bench(
        recipe=recipe,
        data={"main": prepare(dataset, recipe, tmp_path / "prepared", silent)},
        parts={},
        out=tmp_path,
        cache=tmp_path / "cache",
        weights_dir=None,
        progress=silent,
        clock=Clock(tmp_path / "environment.json", {}),
    )


def test_features_are_computed_once_and_found_again(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = resolve(find("szalay2021")[0], overrides=OVERRIDES)
    train, val = list(range(16)), list(range(16, len(dataset)))
    first = bench(dataset, recipe, tmp_path)
    net, _ = fit_stages(first, train, val, tmp_path / "one", fold=0, what="fit")
    assert len(list((tmp_path / "cache").rglob("*.npy"))) == len(dataset)

    calls: list[int] = []
    whole = type(net).features
    monkeypatch.setattr(type(net), "features", lambda self, x: calls.append(len(x)) or whole(self, x))
    again, _ = fit_stages(bench(dataset, recipe, tmp_path), train, val, tmp_path / "two", fold=0, what="fit")
    assert calls == []
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), again.state_dict().values(), strict=True))

    # another size is another preparation: nothing of the cache may be taken for it
    larger = resolve(find("szalay2021")[0], overrides=OVERRIDES | {"prep.resize.size": "48"})
    fit_stages(bench(dataset, larger, tmp_path), train, val, tmp_path / "three", fold=0, what="fit")
    assert sum(calls) == len(dataset)


@pytest.mark.parametrize("pooling", ["average", "flatten"])
def test_cached_features_answer_as_the_whole_network_does(dataset: Dataset, tmp_path: Path, pooling: str) -> None:
    recipe = resolve(find("szalay2021")[0], overrides=OVERRIDES | {"stages.head.head.pooling": pooling})
    made = bench(dataset, recipe, tmp_path)
    net, _ = fit_stages(made, list(range(16)), list(range(16, 24)), tmp_path / "fit", fold=0, what="fit")
    positions = [3, 1, 20]
    with torch.inference_mode():
        expected = probabilities(net(made.main.take(np.array(positions))), dataset.classes)
    np.testing.assert_allclose(predict(made, net, positions), expected.numpy(), atol=1e-5)


def test_a_second_stage_starts_where_the_first_one_ended(dataset: Dataset, tmp_path: Path) -> None:
    """Szalay 2021, section 4: then the upper convolutions are made trainable."""
    recipe = resolve(find("szalay2021")[0], overrides=OVERRIDES)
    upper = dataclasses.replace(recipe.stages[0], name="upper", init="stage:head", trainable="upper:1", epochs=1)
    two = dataclasses.replace(recipe, stages=(*recipe.stages, upper))
    made = bench(dataset, two, tmp_path)
    train, val = list(range(16)), list(range(16, 24))
    net, _ = fit_stages(made, train, val, tmp_path / "fit", fold=0, what="fit")
    head_only = dataclasses.replace(made, recipe=recipe)
    before, _ = fit_stages(head_only, train, val, tmp_path / "fit", fold=0, what="fit")
    changed = {
        name
        for (name, a), b in zip(net.state_dict().items(), before.state_dict().values(), strict=True)
        if not torch.equal(a, b)
    }
    backbone = {name for name in changed if name.startswith("backbone")}
    assert len(backbone) == 1
    assert "conv_head" in backbone.pop()
    assert {name for name in changed if name.startswith("head")} == {
        n for n in net.state_dict() if n.startswith("head")
    }


def test_the_digest_of_a_backbone_is_of_its_weights(dataset: Dataset, tmp_path: Path) -> None:
    recipe = resolve(find("szalay2021")[0], overrides=OVERRIDES)
    net, _ = fit_stages(bench(dataset, recipe, tmp_path), [0, 1, 2, 3], [4, 5], tmp_path / "f", fold=0, what="fit")
    before = weights_digest(net.backbone)
    with torch.no_grad():
        next(net.backbone.parameters()).mul_(1.001)
    changed = weights_digest(net.backbone)
    assert changed != before
    # no tensor holds an epsilon, and features depend on it
    next(m for m in net.backbone.modules() if isinstance(m, torch.nn.BatchNorm2d)).eps = 0.1
    assert weights_digest(net.backbone) != changed


def test_maps_below_a_cut_that_would_take_too_much_are_not_kept(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same answers either way: what is frozen is asked once, or in every epoch."""
    overrides = OVERRIDES | {"stages.head.net": "vgg16", "stages.head.trainable": "upper:1", "stages.head.epochs": "1"}
    recipe = resolve(find("szalay2021")[0], overrides=overrides)
    # on CPUs with bf16 the whole network would be trained in it, and what is cut off below in fp32
    monkeypatch.setattr(loop, "bf16_is_fast", lambda: False)
    answers = []
    for name, most in (("kept", learner.MOST_KNOWN), ("anew", 0)):
        monkeypatch.setattr(learner, "MOST_KNOWN", most)
        one = bench(dataset, recipe, tmp_path / name)
        net, _ = fit_stages(one, [0, 1, 2, 3], [4, 5], tmp_path / name / "f", fold=0, what="fit")
        assert bool(one.known) == (name == "kept")
        answers.append(predict(one, net, [6, 7, 8]))
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-5)
