"""Shaded tables of counts: labels against formats and views, and findings that occur together (Basu 2020, Fig. 2)."""

from __future__ import annotations

from typing import Any

from pneumoscope.io.description import Findings

FINDINGS = 20  # findings in the matrix


def short(text: str, most: int = 60) -> str:
    """A stranger's text on one line and of bearable length."""
    line = "".join(c if c.isprintable() else "?" for c in text)
    return line if len(line) <= most else line[: most - 3] + "..."


# --- the command line's rows ---------------------------------------------------------------------------------------


def cell(n: int, whole: int, darkest: float = 1.0) -> dict[str, Any]:
    """A count, its share in words, and a shade of 0..10, 10 for the share `darkest`; what is not 0 is shaded."""
    share = n / whole if whole else 0.0
    shade = max(round(10 * share / darkest), 1) if n else 0
    text = f"{100 * share:.0f} %" if share >= 0.01 or not n else "< 1 %"
    return {"n": n, "text": text, "shade": shade}


def findings_matrix(found: Findings) -> dict[str, Any]:
    """Findings that occur together: each row's share of its finding, the diagonal its count."""
    names = [short(name, 40) for name in found.names[:FINDINGS]]
    counts = [row[: len(names)] for row in found.together[: len(names)]]
    shares = [n / row[i] for i, row in enumerate(counts) for j, n in enumerate(row) if i != j and n]
    rows = []
    for i, name in enumerate(names):
        whole = counts[i][i]
        cells = [cell(n, whole, max(shares, default=1.0)) | {"own": i == j} for j, n in enumerate(counts[i])]
        rows.append({"name": name, "images": whole, "alone": found.alone[i], "cells": cells})
    return {"names": names, "rows": rows, "images": found.images, "more": found.distinct - len(names)}
