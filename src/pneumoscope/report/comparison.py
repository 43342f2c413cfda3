"""A comparison as one HTML file, as a table of figures (CSV), and in the words and rows that the terminal prints.

Differences are drawn around 0, confusion matrices side by side as in Szalay et al. 2021, Fig. 2, and a metric against
a varied number as a learning curve. Names of parts hold what a user typed: escaped by the template.
"""

from __future__ import annotations

import csv
import io
import json
import math
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from pneumoscope.core.comparison import REST, Compared, Comparison, Held
from pneumoscope.core.result import Interval
from pneumoscope.report import tables, thresholds, words
from pneumoscope.report.html import render

WIDE, HIGH = 340, 220  # of the area that a curve is drawn in
LINES = 6  # that are drawn, each with a colour of its own
LABEL = 34  # least distance of two labels on its x axis
LOGARITHMIC = 8  # times the least value that the greatest one is, for a logarithmic axis
_WHY = {
    "within the noise": ", as the 95 % interval of the difference holds 0",
    "worse": ", as the 95 % interval of the difference lies below 0",
}
# kind of seconds -> what came of them that other parts find
_MADE = {"reading": "prepared images", "features": "features"}
UNDEFINED = Interval(value=math.nan, low=math.nan, high=math.nan)


def comparison_report(comparison: Comparison, commands: Mapping[str, Sequence[str]]) -> str:
    """The report on several methods on the same images: one HTML file.

    commands: part -> words of the command that makes its bundle.
    """
    return render(
        "comparison.html.j2",
        title="Methods compared",
        c=comparison,
        sentences=ranking_words(comparison),
        metrics=[metric_title(name) for name in _metrics(comparison)],
        by=metric_title(comparison.by),
        rows=[_row(i, part, comparison) for i, part in enumerate(comparison.parts)],
        differences=_differences(comparison),
        kinds=_kinds(comparison),
        apart=_apart(comparison),
        curves=_curves(comparison),
        commands={name: shlex.join(line) for name, line in commands.items()},
        wide=WIDE,
        high=HIGH,
    )


def comparison_csv(comparison: Comparison) -> str:
    """One row a part in the order of their rank: figures, differences to the first, seconds, and what was varied."""
    metrics = list(comparison.parts[0].metrics)
    kinds = _kinds(comparison)
    bounds = ("value", "low", "high")
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [
            *("rank", "part", "recipe", "folder", "standing", "images", "patients", "patients_learned_from"),
            *comparison.vary,
            *(f"{name}_{bound}" for name in metrics for bound in bounds),
            *(f"difference_{name}_{bound}" for name in metrics for bound in bounds),
            *("seconds", *(f"seconds_{kind}" for kind in kinds)),
        ]
    )
    for i, part in enumerate(comparison.parts):
        figures = [part.metrics[name] for name in metrics] + [part.differences[name] for name in metrics]
        writer.writerow(
            [
                *(i + 1, part.name, part.recipe, part.folder, part.standing),
                *(comparison.n_images, comparison.n_patients, _number(part.learned, 1)),
                *(part.varied[field] for field in comparison.vary),
                *(_number(getattr(found, bound), 6) for found in figures for bound in bounds),
                *(_number(seconds, 2) for seconds in (_total(part), *(part.seconds.get(k, 0.0) for k in kinds))),
            ]
        )
    return text.getvalue()


def ranking_words(comparison: Comparison) -> list[str]:
    """What the ranking says, and what it does not, one sentence each."""
    first = comparison.parts[0]
    title = metric_title(comparison.by).lower()
    found = [f"First by {title}: {first.name}, {words.interval(first.metrics[comparison.by])}."]
    for standing, all_of, some in (
        ("within the noise", "None of the others can be told apart from it", "Cannot be told apart from it"),
        ("worse", "All others are worse", "Worse"),
        ("undefined", "No difference to it is defined", "The difference to it is undefined"),
    ):
        names = [part.name for part in comparison.parts if part.standing == standing]
        why = _WHY.get(standing, "")
        if len(names) > 1 and len(names) == len(comparison.parts) - 1:
            found.append(f"{all_of}{why}.")
        elif names:
            found.append(f"{some}{why}: {'; '.join(names)}.")
    found.append(
        f"The first of {len(comparison.parts)} was chosen on the very images that it is reported on, so its own figure "
        "is too good: measure it on other data."
    )
    found.append("Each part was trained once a fold, from one seed: what another seed would change is in no interval.")
    if len(comparison.parts) > 2:
        found.append("Each interval stands for itself: among many differences, some leave out 0 by chance.")
    if makers := [part for part in comparison.parts if part.made]:
        whose = "; ".join(f"{part.name} ({', '.join(_MADE.get(kind, kind) for kind in part.made)})" for part in makers)
        found.append(
            f"What several parts share was made by the one that came first, and counts as its time alone (*): {whose}."
        )
    return found


