"""What can be scored on a data set without a lung: small models of parts of what is known, on the same folds.

Folds are the house's own, by patient (`evaluate.split`). Every answer is out of fold, and a share is taken within each
bootstrap resample of patients, so that what both models find hard is no noise in it.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pneumoscope.audit import small, verdict, views
from pneumoscope.audit.metadata import BYTES, GROUPS
from pneumoscope.audit.shown import Shown
from pneumoscope.core.dataset import ClassSet, Dataset, Sample
from pneumoscope.core.recipe import Protocol
from pneumoscope.core.result import Interval
from pneumoscope.core.shortcuts import Headline, Shortcut, Shortcuts
from pneumoscope.errors import DataError, MissingError
from pneumoscope.evaluate import metrics, paired
from pneumoscope.evaluate.split import make_split
from pneumoscope.io import manifest

FOLDS = (5, 3)  # as many test parts, or fewer where a class has too few patients for them
FEWEST = 10  # patients of a class (a source), and images of it with lung fields; with fewer it is left out
RESAMPLES = 1000
NO_LABEL = "without a label"
NO_CLASS = ("", manifest.BLANK, "unlabelled", "unlabeled", "unknown")  # labels that say that nobody said
METADATA = "metadata: {}"
ALL, THUMBNAILS, CLASS_OF_SOURCE, SOURCE = "all metadata", "thumbnails", "class from source", "source from picture"
SEES: Mapping[str, str] = {
    **{METADATA.format(group): text for group, text in GROUPS.items()},
    ALL: "all metadata but bytes; no picture",
    THUMBNAILS: f"{views.THUMBNAIL} x {views.THUMBNAIL} pixels, by its {small.NEIGHBOURS} nearest neighbours",
    **views.SEEN,
    CLASS_OF_SOURCE: "the name of the data set or source alone, decided for the class that it speaks for most",
    SOURCE: "the whole picture, asked for the data set or source that it is from",
}
WITH_LUNG = (METADATA.format(BYTES), THUMBNAILS, views.WHOLE, views.ONLY, SOURCE)


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """What is told: positions of samples, their answers, and each fold's among these (learned, choosing, test)."""

    rows: np.ndarray
    y: np.ndarray
    groups: tuple[str, ...]
    classes: ClassSet
    folds: tuple[tuple[np.ndarray, np.ndarray, np.ndarray], ...]


def measure(shown: Shown, of: str, *, headline: Headline | None = None) -> Shortcuts:
    """The shortcuts of one data set, or of several together, as they were `shown`.

    headline: what they are held against; None for the small model of whole images.

    Raises:
        DataError: fewer than two classes with patients enough, or no way to part them.
        MissingError: scikit-learn is not installed.
    """
    labels = [s.label if s.label.lower() not in NO_CLASS else "" for s in shown.samples]
    task, left_out = task_of(shown.samples, labels, "labels")
    answers = {name: answer(task, model, x) for name, model, x in _asked(shown, task)}
    found = _judged(task, answers)
    without: dict[str, int] = {}
    if views.OUT in shown.features:
        masked, without = _masked(shown, task, answers)
        found += masked
    found += _source(shown)
    framed, blacked = _masked_share(shown)
    if not framed < verdict.FRAMED:
        found = [dataclasses.replace(s, lung=True) if s.name == views.BORDERS else s for s in found]
    done = Shortcuts(
        of=of,
        counts={name: int((task.y == i).sum()) for i, name in enumerate(task.classes.names)},
        n_patients=len(set(task.groups)),
        folds=len(task.folds),
        learned_from=shown.by,
        found=tuple(sorted(found, key=lambda s: list(SEES).index(s.name))),
        headline=headline,
        without_lungs=without,
        left_out={**left_out, **shown.unread},
    )
    said = verdict.warnings(done, framed, blacked)
    return dataclasses.replace(done, verdict=verdict.sentences(done), warnings=said)


