"""Calibrated out-of-fold answers, what was measured of them, and what the bundle ships for it.

Everything that an evaluation says is cross-fitted: answers for one fold are calibrated, and their prediction sets made,
by what was fitted on the other folds. The paper's protocol decides as its paper did, on the network's own
probabilities: there calibration is measured and not applied.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.recipe import Decision
from pneumoscope.core.result import Evaluation
from pneumoscope.core.trust import Calibration, Calibrator, OperatingPoint, Trust
from pneumoscope.evaluate import calibrate, conformal, crossfit, points, selective, thresholds
from pneumoscope.evaluate.crossfit import Known, Turn
from pneumoscope.evaluate.decide import decide, fit_threshold
from pneumoscope.train.bench import Bench
from pneumoscope.train.folds import Chosen, OutOfFold


class Trusted(NamedTuple):
    """raw: the networks' own answers. answers: as they are reported. choice, turns, fitted: how they came about."""

    raw: OutOfFold
    answers: OutOfFold
    choice: crossfit.Choice
    turns: list[Turn]
    fitted: list[Calibrator]

    @property
    def applied(self) -> bool:
        """Whether answers are reported, and a bundle answers, with the calibration that was chosen."""
        return any(calibrator.kind != "none" for calibrator in self.fitted)


def trusted(bench: Bench, raw: OutOfFold) -> Trusted:
    """Calibrate out-of-fold answers, choosing how, and decide on what comes out."""
    classes, known = bench.units.dataset.classes, _known(bench, raw.positions, raw.probabilities)
    first = raw.chosen[0]
    chosen = _known(bench, first.positions, first.probabilities)
    turns = crossfit.turns(known, raw.folds, chosen, learned_from(bench, raw))
    choice = crossfit.choose(known, turns, classes, seed=bench.recipe.protocol.seed)
    if bench.recipe.protocol.name == "paper" or choice.kind == "none":
        return Trusted(raw, raw, choice, turns, [Calibrator()] * len(turns))
    fitted = crossfit.calibrators(choice.kind, turns, classes)
    return Trusted(raw, _calibrated(bench, raw, fitted, turns), choice, turns, fitted)


def learned_from(bench: Bench, raw: OutOfFold) -> np.ndarray:
    """Which answers anything may be fitted on, bool `[n]`: not those for data sets that are tested on alone."""
    wanted, samples = bench.recipe.protocol.train_on, bench.units.dataset.samples
    return np.array([not wanted or samples[i].collection in wanted for i in raw.positions], dtype=bool)


def _known(bench: Bench, positions: np.ndarray, probabilities: np.ndarray) -> Known:
    samples = bench.units.dataset.samples
    return Known(probabilities, bench.labels[positions], [samples[i].group for i in positions])


def _calibrated(bench: Bench, raw: OutOfFold, fitted: list[Calibrator], turns: list[Turn]) -> OutOfFold:
    """Each fold's threshold is fitted on its calibrated validation answers, and used on its calibrated test answers."""
    classes = bench.units.dataset.classes
    p = crossfit.applied(fitted, turns, raw.probabilities, classes)
    chosen = tuple(
        Chosen(positions=c.positions, probabilities=calibrate.apply(calibrator, c.probabilities, classes))
        for c, calibrator in zip(raw.chosen, fitted, strict=True)
    )
    at = [own_threshold(bench, c.positions, c.probabilities) for c in chosen]
    decisions = np.zeros(len(p), dtype=np.int64)
    for threshold, turn in zip(at, turns, strict=True):
        decisions[turn.rows] = decide(threshold, p[turn.rows], classes)
    return dataclasses.replace(
        raw, probabilities=p, chosen=chosen, decisions=decisions, thresholds=tuple(t for t in at if t is not None)
    )


def own_threshold(bench: Bench, positions: np.ndarray, probabilities: np.ndarray) -> float | None:
    """The threshold of the recipe's decision on answers for samples; None where no class is positive."""
    return _threshold(bench.recipe.decision, _known(bench, positions, probabilities), bench.units.dataset.classes)


def _threshold(rule: Decision, known: Known, classes: ClassSet) -> float | None:
    if classes.positive is None:
        return None
    k = classes.positive_index
    return fit_threshold(rule, known.probabilities[:, k], known.labels == k)


