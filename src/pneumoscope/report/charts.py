"""The geometry of the charts that the HTML reports draw as inline SVG, in numbers that the templates place.

Drawn by hand, not by matplotlib: the charts follow the page's colours (light, dark, print), need no ids, and cost no
import.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pneumoscope.core.result import Curve, Evaluation, Interval, Point
from pneumoscope.report import words

SIDE = 240  # of the square that a curve is drawn in


def whiskers(evaluation: Evaluation) -> list[dict[str, Any]]:
    """The headline figures on an axis of 0..100 %: dot, whisker, and what an empty answer would score."""
    empty = _of_an_empty_answer(evaluation)
    return [whisker(title, found) | {"empty": empty.get(title)} for title, found in words.headline(evaluation)]


def whisker(title: str, found: Interval, empty: float | None = None) -> dict[str, Any]:
    """One figure in 0..1 on an axis of 0..100 %; empty: what an empty answer would score."""
    return {
        "title": title,
        "text": words.figure(found.value),
        "interval": _bounds(found),
        "dot": _percent(found.value),
        "low": _percent(found.low),
        "high": _percent(found.high),
        "empty": None if empty is None else _percent(empty),
    }


def roc(evaluation: Evaluation) -> list[dict[str, Any]]:
    """One curve a class; of two classes that of the positive one alone, since the other is its mirror."""
    names = [name for name in evaluation.classes if name in evaluation.roc]
    if len(evaluation.classes) == 2 and len(names) == 2:
        names = [evaluation.positive or names[-1]]
    return [
        {"name": name, "points": points(evaluation.roc[name]), "auc": _auc(evaluation, name), "colour": i % 6}
        for i, name in enumerate(names)
    ]


def points(curve: Curve) -> str:
    """A curve in 0..1 as an SVG point list in a square of `SIDE`, y upwards."""
    return " ".join(f"{x:g},{y:g}" for x, y in dots(curve))


def dots(curve: Curve) -> list[tuple[float, float]]:
    """The points of a curve in 0..1 in a square of `SIDE`, y upwards; points that are not finite are left out."""
    return [
        (round(SIDE * x, 1), round(SIDE * (1 - y), 1))
        for x, y in zip(curve.x, curve.y, strict=True)
        if math.isfinite(x) and math.isfinite(y)
    ]


def plane(points: Sequence[Point]) -> dict[str, Any] | None:
    """Points in a square of `SIDE`, each with its class's colour, and what occurs; None of none."""
    if not points:
        return None
    labels, parts = (list(dict.fromkeys(found)) for found in zip(*((p.label, p.part) for p in points), strict=True))
    dots = [
        {
            "x": round(SIDE * p.x, 1),
            "y": round(SIDE * (1 - p.y), 1),
            "colour": labels.index(p.label) % 6,
            "part": p.part,
            "text": f"{p.label}, {p.part}",
        }
        for p in points
    ]
    return {"side": SIDE, "dots": dots, "labels": labels, "parts": parts}


def _auc(evaluation: Evaluation, name: str) -> str:
    by_class, whole = evaluation.metrics.get("auc_ovr"), evaluation.metrics.get("auc")
    found = whole if by_class is None or isinstance(by_class, Interval) else by_class.get(name)
    return words.interval(found) if isinstance(found, Interval) else "undefined"


def _of_an_empty_answer(evaluation: Evaluation) -> dict[str, float]:
    """Title -> percent that always naming the most frequent class, or guessing, would score."""
    rows = [sum(row) for row in evaluation.confusion]
    seen = [n for n in rows if n]
    if not seen:
        return {}
    return {
        words.metric_title("accuracy"): round(100 * max(seen) / sum(seen), 2),
        words.metric_title("balanced_accuracy"): round(100 / len(seen), 2),
        words.metric_title("auc"): 50.0,
    }


def _bounds(found: Interval) -> str:
    return "" if math.isnan(found.low + found.high) else f"{found.low:.3f} to {found.high:.3f}"


def _percent(value: float) -> float | None:
    return None if math.isnan(value) else round(100 * min(1.0, max(0.0, value)), 2)
