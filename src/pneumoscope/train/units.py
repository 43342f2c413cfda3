"""What a recipe judges as one: an image, or a study with its slices; and what a slice may teach.

A study is a series, or, where a set holds single slices, all slices of one patient (Garg 2021, section III-C).
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from pneumoscope.core.dataset import Dataset, Sample
from pneumoscope.core.recipe import Recipe
from pneumoscope.errors import DataError, RecipeError
from pneumoscope.train.data import Prepared

UNKNOWN = -1


@dataclass(frozen=True, kw_only=True, eq=False)
class Units:
    """dataset: a sample a unit. members: positions of each one's images among the prepared ones, in their order."""

    dataset: Dataset
    members: tuple[np.ndarray, ...]

    def rows(self, units: list[int]) -> list[int]:
        """Positions of all images of some units."""
        return [int(row) for unit in units for row in self.members[unit]]


def units_of(data: Prepared, recipe: Recipe) -> Units:
    """What `recipe` judges of prepared data.

    Raises:
        DataError: slices of one patient with several classes, where the patient is judged.
    """
    if recipe.stages[-1].level in ("image", "slice"):
        return Units(dataset=data.dataset, members=tuple(np.array([i]) for i in range(len(data.dataset))))
    rows: dict[str, list[int]] = defaultdict(list)
    samples: dict[str, Sample] = {}
    for row, sample in enumerate(data.dataset.samples):
        if data.between[row]:
            continue
        whole = data.given.samples[data.origin[row]]
        key = whole.file if is_slice(data, row) else sample.group
        one = samples.setdefault(key, dataclasses.replace(whole, file=key))
        if one.label != sample.label:
            raise DataError(
                f"{sample.file}: expected slices of one class under one patient, found '{sample.label}' and "
                f"'{one.label}'. Give each study a group_id of its own."
            )
        rows[key].append(row)
    dataset = dataclasses.replace(data.given, samples=tuple(samples.values()))
    return Units(dataset=dataset, members=tuple(np.array(rows[sample.file]) for sample in dataset.samples))


def with_between(data: Prepared, rows: list[int]) -> list[int]:
    """Positions of images, and of those between them, in the order of the body."""
    series = {data.origin[row] for row in rows if is_slice(data, row)}
    return sorted({*rows, *(int(row) for row in np.flatnonzero(data.between) if data.origin[row] in series)})


def is_slice(data: Prepared, row: int) -> bool:
    """Whether an image is one slice of a series that was read whole."""
    return bool(data.dataset.samples[row].file != data.given.samples[data.origin[row]].file)


def truths(data: Prepared) -> tuple[np.ndarray, np.ndarray]:
    """What each image shows, and whether it may be learned from, `[N]` each.

    A class's number, or `UNKNOWN` for a slice of an infected study that nobody looked at. Normal slices of an infected
    study may hold traces that nobody saw and are not learned from (section III-C1).

    Raises:
        RecipeError: slices of series where the classes name none as normal.
    """
    classes = data.dataset.classes
    labels: np.ndarray = data.labels.numpy().copy()
    of_series = np.array([is_slice(data, row) for row in range(len(labels))], dtype=bool)
    if not of_series.any():
        return labels, np.ones(len(labels), dtype=bool)
    if classes.normal is None:
        raise RecipeError(
            "classes.normal: expected the class of a slice without infection, found none. Name one of "
            f"{', '.join(classes.names)}: --set classes.normal=NAME"
        )
    normal = classes.index(classes.normal)
    infected = of_series & (labels != normal)
    clean = ~(infected & (data.infection == 0))
    labels[infected & (data.infection == 0)] = normal
    labels[infected & (data.infection == UNKNOWN)] = UNKNOWN
    return labels, clean
