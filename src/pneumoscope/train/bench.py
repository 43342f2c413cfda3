"""What every fold of a run shares."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch import Tensor

from pneumoscope.core.dataset import Dataset, Fold
from pneumoscope.core.files import write_json
from pneumoscope.core.progress import Progress
from pneumoscope.core.recipe import Recipe
from pneumoscope.core.role import MAIN
from pneumoscope.core.serial import Mismatch, from_json
from pneumoscope.core.stage import Stage
from pneumoscope.errors import DataError, IntegrityError
from pneumoscope.evaluate.split import role_split
from pneumoscope.train.data import Prepared
from pneumoscope.train.environment import Clock
from pneumoscope.train.units import Units, units_of


@dataclass(frozen=True, kw_only=True, eq=False)
class Bench:
    """What every fold of a run shares.

    data: by role. parts: the files that another role than main trains on and chooses weights on. out: the run's
    folder. cache: folder of cached features. known: features of this run by what made them.
    """

    recipe: Recipe
    data: Mapping[str, Prepared]
    parts: Mapping[str, Fold]
    out: Path
    cache: Path
    weights_dir: Path | None
    progress: Progress
    clock: Clock
    known: dict[str, Tensor] = field(default_factory=dict)

    @property
    def main(self) -> Prepared:
        """What is evaluated."""
        return self.data[MAIN]

    @functools.cached_property
    def units(self) -> Units:
        """What is judged of it."""
        return units_of(self.main, self.recipe)

    @property
    def labels(self) -> np.ndarray:
        """The class of each unit, int64 `[n]`."""
        classes = self.units.dataset.classes
        return np.array([classes.index(s.label) for s in self.units.dataset.samples], dtype=np.int64)

    def folder(self, stage: Stage, fold: Path) -> Path:
        """Where a stage's weights lie: with the fold's, or in one place for all folds."""
        return fold if stage.role == MAIN else self.out / f"role_{stage.role}"


def bench_of(
    recipe: Recipe,
    data: Mapping[str, Prepared],
    out: Path,
    *,
    cache: Path,
    weights_dir: Path | None,
    progress: Progress,
    clock: Clock,
) -> Bench:
    """The bench of a run in `out`; the parts of other roles than main are as they were, or drawn now.

    Raises:
        DataError: another dataset than a role's part was drawn from.
        IntegrityError: a part that is damaged.
    """
    parts = {role: role_part(out, data[role].dataset, recipe, role) for role in data if role != MAIN}
    return Bench(
        recipe=recipe,
        data=data,
        parts=parts,
        out=out,
        cache=cache,
        weights_dir=weights_dir,
        progress=progress,
        clock=clock,
    )


def role_part(out: Path, dataset: Dataset, recipe: Recipe, role: str) -> Fold:
    """The files that a role other than main trains on and chooses weights on: as they were, or drawn now."""
    path = out / f"role_{role}" / "split.json"
    if path.exists():
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            made_for, part = str(kept["dataset"]), from_json(Fold, kept["part"])
        except (Mismatch, json.JSONDecodeError, KeyError, TypeError) as error:
            raise IntegrityError(
                f"role_{role}/split.json: expected a split, found something else. Name another --out."
            ) from error
        if made_for != dataset.digest:
            raise DataError(
                f"role {role}: expected the dataset this run was made with ({made_for[:12]}), found "
                f"{dataset.digest[:12]}. Use another --out, or the data as it was."
            )
        return part
    part = role_split(dataset, recipe.role(role), recipe.protocol)
    write_json(path, {"dataset": dataset.digest, "part": part})
    return part
