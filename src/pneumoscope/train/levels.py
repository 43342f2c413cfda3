"""What each level of a method of patients answers by itself, as Garg 2021 tabulates it (Table I).

Slices of which it is known what they show; the mean over a study's slices, which any slice classifier gives for
nothing; each classifier of patients; the ensemble.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pneumoscope.core.result import Part
from pneumoscope.evaluate.parts import part_of
from pneumoscope.nets.build import Net
from pneumoscope.train.bench import Bench
from pneumoscope.train.patients import Patients, describe, member_scores
from pneumoscope.train.units import UNKNOWN, truths

SLICES = "slices"
MEAN = "mean of slices"


def answer_levels(bench: Bench, net: Net, patients: Patients, units: list[int]) -> dict[str, Any]:
    """Level -> what it answers for some units: `labels`, `groups` and `probabilities`, as JSON."""
    described = describe(bench, net).probabilities.numpy()
    truth, clean = truths(bench.main)
    rows = np.array(bench.units.rows(units))
    known = rows[(truth[rows] != UNKNOWN) & clean[rows]]
    samples = bench.main.dataset.samples
    judged = bench.units.dataset.samples
    means = np.stack([described[bench.units.members[unit]].mean(axis=0) for unit in units])
    of_units = {MEAN: means, **member_scores(bench, net, patients, units)}
    labels, groups = [int(bench.labels[unit]) for unit in units], [judged[unit].group for unit in units]
    found: dict[str, Any] = {
        SLICES: _level(truth[known].tolist(), [samples[row].group for row in known], described[known])
    }
    return found | {name: _level(labels, groups, scores) for name, scores in of_units.items()}


def _level(labels: list[int], groups: list[str], probabilities: np.ndarray) -> dict[str, Any]:
    return {"labels": labels, "groups": groups, "probabilities": probabilities.tolist()}


def figures(bench: Bench, folds: Sequence[dict[str, Any]]) -> dict[str, Part]:
    """Level -> its figures over the test parts of all folds, each decided for the most probable class."""
    found: dict[str, Part] = {}
    classes = bench.units.dataset.classes
    for name in folds[0] if folds else ():
        probabilities = np.concatenate([np.asarray(fold[name]["probabilities"], dtype=np.float64) for fold in folds])
        labels = np.concatenate([np.asarray(fold[name]["labels"], dtype=np.int64) for fold in folds])
        groups = [group for fold in folds for group in fold[name]["groups"]]
        # softmax in single precision: rows sum to 1 within its rounding
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        decisions = probabilities.argmax(axis=1)
        found[name] = part_of(probabilities, labels, decisions, groups, classes, bench.recipe.protocol.seed)
    return found
