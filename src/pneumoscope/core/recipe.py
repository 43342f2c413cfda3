"""A recipe: one paper's method as data, with the place in the paper where each number stands."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.image import Modality
from pneumoscope.core.paper import Paper, Reported
from pneumoscope.core.role import MAIN, Role
from pneumoscope.core.serial import digest, from_json, to_json
from pneumoscope.errors import RecipeError

Scalar = bool | int | float | str
Value = Scalar | tuple[Scalar, ...]  # of a field, as a variant sets it

SEEDS = 2**32  # what the least of the generators takes


def _need(holds: bool, name: str, rule: str, found: object) -> None:
    if not holds:
        raise RecipeError(f"{name}: expected {rule}, found {found}.")


@dataclass(frozen=True, kw_only=True)
class Step:
    """A registered function by name, with its keyword arguments."""

    name: str
    args: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Head:
    """What follows the backbone's last feature map: a convolution, pooling, hidden layers, and the outputs.

    scales: how many of the backbone's stages are pooled (on average) and joined, the last one first among them.
    dropout_first: dropout before the first layer, and nowhere else.
    convolution: filters of a 3x3 convolution with the activation, before the pooling; 0 for none.
    pooling: "max_flatten" takes the maximum of each 2x2, then flattens.
    hidden: units of each hidden layer. After each: the activation, dropout at the rate `dropout` in [0, 1) unless it
    stands first, and BatchNorm where `batch_norm` says so.
    """

    pooling: Literal["flatten", "average", "max_flatten"]
    scales: int = 1
    convolution: int = 0
    hidden: tuple[int, ...] = ()
    activation: Literal["relu", "leaky_relu"] = "relu"
    dropout: float = 0.0
    dropout_first: bool = False
    batch_norm: bool = False

    def __post_init__(self) -> None:
        _need(self.scales >= 1, "head.scales", "at least 1 stage", self.scales)
        joined = self.scales == 1 or (self.pooling == "average" and not self.convolution)
        _need(joined, "head.scales", "1 unless pooling is 'average' and there is no convolution", self.scales)
        _need(self.convolution >= 0, "head.convolution", "at least 0 filters", self.convolution)
        _need(all(n >= 1 for n in self.hidden), "head.hidden", "layers of at least 1 unit", list(self.hidden))
        _need(0 <= self.dropout < 1, "head.dropout", "a rate in [0, 1)", self.dropout)


@dataclass(frozen=True, kw_only=True)
class Optim:
    """The optimiser and its learning-rate curve."""

    name: Literal["adam", "sgd"]
    lr: float
    momentum: float = 0.0
    weight_decay: float = 0.0
    schedule: Literal["constant", "cosine"] = "constant"

    def __post_init__(self) -> None:
        _need(0 < self.lr < math.inf, "optim.lr", "a finite number above 0", self.lr)
        _need(0 <= self.momentum < 1, "optim.momentum", "a number in [0, 1)", self.momentum)
        _need(0 <= self.weight_decay < math.inf, "optim.weight_decay", "a finite number, at least 0", self.weight_decay)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One fit of one network.

    role: the data it learns from. A stage of another role than "main" is fitted once, for all folds.
    init: "imagenet", "random", or "stage:<name>" for the weights of a stage before (all but the output
        layer where that stage has other classes).
    level: what it answers for. "image", or "slice" of a study; "patient": a study, from what the slice network before
        it makes of each slice; "ensemble": a study, from the scores of all patient stages before it.
    trainable: "all", "all_but_norm" (all but BatchNorm), "head", or "upper:<n>" for the head and the backbone's last n
        convolutions. What is not trained stays as it is, BatchNorm's running statistics too.
    learns: of a slice stage: "labelled" slices, or "called_infected": slices of studies of which only the study's class
        is known, that the network, as the stage begins, does not call normal; they learn the study's class. Normal
        slices of infected studies are in neither.
    features: of a patient stage: what is taken of each slice, the last hidden layer ("plain"), or that layer times each
        class's probability, joined ("weighted").
    l1, l2: of all weights of the head but biases, times the sum of their absolutes and of their squares, added to the
        loss.
    loss: "binary_cross_entropy" has one output, the logit of the positive class; "cross_entropy" one a class.
    monitor: what chooses the epoch whose weights are kept, on the fold's validation part.
    variants: those of the recipe that have this stage, none for all, and the recipe as written.
    """

    name: str
    level: Literal["image", "slice", "patient", "ensemble", "volume"]
    net: str
    head: Head
    init: str
    trainable: str
    loss: Literal["binary_cross_entropy", "cross_entropy"]
    class_weights: Literal["none", "balanced"]
    optim: Optim
    epochs: int
    batch: int
    augment: tuple[Step, ...] = ()
    monitor: Literal["val_loss", "val_balanced_accuracy", "val_accuracy"] = "val_loss"
    role: str = MAIN
    learns: Literal["labelled", "called_infected"] = "labelled"
    features: Literal["plain", "weighted"] = "plain"
    l1: float = 0.0
    l2: float = 0.0
    seed: int = 0
    variants: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        found = f"{self.epochs} and {self.batch}"
        _need(min(self.epochs, self.batch) >= 1, f"stages.{self.name}", "epochs and batch of at least 1", found)
        _need(0 <= self.l1 < math.inf, f"stages.{self.name}.l1", "a finite number, at least 0", self.l1)
        _need(0 <= self.l2 < math.inf, f"stages.{self.name}.l2", "a finite number, at least 0", self.l2)
        if not re.fullmatch("all|all_but_norm|head|upper:[1-9][0-9]{0,3}", self.trainable):
            raise RecipeError(
                f"stages.{self.name}.trainable: expected 'all', 'all_but_norm', 'head' or 'upper:<n>' with n of "
                f"1..9999, found '{self.trainable}'."
            )
        _need(0 <= self.seed < SEEDS, f"stages.{self.name}.seed", f"0..{SEEDS - 1}", self.seed)
        known = self.init in ("imagenet", "random") or self.init.startswith("stage:")
        _need(known, f"stages.{self.name}.init", "'imagenet', 'random' or 'stage:<name>'", f"'{self.init}'")


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
        _need(0 < self.train_share <= 1, f"protocols.{self.name}.train_share", "a share in (0, 1]", self.train_share)
        if self.folds < 1 or not 0 < self.test_share < 1 or not 0 <= self.val_share < 1:
            raise RecipeError(
                f"protocols.{self.name}: expected folds of at least 1, test_share in (0, 1) and val_share in [0, 1), "
                f"found {self.folds}, {self.test_share} and {self.val_share}."
            )
        _need(0 <= self.seed < SEEDS, f"protocols.{self.name}.seed", f"0..{SEEDS - 1}", self.seed)
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
    _need(holds, "decision.value", f"{rule} for the rule '{decision.rule}'", value)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A method, complete: see the design, "Core types".

    slices_between: slices of series that are interpolated in each gap between two that are both infected or both not,
        for stages of slices to learn from; nothing is judged by them.
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
    roles: tuple[Role, ...] = (Role(name=MAIN),)
    variants: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)
    variant: str | None = None
    search: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    reported: tuple[Reported, ...] = ()
    deviations: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for kind in ("prep", "stages", "protocols", "roles"):
            names = [x.name for x in getattr(self, kind)]
            if not names or len(set(names)) != len(names):
                raise RecipeError(f"{self.name}.{kind}: expected different names, at least one, found {names}.")
        _check_decision(self.decision)
        _need(0 <= self.slices_between <= 16, "slices_between", "0 to 16 slices", self.slices_between)
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
            _need(mine == its, f"stages.{stage.name}.{name}", f"that of stage '{before.name}', {its}", mine)

    def _check_roles(self) -> None:
        roles = [role.name for role in self.roles]
        for stage in self.stages:
            _need(stage.role in roles, f"stages.{stage.name}.role", f"one of {', '.join(roles)}", f"'{stage.role}'")
        last = self.stages[-1]
        _need(last.role == MAIN, f"stages.{last.name}.role", f"'{MAIN}', as for every last stage", f"'{last.role}'")
        for role in self.roles:
            known = self.classes_of(role.name).names
            few = 0 < role.validation < len(known)
            _need(not few, f"roles.{role.name}.validation", f"0, or {len(known)} or more", role.validation)
            for draw in role.draws:
                _need(
                    draw.label in known,
                    f"roles.{role.name}.draws.{draw.name}.label",
                    f"one of {', '.join(known)}",
                    draw.label,
                )

    def _check_levels(self) -> None:
        """Patients are judged by what a slice network makes of their slices, an ensemble by its patient stages."""
        before: set[str] = set()
        for stage in self.stages:
            asked = {"patient": "slice", "ensemble": "patient"}.get(stage.level)
            holds = asked is None or asked in before
            _need(holds, f"stages.{stage.name}", f"a stage of level '{asked}' before it", "none")
            before.add(stage.level)

    def role(self, name: str) -> Role:
        """The data role `name`."""
        return next(role for role in self.roles if role.name == name)

    def classes_of(self, role: str) -> ClassSet:
        """The classes of a data role."""
        return self.role(role).classes or self.classes

    @property
    def comparable(self) -> tuple[Reported, ...]:
        """What the paper prints about the variant in place."""
        return tuple(r for r in self.reported if not r.variants or (self.variant or "") in r.variants)

    @property
    def of_studies(self) -> bool:
        """Whether it takes CT series, slice by slice, and not single images alone."""
        return any(stage.level in ("slice", "patient", "ensemble") for stage in self.stages)

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


