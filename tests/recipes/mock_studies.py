"""Studies that are but a table: series of slices, each with what slices.csv says of it, and no file to read."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pneumoscope.core.dataset import ClassSet, Dataset, Sample
from pneumoscope.core.progress import silent
from pneumoscope.core.recipe import Recipe
from pneumoscope.core.role import MAIN
from pneumoscope.evaluate.split import role_split
from pneumoscope.prep import pipeline
from pneumoscope.train.bench import Bench
from pneumoscope.train.data import Prepared, slice_name
from pneumoscope.train.environment import Clock


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """A study. seen: of each slice from the feet "1" infected, "0" not, "?" nobody looked."""

    name: str
    label: str
    seen: str
    patient: str = ""


def prepared(rows: Sequence[Row], classes: ClassSet, size: tuple[int, int]) -> Prepared:
    """The table as `data.prepare` gives it, with a slice between two of which the same is known.

    Images are noise, brighter where an infection is seen, or may be.
    """
    rows = sorted(rows, key=lambda row: row.name)
    given = tuple(
        Sample(file=row.name, label=row.label, group=row.patient or row.name, digest=row.name) for row in rows
    )
    samples, origin, infection, between = [], [], [], []
    for at, (row, whole) in enumerate(zip(rows, given, strict=True)):
        healthy = row.label == classes.normal
        for z, (here, above) in enumerate(zip(row.seen, row.seen[1:] + "|", strict=True)):
            alike = above != "|" if healthy else here == above != "?"
            for number in (z, z + 0.5) if alike else (z,):
                file = slice_name(row.name, number)
                samples.append(dataclasses.replace(whole, file=file, digest=file, modality="ct"))
                origin.append(at)
                infection.append({"1": 1, "0": 0, "?": -1}[here])
                between.append(number % 1 > 0)
    dataset = Dataset(root="/nowhere", samples=tuple(samples), classes=classes)
    assert dataset.samples == tuple(samples)  # else the columns below are of others
    sick = np.array([s.label != classes.normal and seen != 0 for s, seen in zip(samples, infection, strict=True)])
    noise = np.random.default_rng(0).random((len(samples), *size))
    return Prepared(
        dataset=dataset,
        images=(0.5 * noise + 0.5 * sick[:, None, None]).astype(np.float32),
        pixels=np.full(len(samples), size[0] * size[1]),
        infection=np.array(infection),
        given=dataclasses.replace(dataset, samples=given),
        origin=np.array(origin),
        between=np.array(between),
        notes=(),
    )


def mock_bench(recipe: Recipe, out: Path, main: Sequence[Row], pretrain: Sequence[Row]) -> Bench:
    """What the stages of a recipe of studies train on."""
    size = pipeline.input_size(recipe)
    given = {MAIN: main, "pretrain": pretrain}
    data = {role.name: prepared(given[role.name], recipe.classes_of(role.name), size) for role in recipe.roles}
    others = [role for role in recipe.roles if role.name != MAIN]
    return Bench(
        recipe=recipe,
        data=data,
        parts={role.name: role_split(data[role.name].dataset, role, recipe.protocol) for role in others},
        out=out,
        cache=out / "cache",
        weights_dir=None,
        progress=silent,
        clock=Clock(out / "environment.json", {}),
    )
