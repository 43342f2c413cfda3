"""A run that was evaluated, read again from its folder: it needs no network, and so no pretrained weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from pneumoscope.core.dataset import Dataset, Split
from pneumoscope.core.progress import Progress
from pneumoscope.core.recipe import Recipe
from pneumoscope.core.result import Evaluation
from pneumoscope.core.serial import Mismatch, from_json
from pneumoscope.errors import IntegrityError
from pneumoscope.train.bench import bench_of
from pneumoscope.train.data import prepare
from pneumoscope.train.environment import Clock
from pneumoscope.train.folds import answer_folds
from pneumoscope.train.run import Ran
from pneumoscope.train.trust import trusted

T = TypeVar("T")


def evaluated(out: Path) -> bool:
    """Whether a run has the answers of all its folds."""
    return (out / "evaluation.json").exists()


def reread(recipe: Recipe, datasets: Mapping[str, Dataset], out: Path, *, prepared: Path, progress: Progress) -> Ran:
    """What a run that is `evaluated` came to, without pictures; nothing is written but prepared images.

    recipe, datasets, prepared: as in `run`.

    Raises:
        DataError: another dataset than the run's.
        IntegrityError: a file of the run that is damaged.
    """
    data = {role: prepare(dataset, recipe, prepared, progress) for role, dataset in datasets.items()}
    clock = Clock(out / "environment.json", {})
    bench = bench_of(recipe, data, out, cache=prepared, weights_dir=None, progress=progress, clock=clock)
    dataset = bench.units.dataset
    split = _read(out / "split.json", Split)
    split.part(dataset, 0, "test")  # refuses another dataset
    return Ran(
        evaluation=_read(out / "evaluation.json", Evaluation),
        galleries=(),
        answers=trusted(bench, answer_folds(bench, split, out)).answers,
        dataset=dataset,
        seconds=clock.seconds,
    )


def _read(path: Path, kind: type[T]) -> T:
    try:
        return from_json(kind, json.loads(path.read_text(encoding="utf-8")))
    except (Mismatch, json.JSONDecodeError) as error:
        raise IntegrityError(
            f"{path.name}: expected a run's {kind.__name__.lower()}, found something else. {error} Name another --out."
        ) from error
