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
from pneumoscope.core.serial import digest
from pneumoscope.errors import DataError, RecipeError
from pneumoscope.train.data import Prepared

UNKNOWN = -1


@dataclass(frozen=True, kw_only=True, eq=False)
class Units:
    """dataset: a sample a unit. members: positions of each one's images among the prepared ones, in their order.

    origin: of each prepared image the number of the file it came from, `[N]`. beside: of each whether no unit has it,
    as of a slice between two or one of which nobody said what it shows: it may be learned from, never judged, `[N]`.
    free: of each whether no image of its patient is judged, `[N]`.
    """

    dataset: Dataset
    members: tuple[np.ndarray, ...]
    origin: np.ndarray
    beside: np.ndarray
    free: np.ndarray

    def rows(self, units: list[int]) -> list[int]:
        """Positions of all images of some units."""
        return [int(row) for unit in units for row in self.members[unit]]

    def taught(self, units: list[int]) -> list[int]:
        """Positions of all images of some units, and of what lies beside them, from feet to head.

        That is the rest of their series, and patients of whom nothing is judged in any fold.
        """
        rows = self.rows(units)
        more = np.flatnonzero(self.beside & (self.free | np.isin(self.origin, self.origin[rows])))
        return sorted({*rows, *more.tolist()})


def units_of(data: Prepared, recipe: Recipe) -> Units:
    """What `recipe` judges of prepared data.

    Raises:
        DataError: slices of one patient with several classes, where the patient is judged.
    """
    if recipe.of_volumes:
        # the paper made copies first and parted them as volumes of their own
        judged = np.flatnonzero(~data.between | (recipe.protocol.unit == "image"))
        whole = tuple(data.dataset.samples[row] for row in judged)
        return _units(data, dataclasses.replace(data.dataset, samples=whole), tuple(np.array([row]) for row in judged))
    if recipe.judges == "study":
        return _studies(data)
    samples, members = [], []
    truth, clean = truths(data)
    names = data.dataset.classes.names
    for row in np.flatnonzero((truth != UNKNOWN) & clean & ~data.between):
        samples.append(dataclasses.replace(data.dataset.samples[row], label=names[truth[row]]))
        members.append(np.array([row]))
    return _units(data, dataclasses.replace(data.dataset, samples=tuple(samples)), tuple(members))


def _studies(data: Prepared) -> Units:
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
    # another slice, or one less, is another study
    whole = [
        dataclasses.replace(one, digest=digest([data.dataset.samples[row].digest for row in rows[key]]))
        for key, one in samples.items()
    ]
    dataset = dataclasses.replace(data.given, samples=tuple(whole))
    return _units(data, dataset, tuple(np.array(rows[sample.file]) for sample in dataset.samples))


def _units(data: Prepared, dataset: Dataset, members: tuple[np.ndarray, ...]) -> Units:
    beside = np.ones(len(data.dataset), dtype=bool)
    beside[[row for of_one in members for row in of_one]] = False
    groups = np.array([sample.group for sample in data.dataset.samples])
    free = ~np.isin(groups, groups[~beside])
    return Units(dataset=dataset, members=members, origin=data.origin, beside=beside, free=free)


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
