"""Zip archives from strangers: read member by member into memory, nothing is extracted to disk.

An archive is refused whole when anything in its directory is wrong: names that leave the archive, encryption,
more members, bytes or compression than any set of images has. Limits are in APPNOTE.TXT's terms (4.3.12).
"""

from __future__ import annotations

import io
import re
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pneumoscope.errors import InputError
from pneumoscope.io.foreign import MAX_BYTES, named

MAX_MEMBERS = 100_000
MAX_TOTAL = 8 * 2**30  # bytes, uncompressed
MAX_RATIO = 200  # of members above `RATIO_FROM` bytes; DEFLATE can reach 1032
RATIO_FROM = 2**20
MAX_DIRECTORY = 32 * 2**20  # bytes that zipfile may take at once, which bounds its list of members

_ADVICE = "Make the archive again, from the images alone."


class _Bounded(io.BufferedReader):
    """A file that hands zipfile no more at once than an honest directory of members needs.

    zipfile reads the whole directory in one call and makes an object of each entry, before it can be asked how
    many there are.
    """

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > MAX_DIRECTORY:
            raise zipfile.BadZipFile("directory too large")
        data = super().read(size)
        if data.count(b"PK\1\2") > MAX_MEMBERS:
            raise InputError(f"{self.name}: expected at most {MAX_MEMBERS:,} members, found more. {_ADVICE}")
        return data


@contextmanager
def open_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """A zip archive all of whose directory was checked.

    Raises:
        InputError: no zip, damaged, or refused for what its directory says.
    """
    with named(str(path), "a whole zip archive", _ADVICE):
        file = _Bounded(io.FileIO(path))
    with file:
        with named(str(path), "a whole zip archive", _ADVICE):
            archive = zipfile.ZipFile(file)
        with archive:
            _check(archive, str(path), path.stat().st_size)
            yield archive


def members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The files in the archive, by name; folders and hidden files (`.x`, `__MACOSX`) left out."""
    infos = [i for i in archive.infolist() if not i.is_dir() and not _hidden(i.filename)]
    return sorted(infos, key=lambda i: i.filename)


def read_member(archive: zipfile.ZipFile, name: str, most: int | None = None) -> bytes:
    """The bytes of one member, or the first `most` of them.

    Raises:
        InputError: damaged, or not of the size that the directory states.
    """
    info = archive.getinfo(name)
    what = f"{archive.filename}!{shown(name)}"
    with named(what, "a whole member of a zip archive", _ADVICE), archive.open(info) as member:
        data = member.read(MAX_BYTES + 1 if most is None else most)
    if most is None and len(data) != info.file_size:
        raise InputError(f"{what}: expected {info.file_size:,} bytes, found {len(data):,}. {_ADVICE}")
    return data


def shown(name: str) -> str:
    """A name that is safe to print: control characters replaced, so that a message stays one line."""
    return "".join(c if c.isprintable() else "?" for c in name)[:1000]


def _hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def _check(archive: zipfile.ZipFile, name: str, size: int) -> None:
    infos = archive.infolist()
    if len(infos) > MAX_MEMBERS:
        raise InputError(f"{name}: expected at most {MAX_MEMBERS:,} members, found {len(infos):,}. {_ADVICE}")
    if len({i.filename for i in infos}) != len(infos):
        raise InputError(f"{name}: expected each member's name once, found a name twice. {_ADVICE}")
    total = sum(i.file_size for i in infos)
    if total > MAX_TOTAL:
        raise InputError(f"{name}: expected at most 8 GiB of content, found {total / 2**30:.1f} GiB. {_ADVICE}")
    for info in infos:
        rule, found = _fault(info, size)
        if rule:
            raise InputError(f"{name}!{shown(info.filename)}: expected {rule}, found {found}. {_ADVICE}")


def _fault(info: zipfile.ZipInfo, archive_size: int) -> tuple[str, str]:
    """What is wrong with one entry of the directory, as (rule, found); empty where nothing is."""
    name = info.orig_filename
    parts = re.split(r"[/\\]", name)
    if name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", name):
        return "a name inside the archive", "an absolute path"
    if ".." in parts or "\0" in name:
        return "a name inside the archive", "a path that leaves it"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "a file", "a symbolic link"
    if info.flag_bits & 0x1:
        return "an open archive", "an encrypted member"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "a stored or deflated member", f"compression method {info.compress_type}"
    if info.file_size > MAX_BYTES:
        return f"at most {MAX_BYTES // 2**20} MiB", f"{info.file_size / 2**20:,.0f} MiB"
    if info.compress_size > archive_size:
        return "a member no larger than its archive", f"{info.compress_size:,} bytes"
    if info.file_size > RATIO_FROM and info.file_size > MAX_RATIO * info.compress_size:
        return f"compression up to {MAX_RATIO} times", f"{info.file_size / max(info.compress_size, 1):,.0f} times"
    return "", ""
