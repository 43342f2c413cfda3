"""CT scans of a labelled folder as the data report shows them: slices, spacing, kernels, and where infections lie.

The profile is Xue & Abhayaratne 2021, Fig. 1: the share of infected slices by their place from feet to head. Drawn by
hand, as the other charts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pneumoscope.io.description import Label, Profile, Scans, Spread, Tally
from pneumoscope.report import words
from pneumoscope.report.matrix import short

WIDE, TALL = 640, 220  # of the square that profiles are drawn in
COLUMNS = ("studies", "slices a study", "slice distance, mm", "pixel, mm", "thickness", "kernels", "manufacturers")

Row = tuple[str, list[str]]


def scan_rows(labels: Sequence[Label]) -> list[Row]:
    """Name of a label and its cells, as `COLUMNS`, of the labels that have scans."""
    return [(short(one.name), _cells(one.scans)) for one in labels if one.scans is not None]


def _cells(found: Scans) -> list[str]:
    return [
        f"{found.studies:,}",
        _range(found.slices, "{:,.0f}"),
        _range(found.step_mm, "{:.2f}"),
        _range(found.pixel_mm, "{:.2f}"),
        _list(found.thicknesses),
        _list(found.kernels),
        _list(found.manufacturers),
    ]


def _range(spread: Spread, form: str) -> str:
    """`100 to 168, median 148`."""
    low, high, middle = (form.format(n) for n in (spread.min, spread.max, spread.median))
    return low if low == high else f"{low} to {high}, median {middle}"


def _list(tally: Tally, most: int = 4) -> str:
    """`B60f (12), FC51 (3)`."""
    top = ", ".join(f"{short(name, 40)} ({n:,})" for name, n in list(tally.top.items())[:most])
    return top + (f", {tally.distinct - most:,} others" if tally.distinct > most else "")


def profile_rows(labels: Sequence[Label], parts: int = 5) -> list[Row]:
    """Name of a label, and the share of infected slices in each of `parts` parts of the scan from feet to head."""
    return [(short(one.name), _shares(found, parts)) for one, found in _profiles(labels)]


def _shares(found: Profile, parts: int) -> list[str]:
    each = len(found.labelled) // parts
    cells = [f"{sum(found.labelled):,} of {words.plural(found.studies, 'study', 'studies')}"]
    for first in range(0, each * parts, each):
        labelled, infected = (sum(counts[first : first + each]) for counts in (found.labelled, found.infected))
        cells.append(words.share(infected / labelled) if labelled else "none labelled")
    return cells


def _profiles(labels: Sequence[Label]) -> list[tuple[Label, Profile]]:
    return [(one, one.scans.profile) for one in labels if one.scans is not None and one.scans.profile is not None]


def profiles(labels: Sequence[Label], colours: int) -> dict[str, Any] | None:
    """The curves of the first `colours` labels, feet on the left; None where no slice is labelled.

    A point is the middle of a part of the scan, and stands for all labelled slices there; parts without any are passed
    over.
    """
    lines = []
    for i, one in enumerate(labels[:colours]):
        found = one.scans.profile if one.scans else None
        if found is None:
            continue
        points = [
            (round(WIDE * (k + 0.5) / len(found.labelled), 1), round(TALL * (1 - bad / n), 1), f"{bad:,} of {n:,}")
            for k, (n, bad) in enumerate(zip(found.labelled, found.infected, strict=True))
            if n
        ]
        text = (
            f"{sum(found.infected):,} of {words.plural(sum(found.labelled), 'labelled slice')} infected, "
            f"{words.plural(found.studies, 'study', 'studies')}"
        )
        lines.append({"name": short(one.name), "colour": i, "points": points, "text": text})
    return {"lines": lines, "wide": WIDE, "tall": TALL} if lines else None
