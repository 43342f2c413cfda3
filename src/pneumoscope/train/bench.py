"""What every fold of a run shares."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch import Tensor

from pneumoscope.core.dataset import Fold
from pneumoscope.core.progress import Progress
from pneumoscope.core.recipe import Recipe, Stage
from pneumoscope.core.role import MAIN
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
