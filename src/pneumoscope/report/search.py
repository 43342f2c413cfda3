"""The report on a search: trials in order, what mattered, all settings side by side, and the winner on the hold-out.

Charts are inline SVG, as in `charts`: numbers here, placed by templates/search.html.j2.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from pneumoscope.core.recipe import Recipe
from pneumoscope.core.search import Search, Trial, Tried
from pneumoscope.core.serial import canonical
from pneumoscope.core.space import Range, shown, space_text, value_text
from pneumoscope.report import charts, tables, words
from pneumoscope.report.html import render
from pneumoscope.report.matrix import short

WIDE, HIGH = 460, 210  # of the history
STEP, TALL = 128, 240  # between two axes of the parallel coordinates, and their height
LISTED = 200  # trials in the table
NAME = 20  # characters of a field's name above its axis
_STEPS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.25)  # between marks of a value axis


def search_report(search: Search, recipe: Recipe, command: Sequence[str]) -> str:
    """The report on a search that is done: one HTML file.

    recipe: as written, resolved. command: words of the command that trains the winner.
    """
    tried = search.tried
    start = start_title(search)
    evaluations = [search.winner] if search.same else [search.winner, search.as_written]
    return render(
        "search.html.j2",
        title=f"Search of {recipe.title}",
        recipe=recipe,
        s=search,
        best=tried.best,
        names=_names(list(tried.space)),
        distinct=len({canonical(trial.settings) for trial in tried.finished}),
        held=_sentences(search),
        start=start,
        set_for_all=set_words(search),
        command=shlex.join(command),
        grave=words.grave(search.winner),
        settings=_settings_rows(search),
        sides=[
            {"title": title, "rows": charts.whiskers(evaluation)}
            for title, evaluation in zip(("The winner", start), evaluations, strict=False)
        ],
        metrics=tables.metric_rows(evaluations),
        history=_history(tried),
        bars=[_bar(name, share) for name, share in tried.importance.items()],
        parallel=_parallel(tried) if len(tried.finished) > 1 else None,
        trials=[_row(trial, tried) for trial in tried.trials[:LISTED]],
        more=len(tried.trials) - LISTED,
    )


def start_title(search: Search) -> str:
    """What the winner is measured against: what is set by --set is not what the recipe's paper wrote."""
    return "As the search began" if search.overrides else "As written"


def set_words(search: Search) -> str:
    """`a.b=1, c=2`: what every trial has, and the recipe as written has not; "" for nothing."""
    fixed = {path: value for path, value in search.overrides.items() if path not in search.tried.space}
    return ", ".join(f"{path}={value_text(value)}" for path, value in fixed.items())


def difference_words(search: Search) -> str:
    """How the winner differs from what the search began with, and what that says."""
    found = search.differences["balanced_accuracy"]
    less = f"The winner less the recipe {start_title(search).lower()}, paired by patient: {words.difference(found)}."
    if math.isnan(found.low):
        return less
    if found.low <= 0 <= found.high:
        return f"{less} That is within the noise: the 95 % interval of the difference holds 0."
    where, how = ("above", "better") if found.low > 0 else ("below", "worse")
    return f"{less} It is {how}: the 95 % interval of the difference lies {where} 0."


def _names(paths: Sequence[str]) -> dict[str, str]:
    """Dotted field -> as much of its end as tells it from the others, without the stage where there is but one."""
    stages = {".".join(path.split(".")[:2]) for path in paths}
    if len(stages) == 1:
        (top,) = stages
        return {path: path.removeprefix(f"{top}.") for path in paths}
    return {path: path.removeprefix("stages.") for path in paths}


def _sentences(search: Search) -> list[str]:
    """What the best value of a search is worth, and what the hold-out says."""
    best, n = search.tried.best, len(search.tried.finished)
    metric = "balanced_accuracy"
    won = words.interval(search.winner.metrics[metric])  # type: ignore[arg-type]
    found = [
        f"Trial {best.number} had the best mean balanced accuracy on the {search.tried.inner} inner folds: "
        f"{words.figure(best.value)}. It is the best of {n}, chosen for this very value, so the value is optimistic.",
        f"On the hold-out, which no trial saw, the winner has {won}.",
    ]
    start = start_title(search).lower()
    if search.same:
        return [*found, f"The winner is the recipe {start}: one run serves for both."]
    written = words.interval(search.as_written.metrics[metric])  # type: ignore[arg-type]
    return [*found, f"The recipe {start} has {written} on the same hold-out.", difference_words(search)]


def _settings_rows(search: Search) -> list[dict[str, str]]:
    rows = []
    for path, value in search.settings.items():
        before = search.as_written_settings.get(path)
        text = shown(before) if path in search.as_written_settings else ""
        rows.append(
            {
                "field": path,
                "space": space_text(search.tried.space[path]),
                "winner": shown(value),
                "written": text,
                "kind": "" if value == before else "override",
            }
        )
    return rows


