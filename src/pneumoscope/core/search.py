"""What comes out of a search: every trial, the settings that won, and what they are worth on the hold-out.

Its JSON is `search.json`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pneumoscope.core.result import Evaluation, Interval
from pneumoscope.core.serial import Undefinable
from pneumoscope.core.space import Choice, Range
from pneumoscope.errors import IntegrityError


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One try of some settings.

    value: mean of `folds`, the balanced accuracy on the test part of each inner fold that was done; NaN for none.
    state: "pruned" where it fell behind and its last folds were left out. settings: dotted field -> value.
    folder: of its fits, which trials of the same settings share. again: all of its fits were there already.
    seconds: wall time of this trial. error: kind of error that stopped it.
    """

    number: int
    state: Literal["complete", "pruned", "failed"]
    value: Undefinable
    folds: tuple[float, ...]
    settings: Mapping[str, Any]
    folder: str = ""
    again: bool = False
    seconds: float = 0.0
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class Tried:
    """All trials of a search, before anything is said about the hold-out.

    space: dotted field -> what was tried. winner: number of the trial with the greatest value. importance: field ->
    share of what tells good trials from the rest, the greatest first; empty where that is not known, and
    `importance_note` says how it was found, or why not. inner: number of inner folds. images, patients: of the
    training part. split: digest of the split that parts it from the hold-out.
    """

    trials: tuple[Trial, ...]
    space: Mapping[str, Choice | Range]
    winner: int
    importance: Mapping[str, float]
    importance_note: str
    inner: int
    images: int
    patients: int
    split: str

    @property
    def finished(self) -> tuple[Trial, ...]:
        """The trials that count: all but the failed ones."""
        return tuple(trial for trial in self.trials if trial.state != "failed")

    @property
    def best(self) -> Trial:
        """The trial that won.

        Raises:
            IntegrityError: there is none.
        """
        for trial in self.trials:
            if trial.number == self.winner and trial.state == "complete":
                return trial
        raise IntegrityError(
            f"search: expected the winner among the trials that ran to their end, found no trial {self.winner} there. "
            "Name another --out and --storage."
        )


@dataclass(frozen=True, kw_only=True)
class Search:
    """A search that is done. winner, as_written: on the one hold-out; the same where the recipe as written won.

    overrides: dotted field -> value, what was set for the whole search: "as written" is with these. settings: dotted
    field -> value, the winner's of what was searched. differences: metric -> the winner's figure less that of the
    recipe as written, paired; empty where they are the same. mapping: label -> class. warnings: what a reader must
    know of the data.
    """

    recipe: str
    digest: str
    tried: Tried
    overrides: Mapping[str, Any]
    settings: Mapping[str, Any]
    as_written_settings: Mapping[str, Any]
    winner: Evaluation
    as_written: Evaluation
    same: bool
    differences: Mapping[str, Interval] = field(default_factory=dict)
    mapping: Mapping[str, str] = field(default_factory=dict)
    ungrouped: bool = False
    join_duplicates: bool = False
    warnings: tuple[str, ...] = field(default_factory=tuple)
