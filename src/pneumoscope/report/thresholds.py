"""What the evaluation report shows of other thresholds, and of some of the images alone.

The matrices at each threshold and the histogram of predictions are those of Szalay et al. 2021, Figs. 3 and 4.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from itertools import count
from string import ascii_uppercase
from typing import Any

from pneumoscope.core.comparison import Held
from pneumoscope.core.recipe import Recipe
from pneumoscope.core.result import HISTOGRAM, Evaluation, Part, Threshold
from pneumoscope.evaluate.metrics import FEW_PATIENTS
from pneumoscope.evaluate.thresholds import name_of
from pneumoscope.report import tables, words

WIDTH = 640  # of the histogram's axis, 0..1
ROW, GAP = 76, 34  # height of one class's bars, and what lies above them
LANE, LETTER = 20, 9  # height of a line of letters, and half of what one takes

# rule -> what it is, with its value
HINTS: Mapping[str, str] = {
    "fixed": "a number chosen beforehand",
    "youden": "largest sensitivity + specificity where it was fitted",
    "sensitivity": "the highest that found {} of the class where it was fitted",
    "cost": "least cost where it was fitted, a miss costing {} false alarms",
    "argmax": "no threshold",
}
FIGURES = ("sensitivity", "specificity", "precision", "accuracy", "balanced_accuracy")
OF_PARTS = ("accuracy", "balanced_accuracy", "auc", "sensitivity", "specificity")
OF_ONE_CLASS = ("sensitivity", "specificity", "precision")


def study(evaluation: Evaluation, recipe: Recipe) -> dict[str, Any] | None:
    """The table, the matrices and the histogram of the thresholds studied; None where there are none."""
    if not evaluation.studied:
        return None
    fitted_on_it = _fitted_on_what_is_shown(evaluation, recipe)
    return {
        "positive": evaluation.positive,
        "columns": [_titled(name, evaluation.positive) for name in FIGURES],
        "rows": [_row(i, t, evaluation, recipe) for i, t in enumerate(evaluation.studied)],
        "folds": any(len(t.thresholds) > 1 for t in evaluation.studied),
        "histogram": _histogram(evaluation, recipe),
        "note": _note(evaluation, fitted_on_it),
        "grave": fitted_on_it,
    }


def part_tables(evaluation: Evaluation) -> dict[str, dict[str, Any]]:
    """What images are told apart by -> the table of their figures, those of all images first."""
    return {by: _part_table(evaluation, parts) for by, parts in evaluation.parts.items()}


def _row(i: int, t: Threshold, e: Evaluation, recipe: Recipe) -> dict[str, Any]:
    rule, _, value = t.name.partition(" ")
    return {
        "mark": _mark(i),
        "title": words.threshold_title(t.name),
        "hint": HINTS.get(rule, "").format(words.share(float(value)) if rule == "sensitivity" else value),
        "own": t.name == name_of(recipe.decision),
        "at": _span(t.thresholds),
        "cells": [tables.metric_cell(t.metrics, name, _of(name, e.positive)) for name in FIGURES],
        "confusion": tables.confusion_rows(e.classes, t.confusion),
    }


def _mark(i: int) -> str:
    return ascii_uppercase[i] if i < len(ascii_uppercase) else str(i + 1)


def _span(thresholds: Sequence[float]) -> dict[str, str]:
    """The mean of the folds' thresholds, and their range where they differ."""
    if not thresholds:
        return {"value": "none", "bounds": ""}
    low, high = min(thresholds), max(thresholds)
    bounds = "" if low == high else f"{low:.3f} to {high:.3f}"
    return {"value": f"{statistics.fmean(thresholds):.3f}", "bounds": bounds}


def _histogram(e: Evaluation, recipe: Recipe) -> dict[str, Any]:
    """Bars of each class, one row a class, and the thresholds across them, in units of the drawing."""
    marks = _marks(e.studied, recipe)
    top = max((m["y"] for m in marks), default=0)
    rows = [
        _bars(name, i, counts, top + i * (ROW + GAP) + GAP, e.judged)
        for i, (name, counts) in enumerate(e.histogram.items())
    ]
    return {
        "judged": e.judged,
        "marks": marks,
        "rows": rows,
        "width": WIDTH,
        "height": top + len(rows) * (ROW + GAP),
        "row": ROW,
    }


def _bars(name: str, i: int, counts: Sequence[int], top: int, judged: str) -> dict[str, Any]:
    """The bars of one class over its own highest; what is not 0 can be seen."""
    highest, step = max(counts), WIDTH / HISTOGRAM
    bars = []
    for part, n in enumerate(counts):
        height = max(1.5, round(ROW * n / highest, 1)) if n else 0.0
        text = f"{part / HISTOGRAM:.2f} to {(part + 1) / HISTOGRAM:.2f}: {words.amount(n, judged)}"
        bars.append({"x": part * step + 1, "y": top + ROW - height, "height": height, "text": text})
    drawn = [bar for bar in bars if bar["height"]]
    return {
        "name": name,
        "n": sum(counts),
        "highest": highest,
        "top": top,
        "colour": i % 6,
        "bars": drawn,
        "w": step - 2,
    }