def measured_or_said(shown: Shown, of: str, headline: Headline | None = None) -> Shortcuts:
    """The same, or, where the data does not allow it, shortcuts without figures whose warning says why."""
    try:
        return measure(shown, of, headline=headline)
    except (DataError, MissingError) as error:
        why = f"Shortcuts were not measured: {str(error).removeprefix('shortcuts: ')}"
        return Shortcuts(of=of, counts={}, n_patients=0, folds=0, learned_from="", found=(), warnings=(why,))


def _masked_share(shown: Shown) -> tuple[float, float]:
    """Means of `Shown.masks` over the images with lung fields; NaN where there are none."""
    known = shown.masks[~np.isnan(shown.masks[:, 0])]
    framed, blacked = known.mean(axis=0) if len(known) else (np.nan, np.nan)
    return float(framed), float(blacked)


def task_of(samples: Sequence[Sample], answers: Sequence[str], what: str) -> tuple[Task, dict[str, int]]:
    """The task to tell `answers` apart, and what is left out of it: answer -> images."""
    patients: dict[str, set[str]] = defaultdict(set)
    for sample, answer in zip(samples, answers, strict=True):
        patients[answer].add(sample.group)
    names = tuple(sorted(name for name, of in patients.items() if len(of) >= FEWEST and name))
    if len(names) < 2:
        raise DataError(
            f"shortcuts: expected at least two {what} with {FEWEST} patients each, found {len(names)}. Add data."
        )
    rows = [i for i, answer in enumerate(answers) if answer in names]
    dataset = Dataset(
        root="",
        samples=tuple(dataclasses.replace(samples[i], label=answers[i]) for i in rows),
        classes=ClassSet(names=names),
    )
    position = {samples[i].file: at for at, i in enumerate(rows)}
    task = Task(
        rows=np.array(rows),
        y=np.array([names.index(answers[i]) for i in rows]),
        groups=tuple(samples[i].group for i in rows),
        classes=dataset.classes,
        folds=tuple(_folds(dataset, position)),
    )
    return task, dict(Counter(answer or NO_LABEL for answer in answers if answer not in names))


def _folds(dataset: Dataset, position: Mapping[str, int]) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    for folds in FOLDS:
        protocol = Protocol(name="honest", unit="group", folds=folds, test_share=0.2, val_share=0.2)
        try:
            split = make_split(dataset, protocol)
        except DataError:
            if folds == FOLDS[-1]:
                raise
            continue
        break
    at = [position[s.file] for s in dataset.samples]
    for k in range(len(split.folds)):
        train, val, test = (
            np.array([at[i] for i in split.part(dataset, k, part)]) for part in ("train", "val", "test")
        )
        yield train, val, test


def _asked(shown: Shown, task: Task) -> Iterator[tuple[str, small.Model, np.ndarray]]:
    """The models of all images: name, model, and what it sees of each `[N, D]`."""
    tables = {group: table[task.rows] for group, table in shown.tables().items()}
    for group, table in tables.items():
        yield METADATA.format(group), small.forest, table
    lungless = [table for group, table in tables.items() if group != BYTES]
    if len(lungless) > 1:
        yield ALL, small.forest, np.concatenate(lungless, axis=1)
    if shown.thumbnails.size:
        yield THUMBNAILS, small.neighbours, shown.thumbnails[task.rows]
    for view in (views.WHOLE, views.BORDERS):
        if view in shown.features:
            yield view, small.regression, shown.features[view][task.rows]
    sources = sources_of(shown.samples)
    if sources:
        names = sorted(set(sources))
        yield CLASS_OF_SOURCE, small.most_favoured, np.array([[names.index(sources[i])] for i in task.rows])


def sources_of(samples: Sequence[Sample]) -> list[str]:
    """The data set of each sample, or, within one, its source; empty where there is one only."""
    for found in ([s.collection for s in samples], [s.source or "" for s in samples]):
        if len(set(found) - {""}) > 1:
            return found
    return []


