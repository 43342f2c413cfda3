"""The rows of the tables in the evaluation report: metrics, confusion, folds, sizes, the paper's figures, the recipe.

Sizes of images as in Berrimi et al. 2021, Tables I and II; mean and standard deviation over folds as in Basu & Mitra
2020, section IV.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pneumoscope.core.paper import Reported
from pneumoscope.core.recipe import OVERRIDE, Recipe, method_leaves, source_of
from pneumoscope.core.result import Evaluation, Interval, Sizes
from pneumoscope.report import words


def metric_rows(evaluations: Sequence[Evaluation]) -> list[dict[str, Any]]:
    """Every metric, and of those of a class one row each: title, class, what it is, one cell an evaluation."""
    rows = []
    for name in _ordered(name for e in evaluations for name in e.metrics):
        hint = words.METRICS[name][1] if name in words.METRICS else ""
        for i, one in enumerate(_classes_of(evaluations, name) or [None]):
            cells = [metric_cell(e.metrics, name, one) for e in evaluations]
            rows.append({"title": words.metric_title(name), "of": one, "hint": hint, "cells": cells, "first": i == 0})
    return rows


def metric_cell(metrics: Mapping[str, Interval | Mapping[str, Interval]], name: str, of: str | None) -> dict[str, str]:
    """A figure and its interval, of the whole or of one class: `0.871`, `0.840 to 0.892`; blank where it is none."""
    found = metrics.get(name)
    if of is not None:
        found = found.get(of) if isinstance(found, Mapping) else None
    if not isinstance(found, Interval):
        return {"value": "", "bounds": ""}
    value, _, bounds = words.interval(found).partition(" (")
    return {"value": value, "bounds": bounds.rstrip(")")}


def confusion_rows(classes: Sequence[str], confusion: Sequence[Sequence[int]]) -> list[dict[str, Any]]:
    """One row a true class: its cells with count, share of the row, and the share in tenths as a shade."""
    rows = []
    for name, row in zip(classes, confusion, strict=True):
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
                    for other, n in zip(classes, row, strict=True)
                ],
            }
        )
    return rows


def fold_table(evaluation: Evaluation) -> dict[str, Any] | None:
    """One row a metric: mean and standard deviation over folds, each fold's figure, the paper's; None for one fold.

    A fold where a metric is undefined is left out of its mean. The standard deviation is the sample's (n - 1).
    """
    folds = evaluation.folds
    if len(folds) < 2:
        return None
    rows = []
    printed: list[Reported] = []
    for name in _ordered(name for fold in folds for name in fold):
        values = [fold.get(name, math.nan) for fold in folds]
        theirs = _printed(evaluation, name)
        printed += [entry for entry, _ in theirs]
        rows.append(
            {
                "title": dotted_title(name),
                **_spread(values),
                "paper": ", ".join(as_printed(value) for _, value in theirs),
                "folds": [words.figure(value) for value in values],
            }
        )
    return {"rows": rows, "n": len(folds), "paper": _places(printed)}


def size_table(evaluation: Evaluation) -> dict[str, Any] | None:
    """One row a class: name, its images' sizes, and those that the paper prints; None where none are known."""
    if not evaluation.sizes:
        return None
    printed = [entry for entry in evaluation.reported if set(entry.sizes) & set(evaluation.sizes)]
    rows = [
        {
            "name": name,
            "texts": size_texts(found),
            "paper": [_size_texts(entry.sizes[name]) for entry in printed if name in entry.sizes],
        }
        for name, found in evaluation.sizes.items()
    ]
    return {"rows": rows, "paper": _places(printed)}


def size_texts(found: Sizes) -> list[str]:
    """Number of images, least, greatest and mean size and standard deviation: `1,130`, `63,232`, ..."""
    return _size_texts(dataclasses.asdict(found))


