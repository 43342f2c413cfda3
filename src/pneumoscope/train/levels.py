"""What each level of a method of studies answers by itself, as Garg 2021 tabulates it (Table I).

Slices of which it is known what they show; the mean over a study's slices, which any slice classifier gives for
nothing; each classifier of patients; the method's answer, the ensemble's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pneumoscope.core.result import Level
from pneumoscope.evaluate import paired
from pneumoscope.evaluate.paired import Answers
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


def figures(bench: Bench, folds: Sequence[dict[str, Any]], positions: np.ndarray, own: Answers) -> dict[str, Level]:
    """Level -> its figures over the test parts of all folds, each decided for the most probable class.

    folds: what `answer_levels` said of each, none where no studies are judged. own: the method's answers to the units
    at `positions`, fold after fold: the last level, decided as the recipe says.
    """
    if not folds:
        return {}
    found: dict[str, Level] = {}
    for name in folds[0]:
        of_level = {key: [row for fold in folds for row in fold[name][key]] for key in folds[0][name]}
        probabilities = np.asarray(of_level["probabilities"], dtype=np.float64)
        # softmax in single precision: rows sum to 1 within its rounding
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        one = Answers(probabilities=probabilities, decisions=probabilities.argmax(axis=1))
        found[name] = _figures(bench, one, of_level["labels"], of_level["groups"], None if name == SLICES else own)
    groups = [bench.units.dataset.samples[i].group for i in positions]
    return found | {bench.recipe.stages[-1].name: _figures(bench, own, bench.labels[positions], groups, None)}


def _figures(
    bench: Bench, one: Answers, labels: Sequence[int] | np.ndarray, groups: Sequence[str], own: Answers | None
) -> Level:
    """Figures of one level. own: the method's answers to the same studies, None for no difference to them."""
    classes, seed = bench.units.dataset.classes, bench.recipe.protocol.seed
    truth = np.asarray(labels, dtype=np.int64)
    difference = None
    if own is not None:
        mine, its = paired.sample([one, own], truth, groups, classes, seed=seed)
        difference = paired.difference(mine, its)["accuracy"]
    part = part_of(one.probabilities, truth, one.decisions, groups, classes, seed)
    return Level(**vars(part), difference=difference)