def _marks(studied: Sequence[Threshold], recipe: Recipe) -> list[dict[str, Any]]:
    """Where each rule's threshold stands, its range over folds, and a lane for its letter in which nothing overlaps."""
    ends: dict[int, float] = {}
    marks = []
    placed = [(statistics.fmean(t.thresholds), i, t) for i, t in enumerate(studied) if t.thresholds]
    for mean, i, t in sorted(placed, key=lambda one: one[:2]):
        x, low, high = (_x(value) for value in (mean, min(t.thresholds), max(t.thresholds)))
        left = min(low, x - LETTER)
        lane = next(lane for lane in count() if left >= ends.get(lane, left))
        ends[lane] = max(high, x + LETTER) + 4
        marks.append(
            {
                "mark": _mark(i),
                "x": x,
                "low": low,
                "high": high,
                "own": t.name == name_of(recipe.decision),
                "y": LANE * lane + 12,
            }
        )
    return marks


def _x(threshold: float) -> float:
    """A threshold may lie just above every probability, and so above 1."""
    return round(WIDTH * min(1.0, threshold), 1)


def _fitted_on_what_is_shown(e: Evaluation, recipe: Recipe) -> bool:
    protocol = next((p for p in recipe.protocols if p.name == e.protocol), None)
    fitted = any(t.name.partition(" ")[0] not in ("fixed", "argmax") for t in e.studied)
    return protocol is not None and not protocol.val_share and fitted


def _note(e: Evaluation, fitted_on_it: bool) -> str:
    if e.protocol is None:
        said = "None of these was chosen on what is shown: the model brings its own threshold, the others are fixed."
    elif fitted_on_it:
        said = (
            "Fitted thresholds were chosen on the very part that is shown, since this protocol has no other: their "
            "figures are too good."
        )
    else:
        said = (
            "None of these was chosen on what is shown: fitted thresholds were fitted in each fold on the part that "
            "chose its weights, the others are fixed."
        )
    return f"{said} To take the best row for the result would be to choose on it."


def _part_table(e: Evaluation, parts: Mapping[str, Part]) -> dict[str, Any]:
    names = OF_PARTS if e.positive else OF_PARTS[:3]
    whole = {name: sum(row) for name, row in zip(e.classes, e.confusion, strict=True)}
    every = Part(counts=whole, n_patients=e.n_patients, metrics=e.metrics, confusion=e.confusion)
    rows = [
        {
            "name": name,
            "counts": words.counts({c: n for c, n in part.counts.items() if n}),
            "patients": f"{part.n_patients:,}",
            "cells": [tables.metric_cell(part.metrics, m, _of(m, e.positive)) for m in names],
        }
        for name, part in {"": every, **parts}.items()
    ]
    columns = [_titled(name, e.positive) for name in names]
    return {"columns": columns, "rows": rows, "cautions": cautions(parts)}


def cautions(parts: Mapping[str, Part | Held]) -> list[str]:
    """What a reader of figures of some of the images must know, by what they are called."""
    figured = {name: part for name, part in parts.items() if not isinstance(part, Part) or part.metrics}
    one = [name for name, part in figured.items() if sum(n > 0 for n in part.counts.values()) == 1]
    few = [name for name, part in figured.items() if part.n_patients < FEW_PATIENTS]
    bare = [name for name in parts if name not in figured]
    found = []
    if one:
        found.append(
            f"One class only: {words.listed(one)}. What tells these images from the others tells their class, too: "
            "a network may go by that and not by disease."
        )
    if few:
        found.append(f"Fewer than {FEW_PATIENTS} patients: {words.listed(few)}. Intervals over so few are too narrow.")
    rare = [
        f"{n} {of} of {name}"
        for name, part in figured.items()
        for of, n in part.counts.items()
        if name not in few and 0 < n < FEW_PATIENTS
    ]
    if rare:
        found.append(
            f"Few of one class ({words.listed(rare)}): figures of that class say little there, whatever the interval."
        )
    if bare:
        found.append(f"Fewer than {FEW_PATIENTS} patients, and so without figures: {words.listed(bare)}.")
    return found


def _titled(name: str, positive: str | None) -> str:
    of = _of(name, positive)
    return f"{words.metric_title(name)}, {of}" if of else words.metric_title(name)


def _of(name: str, positive: str | None) -> str | None:
    return positive if name in OF_ONE_CLASS else None