def paper_rows(evaluations: Sequence[Evaluation]) -> list[dict[str, Any]]:
    """What the paper prints, one row a metric: data, where, title, its figure, and ours of each evaluation."""
    entries: list[Reported] = []
    for e in evaluations:
        entries += [entry for entry in e.reported if entry not in entries]
    return [
        {
            "data": entry.data,
            "where": entry.where,
            "title": dotted_title(name),
            "theirs": as_printed(value),
            "ours": [_ours(e, name) for e in evaluations],
        }
        for entry in entries
        for name, value in entry.metrics.items()
    ]


def paper_note(evaluations: Sequence[Evaluation], recipe: Recipe) -> str:
    """Why no figure of the paper stands beside ours, or how to read those that do."""
    if any(entry.metrics for e in evaluations for entry in e.reported):
        return "The paper's figures come from its own images and its own way of parting them."
    if comparable := [entry for entry in recipe.comparable if entry.metrics]:
        data = "; ".join(_ordered(entry.data for entry in comparable))
        return f"The paper's figures are of other data ({data}), so none stands beside ours."
    if variants := _ordered(next(filter(None, r.variants), recipe.name) for r in recipe.reported if r.metrics):
        return f"The paper's figures are of other variants ({words.listed(variants)}), so none stands beside ours."
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


def _ours(evaluation: Evaluation, dotted: str) -> str:
    """Our figure under a name that the paper's figures use: `metric`, or `metric.class`; of a level `level.metric`."""
    level, name, of = _named(dotted)
    if level and level not in evaluation.levels:
        first = next((b for b in evaluation.before if b.stage == level), None)
        return words.figure(first.val_accuracy) if first is not None and name == "accuracy" else "not measured"
    found = (evaluation.levels[level].metrics if level else evaluation.metrics).get(name)
    if isinstance(found, Mapping):
        found = found.get(of or evaluation.positive or "")
    return words.interval(found) if isinstance(found, Interval) else "not measured"


def _spread(values: Sequence[float]) -> dict[str, str]:
    known = [value for value in values if not math.isnan(value)]
    return {
        "mean": words.figure(statistics.fmean(known) if known else math.nan),
        "sd": words.figure(statistics.stdev(known)) if len(known) > 1 else "",
    }


def _printed(evaluation: Evaluation, name: str) -> list[tuple[Reported, float]]:
    """What the paper prints of `metric` or `metric.class`; what it prints of no class is of the positive one."""
    metric, _, of = name.partition(".")
    names = (name, metric) if of == evaluation.positive else (name,)
    return [(entry, entry.metrics[n]) for entry in evaluation.reported for n in names if n in entry.metrics]


def as_printed(value: float) -> str:
    """A paper's figure, with the fourth digit where it prints one: 92.35 % is 0.9235."""
    text = f"{value:.4f}"
    return text[:-1] if text.endswith("0") else text


def _places(entries: Iterable[Reported]) -> str:
    """`1130 X-rays, Table I`: where figures of the paper are of."""
    return "; ".join(_ordered(f"{entry.data}, {entry.where}" for entry in entries))


def _size_texts(found: Mapping[str, float]) -> list[str]:
    return [_whole(found[key]) if key in found else "" for key in ("images", "min", "max", "mean", "sd")]


def _whole(value: float) -> str:
    return "undefined" if math.isnan(value) else f"{value:,.0f}"


def dotted_title(dotted: str) -> str:
    """`Sensitivity, covid` of `sensitivity.covid`; of a level `Sensitivity, covid, bilstm`."""
    level, name, of = _named(dotted)
    return ", ".join(text for text in (words.metric_title(name), of, level) if text)


def _named(dotted: str) -> tuple[str, str, str]:
    """Level, metric and class of `metric`, `metric.class`, `level.metric` or `level.metric.class`."""
    first, _, rest = dotted.partition(".")
    if first in words.METRICS or not rest:
        return "", first, rest
    name, _, of = rest.partition(".")
    return first, name, of


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
