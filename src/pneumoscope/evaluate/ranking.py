"""Runs of several methods, ranked on the images that all of them answered.

The best of several is chosen on the images that it is reported on; how far the others are from it is said with the
interval of the paired difference (`paired`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pneumoscope.core.comparison import Compared, Comparison, Planned, Standing
from pneumoscope.core.result import Evaluation, Interval
from pneumoscope.core.serial import digest
from pneumoscope.errors import DataError
from pneumoscope.evaluate import paired

# fields of a protocol that say which images are tested together
PARTING = ("unit", "folds", "test_share", "seed")


@dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    """What is kept of a run.

    rows: file -> its row in the arrays; a file's name is the same in every run. known: files that the run had, tested
    or not. folds: of each row, `[N]`. labels: integers `[N]`. groups: the patient of each row. digests: of each row's
    bytes. learned, seconds: as in `Compared`.
    """

    part: Planned
    evaluation: Evaluation
    answers: paired.Answers
    rows: Mapping[str, int]
    known: frozenset[str]
    folds: np.ndarray
    labels: np.ndarray
    groups: tuple[str, ...]
    digests: tuple[str, ...]
    learned: float
    seconds: Mapping[str, float]


def ranked(results: Sequence[Result]) -> Comparison:
    """The runs side by side, the best one first: by balanced accuracy, by accuracy where that is undefined.

    Raises:
        DataError: the runs were not tested on the same images, or in other folds without a reason.
    """
    first = results[0]
    recipe = first.part.recipe
    files = _common(results)
    at = [np.array([r.rows[file] for file in files]) for r in results]
    _check_same(results, at)
    labels, groups = first.labels[at[0]], [first.groups[i] for i in at[0]]
    answers = [
        paired.Answers(probabilities=r.answers.probabilities[rows], decisions=r.answers.decisions[rows])
        for r, rows in zip(results, at, strict=True)
    ]
    sampled = paired.sample(answers, labels, groups, recipe.classes, seed=recipe.protocol.seed)
    by = "accuracy" if any(np.isnan(s.data["balanced_accuracy"]) for s in sampled) else "balanced_accuracy"
    order = sorted(range(len(results)), key=lambda i: -sampled[i].data[by])
    return Comparison(
        protocol=recipe.protocol.name,
        by=by,
        classes=recipe.classes.names,
        positive=recipe.classes.positive,
        parts=tuple(
            _compared(
                results[i],
                metrics=paired.intervals(sampled[i]),
                differences=paired.difference(sampled[i], sampled[order[0]]),
                confusion=paired.confusion(labels, answers[i].decisions, recipe.classes),
                by=None if i == order[0] else by,
            )
            for i in order
        ),
        n_images=len(files),
        n_patients=len(set(groups)),
        tested=digest(sorted((first.digests[i], int(first.folds[i])) for i in at[0])),
        notes=_notes(results, at),
    )


def _common(results: Sequence[Result]) -> list[str]:
    """The files that every run answered.

    Raises:
        DataError: one run tested what another had and did not test, or there is no such file.
    """
    everywhere = frozenset.intersection(*(r.known for r in results))
    first = everywhere & set(results[0].rows)
    for r in results[1:]:
        other = everywhere & set(r.rows)
        if other != first:
            raise DataError(
                f"test parts: expected the same images in those of '{results[0].part.name}' and '{r.part.name}', found "
                f"{len(first ^ other)} in one alone. Test every image: set the protocol's folds to 2 or more."
            )
    if not first:
        raise DataError(
            "test parts: expected images that all parts answered, found none. Compare recipes of one kind of image."
        )
    return sorted(first)


def _check_same(results: Sequence[Result], at: Sequence[np.ndarray]) -> None:
    """See that images mean the same to all runs, and that runs which must have the same folds have them."""
    one, rows = results[0], at[0]
    for other, theirs in zip(results[1:], at[1:], strict=True):
        names = f"'{one.part.name}' and '{other.part.name}'"
        relabelled = int((one.labels[rows] != other.labels[theirs]).sum())
        if relabelled:
            raise DataError(
                f"labels: expected the same of each image in {names}, found {relabelled} that differ. "
                "Compare recipes that draw their classes alike."
            )
        moved = int((one.folds[rows] != other.folds[theirs]).sum())
        if moved and not _why_other_folds(one, other):
            raise DataError(
                f"test parts: expected the same ones in {names}, found {moved} image(s) in another fold. "
                "Name another --out, so that both are made anew."
            )


def _why_other_folds(one: Result, other: Result) -> str:
    """Why folds may differ; "" where they may not."""
    if any(getattr(one.part.recipe.protocol, f) != getattr(other.part.recipe.protocol, f) for f in PARTING):
        return "as the comparison varies how the data is parted"
    return "since it was parted among other images" if one.known != other.known else ""


def _compared(
    result: Result,
    *,
    metrics: Mapping[str, Interval],
    differences: Mapping[str, Interval],
    confusion: tuple[tuple[int, ...], ...],
    by: str | None,
) -> Compared:
    """by: the metric that ranks; None for the first."""
    return Compared(
        name=result.part.name,
        folder=result.part.folder,
        recipe=result.part.title,
        overrides=result.part.overrides,
        varied=result.part.varied,
        standing="first" if by is None else _standing(differences[by]),
        metrics=metrics,
        differences=differences,
        confusion=confusion,
        seconds=result.seconds,
        learned=result.learned,
        n_images=result.evaluation.n_images,
        n_patients=result.evaluation.n_patients,
        by=_by(result.evaluation),
    )


def _standing(difference: Interval) -> Standing:
    if np.isnan(difference.low):
        return "undefined"
    return "within the noise" if difference.low <= 0 <= difference.high else "worse"


def _by(evaluation: Evaluation) -> dict[str, dict[str, Interval]]:
    found: dict[str, dict[str, Interval]] = {}
    for kind, values in evaluation.parts.items():
        for value, part in values.items():
            balanced = part.metrics.get("balanced_accuracy")
            if isinstance(balanced, Interval):
                found.setdefault(kind, {})[value] = balanced
    return found


def _notes(results: Sequence[Result], at: Sequence[np.ndarray]) -> tuple[str, ...]:
    first = results[0]
    found = [
        f"{r.part.name}: {', '.join(r.part.alike)} of the protocol set as in {first.part.name}, so that all parts are "
        "tested alike."
        for r in results
        if r.part.alike
    ]
    if any(len(r.rows) > len(at[0]) for r in results):
        each = ", ".join(f"{len(r.rows):,} by {r.part.name}" for r in results)
        found.append(f"Compared on the {len(at[0]):,} images that all parts answered; answered were {each}.")
    for other, theirs in zip(results[1:], at[1:], strict=True):
        if (first.folds[at[0]] != other.folds[theirs]).any():
            found.append(f"{other.part.name}: other folds than {first.part.name}'s, {_why_other_folds(first, other)}.")
    warnings = dict.fromkeys(w for r in results for w in r.evaluation.warnings)
    for warning in warnings:
        of = [r.part.name for r in results if warning in r.evaluation.warnings]
        found.append(warning if len(of) == len(results) else f"{', '.join(of)}: {warning}")
    return tuple(found)
