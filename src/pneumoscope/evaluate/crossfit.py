"""Calibration fitted and measured on different patients: cross-fitting over the out-of-fold answers.

The answers for one fold's test part are calibrated by what was fitted on those of the other folds. Which calibration
is taken is chosen on the figures that come out of this: a choice among three, small beside their intervals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.interval import Interval
from pneumoscope.core.trust import Calibration, Calibrator, Kind, Scores
from pneumoscope.evaluate import calibrate, metrics

ISOTONIC_PATIENTS = 100  # of each class, below which a staircase follows noise


class Known(NamedTuple):
    """Answers for images of known classes: probabilities `[N, K]`, labels: integers `[N]`, the patient of each."""

    probabilities: np.ndarray
    labels: np.ndarray
    groups: Sequence[str]

    def at(self, rows: np.ndarray) -> Known:
        """Some of them; rows: bool `[N]`."""
        kept = [group for group, keep in zip(self.groups, rows, strict=True) if keep]
        return Known(self.probabilities[rows], self.labels[rows], kept)


@dataclass(frozen=True, kw_only=True, eq=False)
class Turn:
    """One turn of cross-fitting. fit: what is fitted on. rows: bool `[N]`, what is then judged; no patient in both."""

    fit: Known
    rows: np.ndarray


def turns(known: Known, folds: np.ndarray, chosen: Known, fittable: np.ndarray) -> list[Turn]:
    """A turn a fold: fitted on the answers of the other folds, less those for patients of this one.

    folds: integers `[N]`. chosen: what the one fold of a hold-out chose its weights on, which is fitted on where there
    are no other folds. fittable: which answers may be fitted on at all, bool `[N]`. Nothing where a turn has nothing to
    be fitted on.
    """
    numbers = np.unique(folds)
    found = []
    for k in numbers:
        rows = folds == k
        own = {group for group, judged in zip(known.groups, rows, strict=True) if judged}
        others = chosen if len(numbers) == 1 else known.at(~rows & fittable)
        fit = others.at(np.array([group not in own for group in others.groups], dtype=bool))
        if not len(fit.labels):
            return []
        found.append(Turn(fit=fit, rows=rows))
    return found


def calibrators(kind: Kind, turns: Sequence[Turn], classes: ClassSet) -> list[Calibrator]:
    """The calibrator of each turn."""
    return [calibrate.fit(kind, turn.fit.probabilities, turn.fit.labels, classes) for turn in turns]


def applied(
    fitted: Sequence[Calibrator], turns: Sequence[Turn], probabilities: np.ndarray, classes: ClassSet
) -> np.ndarray:
    """Probabilities `[N, K]`, those of each turn calibrated by what was fitted in it."""
    found = probabilities.astype(np.float64)
    for calibrator, turn in zip(fitted, turns, strict=True):
        found[turn.rows] = calibrate.apply(calibrator, probabilities[turn.rows], classes)
    return found


class Choice(NamedTuple):
    """Which calibration, why, and the cross-fitted log loss of each that was tried."""

    kind: Kind
    why: str
    tried: Mapping[str, Interval]


def choose(known: Known, turns: Sequence[Turn], classes: ClassSet, *, seed: int = 0) -> Choice:
    """The plainest calibration that is not beaten, by cross-fitted log loss.

    Temperature is taken where its loss is lower than that of the network's own probabilities; isotonic only where its
    loss is clearly lower than what was taken, by the 95 % interval over patients of the difference, and every class has
    at least `ISOTONIC_PATIENTS` patients.
    """
    if not turns:
        return Choice("none", "There was nothing to fit a calibration on but what is reported.", {})
    tried = [kind for kind in calibrate.kinds(classes) if kind != "isotonic" or _enough(known, turns, classes)]
    losses = {
        kind: calibrate.log_loss(
            applied(calibrators(kind, turns, classes), turns, known.probabilities, classes), known.labels
        )
        for kind in tried
    }
    gains = [losses["isotonic"] - losses[kind] for kind in ("none", "temperature")] if "isotonic" in losses else []
    means = _means(np.stack([*losses.values(), *gains], axis=1), known.groups, seed)
    by_kind: dict[str, Interval] = dict(zip(losses, means, strict=False))
    kind: Kind = "temperature" if by_kind["temperature"].value < by_kind["none"].value else "none"
    if gains and means[len(losses) + (kind == "temperature")].high < 0:
        return Choice("isotonic", _why("isotonic", by_kind, "clearly lower than the others'"), by_kind)
    said = "lower than without" if kind == "temperature" else "no higher than after temperature"
    return Choice(kind, _why(kind, by_kind, said), by_kind)


def _why(kind: Kind, losses: Mapping[str, Interval], said: str) -> str:
    figures = ", ".join(f"{name} {found.value:.3f}" for name, found in losses.items())
    left = "" if "isotonic" in losses else " Isotonic was not tried: it takes two classes and more patients of each."
    return f"Chosen by cross-fitted log loss ({figures}): that of {kind} is {said}.{left}"


def _enough(known: Known, turns: Sequence[Turn], classes: ClassSet) -> bool:
    """Whether a staircase may be fitted: enough patients, and both classes in every turn."""
    patients = [
        len({g for g, label in zip(known.groups, known.labels, strict=True) if label == k})
        for k in range(len(classes.names))
    ]
    return min(patients) >= ISOTONIC_PATIENTS and all(len(np.unique(turn.fit.labels)) > 1 for turn in turns)


def _means(values: np.ndarray, groups: Sequence[str], seed: int) -> list[Interval]:
    """The mean of each column of values `[N, M]`."""
    data, drawn = ratios(values, np.ones_like(values), groups, seed=seed)
    return [metrics.interval(float(value), rows) for value, rows in zip(data, drawn.T, strict=True)]


def ratios(
    top: np.ndarray, bottom: np.ndarray, groups: Sequence[str], *, resamples: int = 2000, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Sum over sum of each column, of the data `[M]` and of each resample of patients `[R, M]`; NaN where undefined.

    top, bottom: `[N, M]`. groups: the patient of each image. The resamples are those of `metrics.evaluate`.
    """
    patients, patient = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    with np.errstate(divide="ignore", invalid="ignore"):  # 0 / 0 is NaN: undefined, as documented
        data = top.sum(axis=0) / bottom.sum(axis=0)
        drawn = [(w @ top) / (w @ bottom) for w in metrics.resampled(patient, len(patients), resamples, seed)]
    return data, np.concatenate(drawn)


