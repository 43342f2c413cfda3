"""slices.csv beside labels.csv: which slices of a series show an infection (design section 4, "A dataset").

Columns `file` and `infection`: 1, 0, or blank where nobody looked; others, such as the lobes of COVID-CT-MD, are kept
when it is written and passed over when it is read.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from pneumoscope.core.files import write_bytes
from pneumoscope.errors import DataError
from pneumoscope.io.manifest import file_problem

NAME = "slices.csv"
MAX_BYTES = 256 * 2**20
_VALUES = {"1": True, "0": False, "": None}


def read_slices(root: Path) -> dict[str, bool]:
    """File, relative to `root` and with `/` -> whether it shows an infection; those with a blank are left out.

    Empty where there is no slices.csv.

    Raises:
        DataError: a slices.csv that is a link or does not hold together.
    """
    path = root / NAME
    if not path.exists() and not path.is_symlink():
        return {}
    if path.is_symlink() or file_problem(root.resolve(), NAME) is not None:
        raise DataError(f"{path}: expected a regular file, found another. Put the file itself there.")
    if path.stat().st_size > MAX_BYTES:
        raise DataError(f"{path}: expected at most {MAX_BYTES} bytes, found {path.stat().st_size}. Split the set.")
    try:
        text = path.read_bytes().decode("utf-8-sig")
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
        rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: expected comma-separated values in UTF-8, found others. Save it anew.") from error
    if not {"file", "infection"} <= set(reader.fieldnames or ()):
        raise DataError(f"{path}: expected the columns file and infection, found others. Rename them.")
    return _values(path, rows)


def _values(path: Path, rows: Sequence[Mapping[str, str | None]]) -> dict[str, bool]:
    found: dict[str, bool | None] = {}
    for number, row in enumerate(rows, start=2):
        file, said = (row["file"] or "").strip(), (row["infection"] or "").strip()
        if not file or said not in _VALUES:
            what = "a file, found a blank" if not file else f"infection of 1, 0 or blank, found {said[:20]!r}"
            raise DataError(f"{path} row {number}: expected {what}. Correct the row.")
        name = str(PurePosixPath(file))
        if name in found:
            raise DataError(f"{path} row {number}: expected each file once, found it twice. Remove one of the rows.")
        found[name] = _VALUES[said]
    return {name: value for name, value in found.items() if value is not None}


def write_slices(out: Path, rows: Sequence[Mapping[str, str]]) -> None:
    """Write `out`/slices.csv, whole or not at all: the columns of all rows, file and infection first.

    Raises:
        DataError: no rows.
    """
    if not rows:
        raise DataError(f"{NAME}: expected rows with file and infection, found none.")
    columns = list(dict.fromkeys(["file", "infection", *(name for row in rows for name in row)]))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, restval="")
    writer.writeheader()
    writer.writerows(rows)
    write_bytes(out / NAME, text.getvalue().encode())
