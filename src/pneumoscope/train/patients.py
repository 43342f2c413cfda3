"""From slices to patients: what the slice network makes of each slice, four classifiers on it, and their ensemble.

Source: Garg 2021, sections III-C2 and III-C3. In the honest protocol the ensemble learns from scores of classifiers
that did not learn from the patient (inner folds of the training part); the paper does not say which scores it took.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from pneumoscope.core.dataset import Dataset
from pneumoscope.core.recipe import Protocol, Recipe
from pneumoscope.core.stage import Stage
from pneumoscope.errors import DataError
from pneumoscope.evaluate.split import make_split
from pneumoscope.nets.build import Net, probabilities
from pneumoscope.nets.patient import build_patient, weighted
from pneumoscope.train import loop
from pneumoscope.train.bench import Bench
from pneumoscope.train.checkpoint import load_tensors, save_tensors
from pneumoscope.train.features import cached_features, weights_digest
from pneumoscope.train.learner import pooled_kind

AT_ONCE = 1024  # slices
INNER = 5  # folds that give the ensemble its scores


class Described(NamedTuple):
    """What a slice network makes of images. features: `[N, F]`, its last hidden layer. probabilities: `[N, K]`."""

    features: Tensor
    probabilities: Tensor


class Patients(NamedTuple):
    """The fitted networks of patients by stage, and the ensemble's, None for a recipe without."""

    members: dict[str, nn.Module]
    ensemble: nn.Module | None


class Padded(nn.Module):
    """A network of patients that takes `(slices [N, S, F], lengths [N])` as one thing."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Logits `[N, K]`."""
        return torch.as_tensor(self.net(*batch))


def of_patients(recipe: Recipe) -> list[Stage]:
    """The stages of level "patient"."""
    return [stage for stage in recipe.stages if stage.level == "patient"]


def describe(bench: Bench, net: Net) -> Described:
    """Every slice of main as the slice network sees it, from the cache where it has it; NaN for those in between."""
    digest = weights_digest(net)
    stage = next(stage for stage in reversed(bench.recipe.stages) if stage.level == "slice")
    key = f"{digest} described"
    if key not in bench.known:
        data, answers = bench.main, []
        with bench.clock.of("features"):
            # of the backbone alone: folds that differ in the head share them
            fixed = cached_features(
                net,
                weights_digest(net.backbone),
                net.features,
                pooled_kind(stage),
                data.images,
                data.dataset,
                bench.recipe,
                stage,
                bench.cache,
                bench.progress,
                rows=np.flatnonzero(~data.between),
            )
            with torch.inference_mode():
                for part in torch.split(fixed, AT_ONCE):
                    scores = probabilities(net.head(part), data.dataset.classes)
                    answers.append(torch.cat([net.penultimate(part), scores], dim=1))
        bench.known[key] = torch.cat(answers)
    found = bench.known[key]
    k = len(bench.main.dataset.classes.names)
    return Described(found[:, :-k], found[:, -k:])


def fit_patients(
    bench: Bench, net: Net, train: list[int], val: list[int], folder: Path, *, fold: int, what: str
) -> Patients:
    """Fit every classifier of patients and the ensemble on one fold, skipping those whose weights are there.

    net: the slice network of this fold. train, val: positions of units.
    """
    described = describe(bench, net)
    members = {
        stage.name: _fit(bench, stage, _take(bench, stage, described), train, val, folder / stage.name, fold, what)
        for stage in of_patients(bench.recipe)
    }
    ensemble = None
    for stage in bench.recipe.stages:
        if stage.level == "ensemble":
            k = len(bench.main.dataset.classes.names)
            scores = torch.zeros(len(bench.units.dataset), len(members) * k)
            if not (folder / stage.name).with_suffix(".safetensors").exists():
                _fill(scores, bench, described, members, train, val, folder, fold, what)
            ensemble = _fit(bench, stage, scores.__getitem__, train, val, folder / stage.name, fold, what)
            for inner in folder.glob("inner_*"):  # some 80 MB a network, which the scores alone needed
                shutil.rmtree(inner)
    return Patients(members, ensemble)


def member_scores(bench: Bench, net: Net, patients: Patients, units: list[int]) -> dict[str, np.ndarray]:
    """Probabilities `[n, K]` of each classifier of patients for some units."""
    described = describe(bench, net)
    return {
        stage.name: _answers(bench, patients.members[stage.name], stage, _take(bench, stage, described), units).numpy()
        for stage in of_patients(bench.recipe)
    }


def predict_patients(bench: Bench, net: Net, patients: Patients, units: list[int]) -> np.ndarray:
    """Probabilities `[n, K]` of some units: the ensemble's, or, without one, the last classifier's."""
    scores = member_scores(bench, net, patients, units)
    if patients.ensemble is None:
        return list(scores.values())[-1]
    joined = torch.from_numpy(np.concatenate(list(scores.values()), axis=1)).float()
    patients.ensemble.eval()
    with torch.inference_mode():
        return probabilities(patients.ensemble(joined), bench.main.dataset.classes).numpy()


def study_vectors(bench: Bench, net: Net, folder: Path, units: list[int]) -> dict[str, np.ndarray]:
    """What the last hidden layer of each fitted classifier in `folder` makes of some units, `[n, hidden]`."""
    described = describe(bench, net)
    found = {}
    for stage in of_patients(bench.recipe):
        take = _take(bench, stage, described)
        fitted = _new(bench, stage, take, units)
        loop.overlay(Padded(fitted), load_tensors((folder / stage.name).with_suffix(".safetensors"))[0])
        with torch.inference_mode():
            slices, lengths = take(np.asarray(units, dtype=np.int64))
            found[stage.name] = fitted.eval().head.penultimate(fitted.pooled(slices, lengths)).numpy()  # type: ignore[operator, union-attr]
    return found


