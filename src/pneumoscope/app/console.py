"""How the command line speaks: progress bars on a terminal, plain lines elsewhere, errors on one line."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pneumoscope.core.progress import Progress
from pneumoscope.errors import UsageError

# seconds between plain progress lines where there is no terminal
EVERY = 10.0
FROM_FILE = ("--set",)  # options whose pairs may stand in a file
MOST = 1_000_000  # bytes of such a file


def say(text: str) -> None:
    """A line for people, on stderr: stdout is for results."""
    sys.stderr.write(f"{printable(text)}\n")
    sys.stderr.flush()


def printable(text: str) -> str:
    """`text` on one line, without what would steer a terminal: names of files and of bundles come from strangers."""
    return "".join(c if c.isprintable() else "?" for c in text)


def result(text: str) -> None:
    """A line of the result, on stdout."""
    sys.stdout.write(f"{printable(text)}\n")


def print_json(value: Any) -> None:
    """`value` as indented JSON on stdout."""
    from pneumoscope.core.serial import to_json

    text = json.dumps(to_json(value), indent=2, ensure_ascii=False, allow_nan=False)
    sys.stdout.write(text.encode(errors="backslashreplace").decode() + "\n")  # as core.files writes no UTF-8


def pairs(option: str, given: list[str] | None) -> dict[str, str]:
    """The NAME=VALUE words of an option; `--set` also takes @FILE, a JSON object of names and values.

    Raises:
        UsageError: a word that is no pair, a file that is no such object, or a name given twice.
    """
    found: dict[str, str] = {}
    for text in given or []:
        if option in FROM_FILE and text.startswith("@"):
            several = list(_of_file(option, Path(text[1:])).items())
        else:
            key, equals, value = text.partition("=")
            if not equals or not key or not value:
                raise UsageError(f"{option}: expected NAME=VALUE, found '{text}'.")
            several = [(key, value)]
        for key, value in several:
            if key in found:
                raise UsageError(f"{option}: expected each name once, found '{key}' twice.")
            found[key] = value
    return found


def read_shares(given: dict[str, str]) -> dict[str, float]:
    """Class -> share, of the pairs of --prevalence.

    Raises:
        UsageError: text that is no number.
    """
    found = {}
    for name, text in given.items():
        try:
            found[name] = float(text)
        except ValueError as error:
            raise UsageError(f"--prevalence {name}: expected a share as 0.05, found '{text}'.") from error
    return found


def _of_file(option: str, path: Path) -> dict[str, str]:
    """Name -> value as JSON, from a file such as the winner.json of `pneumoscope tune`."""
    from pneumoscope.core.serial import Mismatch, parse_json

    try:
        with path.open("rb") as file:
            data = file.read(MOST + 1)
    except OSError as error:
        raise UsageError(f"{option} @{path}: expected a file that can be read, found '{error.strerror}'.") from error

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        for key, n in Counter(key for key, _ in pairs).items():
            if n > 1:
                raise UsageError(f"{option} @{path}: expected each name once, found '{key}' twice. Leave one out.")
        return dict(pairs)

    try:
        values = parse_json(data, "file") if len(data) <= MOST else None
        if values is not None:
            json.loads(data, object_pairs_hook=once)  # by itself, JSON takes the last of two
    except Mismatch as error:
        raise UsageError(f"{option} @{path}: expected a JSON object of field and value. {error}") from error
    if not isinstance(values, dict) or not values or "" in values:
        raise UsageError(
            f"{option} @{path}: expected a JSON object of field and value, at most {MOST:,} bytes, found something "
            "else. Give it winner.json of: pneumoscope tune"
        )
    return {key: json.dumps(value) for key, value in values.items()}


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on stdout."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    shown = Table(title=title or None, title_justify="left", header_style="bold", expand=False)
    for column in columns:
        shown.add_column(escape(column), overflow="fold")
    for row in rows:
        shown.add_row(*(escape(printable(cell)) for cell in row))
    # without a terminal nothing tells the width, and a table that is cut for 80 columns loses what it says
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 160
    Console(width=width, soft_wrap=False).print(shown)


@contextlib.contextmanager
def progress() -> Iterator[Progress]:
    """A progress function: bars on a terminal, a line every some seconds and at each end elsewhere."""
    if sys.stderr.isatty():
        with _bars() as report:
            yield report
    else:
        yield _lines()


@contextlib.contextmanager
def _bars() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        known = {}

        def report(what: str, done: int, total: int) -> None:
            if what not in known:
                known[what] = bars.add_task(what, total=total or None)
            bars.update(known[what], completed=done)
            if total and done >= total:
                bars.remove_task(known.pop(what))

        yield report


def _lines() -> Progress:
    said: dict[str, float] = {}

    def report(what: str, done: int, total: int) -> None:
        now = time.monotonic()
        last = said.setdefault(what, now)
        ended = bool(total) and done >= total
        if ended or now - last > EVERY:
            say(f"{what}: {done}" + (f" of {total}" if total else ""))
            said[what] = now

    return report
