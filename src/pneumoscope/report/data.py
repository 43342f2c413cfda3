"""A labelled folder's Description as one HTML file, and as the tables that the command line prints.

Resolution by label as in Berrimi et al. 2021, Tables I and II; findings that occur together as in Basu & Mitra 2020,
Fig. 2; CT scans in `report.scans`. Labels, findings and names of columns are strangers' text: shortened here, escaped
by the template.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pneumoscope.io.description import Description, Extent, Findings, Label, PerPatient, Tally
from pneumoscope.io.manifest import BLANK
from pneumoscope.report import words
from pneumoscope.report.html import render
from pneumoscope.report.matrix import cell, findings_matrix, short
from pneumoscope.report.scans import COLUMNS as SCAN_COLUMNS
from pneumoscope.report.scans import profile_rows, profiles, scan_rows
from pneumoscope.report.tables import size_texts

SHOWN = 12  # labels that are drawn
COLOURED = 6  # labels that have a colour of their own
COLUMNS = 40  # columns with blank fields that are listed
LISTED = 50  # labels in a table, and kinds of problem
SIDE = 320  # of the square that sizes are drawn in
HEIGHT, STEP, LEAST = 64, 40, 6  # of a column chart: height, width of a column with its space, number of columns

# images per patient, up to and with
_BINS = (1, 2, 3, 4, 5, 10, 20, 50, 100)

Table = tuple[str, list[str], list[list[str]]]


def data_report(description: Description) -> str:
    """The report on what a labelled folder holds: one HTML file."""
    shown = description.labels[:SHOWN]
    return render(
        "data.html.j2",
        title="What the data holds",
        d=description,
        unit=_unit(description),
        problems=description.problems[:LISTED],
        more=len(description.labels) - len(shown),
        labels=_bars(shown),
        per_patient=_per_patient(shown),
        plots=[_scatter(title, note, shown, of) for title, note, of in _KINDS if any(of(one) for one in shown)],
        side=SIDE,
        height=HEIGHT,
        step=STEP,
        resolution=_resolution(shown),
        scans=scan_rows(shown),
        scan_columns=SCAN_COLUMNS,
        profiles=profiles(shown, COLOURED),
        shares=[_shares(title, shown, of) for title, of in _SHARES if any(set(of(one)) - {BLANK} for one in shown)],
        findings=findings_matrix(description.findings) if description.findings else None,
        blanks=_blanks(description, shown),
        full=[short(name) for name in description.columns if not _blank_in(description, name)][:COLUMNS],
        tells=[
            {
                "title": tell.by,
                "text": words.figure(tell.balanced_accuracy),
                "interval": words.plural(tell.values, "value"),
                "dot": round(100 * tell.balanced_accuracy, 2),
                "low": None,
                "high": None,
                "empty": round(100 * tell.chance, 2),
            }
            for tell in description.tells
        ],
        short=short,
    )


def describe_tables(description: Description) -> list[Table]:
    """Title, columns and rows of the tables that the command line prints; empty ones are left out."""
    d, listed = description, description.labels[:LISTED]
    more = f", {words.plural(len(d.labels) - LISTED, 'label')} not shown" if len(d.labels) > LISTED else ""
    tables: list[Table] = [
        (
            f"{words.plural(d.images, *_unit(d))} of {words.plural(d.patients, 'patient')}{more}",
            ["label", _unit(d)[1], "patients", f"{_unit(d)[1]} per patient", "formats", "depth"],
            [
                [
                    short(one.name),
                    f"{one.images:,}",
                    f"{one.patients:,}",
                    _range(one.per_patient),
                    words.counts(one.formats),
                    words.counts(one.depths),
                ]
                for one in listed
            ],
        ),
        (
            "Resolution: width x height in pixels",
            ["label", "of", "images", "least", "greatest", "mean", "standard deviation", "sizes", "most frequent"],
            [row for one in listed for row in _resolution_rows(one)],
        ),
        ("CT scans", ["label", *SCAN_COLUMNS], [[name, *cells] for name, cells in scan_rows(listed)]),
        (
            "Infected slices by their place in the scan, in fifths from feet to head",
            ["label", "labelled slices", "feet", "2", "3", "4", "head"],
            [[name, *cells] for name, cells in profile_rows(listed)],
        ),
        ("Views, sources, official parts", ["label", "views", "sources", "parts"], _origins(listed)),
        ("Findings", ["finding", "images", "alone", "most often with"], _together(d.findings) if d.findings else []),
        ("Blank fields", ["column", "blank", "by label"], _blank_rows(d)),
        (
            "What beside the picture tells labels apart",
            ["fact", "different values", "balanced accuracy on these images", "guessing"],
            [[t.by, f"{t.values:,}", words.figure(t.balanced_accuracy), words.figure(t.chance)] for t in d.tells],
        ),
        (
            "Files that cannot be used",
            ["files", "why", "for example"],
            [[f"{p.images:,}", p.why, ", ".join(short(f) for f in p.files[:3])] for p in d.problems[:LISTED]],
        ),
        ("What to know", ["warning"], [[text] for text in d.warnings]),
    ]
    return [table for table in tables if table[2]]


def _unit(d: Description) -> tuple[str, str]:
    """What a row of labels.csv is, one and many."""
    return ("study", "studies") if d.series == d.images else ("image", "images")


def _range(found: PerPatient | None) -> str:
    """`1 to 12, median 2`."""
    if found is None:
        return "unknown"
    return f"{found.min:,}" if found.min == found.max else f"{found.min:,} to {found.max:,}, median {found.median:g}"


def _resolution_rows(label: Label) -> list[list[str]]:
    rows = []
    for _, of, extent in _extents(label):
        common = extent.sizes[0]
        often = f"{common.width} x {common.height} ({common.images:,})"
        rows.append([short(label.name), of, *size_texts(extent.resolution), f"{extent.distinct:,}", often])
    return rows


def _extents(label: Label) -> list[tuple[str, str, Extent]]:
    """Title, name and extent of what sizes of a label are known."""
    found = [("The originals", "originals", label.original), ("The files", "files", label.stored)]
    return [(title, of, extent) for title, of, extent in found if extent is not None]


def _origins(labels: Sequence[Label]) -> list[list[str]]:
    known = {BLANK}.issuperset
    told = [one for one in labels if not (known(one.views.top) and known(one.sources.top) and known(one.parts))]
    return [[short(one.name), _list(one.views), _list(one.sources), words.counts(one.parts)] for one in told]


def _list(tally: Tally, most: int = 5) -> str:
    top = {short(name): n for name, n in list(tally.top.items())[:most]}
    return words.counts(top) + (f", {tally.distinct - most:,} others" if tally.distinct > most else "")


def _together(found: Findings) -> list[list[str]]:
    rows = []
    for i, name in enumerate(found.names):
        partners = zip(found.names, found.together[i], strict=True)
        others = Counter({short(other): n for other, n in partners if other != name and n})
        with_them = words.counts(dict(others.most_common(3)))
        rows.append([short(name), f"{found.together[i][i]:,}", f"{found.alone[i]:,}", with_them])
    return rows


def _blank_in(d: Description, column: str) -> int:
    return sum(one.blanks[column] for one in d.labels)


def _blank_rows(d: Description) -> list[list[str]]:
    rows = []
    for column in [name for name in d.columns if _blank_in(d, name)][:COLUMNS]:
        by_label = {short(one.name): one.blanks[column] for one in d.labels[:SHOWN] if one.blanks[column]}
        rows.append([short(column), f"{_blank_in(d, column):,} of {d.images:,}", words.counts(by_label)])
    return rows


# --- what the page draws -------------------------------------------------------------------------------------------

_KINDS: tuple[tuple[str, str, Callable[[Label], Extent | None]], ...] = (
    ("The originals", "As the columns orig_w and orig_h say.", lambda one: one.original),
    ("The files", "As stored in this folder.", lambda one: one.stored),
)
_SHARES: tuple[tuple[str, Callable[[Label], Mapping[str, int]]], ...] = (
    ("Format", lambda one: one.formats),
    ("Slice thickness", lambda one: one.scans.thicknesses.top if one.scans else {}),
    ("Kernel", lambda one: one.scans.kernels.top if one.scans else {}),
    ("Manufacturer", lambda one: one.scans.manufacturers.top if one.scans else {}),
    ("Depth and colour", lambda one: one.depths),
    ("View", lambda one: one.views.top),
    ("Source", lambda one: one.sources.top),
    ("Official part", lambda one: one.parts),
)


def _bars(labels: Sequence[Label]) -> list[dict[str, Any]]:
    """Name, number of images and patients, and the lengths of both in percent of the longest."""
    most = max(one.images for one in labels)
    return [
        {
            "name": short(one.name),
            "colour": i % COLOURED,
            "images": one.images,
            "patients": one.patients,
            "wide": round(100 * one.images / most, 2),
            "inner": round(100 * one.patients / most, 2),
        }
        for i, one in enumerate(labels)
    ]


def _per_patient(labels: Sequence[Label]) -> list[dict[str, Any]]:
    """A column chart a label: the share of its patients with so many images."""
    known = [(i, one, one.per_patient) for i, one in enumerate(labels) if one.per_patient is not None]
    last = max(max((_bin(found.max) for _, _, found in known), default=0), LEAST - 1)
    first = min(min((_bin(found.min) for _, _, found in known), default=0), last + 1 - LEAST)
    charts = []
    for i, one, found in known:
        binned: Counter[int] = Counter()
        for images, patients in found.histogram:
            binned[_bin(images)] += patients
        columns = [
            {"name": _bin_name(k), "patients": binned[k], "tall": round(HEIGHT * binned[k] / max(binned.values()), 1)}
            for k in range(first, last + 1)
        ]
        charts.append({"name": short(one.name), "colour": i % COLOURED, "range": _range(found), "columns": columns})
    return charts


def _bin(images: int) -> int:
    return next((k for k, top in enumerate(_BINS) if images <= top), len(_BINS))


def _bin_name(k: int) -> str:
    if k == len(_BINS):
        return f"> {_BINS[-1]}"
    low = _BINS[k - 1] + 1 if k else 1
    return str(low) if low == _BINS[k] else f"{low}-{_BINS[k]}"


def _scatter(title: str, note: str, labels: Sequence[Label], of: Callable[[Label], Extent | None]) -> dict[str, Any]:
    """Width and height of the images on logarithmic axes in a square of `SIDE`, y upwards; larger dots, more images."""
    drawn = [(i, one, extent) for i, one in enumerate(labels[:COLOURED]) if (extent := of(one)) is not None]
    sides = [side for _, _, extent in drawn for size in extent.sizes for side in (size.width, size.height)] or [1]
    low, high, marks = _axis(sides)

    def at(side: int) -> float:
        return round(SIDE * math.log(side / low) / math.log(high / low), 1)

    dots: list[dict[str, Any]] = []
    outermost: dict[tuple[int, int], float] = {}
    for i, one, extent in drawn:
        for order, size in enumerate(extent.sizes):
            place = size.width, size.height
            # rings of several labels at one size lie one around the other
            radius = round(max(2 + 0.4 * min(20, math.sqrt(size.images)), outermost.get(place, 0.0) + 2.6), 1)
            outermost[place] = radius
            text = f"{short(one.name)}: {size.width} x {size.height}, {words.plural(size.images, 'image')}"
            where = {"x": at(size.width), "y": round(SIDE - at(size.height), 1), "r": radius}
            dots.append(where | {"colour": i, "text": text, "order": order})
    dots.sort(key=lambda dot: (-dot["r"], dot["order"]))  # small ones on top, and no label above all of another
    ticks = [(at(mark), f"{mark:,}") for mark in marks]
    thinned = any(len(extent.sizes) < extent.distinct for _, _, extent in drawn)
    names = [(i, short(one.name)) for i, one, _ in drawn]
    return {"title": title, "note": note, "dots": dots, "ticks": ticks, "names": names, "thinned": thinned}


def _axis(sides: Sequence[int]) -> tuple[int, int, list[int]]:
    """Ends of a logarithmic axis with some room around `sides`, and what is marked on it: powers of 2, and halfway."""
    known = sorted([2**k for k in range(21)] + [3 * 2**k for k in range(20)])
    low = max((mark for mark in known if mark <= 0.9 * min(sides)), default=1)
    high = min((mark for mark in known if mark >= 1.1 * max(sides)), default=known[-1])
    marks = [mark for mark in known if low <= mark <= high]
    return low, high, marks if len(marks) <= 8 else [mark for mark in marks if mark.bit_count() == 1]


def _resolution(labels: Sequence[Label]) -> list[dict[str, Any]]:
    """One table a kind of size: label, number, least, greatest, mean, standard deviation, and the frequent sizes."""
    tables: dict[str, list[dict[str, Any]]] = {}
    for one in labels:
        for title, _, extent in _extents(one):
            common = ", ".join(f"{s.width} x {s.height} ({s.images:,})" for s in extent.sizes[:3])
            row = {"name": short(one.name), "figures": size_texts(extent.resolution), "common": common}
            tables.setdefault(title, []).append(row | {"distinct": extent.distinct})
    return [{"title": title, "rows": tables[title]} for title in ("The originals", "The files") if title in tables]


def _shares(title: str, labels: Sequence[Label], of: Callable[[Label], Mapping[str, int]]) -> dict[str, Any]:
    """How a label's images are spread over values: a row a label, a column a value, the most frequent first."""
    totals: Counter[str] = Counter()
    for one in labels:
        totals.update(of(one))
    values = [name for name, _ in totals.most_common(8)]
    rows = [(one.name, [of(one).get(v, 0) for v in values], sum(of(one).values())) for one in labels]
    return {
        "title": title,
        "values": [short(v, 40) for v in values],
        "more": len(totals) - len(values),
        "rows": [{"name": short(name), "cells": [cell(n, whole) for n in counts]} for name, counts, whole in rows],
    }


def _blanks(d: Description, labels: Sequence[Label]) -> list[dict[str, Any]]:
    """One row a column with blank fields: their number, and their share of each label's images."""
    columns = [name for name in d.columns if _blank_in(d, name)][:COLUMNS]
    return [
        {
            "name": short(column),
            "blank": _blank_in(d, column),
            "cells": [cell(one.blanks[column], one.images) for one in labels],
        }
        for column in columns
    ]
