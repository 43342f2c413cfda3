"""A study, slice by slice: what the slice network says of each, one answer for all, and the slices that matter.

Slices are prepared and judged some at a time, so that memory holds the study itself and no float copy of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.image import Image2D
from pneumoscope.core.recipe import Recipe
from pneumoscope.core.result import Series, SliceAnswer
from pneumoscope.core.stage import Step
from pneumoscope.core.study import Study
from pneumoscope.prep import pipeline
from pneumoscope.runtime.engine import Engine
from pneumoscope.runtime.study_engine import StudyEngine

BATCH = 8
PREPARERS = 2
MEAN = "mean of slices"
# slices that matter: no more, no nearer to each other, and none less probable than this share of the first
MOST = 6
APART_MM = 10.0
LEAST = 0.5


class Described(NamedTuple):
    """What a slice network says of S slices: `[S, K]`, `[S, K, h, w]`, and `[S, F]`, None where it gives none."""

    probabilities: np.ndarray
    cams: np.ndarray
    features: np.ndarray | None


class Judged(NamedTuple):
    """The answer for a study. probabilities: `[K]`. members: classifier -> `[K]`. combined: see `Prediction`."""

    probabilities: np.ndarray
    members: dict[str, np.ndarray]
    combined: str


def describe(engine: Engine, study: Study, recipe: Recipe) -> Described:
    """Every slice of a study through the slice network, in order."""
    ask: Callable[[np.ndarray], tuple[np.ndarray, ...]] = engine.describe if engine.describes else engine.run
    count = slice_count(study)
    parts: list[tuple[np.ndarray, ...]] = []
    with ThreadPoolExecutor(max_workers=PREPARERS) as pool:
        ahead: list[Future[np.ndarray]] = []
        for start in (*range(0, count, BATCH), count):  # the next slices are prepared while these are judged
            numbers = range(start, min(start + BATCH, count))
            preparing = [pool.submit(_prepared, study, number, recipe.prep) for number in numbers]
            if ahead:
                parts.append(ask(np.stack([slice_.result() for slice_ in ahead])))
            ahead = preparing
    joined = [np.concatenate(part) for part in zip(*parts, strict=True)]
    return Described(joined[0], joined[1], joined[2] if engine.describes else None)


def slice_count(study: Study) -> int:
    """How many slices a study has."""
    return len(study.images) if study.volume is None else study.volume.shape[0]


def slice_image(study: Study, number: int) -> Image2D:
    """One slice of a study as it was read, counted from the feet."""
    return study.images[number] if study.volume is None else study.volume.image(number)


def _prepared(study: Study, number: int, steps: tuple[Step, ...]) -> np.ndarray:
    return pipeline.run(slice_image(study, number), steps).pixels


def judge(described: Described, recipe: Recipe, engine: StudyEngine | None) -> Judged:
    """One answer for a study: the last network's, or, where only slices were learned from, the mean of its slices."""
    if engine is None or described.features is None:
        return Judged(described.probabilities.mean(axis=0), {}, MEAN)
    probabilities, members = engine.run(described.features, described.probabilities)
    names = [stage.name for stage in recipe.members]
    last = [stage.name for stage in recipe.stages if stage.level in ("patient", "ensemble")][-1]
    return Judged(probabilities, dict(zip(names, members, strict=True)), last)


def focus(slices: np.ndarray, decided: str, classes: ClassSet) -> str:
    """The class that slices are looked through for, from their probabilities `[S, K]`.

    The one decided for. A normal study is so in all of its slices: there it is the other class that any of them is the
    most like.
    """
    if decided != classes.normal:
        return decided
    highest = slices.max(axis=0)
    return max(
        (name for name in classes.names if name != decided), key=lambda name: float(highest[classes.index(name)])
    )


def that_matter(values: np.ndarray, spacing_mm: float | None) -> list[int]:
    """The slices with the highest values `[S]`, the first one first: see `MOST`, `APART_MM` and `LEAST`.

    spacing_mm: from slice to slice, None where it is unknown and no two are too near.
    """
    found: list[int] = []
    for number in np.argsort(-values, kind="stable").tolist():
        near = spacing_mm is not None and any(abs(number - other) * spacing_mm < APART_MM for other in found)
        if len(found) == MOST or (found and not values[number] >= LEAST * values[found[0]]):
            break
        if not near:
            found.append(number)
    return found


def slice_answers(
    study: Study, probabilities: np.ndarray, classes: ClassSet, chosen: Sequence[int]
) -> tuple[SliceAnswer, ...]:
    """What is said of each slice. probabilities: `[S, K]`. chosen: the slices that matter."""
    volume = study.volume
    names = [image.source for image in study.images] if volume is None else volume.slices
    return tuple(
        SliceAnswer(
            source=name,
            position_mm=None if volume is None else round(number * volume.geometry.spacing_mm[0], 3),
            probabilities=named(p, classes),
            matters=number in chosen,
        )
        for number, (name, p) in enumerate(zip(names, probabilities, strict=True))
    )


def series(study: Study) -> Series | None:
    """Which series a study is; None where it is images."""
    if study.volume is None:
        return None
    return Series(rule=study.source.rule, shape=study.volume.shape, spacing_mm=study.volume.geometry.spacing_mm)


def warnings(study: Study, combined: str) -> tuple[str, ...]:
    """What a reader must know of how the study's answer came about."""
    if combined == MEAN:
        return (
            "This model judges slices, not studies: the answer is the mean of its slices' probabilities, decided on as "
            "that of a slice.",
        )
    if slice_count(study) == 1:
        return ("This is a single slice, and the model judges studies: it was taken for a study of one slice.",)
    return ()


def named(values: Sequence[float] | np.ndarray, classes: ClassSet) -> dict[str, float]:
    """Class -> probability, of `[K]`."""
    return {name: float(value) for name, value in zip(classes.names, values, strict=True)}