def measured(bench: Bench, found: Trusted, rules: thresholds.Found, evaluation: Evaluation) -> Evaluation:
    """The evaluation with what calibration, prediction sets, the surest answers and operating points came to.

    rules: the thresholds studied, of each fold.
    """
    classes, seed = bench.units.dataset.classes, bench.recipe.protocol.seed
    answers, labels = found.answers, bench.labels[found.answers.positions]
    groups = _known(bench, answers.positions, answers.probabilities).groups
    inside = _sets(found, classes)
    return dataclasses.replace(
        evaluation,
        calibration=_calibration(bench, found),
        conformal=None
        if inside is None
        else conformal.measured(inside, labels, groups, classes, level=conformal.LEVEL, seed=seed),
        selective=selective.curve(answers.probabilities, answers.decisions, labels, groups, seed=seed),
        operating=_points(bench, answers, rules),
    )


def _points(bench: Bench, answers: OutOfFold, rules: thresholds.Found) -> tuple[OperatingPoint, ...]:
    classes, recipe = bench.units.dataset.classes, bench.recipe
    if classes.positive is None:
        return ()
    known = _known(bench, answers.positions, answers.probabilities)
    said = thresholds.decided(
        thresholds.promising(rules, recipe.decision), answers.probabilities, classes, answers.folds
    )
    return points.measured(said, known.labels, known.groups, classes, seed=recipe.protocol.seed)


def _calibration(bench: Bench, found: Trusted) -> Calibration:
    """Before and after; where the protocol applies none, after is what the one chosen would come to."""
    classes = bench.units.dataset.classes
    fitted = crossfit.calibrators(found.choice.kind, found.turns, classes)
    after = crossfit.applied(fitted, found.turns, found.raw.probabilities, classes)
    before = _known(bench, found.raw.positions, found.raw.probabilities)
    return crossfit.measured(
        before, after, found.choice, classes, applied=found.applied, seed=bench.recipe.protocol.seed
    )


def _sets(found: Trusted, classes: ClassSet) -> np.ndarray | None:
    """The prediction set of each answer, by what was fitted in the other folds; None where nothing was."""
    if not found.turns:
        return None
    inside = np.zeros(found.answers.probabilities.shape, dtype=bool)
    for turn, calibrator in zip(found.turns, found.fitted, strict=True):
        fit = turn.fit._replace(probabilities=calibrate.apply(calibrator, turn.fit.probabilities, classes))
        rule = conformal.fit(fit, classes)
        inside[turn.rows] = conformal.sets(rule, found.answers.probabilities[turn.rows], classes)
    return inside


class Shipped(NamedTuple):
    """What a bundle gets: trust, and the threshold of the recipe's own rule on calibrated probabilities."""

    trust: Trust
    threshold: float | None


def shipped(bench: Bench, found: Trusted, evaluation: Evaluation, at: Sequence[Decision]) -> Shipped:
    """All that is fitted for the bundle, on all out-of-fold answers: calibration first, the rest on what it gives."""
    classes = bench.units.dataset.classes
    raw = _known(bench, found.raw.positions, found.raw.probabilities).at(learned_from(bench, found.raw))
    calibrator = calibrate.fit(found.choice.kind, *raw[:2], classes) if found.applied else Calibrator()
    known = raw._replace(probabilities=calibrate.apply(calibrator, raw.probabilities, classes))
    rules = {thresholds.name_of(rule): rule for rule in (*thresholds.FITTED, bench.recipe.decision, *at)}
    return Shipped(
        trust=Trust(
            calibrator=calibrator,
            shares={name: float((known.labels == k).mean()) for k, name in enumerate(classes.names)},
            conformal=conformal.fit(known, classes),
            points=tuple(_point(point, rules, known, classes) for point in evaluation.operating if point.name in rules),
        ),
        threshold=_threshold(bench.recipe.decision, known, classes),
    )


def _point(measured: OperatingPoint, rules: Mapping[str, Decision], known: Known, classes: ClassSet) -> OperatingPoint:
    """A point as it was measured, with the threshold that its rule asks for on all answers."""
    threshold = _threshold(rules[measured.name], known, classes)
    return dataclasses.replace(measured, thresholds=() if threshold is None else (threshold,))
