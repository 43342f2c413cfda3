"""The part of docs/results.md about shortcuts, from the audit.json of finished audits: tables, and plots as SVG files.

python tools/shortcuts_results.py docs/images/results xray=AUDIT/audit.json ct=OTHER/audit.json > text.md
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from results_plots import whiskers

from pneumoscope.audit import verdict
from pneumoscope.core.result import Interval
from pneumoscope.core.serial import from_json
from pneumoscope.core.shortcuts import Audited, Crossed, Shortcuts


def section(found: Shortcuts, image: str) -> str:
    """One data set: what it holds, a row for each shortcut, the verdict."""
    counts = ", ".join(f"{n:,} {name}" for name, n in found.counts.items())
    rows = [
        f"| {one.name} | {_text(one.balanced_accuracy)} | {_share(found, one.name)} | {one.n_images:,} |"
        for one in found.found
    ]
    told = [*found.verdict, *(f"*{text}*" for text in found.warnings)]
    return "\n".join(
        [
            f"### {found.of}: {counts}; {found.n_patients:,} patients or groups",
            "",
            f"![Balanced accuracy of each shortcut]({image})",
            "",
            f"| shortcut | balanced accuracy (guessing {found.chance:.2f}) | share above guessing | images |",
            "| --- | --- | --- | --- |",
            *rows,
            "",
            " ".join(told),
            "",
        ]
    )


def matrix(crossed: tuple[Crossed, ...]) -> str:
    """Learned from (row) and asked of (column)."""
    names = list(dict.fromkeys(c.tested for c in crossed))
    by = {(c.learned, c.tested): c for c in crossed}
    rows = [
        f"| **{one}** | " + " | ".join(_cell(by.get((one, name))) for name in names) + " |"
        for one in dict.fromkeys(c.learned for c in crossed)
    ]
    head = f"| learned from | {' | '.join(f'asked of {name}' for name in names)} |"
    return "\n".join([head, "| --- |" + " --- |" * len(names), *rows, ""])


def _cell(one: Crossed | None) -> str:
    return (
        "too few patients of two classes in common"
        if one is None
        else f"{_text(one.balanced_accuracy)} {' / '.join(one.classes)}"
    )


def _share(found: Shortcuts, name: str) -> str:
    one = found.named(name)
    share = None if one is None or one.answers == "source" else verdict.share_of(found, one)
    return "" if share is None else f"{100 * share.value:.0f} % ({100 * share.low:.0f} to {100 * share.high:.0f})"


def _text(found: Interval) -> str:
    return f"{found.value:.2f} ({found.low:.2f} to {found.high:.2f})"


def main(images: Path, named: dict[str, Path]) -> str:
    """Write the plots, return the text."""
    parts = []
    for name, path in named.items():
        plain = json.loads(path.read_text(encoding="utf-8"))
        audited = from_json(Audited, plain["shortcuts"])
        for found in audited.shortcuts:
            if not found.found:
                continue
            file = f"shortcuts-{name}-{found.of.replace(' ', '-')}.svg"
            rows = [(one.name, one.balanced_accuracy) for one in found.found]
            title = f"{found.of}: balanced accuracy, guessing {found.chance:.2f}"
            (images / file).write_text(whiskers(rows, title), encoding="utf-8")
            parts.append(section(found, f"images/results/{file}"))
        parts.append(matrix(audited.crossed))
    return "\n".join(parts)


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), {k: Path(v) for k, v in (one.split("=", 1) for one in sys.argv[2:])}))
