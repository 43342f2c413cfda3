"""Szalay 2021's second stage: which convolutions it trains, from which weights, how fast, and which are kept."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from noise_bench import noise_bench
from torch import Tensor, nn

from pneumoscope.core.recipe import Recipe
from pneumoscope.core.resolve import resolve
from pneumoscope.core.serial import from_json
from pneumoscope.nets.build import Net, build, choose_trainable
from pneumoscope.recipes import find, recipes
from pneumoscope.train import loop, stages
from pneumoscope.train.checkpoint import Progression, load_tensors

RECIPE = resolve(find("szalay2021")[0], variant="unfrozen")
TINY = {
    "prep.resize.size": "32",
    "stages.head.net": "mobilenetv2",
    "stages.unfreeze.net": "mobilenetv2",
    "stages.head.init": "random",
    "stages.head.head.hidden": "[8]",
    "stages.unfreeze.head.hidden": "[8]",
    "stages.head.epochs": "2",
    "stages.unfreeze.epochs": "3",
    "stages.unfreeze.trainable": "upper:1",
}
TRAIN, VAL = list(range(8)), list(range(8, 12))


@pytest.fixture(scope="module")
def vgg16() -> tuple[Net, list[nn.Module]]:
    """The network of the second stage with random weights, and its frozen modules."""
    stage = dataclasses.replace(RECIPE.stages[1], init="random")
    net, _ = build(stage, RECIPE.classes, input_size=(32, 32), weights_dir=None, seed=0)
    return net, choose_trainable(net, stage)


@pytest.fixture(scope="module")
def tiny() -> Recipe:
    return resolve(find("szalay2021")[0], variant="unfrozen", overrides=TINY)


def test_the_second_stage_is_the_first_one_with_its_upper_convolutions_trained_a_hundred_times_more_slowly() -> None:
    head, unfreeze = RECIPE.stages
    same = {"net", "head", "loss", "class_weights", "batch", "level", "augment", "monitor", "seed", "role"}
    assert all(getattr(head, name) == getattr(unfreeze, name) for name in same)
    assert (head.trainable, unfreeze.trainable) == ("head", "upper:3")
    assert unfreeze.init == "stage:head"
    assert unfreeze.optim == dataclasses.replace(head.optim, lr=1e-5)


def test_the_upper_three_of_vgg16_are_its_last_block(vgg16: tuple[Net, list[nn.Module]]) -> None:
    net, _ = vgg16
    layers = list(net.backbone.net.features.named_children())
    pools = [i for i, (_, layer) in enumerate(layers) if isinstance(layer, nn.MaxPool2d)]
    # block 5 lies between the last two of VGG's five maxima
    block = [f"features.{name}" for name, layer in layers[pools[3] : pools[4]] if isinstance(layer, nn.Conv2d)]
    assert block == ["features.24", "features.26", "features.28"]
    trained = {name: p for name, p in net.backbone.net.named_parameters() if p.requires_grad}
    assert set(trained) == {f"{name}.{kind}" for name in block for kind in ("weight", "bias")}
    assert [tuple(trained[f"{name}.weight"].shape) for name in block] == [(512, 512, 3, 3)] * 3
    assert sum(p.numel() for p in trained.values()) == 7_079_424


def test_all_before_the_last_block_is_frozen_and_the_head_learns_on(vgg16: tuple[Net, list[nn.Module]]) -> None:
    net, frozen = vgg16
    assert frozen == [net.backbone]
    still = [name for name, p in net.backbone.named_parameters() if not p.requires_grad]
    assert len([name for name in still if name.startswith("net.features.")]) == 2 * (13 - 3)
    assert all(p.requires_grad for p in net.head.parameters())
    assert not [m for m in net.modules() if isinstance(m, nn.BatchNorm2d | nn.BatchNorm1d)]


def test_the_frozen_part_stays_and_the_last_block_moves_in_one_step(vgg16: tuple[Net, list[nn.Module]]) -> None:
    net, _ = vgg16
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    optimizer = loop._optimizer(RECIPE.stages[1].optim, [p for p in net.parameters() if p.requires_grad])
    x = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    loop.losses(net(x), torch.tensor([0, 1]), RECIPE.classes).mean().backward()
    optimizer.step()
    moved = {name for name, tensor in net.state_dict().items() if not torch.equal(tensor, before[name])}
    upper = {f"backbone.net.features.{k}.weight" for k in (24, 26, 28)}
    assert upper <= moved
    assert {name for name in moved if name.startswith("backbone")} <= upper | {n[:-6] + "bias" for n in upper}
    # Adam's first step is the learning rate, whatever the gradient
    step = (net.state_dict()["backbone.net.features.28.weight"] - before["backbone.net.features.28.weight"]).abs()
    assert 0.9e-5 < float(step.max()) < 1.1e-5


def test_it_starts_from_the_weights_that_the_first_stage_kept(
    tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts: dict[str, dict[str, Tensor]] = {}
    whole = loop.fit

    def noted(task: loop.Task, *rest: object) -> object:
        starts[task.stage.name] = {name: tensor.clone() for name, tensor in task.model.state_dict().items()}
        return whole(task, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "fit", noted)
    stages.fit_stages(noise_bench(tiny, tmp_path), TRAIN, VAL, tmp_path / "fold_0", fold=0, what="fit")
    kept, _ = load_tensors(tmp_path / "fold_0" / "head.safetensors")
    assert kept
    assert all(torch.equal(starts["unfreeze"][name], tensor) for name, tensor in kept.items())
    assert any(not torch.equal(starts["head"][name.removeprefix("head.")], tensor) for name, tensor in kept.items())


def test_of_its_epochs_the_best_ones_weights_are_kept(
    tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second of three, by a validation loss that the test says."""
    bench = noise_bench(tiny, tmp_path)
    stages.fit_stages(dataclasses.replace(bench, recipe=_first(tiny)), TRAIN, VAL, tmp_path / "f", fold=0, what="fit")
    after: list[dict[str, Tensor]] = []

    def said(task: loop.Task, _weights: Tensor) -> dict[str, float]:
        after.append({name: tensor.clone() for name, tensor in task.model.state_dict().items()})
        return {"val_loss": [3.0, 1.0, 2.0][len(after) - 1], "val_accuracy": 0.5, "val_balanced_accuracy": 0.5}

    monkeypatch.setattr(loop, "_validate", said)
    net, _ = stages.fit_stages(bench, TRAIN, VAL, tmp_path / "f", fold=0, what="fit")
    assert len(after) == 3
    tensors, about = load_tensors(tmp_path / "f" / "unfreeze.safetensors")
    how_far = from_json(Progression, about)
    assert how_far.best_epoch == 1
    assert [epoch.lr for epoch in how_far.history] == [1e-5] * 3
    assert all(torch.equal(tensor, after[1][name]) for name, tensor in tensors.items())
    assert all(torch.equal(tensor, after[1][name]) for name, tensor in net.state_dict().items())
    assert any(not torch.equal(tensor, after[2][name]) for name, tensor in tensors.items())
    changed = {name for name, tensor in after[2].items() if not torch.equal(tensor, after[0][name])}
    assert {name.split(".")[0] for name in changed} == {"backbone", "head"}
    assert {name for name in changed if name.startswith("backbone")} == {"backbone.net.conv_head.weight"}


def _first(recipe: Recipe) -> Recipe:
    return dataclasses.replace(recipe, stages=recipe.stages[:1])


@pytest.mark.parametrize("name", list(recipes()))
def test_a_stage_names_variants_that_its_recipe_has(name: str) -> None:
    """Misspelt, it would never run, and nobody would know."""
    recipe = recipes().resolve(name)
    assert {variant for stage in recipe.stages for variant in stage.variants} <= set(recipe.variants)
