"""How far a bundle's probabilities can be trusted: what is fitted for it, and what was measured of it.

Fitted, and shipped in a bundle: calibration, prediction sets, operating points. Measured, in an evaluation: the same
on patients that nothing of it was fitted on.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pneumoscope.core.interval import Curve, Interval

Kind = Literal["none", "temperature", "isotonic"]


@dataclass(frozen=True, kw_only=True)
class Calibrator:
    """From a graph's probabilities to calibrated ones; see `evaluate.calibrate`.

    kind: "none" leaves them; "temperature" takes each to the power 1/temperature; "isotonic" takes the positive class's
    along the points (x, y), both in 0..1, x ascending, y never falling.

    Raises:
        ValueError: parameters that are none of their kind.
    """

    kind: Kind = "none"
    temperature: float = 1.0
    x: tuple[float, ...] = ()
    y: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"temperature: expected a number above 0, found {self.temperature}.")
        inside = all(0 <= value <= 1 for value in (*self.x, *self.y))
        rising = all(a < b for a, b in itertools.pairwise(self.x)) and all(
            a <= b for a, b in itertools.pairwise(self.y)
        )
        if len(self.x) != len(self.y) or not inside or not rising or (self.kind == "isotonic") != bool(self.x):
            raise ValueError("isotonic: expected points in 0..1, x ascending and y never falling, found others.")


@dataclass(frozen=True, kw_only=True)
class Conformal:
    """The rule that makes prediction sets: a class is in the set from 1 less its limit on.

    level: share of each class's patients whose set holds their class, 0..1. limits: class -> highest 1 - p that is
    still in; 1 takes the class into every set. See `evaluate.conformal`.

    Raises:
        ValueError: numbers outside their range.
    """

    level: float
    limits: Mapping[str, float]

    def __post_init__(self) -> None:
        if not 0 < self.level < 1 or not all(0 <= limit <= 1 for limit in self.limits.values()):
            raise ValueError("conformal: expected a level in (0, 1) and limits in 0..1, found others.")


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What an answer is worth where `prevalence` of the patients are positive: the share of answers that are right."""

    prevalence: float
    ppv: Interval
    npv: Interval


@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """A threshold named by what it promises.

    name: its rule, as in `core.result.Threshold`. thresholds: of each fold, or the one of a bundle; none for the most
    probable class. sensitivity, specificity: as measured on patients that the threshold was not fitted on.
    expected: at some prevalences, the first of them that of the measured data itself.
    """

    name: str
    thresholds: tuple[float, ...]
    sensitivity: Interval
    specificity: Interval
    expected: tuple[Expected, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Trust:
    """What a bundle ships of it.

    shares: class -> share of what calibration was fitted on; the prevalence that the probabilities speak of.
    """

    calibrator: Calibrator
    shares: Mapping[str, float]
    conformal: Conformal | None = None
    points: tuple[OperatingPoint, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Scores:
    """How far probabilities mean what they say.

    log_loss: mean of -log of the true class's probability. brier, ece, reliability: as in `evaluate.metrics`, the ece
    debiased.
    """

    log_loss: Interval
    brier: Interval
    ece: Interval
    reliability: Curve


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Before and after calibration, on patients that it was not fitted on.

    kind: what was chosen. applied: whether the answers that the evaluation measures, and the bundle's, are calibrated.
    tried: kind -> its log loss, cross-fitted. why: how it was chosen, one sentence.
    """

    kind: Kind
    applied: bool
    before: Scores
    after: Scores
    tried: Mapping[str, Interval] = field(default_factory=dict)
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """How often prediction sets held the true class, and how large they were.

    level: what was promised, of each class. by_class: class -> share of its images. size: mean number of classes.
    sizes: how many sets had 1, 2, ... classes.
    """

    level: float
    coverage: Interval
    by_class: Mapping[str, Interval]
    size: Interval
    sizes: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Selected:
    """The surest answers alone. share: of all answers, those where the class decided for has at least `least`."""

    share: float
    least: float
    accuracy: Interval
