"""A recipe's stages of images, slices and volumes, fitted one after the other on one fold."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch
from torch import nn

from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.recipe import Recipe
from pneumoscope.core.role import MAIN
from pneumoscope.core.stage import Stage
from pneumoscope.nets.build import Net, build, choose_trainable, probabilities
from pneumoscope.nets.volume import bf16_is_right, build_volume
from pneumoscope.nets.weights import WeightsUsed
from pneumoscope.prep.sizes import input_size
from pneumoscope.train import loop
from pneumoscope.train.bench import Bench
from pneumoscope.train.checkpoint import Progression, load_tensors, save_tensors
from pneumoscope.train.learner import learner_of
from pneumoscope.train.lessons import lesson


def fit_stages(
    bench: Bench, train: list[int], val: list[int], folder: Path, *, fold: int, what: str
) -> tuple[Net, WeightsUsed | None]:
    """Fit every stage of images, slices or volumes on one fold, skipping those whose weights are there.

    train, val: positions of images in the main role; a stage of another role learns from all of that role, once for all
    folds. The last stage's network comes back.

    Raises:
        DataError: nothing that a stage of slices could learn from.
    """
    for stage in of_images(bench.recipe):
        net, used = _start(bench, stage, folder)
        frozen = choose_trainable(net, stage)
        done = bench.folder(stage, folder) / f"{stage.name}.safetensors"
        if not done.exists() and stage.role == MAIN:
            _fit(bench, net, stage, frozen, train, val, done, fold=fold, what=f"{what}, {stage.name}")
        elif not done.exists():
            data, part = bench.data[stage.role], bench.parts[stage.role]
            # none: a protocol without a validation part, as in the final fit
            positions = data.positions(part.train), data.positions(part.val or part.train)
            _fit(bench, net, stage, frozen, *positions, done, fold=0, what=f"{stage.name}, once for all folds")
        loop.overlay(net, load_tensors(done)[0])
    return net.eval(), used


def of_images(recipe: Recipe) -> list[Stage]:
    """The stages whose networks see images, or volumes, one by one; every recipe has one."""
    return [stage for stage in recipe.stages if stage.level in ("image", "slice", "volume")]


def fitted(bench: Bench, folder: Path) -> Net:
    """The last network of images of a fold that was fitted, in eval mode."""
    stage = of_images(bench.recipe)[-1]
    net, _ = _start(bench, stage, folder)
    loop.overlay(net, load_tensors(bench.folder(stage, folder) / f"{stage.name}.safetensors")[0])
    return net.eval()


def pretrained(recipe: Recipe, weights_dir: Path | None) -> dict[str, str]:
    """Digest of the pretrained weights that each stage starts from; what is missing or does not fit is found here.

    Raises:
        MissingError: weights that are not here.
        UsageError, RecipeError: a network that does not exist or does not fit the recipe.
    """
    found = {}
    for stage in of_images(recipe):
        if not stage.init.startswith("stage:"):
            _, used = _built(stage, recipe.classes_of(stage.role), input_size(recipe), weights_dir, stage.seed)
            if used is not None and used.file is not None:
                found[stage.name] = used.digest
    return found


def predict(bench: Bench, net: Net, positions: list[int]) -> np.ndarray:
    """Probabilities `[n, K]` of the main role's images at `positions`, in fp32."""
    stage = of_images(bench.recipe)[-1]
    at = np.asarray(positions, dtype=np.int64)
    learner = learner_of(bench, net, stage)
    logits = loop.logits_of(learner.model, learner.take, at, stage.batch)
    return probabilities(logits, bench.main.dataset.classes).numpy()


def _fit(
    bench: Bench,
    net: Net,
    stage: Stage,
    frozen: list[nn.Module],
    train: list[int],
    val: list[int],
    done: Path,
    *,
    fold: int,
    what: str,
) -> None:
    """Fit one stage and write its weights to `done`."""
    learner = learner_of(bench, net, stage)
    data = bench.data[stage.role]
    taught = lesson(net, stage, data, train, val)
    done.parent.mkdir(parents=True, exist_ok=True)
    task = loop.Task(
        model=learner.model,
        take=learner.take,
        labels=taught.labels,
        train=taught.train,
        val=taught.val,
        stage=stage,
        classes=data.dataset.classes,
        frozen=() if learner.model is net.head else tuple(frozen),
        seed=_seed(stage, fold),
        low_precision=learner.model is net and loop.bf16_is_fast() and bf16_is_right(data.input_size),
    )
    if not len(taught.train):  # no slice is called infected: the network stays as it is
        save_tensors(done, {}, Progression())
        return
    checkpoint = done.with_suffix(".checkpoint")
    with bench.clock.of("fitting"):
        best, history = loop.fit(task, checkpoint, bench.progress, what)
    save_tensors(done, {learner.named(name): tensor for name, tensor in best.items()}, history)
    checkpoint.unlink(missing_ok=True)


def _start(bench: Bench, stage: Stage, folder: Path) -> tuple[Net, WeightsUsed | None]:
    """The network as the stage finds it: built, and the stages it starts from laid over it, first one first."""
    before: list[Stage] = []
    first = stage
    while first.init.startswith("stage:"):
        of = first.init.removeprefix("stage:")
        first = next(s for s in bench.recipe.stages if s.name == of)
        before.insert(0, first)
    data = bench.data[stage.role]
    # the first one's seed: what no stage trained must be as it found it
    begun = dataclasses.replace(stage, init=first.init)
    net, used = _built(begun, data.dataset.classes, data.input_size, bench.weights_dir, first.seed)
    net.to(memory_format=torch.channels_last_3d if stage.level == "volume" else torch.channels_last)
    for earlier in before:
        state, _ = load_tensors(bench.folder(earlier, folder) / f"{earlier.name}.safetensors")
        if bench.data[earlier.role].dataset.classes != data.dataset.classes:
            state = {name: tensor for name, tensor in state.items() if not net.head.is_output(name)}
        loop.overlay(net, state)
    return net, used


def _built(
    stage: Stage, classes: ClassSet, size: tuple[int, ...], weights_dir: Path | None, seed: int
) -> tuple[Net, WeightsUsed | None]:
    """A stage's network for images `(H, W)` or volumes `(D, H, W)`."""
    if stage.level == "volume":
        depth, height, width = size
        return build_volume(stage, classes, input_size=(depth, height, width), weights_dir=weights_dir, seed=seed)
    height, width = size
    return build(stage, classes, input_size=(height, width), weights_dir=weights_dir, seed=seed)


def _seed(stage: Stage, fold: int) -> int:
    return int(np.random.SeedSequence([stage.seed, fold]).generate_state(1)[0])
