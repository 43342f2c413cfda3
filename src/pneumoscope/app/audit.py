"""`pneumoscope audit`: what is wrong with labelled images, a thin skin over `auditing.audit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pneumoscope.app.console import pairs, progress, result, say

EXAMPLE = "Example: pneumoscope audit --data DIR --data OTHER --out audit"


def audit(
    data: Annotated[list[str], typer.Option("--data", help="Folder with labels.csv; may be given several times.")],
    out: Annotated[Path, typer.Option("--out", help="New folder for audit.json and report.html.")],
    bundle: Annotated[
        str | None, typer.Option("--bundle", help="Say what of the data this bundle has learned from, too.")
    ] = None,
    mapping: Annotated[
        list[str] | None, typer.Option("--map", metavar="LABEL=CLASS", help="The class a label stands for.")
    ] = None,
) -> None:
    """Find leaks in labelled images, and what the labels go with that is no disease, before any training."""
    from pneumoscope import auditing

    with progress() as report:
        found = auditing.audit(data, out=out, mapping=pairs("--map", mapping), bundle=bundle, progress=report)
    for text in found.grave:
        say(f"warning: {text}")
    for text in (*found.notes, *found.left_out):
        say(f"note: {text}")
    for one in found.shortcuts.shortcuts if found.shortcuts else ():
        for text in (*one.verdict, *one.warnings):
            say(f"{one.of}: {text}")
    result(f"report: {(out / 'report.html').resolve()}")
