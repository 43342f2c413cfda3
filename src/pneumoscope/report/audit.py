"""An audit as one HTML file: what to know first, leaks with the worst pairs side by side, and what goes with labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pneumoscope.core.audit import CROSSINGS, KINDS, Audit, Pair, Part
from pneumoscope.report import shortcuts, words
from pneumoscope.report.figures import encoded
from pneumoscope.report.html import render
from pneumoscope.report.uri import data_uri

PAIRS = 12  # that are shown as pictures
ROWS = 100  # that are listed in the page; audit.json has more
SIDE = 160  # pixels, the longest side of a picture
_KINDS = {
    "bytes": "the same file",
    "pixels": "the same pixels in another file",
    "near": "the same picture, changed",
    "alike": "alike: most likely another picture of one patient",
}


def shown_files(audit: Audit) -> list[str]:
    """The files whose pictures the report shows."""
    return list(dict.fromkeys(file for pair in audit.leaks.listed[:PAIRS] for file in (pair.a, pair.b)))


def audit_report(audit: Audit, *, pictures: Mapping[str, np.ndarray]) -> str:
    """The report on what is wrong with labelled images: one HTML file.

    pictures: file -> uint8 grey `[H, W]`, of `shown_files`.
    """
    leaks = audit.leaks
    return render(
        "audit.html.j2",
        title="Audit of the data",
        a=audit,
        crossings=CROSSINGS,
        kinds=[(kind, _KINDS[kind], leaks.pairs[kind], leaks.crossing[kind]) for kind in KINDS],
        shown=[_shown(pair, pictures) for pair in leaks.listed[:PAIRS]],
        listed=leaks.listed[:ROWS],
        total=sum(leaks.pairs.values()),
        names=_KINDS,
        parts_of=[_part(part) for part in audit.parts],
        **shortcuts.values(audit.shortcuts),
    )


def _shown(pair: Pair, pictures: Mapping[str, np.ndarray]) -> dict[str, Any]:
    return {"pair": pair, "a": _picture(pictures[pair.a]), "b": _picture(pictures[pair.b])}


def _picture(grey: np.ndarray) -> str:
    import cv2

    scale = min(1.0, SIDE / max(grey.shape))
    size = max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale))
    return data_uri("image/jpeg", encoded(".jpg", cv2.resize(grey, size, interpolation=cv2.INTER_AREA)))


def _part(part: Part) -> list[str]:
    ages = part.ages
    age = f"{ages.median:.0f} ({ages.min:.0f} to {ages.max:.0f}), {ages.known:,} known" if ages.known else ""
    return [
        part.data_set,
        part.label,
        f"{part.images:,}",
        f"{part.patients:,}" + (f", and {part.unidentified:,} images of nobody named" if part.unidentified else ""),
        _counts(part.views),
        _counts(part.sexes),
        age,
        f"{ages.children:,}" if ages.known else "",
        words.share(round(part.text / part.looked, 3)) if part.looked else "",
        _counts(part.splits),
    ]


def _counts(counts: Mapping[str, int]) -> str:
    first = ", ".join(f"{name} {n:,}" for name, n in list(counts.items())[:6])
    return f"{first}, ..." if len(counts) > 6 else first