def _take(bench: Bench, stage: Stage, described: Described) -> Callable[[np.ndarray], tuple[Tensor, Tensor]]:
    """Positions of units -> their slices' features, padded, and how many slices each has."""

    def take(units: np.ndarray) -> tuple[Tensor, Tensor]:
        found = []
        for unit in units:
            rows = torch.from_numpy(bench.units.members[unit])
            features = described.features[rows]
            if stage.features == "weighted":
                features = weighted(features, described.probabilities[rows])
            found.append(features)
        lengths = torch.tensor([len(features) for features in found])
        return nn.utils.rnn.pad_sequence(found, batch_first=True), lengths

    return take


def _fill(
    scores: Tensor,
    bench: Bench,
    described: Described,
    members: dict[str, nn.Module],
    train: list[int],
    val: list[int],
    folder: Path,
    fold: int,
    what: str,
) -> None:
    """Fill in what the ensemble learns from, `[units, M * K]`, of units in train and val.

    Of the training part: of classifiers that did not learn from the unit, unless the protocol is the paper's. Of the
    validation part: of the classifiers themselves, which chose their weights on it.
    """
    classes = bench.main.dataset.classes
    stages = of_patients(bench.recipe)
    k = len(classes.names)
    for m, stage in enumerate(stages):
        columns = slice(m * k, (m + 1) * k)
        take = _take(bench, stage, described)
        scores[val, columns] = _answers(bench, members[stage.name], stage, take, val)
        if bench.recipe.protocol.name == "paper":
            scores[train, columns] = _answers(bench, members[stage.name], stage, take, train)
            continue
        for i, (learned, asked) in enumerate(_inner(bench, train)):
            place = folder / f"inner_{i}" / stage.name
            net = _fit(bench, stage, take, learned, val, place, fold, f"{what}, inner fold {i + 1}")
            scores[asked, columns] = _answers(bench, net, stage, take, asked)


def _inner(bench: Bench, train: list[int]) -> list[tuple[list[int], list[int]]]:
    """Units of the training part to learn from, and to ask, in each inner fold.

    Raises:
        DataError: a class with too few patients, or too unequal ones, to stand in both parts of each.
    """
    whole = bench.units.dataset
    part: Dataset = dataclasses.replace(whole, samples=tuple(whole.samples[i] for i in train))
    patients = {name: len({s.group for s in part.samples if s.label == name}) for name in whole.classes.names}
    given = bench.recipe.protocol
    # no part to choose on: the fold's own chooses
    protocol = Protocol(
        name="paper",
        unit=given.unit,
        folds=max(2, min(INNER, *patients.values())),
        test_share=0.2,
        val_share=0.0,
        seed=given.seed,
    )
    try:
        split = make_split(part, protocol)
    except DataError as error:
        counts = ", ".join(f"{n} {name}" for name, n in patients.items())
        raise DataError(
            "ensemble: expected patients of each class on both sides of every inner fold of a training part, found too "
            f"few or too unequal ones ({counts}). Add patients, or leave more to train on: "
            f"--set protocols.{given.name}.val_share={given.val_share / 2:g}"
        ) from error
    return [
        ([train[i] for i in split.part(part, f, "train")], [train[i] for i in split.part(part, f, "test")])
        for f in range(len(split.folds))
    ]


def _fit(
    bench: Bench,
    stage: Stage,
    take: Callable[[np.ndarray], object],
    train: list[int],
    val: list[int],
    place: Path,
    fold: int,
    what: str,
) -> nn.Module:
    """One network of patients, fitted, or found at `place`.safetensors."""
    classes = bench.main.dataset.classes
    net = _new(bench, stage, take, train)
    model = Padded(net) if stage.level == "patient" else net
    done = place.with_suffix(".safetensors")
    if not done.exists():
        done.parent.mkdir(parents=True, exist_ok=True)
        task = loop.Task(
            model=model,
            take=take,
            labels=torch.tensor([classes.index(s.label) for s in bench.units.dataset.samples]),
            train=np.asarray(train, dtype=np.int64),
            val=np.asarray(val, dtype=np.int64),
            stage=stage,
            classes=classes,
            frozen=(),
            seed=int(np.random.SeedSequence([stage.seed, fold]).generate_state(1)[0]),
            low_precision=False,
        )
        checkpoint = done.with_suffix(".checkpoint")
        with bench.clock.of("fitting"):
            best, history = loop.fit(task, checkpoint, bench.progress, f"{what}, {stage.name}")
        save_tensors(done, best, history)
        checkpoint.unlink(missing_ok=True)
    loop.overlay(model, load_tensors(done)[0])
    return net.eval()


def _new(bench: Bench, stage: Stage, take: Callable[[np.ndarray], object], units: list[int]) -> nn.Module:
    """A network for what `take` gives of units, as it begins."""
    sample = take(np.asarray(units[:1], dtype=np.int64))
    inputs = sample[0].shape[2] if isinstance(sample, tuple) else sample.shape[1]  # type: ignore[attr-defined]
    return build_patient(stage, inputs=inputs, outputs=len(bench.main.dataset.classes.names), seed=stage.seed)


def _answers(
    bench: Bench, net: nn.Module, stage: Stage, take: Callable[[np.ndarray], object], units: list[int]
) -> Tensor:
    model = Padded(net) if stage.level == "patient" else net
    logits = loop.logits_of(model, take, np.asarray(units, dtype=np.int64), stage.batch)
    return probabilities(logits, bench.main.dataset.classes)
