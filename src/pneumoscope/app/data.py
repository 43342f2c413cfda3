"""`pneumoscope data`: public datasets as they are known, fetched, brought into our form, and described.

Each command is a thin skin over one function of `datasets`, as those in cli.py are over `api`.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pneumoscope.app.console import pairs, print_json, progress, result, say, table

if TYPE_CHECKING:
    from pneumoscope.io.importing import Imported

NAMED = 3  # files named of those that are missing or too many; import.json has all

data_app = typer.Typer(no_args_is_help=True, help="Datasets: public ones as downloaded, and what is in a folder.")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Out = Annotated[Path, typer.Option("--out", help="New folder for what is written.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="See: pneumoscope data list")]


@data_app.command("list", epilog="Example: pneumoscope data list --json")
def data_list(as_json: AsJson = False) -> None:
    """The public datasets that can be imported, and how to get them; --json adds citations and known traps."""
    from pneumoscope import datasets

    found = datasets.list_layouts()
    if as_json:
        print_json(found)
        return
    rows = [
        [
            d["name"],
            d["title"],
            _images(d["expected"]),
            d["licence"],
            "yes" if d["can_be_fetched"] else "no",
            d["obtain"],
        ]
        for d in found
    ]
    table("", ("name", "what it is", "images or series", "licence", "fetch", "how to get it"), rows)


def _images(expected: Mapping[str, int]) -> str:
    return str(sum(expected.values())) if expected else "not stated"


@data_app.command("import", epilog="Example: pneumoscope data import kermany chest_xray --out kermany")
def data_import(
    layout: Annotated[str, typer.Argument(metavar="LAYOUT", help="See: pneumoscope data list")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The set as downloaded and unpacked.")],
    out: Out,
) -> None:
    """Bring a downloaded dataset into our form: images, labels.csv, and import.json with all that was found."""
    from pneumoscope import datasets

    with progress() as report:
        imported = datasets.import_data(layout, folder, out=out, progress=report)
    _print_imported(imported)
    result(f"imported: {out.resolve()}")


def _print_imported(imported: Imported) -> None:
    labels = list(dict.fromkeys([*imported.expected, *imported.found]))
    expected = {**dict.fromkeys(labels, 0), **imported.expected} if imported.expected else {}
    rows = [[label, str(imported.found.get(label, 0)), str(expected.get(label, "not stated"))] for label in labels]
    table(imported.title, ("label", "images or series here", "expected"), rows)
    say(f"expected of: {imported.release}")
    for what, files in (("missing", imported.missing), ("that no list names", imported.extra)):
        if files:
            more = ", ..." if len(files) > NAMED else ""
            say(f"note: {len(files)} file(s) {what}: {', '.join(files[:NAMED])}{more} (all in import.json)")
    for note in imported.notes:
        say(f"note: {note}")
    for trap in imported.traps:
        say(f"known trap: {trap}")
    _say_terms(imported.licence, imported.citation)


def _say_terms(licence: str, citation: str) -> None:
    say(f"licence: {licence}; please cite: {citation}")


@data_app.command("fetch", epilog="Example: pneumoscope data fetch figure1 --out downloads")
def data_fetch(
    name: Name,
    out: Annotated[Path, typer.Option("--out", help="Folder for the files; one that was begun is gone on with.")],
    sha256: Annotated[
        list[str] | None,
        typer.Option("--sha256", metavar="NAME=HEX", help="The digest that you trust, where none is published."),
    ] = None,
) -> None:
    """Download what may be downloaded freely, checked; the same command resumes one that was stopped.

    Of a file without a published digest, the first call says the digest, and a second call with it takes the file.
    """
    from pneumoscope import datasets

    digests = pairs("--sha256", sha256)
    with progress() as report:
        paths = datasets.fetch_data(name, out=out, digests=digests, progress=report)
    for path in paths:
        result(f"fetched: {path.resolve()}")
    (found,) = (d for d in datasets.list_layouts() if d["name"] == name)
    _say_terms(found["licence"], found["citation"])
    say("next:")
    folder = out / name
    for path, file in zip(paths, found["remote"], strict=True):
        _say_unpack(path, folder)
        for inner in file.inner:
            _say_unpack(folder / inner, (folder / inner).parent)
    say(f"  pneumoscope data import {name} {shlex.quote(str(folder))} --out {Path('datasets', name)}")


def _say_unpack(path: Path, folder: Path) -> None:
    say(f"  python -m zipfile -e {shlex.quote(str(path))} {shlex.quote(str(folder))}")


@data_app.command("describe", epilog="Example: pneumoscope data describe kermany --out description")
def data_describe(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder with labels.csv.")],
    out: Annotated[Path | None, typer.Option("--out", help="New folder for report.html and description.json.")] = None,
    as_json: AsJson = False,
) -> None:
    """What is in a labelled folder: classes, patients, sizes and formats, findings, what is missing."""
    from pneumoscope import datasets

    with progress() as report:
        description = datasets.describe_data(folder, out=out, progress=report)
    if as_json:
        print_json(description)
        return
    from pneumoscope.report.data import describe_tables

    for title, columns, rows in describe_tables(description):
        table(title, columns, rows)
    if out is not None:
        result(f"report: {(out / 'report.html').resolve()}")