def scores(known: Known, classes: ClassSet, *, resamples: int = 2000, seed: int = 0) -> Scores:
    """How far probabilities mean what they say, with intervals over patients."""
    p, labels, groups = known
    score, truth = metrics.judged(p, labels, classes)
    squared = (score - truth) ** 2 if len(classes.names) == 2 else ((p - np.eye(p.shape[1])[labels]) ** 2).sum(axis=1)
    patients, patient = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    drawn = np.concatenate(
        [
            metrics.ece(score, truth, weights, noise=2)
            for weights in metrics.resampled(patient, len(patients), resamples, seed)
        ]
    )
    log_loss, brier = _means(np.stack([calibrate.log_loss(p, labels), squared], axis=1), groups, seed)
    return Scores(
        log_loss=log_loss,
        brier=brier,
        ece=metrics.interval(float(metrics.ece(score, truth, np.ones((1, len(p))), noise=1)[0]), drawn),
        reliability=metrics.reliability(score, truth),
    )


def measured(
    before: Known, after: np.ndarray, choice: Choice, classes: ClassSet, *, applied: bool, seed: int = 0
) -> Calibration:
    """The record of a calibration. after: `[N, K]`, the same answers calibrated."""
    was = scores(before, classes, seed=seed)
    same = np.array_equal(after, before.probabilities)
    return Calibration(
        kind=choice.kind,
        applied=applied,
        before=was,
        after=was if same else scores(before._replace(probabilities=after), classes, seed=seed),
        tried=choice.tried,
        why=choice.why,
    )
