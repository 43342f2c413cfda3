"""A row of labels.csv may name a folder or a zip that holds a series: which files are in it, and one digest for all.

The folder is input from strangers: links are refused, and files are counted before any is read.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from zipfile import ZipFile, ZipInfo

from pneumoscope.errors import InputError
from pneumoscope.io.archive import MAX_TOTAL, members, open_archive
from pneumoscope.io.foreign import named
from pneumoscope.io.sniff import HEAD, sniff

MAX_FILES = 10_000  # a series of 4,096 slices, and what lies beside it


def folder_problem(folder: Path) -> str | None:
    """Why a folder may not be opened as a series, to follow "found n files"; None where it may."""
    count = total = 0
    try:
        for path in _entries(folder):
            found = path.lstat()
            if not stat.S_ISREG(found.st_mode):
                return "that are folders with links or special files in them (copy the files there)"
            count, total = count + 1, total + found.st_size
            if count > MAX_FILES or total > MAX_TOTAL:
                return (
                    f"that are folders of more than {MAX_FILES:,} files or {MAX_TOTAL // 2**30} GiB (name one series)"
                )
    except OSError:
        return "that are folders which cannot be read (check their rights)"
    return None if count else "that are empty folders (copy the series there)"


def inside_another(files: Sequence[str]) -> str | None:
    """The first of several paths that lies in another of them: the same slices under two labels. None without any."""
    named = {PurePosixPath(file) for file in files}
    return next((file for file in files if not named.isdisjoint(PurePosixPath(file).parents)), None)


def digests_of(path: Path) -> tuple[str, tuple[str, ...]]:
    """SHA-256 of a file, or of the sorted digests of all files in a folder or a zip archive, whatever their names.

    And those digests, none for a file. So a series is the same one in a folder and in an archive. An archive that is
    refused when it is read is a file like others here.

    Raises:
        OSError: something that cannot be read.
    """
    if path.is_dir():
        return _together(_digest(member) for member in _entries(path))
    with path.open("rb") as opened:
        kind = sniff(opened.read(HEAD))
    return (_digest_of_zip(path) if kind == "zip" else None) or (_digest(path), ())


def _digest(path: Path) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _digest_of_zip(path: Path) -> tuple[str, tuple[str, ...]] | None:
    """The digests of an archive's members, one after another and never whole; None where it is refused or damaged."""
    try:
        with open_archive(path) as archive:
            return _together(_digest_of_member(archive, info) for info in members(archive))
    except InputError:
        return None


def _digest_of_member(archive: ZipFile, info: ZipInfo) -> str:
    digest = hashlib.sha256()
    with named(f"{archive.filename}", "a whole zip archive"), archive.open(info) as member:
        while block := member.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _together(digests: Iterable[str]) -> tuple[str, tuple[str, ...]]:
    found = tuple(sorted(digests))
    return hashlib.sha256("\n".join(found).encode()).hexdigest(), found


def _entries(folder: Path) -> Iterator[Path]:
    """All files, links and special files below `folder`, hidden ones left out, as when it is read as a study."""

    def stop(error: OSError) -> None:
        raise error

    for root, folders, files in os.walk(folder, onerror=stop):
        below = [name for name in folders if not name.startswith(".")]
        links = [name for name in below if os.path.islink(os.path.join(root, name))]
        folders[:] = [name for name in below if name not in links]
        yield from (Path(root, name) for name in (*files, *links) if not name.startswith("."))
