"""The decision curve as the evaluation report draws it, and what it says (Vickers and Elkin 2006)."""

from __future__ import annotations

import itertools
import math
from typing import Any

from pneumoscope.core.result import Benefit, Evaluation
from pneumoscope.report import words

WIDTH, HEIGHT = 400, 240
BELOW = 0.25  # of the height above 0, that is shown below it


def curve(evaluation: Evaluation) -> dict[str, Any] | None:
    """The curves in units of the drawing, and their words; None where there are none."""
    b = evaluation.benefit
    if b is None:
        return None
    top = _top(b)
    points = range(len(b.thresholds))
    band = [(i, b.high[i]) for i in points] + [(i, b.low[i]) for i in reversed(points)]
    return {
        "positive": evaluation.positive,
        "width": WIDTH,
        "height": HEIGHT,
        "zero": _y(0, top),
        "model": [_drawn(run, b, top) for run in _shown([(i, b.model[i]) for i in points], top)],
        "band": _drawn(band, b, top),
        "all": [_drawn(run, b, top) for run in _shown([(i, b.all[i]) for i in points], top)],
        "ticks": [(text, _y(value, top)) for value, text in _ticks(top)],
        "said": said(b, evaluation.positive or ""),
    }


def said(b: Benefit, positive: str) -> list[str]:
    """Where the model does more good than to treat all or none, and what to beware of."""
    spans = gains(b)
    listed = words.listed([f"{low:.2f} to {high:.2f}" if low != high else f"{low:.2f}" for low, high in spans])
    better = f"deciding by the model is worth more than to call all, or none, {positive}"
    first = (
        f"At thresholds of {listed} {better}: there the interval of the difference, over patients, lies above 0."
        if spans
        else f"At no threshold is it shown that {better}."
    )
    return [
        first,
        f"A threshold says what a missed {positive} weighs: at 0.1 as much as nine false alarms, at 0.5 as much as "
        "one. Which one is right is for those who treat to say, before they look at the curve.",
        f"The curve holds where {words.share(b.prevalence)} are {positive}, as here, and where probabilities mean what "
        "they say; with another share it is another curve.",
    ]


def gains(b: Benefit) -> list[tuple[float, float]]:
    """First and last threshold of each run of them at which the model is shown to be worth more than both others."""
    runs = itertools.groupby(range(len(b.thresholds)), key=lambda i: b.gain_low[i] > 0)
    kept = [list(run) for above, run in runs if above]
    return [(b.thresholds[run[0]], b.thresholds[run[-1]]) for run in kept]


def _top(b: Benefit) -> float:
    """The height of the axis: just above all that is drawn, in round numbers."""
    highest = max(*b.high, *b.model, b.prevalence)
    step = 0.05 if highest < 0.4 else 0.1
    return step * math.ceil(highest / step + 1e-9)


def _ticks(top: float) -> list[tuple[float, str]]:
    step = 0.05 if top <= 0.2 else 0.1 if top <= 0.5 else 0.2
    return [(k * step, f"{k * step:.2f}") for k in range(int(top / step + 1e-9) + 1)]


def _shown(points: list[tuple[int, float]], top: float) -> list[list[tuple[int, float]]]:
    """The runs of points that lie in the drawing, and not below it."""
    runs = itertools.groupby(points, key=lambda point: point[1] >= -BELOW * top)
    return [list(run) for inside, run in runs if inside]


def _drawn(points: list[tuple[int, float]], b: Benefit, top: float) -> str:
    return " ".join(f"{WIDTH * b.thresholds[i]:.1f},{_y(value, top)}" for i, value in points)


def _y(value: float, top: float) -> float:
    """From the upper edge; what lies below the drawing lies on its lower edge."""
    return round(HEIGHT * (top - max(value, -BELOW * top)) / (top * (1 + BELOW)), 1)
