"""Calibration: from what a network says to probabilities that mean what they say.

Temperature (Guo et al. 2017, "On calibration of modern neural networks", section 4.2) takes every probability to the
power 1/T and scales them, so it changes no most probable class. Isotonic regression (Zadrozny and Elkan 2002) fits
a rising staircase to the positive class's probability. Of more than two classes there is temperature alone: one
staircase a class, scaled to sum to 1, changes which is the most probable and asks for more patients than there are.
Every image counts once, as in the metrics; whoever fits and measures keeps patients apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.trust import Calibrator, Kind

FLOOR = 1e-7  # of a probability before its logarithm: single precision holds none nearer to 1 than this
HOTTEST = 20.0  # temperatures are looked for between 1/HOTTEST and HOTTEST
_GOLDEN = (math.sqrt(5) - 1) / 2
_STEPS = 60


def kinds(classes: ClassSet) -> tuple[Kind, ...]:
    """The ways to calibrate these classes, the plainest one first."""
    return ("none", "temperature", "isotonic") if len(classes.names) == 2 else ("none", "temperature")


def fit(kind: Kind, probabilities: np.ndarray, labels: np.ndarray, classes: ClassSet) -> Calibrator:
    """The calibrator of a kind for what a network says `[N, K]` of images of known classes, integers `[N]`."""
    if kind == "none":
        return Calibrator()
    if kind == "temperature":
        return Calibrator(kind=kind, temperature=_temperature(probabilities, labels))
    x, y = _isotonic(probabilities[:, scored(classes)], labels == scored(classes))
    return Calibrator(kind=kind, x=x, y=y)


def apply(calibrator: Calibrator, probabilities: np.ndarray, classes: ClassSet) -> np.ndarray:
    """Calibrated probabilities, float64 `[N, K]`, rows summing to 1 as those that are given do."""
    p = probabilities.astype(np.float64)
    if calibrator.kind == "temperature":
        return _softmax(_logs(p) / calibrator.temperature)
    if calibrator.kind == "isotonic":
        positive = np.interp(p[:, scored(classes)], calibrator.x, calibrator.y)
        found = np.stack([1 - positive, positive], axis=1)
        return found if scored(classes) == 1 else found[:, ::-1]
    return p


def scored(classes: ClassSet) -> int:
    """Position of the class of two that is calibrated: the positive one, or the last where none is."""
    return len(classes.names) - 1 if classes.positive is None else classes.positive_index


def log_loss(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """-log of the probability of each image's own class, `[N]`."""
    found: np.ndarray = -_logs(probabilities)[np.arange(len(labels)), labels]
    return found


def _logs(p: np.ndarray) -> np.ndarray:
    return np.asarray(np.log(np.maximum(p, FLOOR)))


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    found: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return found


def _temperature(p: np.ndarray, labels: np.ndarray) -> float:
    """The temperature of the least log loss.

    Labels count as (N + 1) / (N + K) of an image, the rest of it as the other classes (Platt 1999, section 2.1): where
    all N are right, the loss would otherwise fall without end and the answers be called certain.
    """
    n, k = p.shape
    targets = (np.eye(k)[labels] * n + 1) / (n + k)
    logs = _logs(p.astype(np.float64))

    def loss(log_temperature: float) -> float:
        logits = logs * math.exp(-log_temperature)
        highest = logits.max(axis=1)
        total = highest + np.log(np.exp(logits - highest[:, np.newaxis]).sum(axis=1))
        return float((total - (targets * logits).sum(axis=1)).mean())

    return math.exp(_lowest(loss, -math.log(HOTTEST), math.log(HOTTEST)))


def _lowest(of: Callable[[float], float], low: float, high: float) -> float:
    """Where a function with one valley is lowest, by golden section (Kiefer 1953)."""
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = of(left), of(right)
    for _ in range(_STEPS):
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - _GOLDEN * (high - low)
            at_left = of(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + _GOLDEN * (high - low)
            at_right = of(right)
    return (low + high) / 2


def _isotonic(score: np.ndarray, truth: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Both ends of each step of the rising staircase of least squared error, by pool-adjacent-violators.

    Between steps it is drawn straight. A step of N images in all never says less than 1 / (N + 2) or more than 1 less
    that (Laplace's rule of succession): no image that was seen makes the next one certain.
    """
    seen, at = np.unique(np.clip(score.astype(np.float64), 0, 1), return_inverse=True)
    weights = np.bincount(at).astype(np.float64)
    shares = np.bincount(at, weights=truth.astype(np.float64)) / weights
    steps: list[tuple[float, float, int]] = []  # share, weight, index of its last score
    for i, (share, weight) in enumerate(zip(shares.tolist(), weights.tolist(), strict=True)):
        step = (share, weight, i)
        while steps and steps[-1][0] >= step[0]:
            before = steps.pop()
            both = before[1] + step[1]
            step = ((before[0] * before[1] + step[0] * step[1]) / both, both, i)
        steps.append(step)
    least = 1 / (len(score) + 2)
    x: list[float] = []
    y: list[float] = []
    first = 0
    for share, _, last in steps:
        ends = sorted({first, last})
        x += [float(seen[i]) for i in ends]
        y += [min(max(share, least), 1 - least)] * len(ends)
        first = last + 1
    return tuple(x), tuple(y)