METHOD_FIELDS = ("modalities", "classes", "prep", "slices_between", "stages", "protocols", "decision", "roles")


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted path and value of each leaf under `value`; members of tuples with a `name` go by it."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        for f in dataclasses.fields(value):
            by_name = path and f.name == "name" and not isinstance(value, Optim)
            if not (by_name or (isinstance(value, Stage) and f.name in _not_of(value))):
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


def _not_of(stage: Stage) -> tuple[str, ...]:
    """Fields that mean nothing for a stage of this level, or say where it stands."""
    return (
        "variants",
        *(() if stage.level == "slice" else ("learns",)),
        *(() if stage.level == "patient" else ("features",)),
    )


def method_leaves(recipe: Recipe) -> list[tuple[str, Any]]:
    """The leaves that describe the method, each of which must have a source; of series only where it takes them."""
    names = [name for name in METHOD_FIELDS if recipe.of_studies or name != "slices_between"]
    return [leaf for name in names for leaf in leaves(getattr(recipe, name), name)]


def source_of(recipe: Recipe, path: str) -> str | None:
    """The source of the dotted field `path`: its own, or that of the longest prefix that has one."""
    parts = path.split(".")
    for n in range(len(parts), 0, -1):
        if ".".join(parts[:n]) in recipe.sources:
            return recipe.sources[".".join(parts[:n])]
    return None
