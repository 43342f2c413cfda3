"""What comes out: a prediction for one study, an evaluation of many, an explanation of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from pneumoscope.core.serial import Undefinable


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The answer for one path, accepted or refused; its JSON is what `predict --json` prints.

    probabilities: class -> 0..1, summing to 1; empty where refused. There is no entry for a class that the
        model was not trained on. decision: the class decided for. threshold: on the positive class's
        probability, None for argmax. reasons: why it was refused. outputs: kind -> file written.
    precision: what the graph ran in ("fp32", "bf16").
    """

    path: str
    accepted: bool
    bundle: str
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    probabilities: Mapping[str, float] = field(default_factory=dict)
    decision: str | None = None
    threshold: float | None = None
    precision: str = "fp32"
    seconds: float = 0.0
    outputs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A figure with its 95 % bootstrap interval over patients; all three NaN where it is undefined."""

    value: Undefinable
    low: Undefinable
    high: Undefinable


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Points of a curve to draw, x ascending."""

    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How good a method was on data it had not seen; its JSON is `evaluation.json`.

    metrics: name -> Interval, or class -> Interval for the metrics of one class.
    confusion: `[true class][decided class]` counts, in the order of `classes`.
    thresholds: the threshold used in each fold (one for a bundle), empty for argmax.
    reported: what the paper prints: data, where, metrics.
    shared_patients: patients with files on both sides of the split; 0 in the honest protocol.
    """

    classes: tuple[str, ...]
    positive: str | None
    metrics: Mapping[str, Interval | Mapping[str, Interval]]
    confusion: tuple[tuple[int, ...], ...]
    roc: Mapping[str, Curve]
    reliability: Curve
    n_images: int
    n_patients: int
    thresholds: tuple[float, ...] = ()
    protocol: str | None = None
    grouped: bool = True
    shared_patients: int = 0
    split: str | None = None
    dataset: str | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)
    reported: tuple[Mapping[str, object], ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Explanation:
    """Where a network looked.

    map: float32 `[H, W]` in 0..1 (1: the strongest place; all 0 where nothing speaks for the target), in the
    pixels of the source image.
    """

    method: Literal["grad-cam"]
    layer: str
    target: str
    map: np.ndarray
