"""slices.csv: which slices of a dataset's series show an infection (design section 4, "A dataset").

Columns `file,infection`: the slice's file as in its series, relative to the dataset's folder, and 1, 0 or blank.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path, PurePosixPath

from pneumoscope.errors import DataError
from pneumoscope.io.manifest import MAX_BYTES, file_problem

NAME = "slices.csv"
_SEEN = {"1": True, "0": False}


def read_slices(root: Path) -> dict[str, bool]:
    """File of a slice -> whether an infection is seen in it, of those that somebody looked at; {} without the file.

    Raises:
        DataError: a file that does not hold together.
    """
    path = root / NAME
    if not path.exists():
        return {}
    if file_problem(root, NAME) is not None or path.stat().st_size > MAX_BYTES:
        raise DataError(f"{path}: expected a regular file of at most {MAX_BYTES} bytes, found another. Write it anew.")
    try:
        rows = list(csv.reader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: expected comma-separated UTF-8, found {error}. Save it as UTF-8.") from error
    columns = [name.strip() for name in rows[0]] if rows else []
    if not {"file", "infection"} <= set(columns):
        raise DataError(f"{path}: expected the columns file and infection, found {', '.join(columns) or 'none'}.")
    file, infection = columns.index("file"), columns.index("infection")
    found: dict[str, bool] = {}
    for line, fields in enumerate(rows[1:], 2):
        if not any(fields):
            continue
        if len(fields) != len(columns) or fields[infection].strip() not in ("", *_SEEN):
            raise DataError(
                f"{path} line {line}: expected {len(columns)} fields, infection 1, 0 or blank, found others."
            )
        name, said = str(PurePosixPath(fields[file].strip())), _SEEN.get(fields[infection].strip())
        if said is not None and found.setdefault(name, said) != said:
            raise DataError(f"{path} line {line}: expected one answer a slice, found another than before for '{name}'.")
    return found
