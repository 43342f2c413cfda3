"""Comparing methods: what each part is to run, and what comes out, the parts in the order of their rank.

The JSON of a `Comparison` is `comparison.json`. Paths of the user's folders are not in it: it is made to be handed on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pneumoscope.core.recipe import Recipe
from pneumoscope.core.result import Interval
from pneumoscope.core.serial import Undefinable

REST = "everything else"  # of a part's seconds: what is counted as nothing in particular

Standing = Literal["first", "within the noise", "worse", "undefined"]


@dataclass(frozen=True, kw_only=True)
class Planned:
    """One run to be. recipe: resolved.

    name: what tells it apart from the other parts. folder: of its run, relative to the comparison's. title:
    NAME[:VARIANT]. overrides: dotted field -> value as text, what differs from the recipe as written. varied: those
    of them that the comparison varies. alike: fields of the protocol that were set as the part `like` has them.
    """

    name: str
    folder: str
    title: str
    recipe: Recipe
    overrides: Mapping[str, str]
    varied: Mapping[str, str]
    alike: tuple[str, ...] = ()
    like: str = ""


@dataclass(frozen=True, kw_only=True)
class Held:
    """Some of the images that a part answered. counts: class -> images."""

    counts: Mapping[str, int]
    n_patients: int


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One part of a comparison: one method, measured on the images that all parts answered.

    name, folder, overrides, varied: as in `Planned`. recipe: NAME[:VARIANT].
    standing: the 95 % interval of the difference to the first part holds 0 ("within the noise"), or lies below it.
    metrics: name, or name.class, -> figure. differences: the same names -> this part's figure less the first one's.
    confusion: `[true class][decided class]` counts. seconds: what was done -> wall seconds, all calls together.
    learned: patients learned from, mean over folds. n_images, n_patients: those that this part answered.
    by: what the images are told apart by ("modality", "data set") -> its value -> balanced accuracy, which is the
    sensitivity of a class that is alone there. held: as `by` -> which images these are.
    made: the kinds of `seconds` that other parts, which came later, were spared.
    """

    name: str
    folder: str
    recipe: str
    overrides: Mapping[str, str]
    varied: Mapping[str, str]
    standing: Standing
    metrics: Mapping[str, Interval]
    differences: Mapping[str, Interval]
    confusion: tuple[tuple[int, ...], ...]
    seconds: Mapping[str, float]
    learned: Undefinable
    n_images: int
    n_patients: int
    by: Mapping[str, Mapping[str, Interval]] = field(default_factory=dict)
    held: Mapping[str, Mapping[str, Held]] = field(default_factory=dict)
    made: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A part that was asked for and could not run. why: what is missing, and what would supply it."""

    name: str
    recipe: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Several methods on the same images, the best one first.

    by: the metric that ranks them. vary: dotted field -> values as text. mapping: label -> class.
    n_images, n_patients: those that all parts answered and every figure is of. tested: digest of those images and
    the folds that they were tested in. grave: what makes every figure too good. notes: what else a reader must know.
    """

    protocol: Literal["honest", "paper"]
    by: str
    classes: tuple[str, ...]
    positive: str | None
    parts: tuple[Compared, ...]
    n_images: int
    n_patients: int
    tested: str
    left_out: tuple[LeftOut, ...] = ()
    vary: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    mapping: Mapping[str, str] = field(default_factory=dict)
    ungrouped: bool = False
    join_duplicates: bool = False
    grave: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
