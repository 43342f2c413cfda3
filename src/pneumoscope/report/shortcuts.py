"""Shortcuts as the reports show them: dots with intervals, a table of what each sees, and the cross-set matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pneumoscope.audit import verdict
from pneumoscope.core.result import Interval
from pneumoscope.core.shortcuts import Audited, Crossed, Shortcut, Shortcuts
from pneumoscope.report import charts, words
from pneumoscope.report.matrix import short


def values(audited: Audited | None) -> dict[str, Any]:
    """What the audit's template shows of them."""
    if audited is None:
        return {"shortcuts": [], "crossed": None}
    return {"shortcuts": [panel(one) for one in audited.shortcuts], "crossed": matrix(audited.crossed)}


def panel(found: Shortcuts) -> dict[str, Any]:
    """What the template shows of the shortcuts of one data set."""
    headline = verdict.headline_of(found)
    first = []
    if headline is not None and found.headline is not None:
        first = [charts.whisker(headline.of, headline.balanced_accuracy, 1 / len(headline.classes))]
    groups = [
        ("Sees no lung", [s for s in found.found if not s.lung and s.answers == "class"]),
        ("Sees lung", [s for s in found.found if s.lung and s.answers == "class"]),
        ("Asked for the source instead", [s for s in found.found if s.answers == "source"]),
    ]
    return {
        "s": found,
        "of": short(found.of),
        "counts": [(short(name), n) for name, n in found.counts.items()],
        "left_out": ", ".join(f"{n:,} {short(name)}" for name, n in found.left_out.items()),
        "headline": first,
        "groups": [
            (title, [charts.whisker(s.name, s.balanced_accuracy, s.chance) for s in some])
            for title, some in groups
            if some
        ],
        "rows": [_row(found, s) for s in found.found],
    }


def _row(found: Shortcuts, one: Shortcut) -> dict[str, Any]:
    share = verdict.share_of(found, one) if one.answers == "class" else None
    return {
        "name": one.name,
        "sees": one.sees,
        "figure": words.interval(one.balanced_accuracy),
        "auc": words.interval(one.auc),
        "share": "" if share is None else _percent(share),
        "images": f"{one.n_images:,}",
        "patients": f"{one.n_patients:,}",
    }


def _percent(share: Interval) -> str:
    bounds = "" if share.low != share.low else f" ({share.low:.0%} to {share.high:.0%})"
    return f"{share.value:.0%}{bounds}".replace("%", " %")


def matrix(crossed: Sequence[Crossed]) -> dict[str, Any] | None:
    """Rows: the set learned from; columns: the set tested. None of no pair."""
    if not crossed:
        return None
    names = list(dict.fromkeys(c.tested for c in crossed))
    by = {(c.learned, c.tested): c for c in crossed}
    learned = dict.fromkeys(c.learned for c in crossed)
    return {
        "names": [short(name) for name in names],
        "rows": [(short(one), [_cell(by.get((one, name))) for name in names]) for one in learned],
    }


def _cell(one: Crossed | None) -> dict[str, Any] | None:
    if one is None:
        return None
    chance = 1 / len(one.classes)
    above = max(0.0, (one.balanced_accuracy.value - chance) / (1 - chance))
    return {
        "text": words.interval(one.balanced_accuracy),
        "classes": " / ".join(short(name) for name in one.classes),
        "images": f"{one.n_images:,}",
        "own": one.learned == one.tested,
        "shade": round(10 * above),
    }
