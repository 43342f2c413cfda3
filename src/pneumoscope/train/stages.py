"""A recipe's stages, fitted one after the other on one fold."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from pneumoscope.core.dataset import Fold
from pneumoscope.core.progress import Progress
from pneumoscope.core.recipe import Recipe, Stage
from pneumoscope.core.role import MAIN
from pneumoscope.errors import RecipeError
from pneumoscope.nets.build import Net, build, choose_trainable, probabilities
from pneumoscope.nets.weights import WeightsUsed
from pneumoscope.prep import pipeline
from pneumoscope.train import loop
from pneumoscope.train.checkpoint import load_tensors, save_tensors
from pneumoscope.train.data import Prepared
from pneumoscope.train.environment import Clock
from pneumoscope.train.features import cached_features, kind


@dataclass(frozen=True, kw_only=True, eq=False)
class Bench:
    """What every fold of a run shares.

    data: by role. parts: the files that another role than main trains on and chooses weights on. out: the run's
    folder. cache: folder of cached features. known: features of this run by what made them.
    """

    recipe: Recipe
    data: Mapping[str, Prepared]
    parts: Mapping[str, Fold]
    out: Path
    cache: Path
    weights_dir: Path | None
    progress: Progress
    clock: Clock
    known: dict[str, Tensor] = field(default_factory=dict)

    @property
    def main(self) -> Prepared:
        """What is evaluated."""
        return self.data[MAIN]

    def folder(self, stage: Stage, fold: Path) -> Path:
        """Where a stage's weights lie: with the fold's, or in one place for all folds."""
        return fold if stage.role == MAIN else self.out / f"role_{stage.role}"


def fit_stages(
    bench: Bench, train: list[int], val: list[int], folder: Path, *, fold: int, what: str
) -> tuple[Net, WeightsUsed | None]:
    """Fit every stage on one fold, skipping those whose weights are there; returns the last one's network.

    train, val: positions in the main role; a stage of another role learns from all of that role, once for all folds.

    Raises:
        RecipeError: a stage that single images cannot train.
    """
    net: Net | None = None
    used = None
    for stage in bench.recipe.stages:
        if stage.level not in ("image", "slice"):
            raise RecipeError(f"stages.{stage.name}.level: expected 'image' or 'slice', found '{stage.level}'.")
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
    if net is None:
        raise RecipeError(f"{bench.recipe.name}: expected at least one stage, found none.")
    return net.eval(), used


def fitted(bench: Bench, folder: Path) -> Net:
    """The last stage's network of a fold that was fitted, in eval mode."""
    stage = bench.recipe.stages[-1]
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
    for stage in recipe.stages:
        if not stage.init.startswith("stage:"):
            _, used = build(
                stage,
                recipe.classes_of(stage.role),
                input_size=pipeline.input_size(recipe),
                weights_dir=weights_dir,
                seed=stage.seed,
            )
            if used is not None and used.file is not None:
                found[stage.name] = used.digest
    return found


def predict(bench: Bench, net: Net, positions: list[int]) -> np.ndarray:
    """Probabilities `[n, K]` of the main role's samples at `positions`, in fp32."""
    stage = bench.recipe.stages[-1]
    at = np.asarray(positions, dtype=np.int64)
    if _on_features(stage):
        logits = loop.logits_of(net.head, _features(bench, net, stage).__getitem__, at, stage.batch)
    else:
        logits = loop.logits_of(net, bench.main.take, at, stage.batch)
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
    on_features = _on_features(stage)
    data = bench.data[stage.role]
    done.parent.mkdir(parents=True, exist_ok=True)
    task = loop.Task(
        model=net.head if on_features else net,
        take=_features(bench, net, stage).__getitem__ if on_features else data.take,
        labels=data.labels,
        train=np.asarray(train, dtype=np.int64),
        val=np.asarray(val, dtype=np.int64),
        stage=stage,
        classes=data.dataset.classes,
        frozen=() if on_features else tuple(frozen),
        seed=_seed(stage, fold),
        low_precision=not on_features and loop.bf16_is_fast(),
    )
    checkpoint = done.with_suffix(".checkpoint")
    with bench.clock.of("fitting"):
        best, history = loop.fit(task, checkpoint, bench.progress, what)
    state = {f"head.{name}": tensor for name, tensor in best.items()} if on_features else best
    save_tensors(done, state, history)
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
    net, used = build(
        dataclasses.replace(stage, init=first.init),
        data.dataset.classes,
        input_size=data.input_size,
        weights_dir=bench.weights_dir,
        seed=stage.seed,
    )
    net.to(memory_format=torch.channels_last)
    for earlier in before:
        state, _ = load_tensors(bench.folder(earlier, folder) / f"{earlier.name}.safetensors")
        if bench.data[earlier.role].dataset.classes != data.dataset.classes:
            state = {name: tensor for name, tensor in state.items() if not net.head.is_output(name)}
        loop.overlay(net, state)
    return net, used


def _on_features(stage: Stage) -> bool:
    """Whether the stage's backbone always gives the same features, so that they need computing only once."""
    return stage.trainable == "head" and not stage.augment


def _features(bench: Bench, net: Net, stage: Stage) -> Tensor:
    weights = _digest(net.backbone)
    key = f"{weights} {stage.net} {stage.role} {kind(stage)}"
    if key not in bench.known:
        data = bench.data[stage.role]
        with bench.clock.of("features"):
            bench.known[key] = cached_features(
                net, weights, data.images, data.dataset, bench.recipe, stage, bench.cache, bench.progress
            )
    return bench.known[key]


def _digest(module: nn.Module) -> str:
    """Digest of what a module computes with: its tensors, and the epsilons that no tensor holds."""
    found = hashlib.sha256()
    for name, part in module.named_modules():
        if hasattr(part, "eps"):
            found.update(f"{name} {part.eps}".encode())
    for name, tensor in sorted(module.state_dict().items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.detach().contiguous().numpy().tobytes())
    return found.hexdigest()


def _seed(stage: Stage, fold: int) -> int:
    return int(np.random.SeedSequence([stage.seed, fold]).generate_state(1)[0])
