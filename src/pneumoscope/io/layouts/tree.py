"""What layouts read folders with: images under a folder, tables of strangers, and what is missing or too many."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from pneumoscope.errors import DataError

IMAGES = (".png", ".jpg", ".jpeg", ".dcm", ".bmp", ".tif", ".tiff", ".gif")
MAX_BYTES = 256 * 2**20


def images(root: Path, *, suffixes: Sequence[str] = IMAGES) -> tuple[str, ...]:
    """Files under `root` that are named as images, relative to it with `/`, sorted; links and hidden files left out."""
    found = []
    endings = tuple(suffixes)
    for folder, folders, files in os.walk(root, followlinks=False):
        folders[:] = sorted(f for f in folders if not f.startswith((".", "__MACOSX")))
        start = Path(folder).relative_to(root).as_posix() + "/"
        start = "" if start == "./" else start
        for file in files:  # a set may have 100,000: no Path for each
            if file.lower().endswith(endings) and not file.startswith(".") and not os.path.islink(f"{folder}/{file}"):
                found.append(start + file)
    return tuple(sorted(found))


def table(path: Path, columns: Iterable[str]) -> list[dict[str, str]]:
    """The rows of a CSV file with a header, stripped; `columns` must be there.

    Raises:
        DataError: no such file, one that is too large or not a table, or a column that is not there.
    """
    try:
        rows = list(csv.reader(io.StringIO(text(path), newline=""), skipinitialspace=True))
    except csv.Error as error:
        raise DataError(f"{path.name}: expected a table, found '{error}'. Download it again.") from error
    head = [name.strip() for name in rows[0]] if rows else []
    lacking = [name for name in columns if name not in head]
    if lacking:
        raise DataError(
            f"{path.name}: expected the columns {', '.join(columns)}, found none called '{lacking[0]}'. "
            "Check that this is the set it should be."
        )
    return [
        {name: value.strip() for name, value in zip(head, row, strict=False)}  # some sets' rows are short
        for row in rows[1:]
        if any(row)
    ]


def text(path: Path) -> str:
    """A list of the set's, as text: UTF-8, or Latin-1 where it is not.

    Raises:
        DataError: no such file, or one above 256 MiB.
    """
    if not path.is_file():
        raise DataError(f"{path}: expected a file of this set, found none. Point at the folder as it was downloaded.")
    if path.is_symlink():  # it may lead out of the set's folder
        raise DataError(f"{path}: expected a file, found a link. Put the file itself there.")
    if path.stat().st_size > MAX_BYTES:
        raise DataError(f"{path}: expected at most {MAX_BYTES} bytes, found {path.stat().st_size}.")
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def compare(named: Iterable[str], here: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Files that are named and not here, and files that are here and not named; both sorted."""
    wanted, found = set(named), set(here)
    return tuple(sorted(wanted - found)), tuple(sorted(found - wanted))


def home(root: Path, is_home: Callable[[Path], bool], *, expected: str) -> Path:
    """The folder of the set: `root`, or the only folder at most two levels below it, for which `is_home` holds.

    Raises:
        DataError: there is none, or there are several beside each other. `expected` says what was looked for.
    """
    level = [root]
    for _ in range(3):
        found = [folder for folder in level if is_home(folder)]
        if len(found) == 1:
            return found[0]
        if found:
            raise DataError(f"{root}: expected one copy of the set, found {len(found)}. Point at one of them.")
        level = [below for folder in level for below in _folders(folder)]
    raise DataError(f"{root}: expected {expected}, found neither there nor below. Point at the folder as downloaded.")


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir() or not os.access(folder, os.R_OK | os.X_OK):  # what cannot be read is not the set
        return []
    return sorted(
        f for f in folder.iterdir() if f.is_dir() and not f.is_symlink() and not f.name.startswith((".", "__MACOSX"))
    )


def below(root: Path, folder: Path, files: Iterable[str]) -> list[tuple[str, str]]:
    """Those of `files` (relative to `root`) that lie under `folder`, each with its path relative to `folder`."""
    prefix = "" if folder == root else folder.relative_to(root).as_posix() + "/"
    return [(file, file.removeprefix(prefix)) for file in files if file.startswith(prefix)]


def is_plain(name: str) -> bool:
    """Whether `name`, from a list of strangers, is a file's name and nothing else: no folder, nothing invisible."""
    return name.isprintable() and name not in ("", ".", "..") and not set(name) & set("/\\:")


def in_several_parts(pairs: Iterable[tuple[str | None, str | None]]) -> int:
    """How many patients (or groups) have images in more than one official part, of pairs (patient, part)."""
    parts: dict[str, set[str]] = {}
    for patient, part in pairs:
        if patient and part:
            parts.setdefault(patient, set()).add(part)
    return sum(len(found) > 1 for found in parts.values())
