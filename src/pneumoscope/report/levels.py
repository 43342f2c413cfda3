"""What each level of a method of studies answers by itself, beside the paper's figures: Garg 2021, Tables I and II."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pneumoscope.core.paper import Reported
from pneumoscope.core.result import Before, Evaluation, Interval, Level
from pneumoscope.report import tables, words

MEAN = "mean of slices"


def table(e: Evaluation) -> dict[str, Any] | None:
    """One row a level, those that learned from other data first, the method's answer last; None without levels."""
    if not e.levels:
        return None
    columns = [("accuracy", ""), *(("sensitivity", name) for name in e.classes)]
    answer = list(e.levels)[-1]
    return {
        "columns": ["Accuracy", *(f"Sensitivity, {name}" for name in e.classes)],
        "answer": answer,
        "rows": [
            *(_before(b, e.reported, columns) for b in e.before),
            *(_row(name, level, e, columns, own=name == answer) for name, level in e.levels.items()),
        ],
        "said": said(e),
    }


def said(e: Evaluation) -> list[str]:
    """Which levels are as good as the method's answer by themselves, and by how much; nothing without levels."""
    differences = {name: level.difference for name, level in e.levels.items()}
    known = {name: d for name, d in differences.items() if d is not None and not math.isnan(d.value)}
    if not known:
        return []
    answer = list(e.levels)[-1]
    better = {name: d for name, d in known.items() if d.value > 0 and name != answer}
    found = [f"The method's answer is that of its last stage, {answer}; no level was chosen by these figures."]
    if better:
        listed = words.listed([f"{name} {_apart(d)}" for name, d in better.items()])
        found.append(
            f"Better by itself, in accuracy: {listed}. To take the best level for the result would be to choose on the "
            "studies that are reported."
        )
    else:
        found.append("No level before it has a higher accuracy by itself.")
    mean = known.get(MEAN)
    if mean is not None and mean.value >= 0:
        found.append(
            "The plain mean of the slices' probabilities is as good as all that is built on them: what later stages "
            "add is not seen here."
        )
    elif mean is not None:
        found.append(f"The plain mean of the slices' probabilities, which costs nothing, lies at {_apart(mean)}.")
    return found


def rows(e: Evaluation) -> list[list[str]]:
    """As `table`, for a terminal: level, of what, accuracy, sensitivity of each class, difference."""
    columns = [("accuracy", ""), *(("sensitivity", name) for name in e.classes)]
    found = []
    for name, level in e.levels.items():
        cells = [tables.metric_cell(level.metrics, metric, of or None)["value"] for metric, of in columns]
        apart = "" if level.difference is None else words.difference(level.difference)
        found.append([name, _amount(name, level), *cells, apart])
    return found


def _apart(difference: Interval) -> str:
    """`+0.056 (-0.056 to +0.167), within the noise`."""
    return words.difference(difference) + (", within the noise" if difference.low <= 0 <= difference.high else "")


def _row(name: str, level: Level, e: Evaluation, columns: Sequence[tuple[str, str]], *, own: bool) -> dict[str, Any]:
    return {
        "name": name,
        "hint": f"{_amount(name, level)} of {words.plural(level.n_patients, 'patient')}",
        "own": own,
        "cells": [tables.metric_cell(level.metrics, metric, of or None) for metric, of in columns],
        "apart": None if level.difference is None else words.difference(level.difference),
        "paper": _paper(e.reported, "" if own else f"{name}.", columns),
    }


def _amount(name: str, level: Level) -> str:
    return words.amount(sum(level.counts.values()), "slice" if name == "slices" else "study")


def _before(b: Before, reported: Sequence[Reported], columns: Sequence[tuple[str, str]]) -> dict[str, Any]:
    blank: Mapping[str, str] = {"value": "", "bounds": ""}
    return {
        "name": b.stage,
        "hint": f"{words.amount(b.n_validation, 'slice')} of role {b.role}, which chose its weights",
        "own": False,
        "cells": [{"value": words.figure(b.val_accuracy), "bounds": ""}, *([blank] * (len(columns) - 1))],
        "apart": None,
        "paper": _paper(reported, f"{b.stage}.", columns),
    }


def _paper(reported: Sequence[Reported], prefix: str, columns: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """What the paper prints of a level, one row an entry: where, and a text for each column."""
    names = [f"{prefix}{metric}.{of}" if of else f"{prefix}{metric}" for metric, of in columns]
    return [
        {
            "where": f"{entry.where}: {entry.data}",
            "texts": [tables.as_printed(entry.metrics[name]) if name in entry.metrics else "" for name in names],
        }
        for entry in reported
        if any(name in entry.metrics for name in names)
    ]
