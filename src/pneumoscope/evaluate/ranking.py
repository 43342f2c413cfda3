"""Runs of several methods, ranked on the images that all of them answered.

The best of several is chosen on the images that it is reported on; how far the others are from it is said with the
interval of the paired difference (`paired`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pneumoscope.core.comparison import Compared, Comparison, Held, Planned, Standing
from pneumoscope.core.result import Evaluation, Interval
from pneumoscope.core.serial import digest, to_json
from pneumoscope.errors import DataError
from pneumoscope.evaluate import paired

# fields of a protocol that say which images are tested together
PARTING = ("unit", "folds", "test_share", "seed")


@dataclass(frozen=True, kw_only=True, eq=False)
class Tested:
    """What a run is tested on.

    rows: file -> its row in the arrays; a file's name is the same in every run. known: files that the run has, tested
    or not. folds: of each row, `[N]`. labels: integers `[N]`.
    """

    part: Planned
    rows: Mapping[str, int]
    known: frozenset[str]
    folds: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class Result(Tested):
    """What is kept of a run.

    groups: the patient of each row. digests: of each row's bytes. learned, seconds: as in `Compared`. began: when, of
    the first call, in nanoseconds.
    """

    evaluation: Evaluation
    answers: paired.Answers
    groups: tuple[str, ...]
    digests: tuple[str, ...]
    learned: float
    seconds: Mapping[str, float]
    began: int = 0


def ranked(results: Sequence[Result]) -> Comparison:
    """The runs side by side, the best one first: by balanced accuracy, by accuracy where that is undefined.

    Raises:
        DataError: the runs were not tested on the same images, or in other folds without a reason.
    """
    first = results[0]
    recipe = first.part.recipe
    files, at = common(results)
    labels, groups = first.labels[at[0]], [first.groups[i] for i in at[0]]
    answers = [
        paired.Answers(probabilities=r.answers.probabilities[rows], decisions=r.answers.decisions[rows])
        for r, rows in zip(results, at, strict=True)
    ]
    sampled = paired.sample(answers, labels, groups, recipe.classes, seed=recipe.protocol.seed)
    by = "accuracy" if any(np.isnan(s.data["balanced_accuracy"]) for s in sampled) else "balanced_accuracy"
    made = _made(results)
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
                made=made[i],
            )
            for i in order
        ),
        n_images=len(files),
        n_patients=len(set(groups)),
        tested=digest(sorted((first.digests[i], int(first.folds[i])) for i in at[0])),
        notes=(*_of_one_class(labels, by, recipe.classes.names), *_notes(results, at)),
    )


def common(tested: Sequence[Tested]) -> tuple[list[str], list[np.ndarray]]:
    """The files that every run is tested on, and their rows in each run.

    Raises:
        DataError: the runs are not tested on the same images, on other labels, or in other folds without a reason.
    """
    files = _common(tested)
    at = [np.array([one.rows[file] for file in files]) for one in tested]
    _check_same(tested, at)
    return files, at


def _common(results: Sequence[Tested]) -> list[str]:
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


def _check_same(results: Sequence[Tested], at: Sequence[np.ndarray]) -> None:
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


def _why_other_folds(one: Tested, other: Tested) -> str:
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
    made: tuple[str, ...],
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
        held=_held(result.evaluation),
        made=made,
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


def _held(evaluation: Evaluation) -> dict[str, dict[str, Held]]:
    return {
        kind: {value: Held(counts=part.counts, n_patients=part.n_patients) for value, part in values.items()}
        for kind, values in evaluation.parts.items()
    }


def _made(results: Sequence[Result]) -> list[tuple[str, ...]]:
    """Of each run, the kinds of its seconds that a later one which needed the same was spared."""
    made: list[dict[str, None]] = [{} for _ in results]
    shared: dict[tuple[str, str], list[int]] = {}
    for i in sorted(range(len(results)), key=lambda i: results[i].began):
        for kind, what in dict.fromkeys(_needed(results[i].part)):
            if kind in results[i].seconds:
                shared.setdefault((kind, what), []).append(i)
    for (kind, _), [first, *later] in shared.items():
        if later:
            made[first][kind] = None
    return [tuple(kinds) for kinds in made]


def _needed(part: Planned) -> Iterator[tuple[str, str]]:
    """What a run prepares and keeps where others find it: kind of its seconds, and a digest of what it depends on."""
    recipe = part.recipe
    images = [to_json(recipe.prep), recipe.modalities, to_json(recipe.classes), to_json(recipe.roles)]
    yield "reading", digest(images)
    stages = {stage.name: stage for stage in recipe.stages}
    for stage in recipe.stages:
        first, fixed = stage, stage.trainable != "all" and not stage.augment
        while first.init.startswith("stage:"):
            first = stages[first.init.removeprefix("stage:")]
            fixed &= first.trainable == "head"  # else what is frozen in this stage comes out of a fit
        if fixed:
            net = [stage.net, first.init, first.seed if first.init == "random" else None, stage.trainable]
            yield "features", digest([images, net, stage.head.pooling, stage.head.convolution, stage.role])


def _of_one_class(labels: np.ndarray, by: str, classes: Sequence[str]) -> list[str]:
    """What a figure of images of one class is worth."""
    found = np.unique(labels)
    if len(found) > 1 or by != "balanced_accuracy":
        return []
    return [
        f"All images are of one class: balanced accuracy is the sensitivity of {classes[int(found[0])]}, which a "
        "method that decides for it always has in full."
    ]


def _notes(results: Sequence[Result], at: Sequence[np.ndarray]) -> tuple[str, ...]:
    first = results[0]
    found = [
        f"{r.part.name}: {', '.join(r.part.alike)} of the protocol set as in {r.part.like}, so that all parts are "
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
