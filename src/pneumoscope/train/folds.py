"""The folds of a split, each fitted and asked about its test part; what lies there is not redone."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pneumoscope.core.dataset import Dataset, Split
from pneumoscope.core.files import write_json
from pneumoscope.evaluate.decide import decide, fit_threshold
from pneumoscope.nets.build import Net
from pneumoscope.nets.weights import WeightsUsed
from pneumoscope.train.bench import Bench
from pneumoscope.train.levels import answer_levels
from pneumoscope.train.patients import Patients, fit_patients, of_patients, predict_patients
from pneumoscope.train.stages import fit_stages, predict


@dataclass(frozen=True, kw_only=True, eq=False)
class Chosen:
    """What the weights of a fold were chosen on, and thresholds may be. positions: `[m]`. probabilities: `[m, K]`."""

    positions: np.ndarray
    probabilities: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class OutOfFold:
    """Answers for samples by networks that did not learn from them.

    positions: of the samples, `[n]`. folds: of each, `[n]`. probabilities: `[n, K]`. decisions: integers `[n]`.
    thresholds: of each fold, none for argmax. chosen: of each fold. levels: of each fold, see `levels.answer_levels`.
    """

    positions: np.ndarray
    folds: np.ndarray
    probabilities: np.ndarray
    decisions: np.ndarray
    thresholds: tuple[float, ...]
    chosen: tuple[Chosen, ...]
    levels: tuple[dict[str, Any], ...] = ()


def answer_folds(
    bench: Bench, split: Split, out: Path, *, after: Callable[[int, OutOfFold], None] | None = None
) -> OutOfFold:
    """Fit every fold under `out`/fold_<k>, or find it there, and join the answers for the test parts.

    after: called with a fold's number and its own answers once it is done; what it raises stops here.
    """
    parts = []
    for k in range(len(split.folds)):
        folder = out / f"fold_{k}"
        if not (folder / ANSWERS).exists():
            write_json(folder / ANSWERS, _fold(bench, split, k, folder))
            bench.clock.save()
        parts.append(_read(bench, split, k, folder))
        if after is not None:
            after(k, parts[-1])
    return OutOfFold(
        positions=np.concatenate([p.positions for p in parts]),
        folds=np.concatenate([p.folds for p in parts]),
        probabilities=np.concatenate([p.probabilities for p in parts]),
        decisions=np.concatenate([p.decisions for p in parts]),
        thresholds=tuple(t for p in parts for t in p.thresholds),
        chosen=tuple(c for p in parts for c in p.chosen),
        levels=tuple(level for p in parts for level in p.levels),
    )


ANSWERS = "answers.json"


def _read(bench: Bench, split: Split, k: int, folder: Path) -> OutOfFold:
    dataset = bench.units.dataset
    found = json.loads((folder / ANSWERS).read_text(encoding="utf-8"))
    probabilities = np.asarray(found["probabilities"], dtype=np.float64)
    positions = np.asarray(split.part(dataset, k, "test"), dtype=np.int64)
    return OutOfFold(
        positions=positions,
        folds=np.full(len(positions), k),
        probabilities=probabilities,
        decisions=decide(found["threshold"], probabilities, dataset.classes),
        thresholds=() if found["threshold"] is None else (found["threshold"],),
        chosen=(
            Chosen(
                positions=np.asarray(choosing(split, dataset, k), dtype=np.int64),
                probabilities=np.asarray(found["validation"], dtype=np.float64),
            ),
        ),
        levels=(found["levels"],) if found.get("levels") else (),
    )


def choosing(split: Split, dataset: Dataset, k: int) -> list[int]:
    """Positions of what chooses a fold's weights: a protocol without a validation part lets the test part choose."""
    return split.part(dataset, k, "val") or split.part(dataset, k, "test")


def _fold(bench: Bench, split: Split, k: int, folder: Path) -> dict[str, object]:
    train, test = split.part(bench.units.dataset, k, "train"), split.part(bench.units.dataset, k, "test")
    val = choosing(split, bench.units.dataset, k)
    folder.mkdir(parents=True, exist_ok=True)
    fitted = fit_fold(bench, train, val, folder, fold=k, what=f"fold {k + 1} of {len(split.folds)}")
    on_val = fitted.answer(val)
    patients = fitted.patients
    return {
        "threshold": fitted_threshold(bench, np.asarray(val, dtype=np.int64), on_val),
        "probabilities": fitted.answer(test).tolist(),
        "validation": on_val.tolist(),
        "levels": {} if patients is None else answer_levels(bench, fitted.net, patients, test),
    }


class Fitted(NamedTuple):
    """All networks of one fit. patients: None where images are judged. answer: units -> probabilities `[n, K]`."""

    net: Net
    used: WeightsUsed | None
    patients: Patients | None
    answer: Callable[[list[int]], np.ndarray]


def fit_fold(bench: Bench, train: list[int], val: list[int], folder: Path, *, fold: int, what: str) -> Fitted:
    """Fit every stage, of images and of patients, on some units; what lies in `folder` is not fitted again."""
    rows = bench.units.rows
    net, used = fit_stages(bench, bench.units.taught(train), rows(val), folder, fold=fold, what=what)
    if not of_patients(bench.recipe):
        return Fitted(net, used, None, lambda units: predict(bench, net, rows(units)))
    patients = fit_patients(bench, net, train, val, folder, fold=fold, what=what)
    return Fitted(net, used, patients, lambda units: predict_patients(bench, net, patients, units))


def fitted_threshold(bench: Bench, positions: np.ndarray, probabilities: np.ndarray) -> float | None:
    """The threshold of the recipe's decision on answers for samples; None where no class is positive."""
    classes = bench.units.dataset.classes
    if classes.positive is None:
        return None
    truth = bench.labels[positions] == classes.positive_index
    return fit_threshold(bench.recipe.decision, probabilities[:, classes.positive_index], truth)
