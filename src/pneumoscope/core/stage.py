"""One fit of one network, and the steps and copies that prepare or change what it sees."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pneumoscope.core.role import MAIN
from pneumoscope.errors import RecipeError

Scalar = bool | int | float | str
Value = Scalar | tuple[Scalar, ...]  # of a field, as a variant sets it

SEEDS = 2**32  # what the least of the generators takes


def need(holds: bool, name: str, rule: str, found: object) -> None:
    """Raises RecipeError where a field does not hold."""
    if not holds:
        raise RecipeError(f"{name}: expected {rule}, found {found}.")


@dataclass(frozen=True, kw_only=True)
class Step:
    """A registered function by name, with its keyword arguments."""

    name: str
    args: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Copies:
    """Changed copies of training volumes, made once, before training (Xue 2021, section 2.2.5).

    shares: class -> how many of its volumes get a copy, above 0 and at most 1, drawn by a seed. prep: the steps that
    prepare it, where "crop" takes "least" and "most", between which a share of the slices' sides is drawn.
    """

    name: str
    shares: Mapping[str, float]
    prep: tuple[Step, ...]

    def __post_init__(self) -> None:
        for label, share in self.shares.items():
            need(0 < share <= 1, f"copies.{self.name}.shares.{label}", "a share in (0, 1]", share)


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
    activation: Literal["relu", "leaky_relu", "clipped_relu"] = "relu"
    dropout: float = 0.0
    dropout_first: bool = False
    batch_norm: bool = False

    def __post_init__(self) -> None:
        need(self.scales >= 1, "head.scales", "at least 1 stage", self.scales)
        joined = self.scales == 1 or (self.pooling == "average" and not self.convolution)
        need(joined, "head.scales", "1 unless pooling is 'average' and there is no convolution", self.scales)
        need(self.convolution >= 0, "head.convolution", "at least 0 filters", self.convolution)
        need(all(n >= 1 for n in self.hidden), "head.hidden", "layers of at least 1 unit", list(self.hidden))
        need(0 <= self.dropout < 1, "head.dropout", "a rate in [0, 1)", self.dropout)


@dataclass(frozen=True, kw_only=True)
class Optim:
    """The optimiser and its learning-rate curve.

    schedule: "step" multiplies the rate by `step_factor` after every `step_epochs` epochs.
    """

    name: Literal["adam", "sgd"]
    lr: float
    momentum: float = 0.0
    weight_decay: float = 0.0
    schedule: Literal["constant", "cosine", "step"] = "constant"
    step_epochs: int = 1
    step_factor: float = 1.0

    def __post_init__(self) -> None:
        need(0 < self.lr < math.inf, "optim.lr", "a finite number above 0", self.lr)
        need(0 <= self.momentum < 1, "optim.momentum", "a number in [0, 1)", self.momentum)
        need(self.step_epochs >= 1, "optim.step_epochs", "at least 1 epoch", self.step_epochs)
        need(0 < self.step_factor <= 1, "optim.step_factor", "a factor in (0, 1]", self.step_factor)
        need(0 <= self.weight_decay < math.inf, "optim.weight_decay", "a finite number, at least 0", self.weight_decay)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One fit of one network.

    role: the data it learns from. A stage of another role than "main" is fitted once, for all folds.
    init: "imagenet", "random", or "stage:<name>" for the weights of a stage before (all but the output
        layer where that stage has other classes); of a volume stage "medicalnet", too.
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
        need(min(self.epochs, self.batch) >= 1, f"stages.{self.name}", "epochs and batch of at least 1", found)
        need(0 <= self.l1 < math.inf, f"stages.{self.name}.l1", "a finite number, at least 0", self.l1)
        need(0 <= self.l2 < math.inf, f"stages.{self.name}.l2", "a finite number, at least 0", self.l2)
        if not re.fullmatch("all|all_but_norm|head|upper:[1-9][0-9]{0,3}", self.trainable):
            raise RecipeError(
                f"stages.{self.name}.trainable: expected 'all', 'all_but_norm', 'head' or 'upper:<n>' with n of "
                f"1..9999, found '{self.trainable}'."
            )
        need(0 <= self.seed < SEEDS, f"stages.{self.name}.seed", f"0..{SEEDS - 1}", self.seed)
        known = ("imagenet", "random", *(("medicalnet",) if self.level == "volume" else ()))
        rule = f"{', '.join(repr(init) for init in known)} or 'stage:<name>'"
        need(self.init in known or self.init.startswith("stage:"), f"stages.{self.name}.init", rule, f"'{self.init}'")
