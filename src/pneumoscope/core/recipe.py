"""A recipe: one paper's method as data, with the place in the paper where each number stands."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.image import Modality
from pneumoscope.core.paper import Paper, Reported
from pneumoscope.core.role import MAIN, Role
from pneumoscope.core.serial import digest, from_json, to_json
from pneumoscope.core.stage import SEEDS, Copies, Optim, Stage, Step, Value, need
from pneumoscope.errors import RecipeError

OVERRIDE = "override"  # the source of a field that the user set


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How the data is parted and what is chosen on which part.

    unit: "group" keeps patients together; "image" parts files, as many papers did.
    folds: number of folds; 1 is a single hold-out of `test_share`.
    val_share: share of each training part that chooses the weights; 0 lets the test part choose them
        (a paper's fact, never the honest protocol's).
    train_share: share of each training part that is learned from, and chosen on: a smaller one's patients stand in a
        larger one's, and the test parts stay as they are.
    train_on: data sets (see `Sample.collection`) whose files are learned from, empty for all; the test parts hold
        files of every one.
    """

    name: Literal["honest", "paper"]
    unit: Literal["group", "image"]
    folds: int
    test_share: float
    val_share: float
    train_share: float = 1.0
    train_on: tuple[str, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        need(0 < self.train_share <= 1, f"protocols.{self.name}.train_share", "a share in (0, 1]", self.train_share)
        if self.folds < 1 or not 0 < self.test_share < 1 or not 0 <= self.val_share < 1:
            raise RecipeError(
                f"protocols.{self.name}: expected folds of at least 1, test_share in (0, 1) and val_share in [0, 1), "
                f"found {self.folds}, {self.test_share} and {self.val_share}."
            )
        need(0 <= self.seed < SEEDS, f"protocols.{self.name}.seed", f"0..{SEEDS - 1}", self.seed)
        if self.name == "honest" and (self.unit != "group" or self.val_share == 0):
            raise RecipeError(
                "protocols.honest: expected unit 'group' and a val_share above 0, "
                f"found '{self.unit}' and {self.val_share}. Use --protocol paper for the paper's way."
            )


@dataclass(frozen=True, kw_only=True)
class Decision:
    """How probabilities become a decision.

    rule: "argmax"; or a threshold on the positive class's probability: "fixed" at `value`; "youden" (largest
    sensitivity + specificity - 1); "sensitivity" (highest threshold with at least `value`); "cost" (a missed
    positive costs `value` times a false alarm). All but "argmax" and "fixed" are fitted on validation parts.
    """

    rule: Literal["argmax", "fixed", "youden", "sensitivity", "cost"]
    value: float = 0.5


def _check_decision(decision: Decision) -> None:
    """Whether `value` fits the rule: known before anything is trained, not when the first threshold is fitted."""
    value = decision.value
    holds, rule = {
        "fixed": (0 <= value <= 1, "a probability in [0, 1]"),
        "sensitivity": (0 < value <= 1, "a sensitivity in (0, 1]"),
        "cost": (0 < value < math.inf, "a finite cost above 0"),
    }.get(decision.rule, (math.isfinite(value), "a finite number"))
    need(holds, "decision.value", f"{rule} for the rule '{decision.rule}'", value)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A method, complete: see the design, "Core types".

    slices_between: slices of series that are interpolated in each gap between two that are both infected or both not,
        for stages of slices to learn from; nothing is judged by them.
    copies: of volumes, to learn from; in the paper's protocol parted as if they were volumes of their own.
    roles: data that training asks for; "main" is what is evaluated.
    variants: name -> dotted field -> value, what differs from the recipe as written; `variant` is the one in place.
    search: dotted field -> the values that a search tries, as the paper did.
    sources: dotted field, or a prefix of it -> where the paper says so, or "assumed: why". "<variant>:<field>" is
        the field's source in that variant.
    """

    name: str
    paper: Paper
    modalities: tuple[Modality, ...]
    classes: ClassSet
    prep: tuple[Step, ...]
    stages: tuple[Stage, ...]
    protocols: tuple[Protocol, ...]
    decision: Decision
    sources: Mapping[str, str]
    slices_between: int = 0
    copies: tuple[Copies, ...] = ()
    roles: tuple[Role, ...] = (Role(name=MAIN),)
    variants: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)
    variant: str | None = None
    search: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    reported: tuple[Reported, ...] = ()
    deviations: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for kind in ("prep", "stages", "protocols", "roles", "copies"):
            names = [x.name for x in getattr(self, kind)]
            if not (names or kind == "copies") or len(set(names)) != len(names):
                raise RecipeError(f"{self.name}.{kind}: expected different names, at least one, found {names}.")
        _check_decision(self.decision)
        need(0 <= self.slices_between <= 16, "slices_between", "0 to 16 slices", self.slices_between)
        self._check_roles()
        self._check_levels()
        before: set[str] = set()
        for stage in self.stages:
            kind, _, of = stage.init.partition(":")
            if kind == "stage" and of not in before:
                raise RecipeError(
                    f"stages.{stage.name}.init: expected a stage before it ({', '.join(sorted(before)) or 'none'}), "
                    f"found '{of}'."
                )
            if kind == "stage":
                self._check_like(stage, next(s for s in self.stages if s.name == of))
            # fitted once for all folds, it would carry what one fold's stage saw into the others
            if kind == "stage" and stage.role != MAIN and next(s for s in self.stages if s.name == of).role == MAIN:
                raise RecipeError(
                    f"stages.{stage.name}.init: expected a stage of another role than '{MAIN}', as its own, found "
                    f"'{of}'."
                )
            before.add(stage.name)

    def _check_like(self, stage: Stage, before: Stage) -> None:
        """A stage goes on with the network of the stage that it starts from; only the outputs follow its classes."""
        for name in ("net", "head"):
            mine, its = getattr(stage, name), getattr(before, name)
            need(mine == its, f"stages.{stage.name}.{name}", f"that of stage '{before.name}', {its}", mine)

    def _check_roles(self) -> None:
        roles = [role.name for role in self.roles]
        for stage in self.stages:
            need(stage.role in roles, f"stages.{stage.name}.role", f"one of {', '.join(roles)}", f"'{stage.role}'")
        last = self.stages[-1]
        need(last.role == MAIN, f"stages.{last.name}.role", f"'{MAIN}', as for every last stage", f"'{last.role}'")
        for role in self.roles:
            known = self.classes_of(role.name).names
            few = 0 < role.validation < len(known)
            need(not few, f"roles.{role.name}.validation", f"0, or {len(known)} or more", role.validation)
            for draw in role.draws:
                need(
                    draw.label in known,
                    f"roles.{role.name}.draws.{draw.name}.label",
                    f"one of {', '.join(known)}",
                    draw.label,
                )

    def _check_levels(self) -> None:
        """Patients are judged by what a slice network makes of their slices, an ensemble by its patient stages."""
        before: set[str] = set()
        for stage in self.stages:
            need(
                not before or (stage.level == "volume") == ("volume" in before),
                f"stages.{stage.name}.level",
                "'volume' for all stages or for none",
                f"'{stage.level}'",
            )
            asked = {"patient": "slice", "ensemble": "patient"}.get(stage.level)
            holds = asked is None or asked in before
            need(holds, f"stages.{stage.name}", f"a stage of level '{asked}' before it", "none")
            before.add(stage.level)

    def role(self, name: str) -> Role:
        """The data role `name`."""
        return next(role for role in self.roles if role.name == name)

    def classes_of(self, role: str) -> ClassSet:
        """The classes of a data role."""
        return self.role(role).classes or self.classes

    @property
    def comparable(self) -> tuple[Reported, ...]:
        """What the paper prints about the variant in place; nothing where the classes are others than the paper's."""
        if any(path.partition(".")[0] == "classes" and text == OVERRIDE for path, text in self.sources.items()):
            return ()
        return tuple(r for r in self.reported if not r.variants or (self.variant or "") in r.variants)

    @property
    def of_studies(self) -> bool:
        """Whether it takes CT series, slice by slice or whole, and not single images alone."""
        return any(stage.level != "image" for stage in self.stages)

    @property
    def of_volumes(self) -> bool:
        """Whether its networks take CT series as a whole."""
        return any(stage.level == "volume" for stage in self.stages)

    @property
    def judges(self) -> Literal["image", "slice", "study"]:
        """What an answer of the last stage is of."""
        level = self.stages[-1].level
        return level if level == "image" or level == "slice" else "study"

    @property
    def members(self) -> tuple[Stage, ...]:
        """The stages whose networks judge a study each; none where images or slices are judged."""
        return tuple(stage for stage in self.stages if stage.level == "patient")

    @property
    def digest(self) -> str:
        """Digest of what training depends on: the method, not how it is cited."""
        data = to_json(self)
        return digest({"name": self.name} | {key: data[key] for key in METHOD_FIELDS})

    @property
    def title(self) -> str:
        """The name, with the variant where there is one."""
        return f"{self.name}:{self.variant}" if self.variant else self.name

    @property
    def protocol(self) -> Protocol:
        """The one protocol of a resolved recipe.

        Raises:
            RecipeError: the recipe is not resolved yet.
        """
        if len(self.protocols) != 1:
            raise RecipeError(
                f"{self.name}: expected a resolved recipe with one protocol, found {len(self.protocols)}."
            )
        return self.protocols[0]

    @classmethod
    def from_json(cls, data: Any) -> Recipe:
        """The recipe that `to_json` wrote; raises `Mismatch` where it does not fit."""
        return from_json(cls, data)


METHOD_FIELDS = (
    "modalities",
    "classes",
    "prep",
    "slices_between",
    "copies",
    "stages",
    "protocols",
    "decision",
    "roles",
)


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted path and value of each leaf under `value`; members of tuples with a `name` go by it."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        for f in dataclasses.fields(value):
            by_name = path and f.name == "name" and not isinstance(value, Optim)
            if not (by_name or f.name in _hidden(value)):
                yield from leaves(getattr(value, f.name), f"{path}.{f.name}" if path else f.name)
    elif isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from leaves(item, f"{path}.{key}")
    elif isinstance(value, tuple) and value and hasattr(value[0], "name"):
        for item in value:
            if isinstance(item, Step):  # an argument is addressed as prep.resize.size, without `.args`
                yield from (
                    leaves(item.args, f"{path}.{item.name}") if item.args else iter([(f"{path}.{item.name}", "")])
                )
            else:
                yield from leaves(item, f"{path}.{item.name}")
    else:
        yield path, value


def _hidden(value: object) -> tuple[str, ...]:
    """Fields that mean nothing for a stage of this level or an optimiser of this schedule, or say where a stage is."""
    if isinstance(value, Optim):
        return () if value.schedule == "step" else ("step_epochs", "step_factor")
    if not isinstance(value, Stage):
        return ()
    return (
        "variants",
        *(() if value.level == "slice" else ("learns",)),
        *(() if value.level == "patient" else ("features",)),
    )


def method_leaves(recipe: Recipe) -> list[tuple[str, Any]]:
    """The leaves that describe the method, each of which must have a source; of series only where it takes them."""
    lacking = {"slices_between": not recipe.of_studies or recipe.of_volumes, "copies": not recipe.copies}
    names = [name for name in METHOD_FIELDS if not lacking.get(name, False)]
    return [leaf for name in names for leaf in leaves(getattr(recipe, name), name)]


def source_of(recipe: Recipe, path: str) -> str | None:
    """The source of the dotted field `path`: its own, or that of the longest prefix that has one."""
    parts = path.split(".")
    for n in range(len(parts), 0, -1):
        if ".".join(parts[:n]) in recipe.sources:
            return recipe.sources[".".join(parts[:n])]
    return None
