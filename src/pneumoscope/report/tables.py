"""The rows of the tables in the evaluation report: metrics, confusion, the paper's figures, the recipe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pneumoscope.core.recipe import Recipe, method_leaves, source_of
from pneumoscope.core.resolve import OVERRIDE
from pneumoscope.core.result import Evaluation, Interval
from pneumoscope.report import words


def metric_rows(evaluations: Sequence[Evaluation]) -> list[dict[str, Any]]:
    """Every metric, and of those of a class one row each: title, class, what it is, one cell an evaluation."""
    rows = []
    for name in _ordered(name for e in evaluations for name in e.metrics):
        hint = words.METRICS[name][1] if name in words.METRICS else ""
        for i, one in enumerate(_classes_of(evaluations, name) or [None]):
            cells = [_cell(e, name, one) for e in evaluations]
            rows.append({"title": words.metric_title(name), "of": one, "hint": hint, "cells": cells, "first": i == 0})
    return rows


def confusion_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """One row a true class: its cells with count, share of the row, and the share in tenths as a shade."""
    rows = []
    for name, row in zip(evaluation.classes, evaluation.confusion, strict=True):
        total = sum(row)
        rows.append(
            {
                "name": name,
                "total": total,
                "cells": [
                    {
                        "count": n,
                        "share": f"{100 * n / total:.0f} %" if total else "none",
                        "shade": round(10 * n / total) if total else 0,
                        "right": other == name,
                    }
                    for other, n in zip(evaluation.classes, row, strict=True)
                ],
            }
        )
    return rows


def paper_rows(evaluations: Sequence[Evaluation]) -> list[dict[str, Any]]:
    """What the paper prints, one row a metric: data, where, title, its figure, and ours of each evaluation."""
    entries: list[Mapping[str, Any]] = []
    for e in evaluations:
        entries += [entry for entry in e.reported if entry not in entries]
    return [
        {
            "data": str(entry.get("data", "")),
            "where": str(entry.get("where", "")),
            "title": _dotted_title(name),
            "theirs": words.figure(float(value)),
            "ours": [_ours(e, name) for e in evaluations],
        }
        for entry in entries
        for name, value in entry["metrics"].items()
    ]


def paper_note(evaluations: Sequence[Evaluation], recipe: Recipe) -> str:
    """Why no figure of the paper stands beside ours, or how to read those that do."""
    if any(e.reported for e in evaluations):
        return "The paper's figures come from its own images and its own way of parting them."
    if recipe.reported:
        data = "; ".join(r.data for r in recipe.reported)
        return f"The paper's figures are of other data ({data}), so none stands beside ours."
    return "The paper prints no figures that could stand beside ours."


def recipe_rows(recipe: Recipe) -> list[dict[str, str]]:
    """Field, value, where the paper says so, and its kind: paper, assumed, override or ours."""
    rows = []
    for path, value in method_leaves(recipe):
        kind, text = _source(source_of(recipe, path) or "assumed")
        rows.append({"field": path, "value": _text(value), "kind": kind, "text": text})
    return rows


def _source(source: str) -> tuple[str, str]:
    """The kind of a source, and what is left to say: `assumed: why` -> assumed, why."""
    head, _, rest = source.partition(":")
    return (head, rest.strip()) if head in ("assumed", "ours", OVERRIDE) else ("paper", source)


def _cell(evaluation: Evaluation, name: str, of: str | None) -> dict[str, str]:
    found = evaluation.metrics.get(name)
    if of is not None:
        found = found.get(of) if isinstance(found, Mapping) else None
    if not isinstance(found, Interval):
        return {"value": "", "bounds": ""}
    value, _, bounds = words.interval(found).partition(" (")
    return {"value": value, "bounds": bounds.rstrip(")")}


def _ours(evaluation: Evaluation, dotted: str) -> str:
    """Our figure under a name that the paper's figures use: `metric`, or `metric.class`."""
    name, _, of = dotted.partition(".")
    found = evaluation.metrics.get(name)
    if isinstance(found, Mapping):
        found = found.get(of or evaluation.positive or "")
    return words.interval(found) if isinstance(found, Interval) else "not measured"


def _dotted_title(dotted: str) -> str:
    name, _, of = dotted.partition(".")
    return f"{words.metric_title(name)}, {of}" if of else words.metric_title(name)


def _text(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(_text(v) for v in value) or "none"
    if value is None or value == "":
        return "as it is" if value == "" else "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _classes_of(evaluations: Sequence[Evaluation], name: str) -> list[str]:
    """The classes that a metric is given for; none for a metric of the whole."""
    found = [e.metrics.get(name) for e in evaluations]
    return _ordered(c for by_class in found if isinstance(by_class, Mapping) for c in by_class)


def _ordered(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
