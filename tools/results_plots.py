"""Plots of docs/results.md as SVG files of their own, from the figures of finished runs.

Plain markup: a README's images are shown without any style but their own, on light and on dark pages.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape

from pneumoscope.core.comparison import Comparison
from pneumoscope.core.result import HISTOGRAM, Interval
from pneumoscope.core.search import Search
from pneumoscope.report.comparison import metric_title

WIDTH = 720
LEFT, RIGHT, TOP, ROW = 230, 24, 30, 26
STYLE = (
    "<style>text{font:13px sans-serif;fill:#222}.axis{stroke:#999}.mark{fill:#2563a8;stroke:#2563a8}"
    ".other{fill:#c2541b;stroke:#c2541b}.faint{fill:#9aa;stroke:#9aa}line{stroke-width:1.5}polyline{fill:none;"
    "stroke-width:1.5}@media(prefers-color-scheme:dark){text{fill:#ddd}.axis{stroke:#777}.mark{fill:#7db2ea;"
    "stroke:#7db2ea}.other{fill:#f0935e;stroke:#f0935e}}</style>"
)


def whiskers(rows: Sequence[tuple[str, Interval]], title: str) -> str:
    """Dots with their intervals, a row each, on one axis."""
    ends = [end for _, found in rows for end in (found.low, found.high)]
    low, high = math.floor(min(ends) * 20) / 20, math.ceil(max(ends) * 20) / 20
    bottom = TOP + ROW * len(rows)

    def at(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (value - low) / (high - low)

    parts = [_text(LEFT, 18, title)]
    for i, (name, found) in enumerate(rows):
        y = TOP + ROW * (i + 0.5)
        parts += [
            _text(LEFT - 12, y + 4, name, "end"),
            _line(at(found.low), y, at(found.high), y, "mark"),
            f'<circle class="mark" cx="{at(found.value):.1f}" cy="{y}" r="4.5"/>',
        ]
    parts += _ticks(low, high, at, bottom)
    return _svg(bottom + 34, parts)


def histogram(counts: Mapping[str, Sequence[int]], thresholds: Sequence[float], positive: str) -> str:
    """How many images of each class had which probability of the positive class; a mark at each threshold."""
    high, gap = 90, 40
    parts = []

    def at(value: float) -> float:
        return 60 + (WIDTH - 60 - RIGHT) * value

    for i, (name, bars) in enumerate(counts.items()):
        bottom = TOP + (i + 1) * high + i * gap
        parts.append(_text(60, bottom - high - 8, f"{name}: {sum(bars):,} images; highest bar {max(bars):,}"))
        for k, n in enumerate(bars):
            tall = high * n / max(max(bars), 1)
            wide = at((k + 1) / HISTOGRAM) - at(k / HISTOGRAM) - 2
            cls = "other" if name == positive else "mark"
            parts.append(
                f'<rect class="{cls}" x="{at(k / HISTOGRAM) + 1:.1f}" y="{bottom - tall:.1f}" width="{wide:.1f}" '
                f'height="{tall:.1f}"/>'
            )
        parts.append(_line(at(0), bottom, at(1), bottom, "axis"))
        parts += [_line(at(t), bottom - high, at(t), bottom, "axis") for t in thresholds]
    bottom = TOP + len(counts) * high + (len(counts) - 1) * gap
    parts += [_text(at(k / 10), bottom + 18, f"{k / 10:.1f}", "middle") for k in range(0, 11, 1)]
    parts.append(_text(at(0.5), bottom + 38, f"probability of {positive}; lines: thresholds 0.5 and 0.3", "middle"))
    return _svg(bottom + 50, parts)


def curve(comparison: Comparison, field: str, label: str) -> str:
    """What ranks, against the numbers of a varied field, with intervals, and the patients learned from."""
    points = sorted(
        ((float(part.varied[field]), part.learned, part.metrics[comparison.by]) for part in comparison.parts),
        key=lambda point: point[0],
    )
    low = math.floor(min(y.low for *_, y in points) * 10) / 10
    high = math.ceil(max(y.high for *_, y in points) * 10) / 10
    tall = 220

    def across(x: float) -> float:
        first, last = points[0][0], points[-1][0]
        return 90 + (WIDTH - 180) * (math.log(x) - math.log(first)) / (math.log(last) - math.log(first))

    def up(y: float) -> float:
        return TOP + tall * (high - y) / (high - low)

    parts = [_text(60, 18, metric_title(comparison.by))]
    for k in range(round((high - low) * 10) + 1):
        y = low + k / 10
        parts += [_text(48, up(y) + 4, f"{y:.1f}", "end"), _line(56, up(y), WIDTH - RIGHT, up(y), "axis")]
    line = " ".join(f"{across(x):.1f},{up(y.value):.1f}" for x, _, y in points)
    parts.append(f'<polyline class="mark" style="fill:none" points="{line}"/>')
    for x, learned, found in points:
        parts += [
            _line(across(x), up(found.low), across(x), up(found.high), "mark"),
            f'<circle class="mark" cx="{across(x):.1f}" cy="{up(found.value):.1f}" r="4.5"/>',
            _text(across(x), TOP + tall + 20, f"{x:g}", "middle"),
            _text(across(x), TOP + tall + 38, f"{learned:.0f}", "middle"),
        ]
    parts.append(_text(WIDTH / 2, TOP + tall + 58, label, "middle"))
    return _svg(TOP + tall + 70, parts)


def history(search: Search) -> str:
    """Each trial's value, pruned ones faint, and the best complete one so far."""
    trials = [trial for trial in search.tried.finished if not math.isnan(trial.value)]
    low = math.floor(min(t.value for t in trials) * 20) / 20
    high = math.ceil(max(t.value for t in trials) * 20) / 20
    tall, step = 200, (WIDTH - 110) / max(len(trials), 1)

    def up(y: float) -> float:
        return TOP + tall * (high - y) / (high - low)

    parts = [_text(60, 18, f"Mean balanced accuracy on {search.tried.inner} inner folds, by trial")]
    for k in range(round((high - low) * 20) + 1):
        y = low + k / 20
        parts += [_text(52, up(y) + 4, f"{y:.2f}", "end"), _line(60, up(y), WIDTH - RIGHT, up(y), "axis")]
    best: float | None = None
    corners = []
    for i, trial in enumerate(trials):
        x = 80 + step * i
        state = "mark" if trial.state == "complete" else "faint"
        parts.append(f'<circle class="{state}" cx="{x:.1f}" cy="{up(trial.value):.1f}" r="4.5"/>')
        parts.append(_text(x, TOP + tall + 18, str(trial.number), "middle"))
        if trial.state == "complete" and (best is None or trial.value > best):
            corners += [] if best is None else [f"{x:.1f},{up(best):.1f}"]
            best = trial.value
            corners.append(f"{x:.1f},{up(best):.1f}")
    if best is not None:
        corners.append(f"{80 + step * (len(trials) - 1):.1f},{up(best):.1f}")
    parts.append(f'<polyline class="other" style="fill:none" points="{" ".join(corners)}"/>')
    parts.append(_text(WIDTH / 2, TOP + tall + 38, "trial; grey: pruned; line: the best so far", "middle"))
    return _svg(TOP + tall + 50, parts)


def _ticks(low: float, high: float, at: Callable[[float], float], bottom: float) -> list[str]:
    n = round((high - low) * 20)
    every = 1 if n <= 10 else 2
    values = [low + k / 20 for k in range(0, n + 1, every)]
    marks = [_text(at(v), bottom + 20, f"{v:.2f}", "middle") for v in values]
    return [_line(at(low), bottom + 4, at(high), bottom + 4, "axis"), *marks]


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, cls: str) -> str:
    return f'<line class="{cls}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _svg(height: float, parts: Sequence[str]) -> str:
    body = "\n".join(parts)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}">'
    return f"{head}\n{STYLE}\n{body}\n</svg>\n"
