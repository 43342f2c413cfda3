"""The door: a path, a folder or a zip archive to studies. Content decides, not the suffix.

Finding is separate from reading, so that one study at a time is in memory, and so that a path's list of what is
there, and of what was passed over and why, can be shown before anything is judged.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from zipfile import ZipFile

from pneumoscope.core.study import Source, Study, pseudonym
from pneumoscope.errors import InputError
from pneumoscope.io.archive import members, open_archive, read_member, shown
from pneumoscope.io.dicom import Facts, facts_of, is_dicom, read_dicom, read_facts
from pneumoscope.io.files import read_image
from pneumoscope.io.foreign import MAX_BYTES, named
from pneumoscope.io.found import Found, as_found, at_folders, some
from pneumoscope.io.nifti import read_nifti
from pneumoscope.io.sniff import HEAD, sniff
from pneumoscope.io.studies import Member, by_series, choose, numbered
from pneumoscope.io.volume import read_series

_KINDS = "PNG, JPEG, DICOM, NIfTI or a zip or folder of these"
_GIVE = "Give a chest X-ray or a chest CT."
_FILES = ("png", "jpeg", "nifti")  # formats of which each file is a study


@dataclass(frozen=True, kw_only=True)
class Discovery:
    """What a path holds. ignored: (path as shown, why), one for each file that is no part of a study."""

    found: tuple[Found, ...]
    ignored: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Item:
    """A file or a member before it is known what it is; `read(n)` gives its first n bytes, None all.

    reason: why it is not even looked at, "".
    """

    path: str
    file: Path
    read: Callable[[int | None], bytes]
    member: str | None = None
    reason: str = ""


def discover(path: Path, *, series_uid: str | None = None) -> Discovery:
    """The studies at `path`, a file, a folder or a zip archive; with `series_uid` only those of that series.

    Raises:
        InputError: nothing usable at the path, or not the series that was asked for.
    """
    if _kind(path) == "folder":
        return _sift(_folder_items(path), str(path), series_uid)
    item = _Item(path=str(path), file=path, read=lambda most: _read_file(path, most))
    what = sniff(item.read(HEAD))
    if what == "zip":
        with open_archive(path) as archive:
            return _sift(_members(archive, path), str(path), series_uid)
    return Discovery(found=(_single(item, what, series_uid),))


def read(found: Found) -> Study:
    """The study that was found.

    Raises:
        InputError: damaged, refused, or gone since it was found.
    """
    if found.problem:
        raise InputError(found.problem)
    source = Source(path=found.path, format=found.format, series_uid=found.series_uid, rule=found.rule)
    if found.slices:
        return _read_series(found, source)
    data = _bytes(found)
    by_content = pseudonym(hashlib.sha256(data).hexdigest(), "s")
    if found.format == "nifti":
        return Study(key=by_content, source=source, volume=read_nifti(data, found.path), warnings=found.warnings)
    if found.format != "dicom":
        return Study(key=by_content, source=source, images=(read_image(data, found.path),), warnings=found.warnings)
    image, facts = read_dicom(data, found.path)
    return Study(
        key=_key(facts) or by_content,
        source=source,
        images=(image,),
        patient=facts.patient,
        headers=facts.headers,
        warnings=found.warnings,
    )


def _read_series(found: Found, source: Source) -> Study:
    first = found.slices[0].facts
    with ExitStack() as stack:
        if found.member is None:
            volume = read_series(found.slices, lambda m: _read_file(m.file), found.path)
        else:
            archive = stack.enter_context(open_archive(found.file))
            volume = read_series(found.slices, lambda m: _read_member(archive, m), found.path)
    return Study(
        key=_key(first),  # a series without any UID would be no series (`studies.choose`)
        source=source,
        volume=volume,
        patient=first.patient,
        headers=first.headers,
        warnings=found.warnings,
    )


def _key(facts: Facts) -> str:
    """A pseudonym of patient, study and series, "" where the file names neither study nor series."""
    if not facts.study_uid and not facts.series_uid:
        return ""
    return pseudonym("\n".join((facts.patient or "", facts.study_uid, facts.series_uid)), "s")


def load_study(path: Path, *, series_uid: str | None = None) -> Study:
    """The one study at `path`.

    Raises:
        InputError: none, or several, which are then named.
    """
    return read(only(discover(path, series_uid=series_uid), path))


def only(discovery: Discovery, path: Path) -> Found:
    """The one study that was found at `path`.

    Raises:
        InputError: there are several, which are then named.
    """
    found = discovery.found
    if len(found) > 1:
        raise InputError(
            f"{path}: expected one study, found {len(found)}: {some([f.path for f in found])}. Give one of them."
        )
    return found[0]


def _kind(path: Path) -> str:
    """The word "file" or "folder"; all else is refused before it is opened: opening a pipe would wait for ever."""
    with named(str(path), _KINDS, "Check the path and its permissions."):
        mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        return "folder"
    if not stat.S_ISREG(mode):
        raise InputError(f"{path}: expected a file or a folder, found {_special(mode)}. {_GIVE}")
    return "file"


def _special(mode: int) -> str:
    kinds = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFBLK: "a device", stat.S_IFCHR: "a device"}
    return kinds.get(stat.S_IFMT(mode), "something else")


def _read_file(path: Path, most: int | None = None) -> bytes:
    with named(str(path), "a readable file", "Check the path and its permissions."), path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > MAX_BYTES:
            raise InputError(f"{path}: expected at most {MAX_BYTES // 2**20} MiB, found {size // 2**20:,}. {_GIVE}")
        data = file.read(MAX_BYTES if most is None else most)
    return data


def _bytes(found: Found) -> bytes:
    if found.member is None:
        return _read_file(found.file)
    with open_archive(found.file) as archive, named(found.path, "a member of the archive", "Was it changed?"):
        return read_member(archive, found.member)


def _read_member(archive: ZipFile, member: Member) -> bytes:
    with named(member.path, "a member of the archive", "Was it changed?"):
        return read_member(archive, member.member or "")


def _single(item: _Item, what: str, series_uid: str | None) -> Found:
    """One file by itself: it is read, or the error says what it is."""
    if what in _FILES:
        if series_uid is not None:
            raise InputError(f"{item.path}: expected DICOM of series '{series_uid}', found {what}. Ask for no series.")
        return _as_file(item, what)
    part = _dicom_part(item, what)
    if part is None:
        raise InputError(f"{item.path}: expected {_KINDS}, found {_named(what)}. {_GIVE}")
    return as_found(choose(_of_series([part], item.path, series_uid))[0], asked=False)


def _as_file(item: _Item, what: str) -> Found:
    rule = "the only scan" if what == "nifti" else "the only image"
    return Found(path=item.path, format=what, file=item.file, member=item.member, rule=rule)


def _sift(items: Iterator[_Item], path: str, series_uid: str | None) -> Discovery:
    """Each item is a study, a part of one, or ignored with a reason."""
    found: list[Found] = []
    parts: list[Member] = []
    ignored: list[tuple[str, str]] = []
    unread: list[tuple[str, str]] = []  # of `ignored`, DICOM
    for item in items:
        what = ""
        try:
            what = item.reason or sniff(item.read(HEAD))
            part = _dicom_part(item, what)
        except InputError as error:
            ignored.append((item.path, str(error).removeprefix(item.path).lstrip(":, ")))
            unread += ignored[-1:] if what == "dicom" else []
            continue
        if part is not None:
            parts.append(part)
        elif what in _FILES and series_uid is None:
            found.append(_as_file(item, what))
        else:
            ignored.append((item.path, item.reason or _not_read(what)))
    wanted = _of_series(parts, path, series_uid)
    kept = {part.path for part in wanted}
    ignored += [(part.path, "of another series than the one asked for") for part in parts if part.path not in kept]
    series = at_folders([as_found(choice, asked=series_uid is not None) for choice in choose(wanted)])
    found += [_with_unread(one, unread) for one in series]
    if not found:
        raise InputError(f"{path}: expected {_KINDS}, found {_counts(ignored)}. {_GIVE}")
    return Discovery(found=tuple(sorted(found, key=lambda f: f.path)), ignored=tuple(ignored))


def _with_unread(found: Found, unread: Sequence[tuple[str, str]]) -> Found:
    """A series with a warning where DICOM files among its slices could not be read: they may be slices of it."""
    folders = {os.path.dirname(member.path) for member in found.slices}
    why = [reason for path, reason in unread if os.path.dirname(path) in folders]
    if not why:
        return found
    said = f"{len(why)} DICOM file(s) among its slices were not read and may be slices of it, the first one: {why[0]}"
    return replace(found, warnings=(*found.warnings, said))


def _dicom_part(item: _Item, what: str) -> Member | None:
    """The item as DICOM, or None where it is none.

    Raises:
        InputError: DICOM that cannot be read.
    """
    if what not in ("dicom", "maybe dicom"):
        return None
    if what == "dicom":
        facts = facts_of(item.read, item.path)
    else:
        data = item.read(None)
        if not is_dicom(data):
            return None
        facts = read_facts(data, item.path)
    return Member(path=item.path, facts=facts, file=item.file, member=item.member)


def _of_series(parts: list[Member], path: str, series_uid: str | None) -> list[Member]:
    """The parts of the series asked for; never of another."""
    if series_uid is None:
        return parts
    series = by_series(parts)
    if series_uid in series:
        return series[series_uid]
    here = [
        f"{numbered(s[0])} ({s[0].facts.headers.get('Modality', 'none')}, {len(s)} files, {uid or 'no UID'})"
        for uid, s in series.items()
    ]
    raise InputError(
        f"{path}: expected series '{series_uid[:64]}', found {len(here)} series: {some(here, 20) or 'none'}. "
        "Give one of these."
    )


def _members(archive: ZipFile, path: Path) -> Iterator[_Item]:
    for info in members(archive):
        name = info.filename
        yield _Item(path=f"{path}!{shown(name)}", file=path, member=name, read=partial(read_member, archive, name))


def _folder_items(root: Path) -> Iterator[_Item]:
    """All files below `root`, by name, hidden ones left out; links are followed inside `root` alone, and once."""
    top = os.path.realpath(root)
    seen, stack = {top}, [root]
    while stack:
        folder = stack.pop()
        try:
            paths = sorted(p for p in folder.iterdir() if not p.name.startswith("."))
        except OSError as error:
            yield _refused(folder, f"an unreadable folder ({error.strerror})")
            continue
        below = []
        for path in paths:
            real = os.path.realpath(path)
            reason = _link_fault(path, real, top, seen)
            seen.add(real)
            if not reason and os.path.isdir(real):
                below.append(path)
            elif reason or not os.path.isfile(real):
                yield _refused(path, reason or _special(os.stat(real).st_mode))
            else:
                yield _Item(path=shown(str(path)), file=path, read=partial(_read_file, path))
        stack += reversed(below)


def _link_fault(path: Path, real: str, top: str, seen: set[str]) -> str:
    if real != top and not real.startswith(top.rstrip(os.sep) + os.sep):
        return "a link that leads out of the folder"
    if not os.path.exists(real):
        return "a link to nothing"
    return "a link to what is read already" if real in seen else ""


def _refused(path: Path, reason: str) -> _Item:
    return _Item(path=shown(str(path)), file=path, read=partial(_read_file, path), reason=reason)


def _named(what: str) -> str:
    return "an unknown format" if what == "maybe dicom" else what


def _not_read(what: str) -> str:
    if what == "zip":
        return "an archive inside a folder or an archive, which is not opened"
    if what in _FILES:
        return "of no series, and one was asked for"
    return f"{_named(what)}, no image that is read"


def _counts(ignored: list[tuple[str, str]]) -> str:
    """How many files were ignored, by reason without its advice."""
    if not ignored:
        return "no files"
    reasons = Counter(why.split(". ")[0] for _, why in ignored)
    return f"{len(ignored)} files of none: " + some([f"{n} x {why}" for why, n in reasons.most_common()], 5)