def _history(tried: Tried) -> dict[str, Any]:
    """Each trial's value in the order of their numbers, and the best that ran to its end so far."""
    trials = [trial for trial in tried.finished if not math.isnan(trial.value)]
    axis = _axis([trial.value for trial in trials])
    step = WIDE / max(len(trials), 1)

    def at(i: int, value: float) -> tuple[float, float]:
        return round(step * (i + 0.5), 1), axis.at(value, HIGH)

    dots = [
        {
            "x": at(i, trial.value)[0],
            "y": at(i, trial.value)[1],
            "state": trial.state,
            "best": trial.number == tried.winner,
            "text": f"Trial {trial.number}: {trial.value:.3f}, {trial.state}",
        }
        for i, trial in enumerate(trials)
    ]
    complete = [trial.value if trial.state == "complete" else -math.inf for trial in trials]
    best = [(i, value) for i, value in enumerate(accumulate(complete, max)) if value > -math.inf]
    points = [at(i, value) for i, value in best]
    # a step up at the trial that brought it
    corners = [(x, y) for i, (x, top) in enumerate(points) for y in ([points[i - 1][1], top] if i else [top])]
    every = max(1, math.ceil(len(trials) / 20))
    return {
        "dots": dots,
        "best": " ".join(f"{x:g},{y:g}" for x, y in corners),
        "marks": axis.marks(HIGH),
        "ticks": [(at(i, 0.0)[0], trial.number) for i, trial in enumerate(trials) if i % every == 0],
        "wide": WIDE,
        "high": HIGH,
        "pruned": sum(trial.state == "pruned" for trial in trials),
    }


class _Axis:
    """An axis of values, upwards."""

    def __init__(self, low: float, high: float, step: float) -> None:
        self._low, self._high, self._step = low, high, step

    def at(self, value: float, length: float) -> float:
        """Where a value lies on an axis of so many pixels, from the top."""
        return round(length * (1 - (value - self._low) / (self._high - self._low)), 1)

    def marks(self, length: float) -> list[tuple[float, str]]:
        """Place and text of each mark."""
        n = round((self._high - self._low) / self._step)
        values = [self._low + i * self._step for i in range(n + 1)]
        return [(self.at(value, length), f"{value:.3g}") for value in values]


def _axis(values: Sequence[float]) -> _Axis:
    """Whole steps around `values`, at most six of them."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    for step in _STEPS:
        first, last = math.floor(low / step), math.ceil(high / step)
        if last - first <= 6:
            break
    if first == last:
        first, last = first - 1, last + 1
    return _Axis(first * step, last * step, step)


def _bar(name: str, share: float) -> dict[str, Any]:
    return {"name": name, "text": f"{100 * share:.0f} %", "width": round(100 * share, 2), "decided": True, "mark": None}


def _parallel(tried: Tried) -> dict[str, Any]:
    """One axis a field and one for the value, and one line a trial through its settings; the winner's comes last."""
    trials = sorted(
        (trial for trial in tried.finished if not math.isnan(trial.value)),
        key=lambda t: (t.number == tried.winner, t.value),
    )
    names = _names(list(tried.space))
    axes, places = [], []
    for i, (path, one) in enumerate(tried.space.items()):
        values = [trial.settings[path] for trial in trials]
        marks, at = _numeric(values, log=one.log) if isinstance(one, Range) else _categories(values)
        axes.append({"x": STEP * i, "name": short(names[path], NAME), "title": path, "marks": marks})
        places.append(at)
    value = _axis([trial.value for trial in trials])
    last = {"x": STEP * len(axes), "name": "value", "title": "balanced accuracy", "marks": value.marks(TALL)}
    places.append([value.at(trial.value, TALL) for trial in trials])
    lines = [
        {
            "points": " ".join(f"{STEP * i:g},{at[k]:g}" for i, at in enumerate(places)),
            "state": trial.state,
            "best": trial.number == tried.winner,
            "opacity": round(0.25 + 0.65 * (k + 1) / len(trials), 2),  # better, stronger
            "text": f"Trial {trial.number}: {trial.value:.3f}",
        }
        for k, trial in enumerate(trials)
    ]
    return {"axes": [*axes, last], "lines": lines, "wide": STEP * len(axes), "tall": TALL}


def _numeric(values: Sequence[float], *, log: bool) -> tuple[list[tuple[float, str]], list[float]]:
    """Marks at the least and the greatest value, and where each value lies."""
    scale = math.log if log else float
    low, high = scale(min(values)), scale(max(values))

    def at(value: float) -> float:
        return TALL / 2 if high == low else round(TALL * (1 - (scale(value) - low) / (high - low)), 1)

    return [(at(v), f"{v:.3g}") for v in sorted({min(values), max(values)})], [at(v) for v in values]


def _categories(values: Sequence[Any]) -> tuple[list[tuple[float, str]], list[float]]:
    """A mark a value, and where each trial's line crosses: lines of one value lie beside each other, not on top."""
    known = sorted({canonical(value): value for value in values}.items())
    known.sort(key=lambda item: (not isinstance(item[1], (int, float)), item[1] if _is_number(item[1]) else 0))
    gap = TALL / max(len(known), 1)
    middle = {key: round(TALL - gap * (i + 0.5), 1) for i, (key, _) in enumerate(known)}
    spread = min(16.0, 0.4 * gap) / max(len(values) - 1, 1)
    at = [round(middle[canonical(v)] + spread * (i - (len(values) - 1) / 2), 1) for i, v in enumerate(values)]
    return [(middle[key], short(shown(value), NAME)) for key, value in known], at


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float))


def _row(trial: Trial, tried: Tried) -> dict[str, Any]:
    note = {"pruned": f"left off after {words.plural(len(trial.folds), 'fold')}", "failed": trial.error or "stopped"}
    return {
        "number": trial.number,
        "value": words.figure(trial.value) if trial.folds else "",
        "folds": ", ".join(f"{value:.3f}" for value in trial.folds),
        "settings": [shown(trial.settings[path]) if path in trial.settings else "" for path in tried.space],
        "seconds": f"{trial.seconds:,.0f}" if trial.seconds else "",
        "note": "won" if trial.number == tried.winner else note.get(trial.state, "found again" if trial.again else ""),
        "best": trial.number == tried.winner,
    }