def answer(task: Task, model: small.Model, x: np.ndarray, usable: np.ndarray | None = None) -> paired.Answers:
    """Probabilities out of fold, `[N, K]`, of a model that sees `x`; NaN of what is not `usable`, bool `[N]`."""
    k = len(task.classes.names)
    found = np.full((len(task.y), k), np.nan)
    for learned, choosing, test in task.folds:
        parts = [part if usable is None else part[usable[part]] for part in (learned, choosing, test)]
        rows, asked = np.concatenate(parts[:2]), parts[2]
        chooses = np.arange(len(rows)) >= len(parts[0])
        if asked.size:
            found[asked] = model(small.Learned(x[rows], task.y[rows], chooses, k), x[asked])
    return paired.Answers(probabilities=found, decisions=np.nan_to_num(found, nan=-1).argmax(axis=1))


def _judged(
    task: Task, answers: Mapping[str, paired.Answers], kept: np.ndarray | None = None, *, drop: str = ""
) -> list[Shortcut]:
    """The shortcuts that these answers are, on the images that are `kept`, all where None; `drop` is not returned."""
    at = np.arange(len(task.y)) if kept is None else np.flatnonzero(kept)
    y, groups = task.y[at], [task.groups[i] for i in at]
    cut = {
        name: paired.Answers(probabilities=one.probabilities[at], decisions=one.decisions[at])
        for name, one in answers.items()
    }
    sampled = dict(
        zip(cut, paired.sample(list(cut.values()), y, groups, task.classes, resamples=RESAMPLES), strict=True)
    )
    whole = sampled.get(views.WHOLE)
    found = []
    for name, one in sampled.items():
        figures = paired.intervals(one)
        if name != drop:
            found.append(
                Shortcut(
                    name=name,
                    sees=SEES[name],
                    lung=name in WITH_LUNG,
                    answers="source" if name == SOURCE else "class",
                    classes=task.classes.names,
                    balanced_accuracy=figures["balanced_accuracy"],
                    auc=figures["auc"],
                    confusion=paired.confusion(y, cut[name].decisions, task.classes),
                    n_images=len(y),
                    n_patients=len(set(groups)),
                    share=_share(one, whole, 1 / len(task.classes.names)),
                )
            )
    return found


def _share(one: paired.Sampled, whole: paired.Sampled | None, chance: float) -> Interval | None:
    """Of what the whole image scores above chance, what `one` does; None where that is not clearly anything."""
    name = "balanced_accuracy"
    if whole is None or metrics.interval(whole.data[name], whole.drawn[name]).low <= chance:
        return None
    return metrics.interval(
        (one.data[name] - chance) / (whole.data[name] - chance),
        (one.drawn[name] - chance) / (whole.drawn[name] - chance),
    )


def _masked(shown: Shown, task: Task, answers: Mapping[str, paired.Answers]) -> tuple[list[Shortcut], dict[str, int]]:
    """The shortcuts that need lung fields, on the images where these were found; and class -> images where not."""
    has = ~np.isnan(shown.features[views.OUT][task.rows, 0])
    patients = [{task.groups[i] for i in np.flatnonzero(has & (task.y == c))} for c in range(len(task.classes.names))]
    without = dict(Counter(task.classes.names[i] for i in task.y[~has]))
    if min(map(len, patients)) < FEWEST:
        return [], without
    own = {
        view: answer(task, small.regression, shown.features[view][task.rows], has) for view in (views.OUT, views.ONLY)
    }
    return _judged(task, {views.WHOLE: answers[views.WHOLE], **own}, has, drop=views.WHOLE), without


def _source(shown: Shown) -> list[Shortcut]:
    """Whether a picture gives its source away; nothing where there is one source, or too few patients of others."""
    sources = sources_of(shown.samples)
    groups = defaultdict(set)
    for sample, source in zip(shown.samples, sources, strict=bool(sources)):
        groups[source].add(sample.group)
    enough = sum(bool(name) and len(g) >= FEWEST for name, g in groups.items())
    if views.WHOLE not in shown.features or enough < 2:
        return []
    task, _ = task_of(shown.samples, sources, "sources")
    return _judged(task, {SOURCE: answer(task, small.regression, shown.features[views.WHOLE][task.rows])})