def ranking_table(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of the table that the terminal prints."""
    others = _metrics(comparison)[1:]
    columns = ["", "part", metric_title(comparison.by).lower(), "difference to the first", "standing"]
    rows = []
    for i, part in enumerate(comparison.parts):
        difference = "" if i == 0 else words.difference(part.differences[comparison.by])
        row = [str(i + 1), part.name, words.interval(part.metrics[comparison.by]), difference, part.standing]
        rows.append([*row, *(words.figure(part.metrics[name].value) for name in others), _seconds(part)])
    return [*columns, *(metric_title(name).lower() for name in others), "seconds"], rows


def metric_title(name: str) -> str:
    """`sensitivity.covid` -> `Sensitivity, covid`."""
    metric, _, of = name.partition(".")
    return f"{words.metric_title(metric)}, {of}" if of else words.metric_title(metric)


def title_on(comparison: Comparison, kind: str, value: str) -> str:
    """What `Compared.by` measures on the images of one data set, or of one modality.

    Where these are of one class only, balanced accuracy is that class's sensitivity, and goes by this name.
    """
    classes = [name for name, n in _held(comparison, kind, value).counts.items() if n]
    return metric_title(f"sensitivity.{classes[0]}" if len(classes) == 1 else "balanced_accuracy")


def cautions_on(comparison: Comparison, kind: str) -> list[str]:
    """What a reader of figures by data set, or by modality, must know."""
    held = {value: _held(comparison, kind, value) for value in _values(comparison, kind)}
    return thresholds.cautions({value: one for value, one in held.items() if one.counts})


def _held(comparison: Comparison, kind: str, value: str) -> Held:
    """The images that parts answered; of parts that differ in it the most of each class, and the fewest patients."""
    found = [part.held[kind][value] for part in comparison.parts if value in part.held.get(kind, {})]
    counts = {name: max(one.counts.get(name, 0) for one in found) for name in comparison.classes if found}
    return Held(counts=counts, n_patients=min((one.n_patients for one in found), default=0))


def _values(comparison: Comparison, kind: str) -> list[str]:
    return list(dict.fromkeys(value for part in comparison.parts for value in part.by.get(kind, {})))


def _metrics(comparison: Comparison) -> list[str]:
    """The names of the figures, the one that ranks first."""
    return sorted(comparison.parts[0].metrics, key=lambda name: name != comparison.by)


def _row(i: int, part: Compared, comparison: Comparison) -> dict[str, Any]:
    kind = {"first": "negative", "worse": "positive"}.get(part.standing, "refused")
    return {
        "rank": i + 1,
        "part": part,
        "kind": kind,
        "cells": [_cell(part.metrics[name]) for name in _metrics(comparison)],
        "seconds": _seconds(part),
        "spent": [_spent(part, name) for name in _kinds(comparison)],
        "learned": "unknown" if math.isnan(part.learned) else f"{part.learned:,.4g}",
        "confusion": tables.confusion_rows(comparison.classes, part.confusion),
    }


def _cell(found: Interval) -> dict[str, str]:
    value, _, bounds = words.interval(found).partition(" (")
    return {"value": value, "bounds": bounds.rstrip(")")}


def _kinds(comparison: Comparison) -> list[str]:
    """What the seconds were spent on."""
    return sorted({kind for part in comparison.parts for kind in part.seconds}, key=lambda kind: (kind == REST, kind))


def _spent(part: Compared, kind: str) -> str:
    if kind == REST and REST not in part.seconds:  # a run of a time when it was not counted
        return "not timed"
    return f"{part.seconds.get(kind, 0.0):,.1f}{' *' if kind in part.made else ''}"


def _total(part: Compared) -> float:
    return sum(part.seconds.values())


def _seconds(part: Compared) -> str:
    total = _total(part)
    return (f"{total:,.1f}" if total < 10 else f"{total:,.0f}") + (" *" if part.made else "")


def _number(value: float, digits: int) -> str:
    return "" if math.isnan(value) else f"{value:.{digits}f}"


# --- what the page draws -------------------------------------------------------------------------------------------


def _differences(comparison: Comparison) -> dict[str, Any]:
    """Each part's difference to the first with its whisker, in percent of an axis that holds 0."""
    found = [part.differences[comparison.by] for part in comparison.parts[1:]]
    ends = [end for d in found for end in (d.value, d.low, d.high) if not math.isnan(end)]
    low, high = min([*ends, -0.01]), max([*ends, 0.01])
    room = 0.05 * (high - low)
    low, high = low - room, high + room

    def at(value: float) -> float | None:
        return None if math.isnan(value) else round(100 * (value - low) / (high - low), 2)

    rows = [
        {
            "title": part.name,
            "text": words.signed(d.value),
            "interval": "" if math.isnan(d.low) else f"{words.signed(d.low)} to {words.signed(d.high)}",
            "dot": at(d.value),
            "low": at(d.low),
            "high": at(d.high),
            "standing": part.standing,
        }
        for part, d in zip(comparison.parts[1:], found, strict=True)
    ]
    return {"rows": rows, "zero": at(0.0), "low": words.signed(low), "high": words.signed(high)}


def _apart(comparison: Comparison) -> list[dict[str, Any]]:
    """By modality and by data set: a row a part, a column a value, in each what `title_on` says."""
    found = []
    for kind in dict.fromkeys(kind for part in comparison.parts for kind in part.by):
        values = _values(comparison, kind)
        rows = [
            (part.name, [_cell(part.by.get(kind, {}).get(value, UNDEFINED)) for value in values])
            for part in comparison.parts
        ]
        titles = [title_on(comparison, kind, value) for value in values]
        columns = [
            (v, t if t != metric_title("balanced_accuracy") else "") for v, t in zip(values, titles, strict=True)
        ]
        found.append({"title": kind, "columns": columns, "rows": rows, "cautions": cautions_on(comparison, kind)})
    return found


def _curves(comparison: Comparison) -> list[dict[str, Any]]:
    """Metric against value for each varied field whose values are numbers: what ranks, and the AUC."""
    found = []
    for field, values in comparison.vary.items():
        if all(_numeric(value) is not None for value in values):
            metrics = dict.fromkeys(name for name in (comparison.by, "auc") if name in comparison.parts[0].metrics)
            found += [c for name in metrics if (c := _curve(comparison, field, name)) is not None]
    return found


def _end(field: str) -> str:
    """`stages.head.batch` -> `head.batch`."""
    return ".".join(field.split(".")[-2:])


def _numeric(text: str) -> float | None:
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return None
    return float(value) if type(value) in (int, float) and math.isfinite(value) else None


def _curve(comparison: Comparison, field: str, name: str) -> dict[str, Any] | None:
    """A metric against one field in pixels of the chart, a line for each combination of the rest; None for no line."""
    lines: dict[str, list[tuple[float, Interval]]] = {}
    for part in comparison.parts:
        rest = ", ".join([part.recipe, *(f"{_end(f)}={value}" for f, value in part.varied.items() if f != field)])
        x, y = _numeric(part.varied[field]), part.metrics[name]
        if x is not None and not math.isnan(y.value):
            lines.setdefault(rest, []).append((x, y))
    more = max(0, len(lines) - LINES)
    lines = dict(list(lines.items())[:LINES])  # those of the best parts: lines come in the order of rank
    xs = sorted({x for points in lines.values() for x, _ in points})
    if len(xs) < 2:
        return None
    ends = [end for points in lines.values() for _, y in points for end in (y.low, y.high)]
    low, high = math.floor(10 * min(ends) - 0.01) / 10, math.ceil(10 * max(ends) + 0.01) / 10
    logarithmic = xs[0] > 0 and xs[-1] >= LOGARITHMIC * xs[0]

    def across(x: float, line: int) -> float:
        one, two, at = (math.log(v) if logarithmic else v for v in (xs[0], xs[-1], x))
        # lines stand a little beside each other, so that no whisker hides another
        return round(20 + (WIDE - 40) * (at - one) / (two - one) + 6 * (line - (len(lines) - 1) / 2), 1)

    def up(y: float) -> float:
        return round(HIGH * (high - y) / (high - low), 1)

    drawn = []
    for i, (rest, points) in enumerate(lines.items()):
        dots = [
            {"x": across(x, i), "y": up(y.value), "low": up(y.low), "high": up(y.high), "text": words.interval(y)}
            for x, y in sorted(points, key=lambda point: point[0])
        ]
        drawn.append({"name": rest, "colour": i, "dots": dots})
    step = 0.1 if high - low <= 0.5 else 0.2
    ticks = [(up(low + k * step), f"{low + k * step:.1f}") for k in range(round((high - low) / step) + 1)]
    return {
        "title": f"{metric_title(name)} against {_end(field)}",
        "x": f"{field}{' (logarithmic)' if logarithmic else ''}",
        "y": metric_title(name),
        "lines": drawn,
        "ticks": ticks,
        "marks": _marks(comparison, field, [(x, across(x, 0) + 3 * (len(lines) - 1)) for x in xs]),
        "more": more,
        "learned": field.endswith(".train_share"),
    }


def _marks(comparison: Comparison, field: str, places: Sequence[tuple[float, float]]) -> list[dict[str, Any]]:
    """Labels of the x axis where they have room; of a learning curve also how many patients that is."""
    marks: list[dict[str, Any]] = []
    for x, place in places:
        if marks and place - marks[-1]["at"] < LABEL:
            continue
        learned = [part.learned for part in comparison.parts if _numeric(part.varied[field]) == x]
        text = f"{sum(learned) / len(learned):,.4g}" if field.endswith(".train_share") else ""
        marks.append({"at": place, "text": f"{x:g}", "below": text})
    return marks
