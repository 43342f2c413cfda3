"""A study that was found at a path: what is read of it, how it is named, and why it is refused if it is."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pneumoscope.io.archive import shown
from pneumoscope.io.studies import Choice, Member, derived, is_localizer


@dataclass(frozen=True, kw_only=True)
class Found:
    """One study that can be read.

    path: as the user named it, plus `/name` in a folder or `!member` of an archive; of a series the folder, unless
    another study lies there too. format: "png", "jpeg", "dicom", "nifti". rule: why this image or series and no other.
    file, member: where its bytes are, of a series its first file's. slices: files of a series that makes a volume.
    problem: why reading it is refused, "".
    """

    path: str
    format: str
    file: Path
    member: str | None = None
    series_uid: str | None = None
    rule: str = "the only image"
    slices: tuple[Member, ...] = ()
    warnings: tuple[str, ...] = ()
    problem: str = ""


def as_found(choice: Choice, *, asked: bool) -> Found:
    """What a choice stands for; `asked`: its series was asked for by its UID."""
    chosen, count = choice.chosen, len(choice.slices)
    warnings: tuple[str, ...] = ()
    if choice.others:
        warnings = (f"Of this study {len(choice.others)} more were not read: {some(choice.others)}.",)
    series = chosen.facts.modality == "ct" and count > 1
    if series and derived(chosen.facts) == 2:
        kind = "\\".join(chosen.facts.image_type[:4])
        warnings = (*warnings, f"The series is derived from other images (ImageType {kind}), not as it was scanned.")
    return Found(
        path=chosen.path,
        format="dicom",
        file=chosen.file,
        member=chosen.member,
        series_uid=chosen.facts.series_uid or None,
        rule="the series that was asked for" if asked and series else choice.rule,
        slices=choice.slices if series else (),
        warnings=warnings,
        problem=_problem(choice) if series else "",
    )


def _problem(choice: Choice) -> str:
    """Why a series makes no volume of a chest, "" where it does; its slices may still be read one by one."""
    facts, count = choice.chosen.facts, len(choice.slices)
    what = f"{choice.chosen.path}: CT series of {count} slices: "
    if any(is_localizer(m.facts) for m in choice.slices):
        return f"{what}expected slices, found a localizer. Give a CT series."
    if facts.view in ("coronal", "sagittal"):
        return f"{what}expected an axial series, found a {facts.view} one. Give the axial series that it was made of."
    return ""


def at_folders(found: list[Found]) -> list[Found]:
    """Each series named by the folder that holds all of its slices, where no other study has that name."""
    folders = [_folder_of(f) if f.slices else f.path for f in found]
    once = Counter(folders)
    return [
        replace(f, path=folder) if f.slices and once[folder] == 1 else f
        for f, folder in zip(found, folders, strict=True)
    ]


def _folder_of(found: Found) -> str:
    """The longest common folder, in a directory or in an archive, of a series' slices."""
    if found.member is None:
        return os.path.commonpath([os.path.dirname(m.path) for m in found.slices]) or "."
    inside = os.path.commonpath([os.path.dirname(m.member or "") for m in found.slices])
    return f"{found.file}!{shown(inside)}" if inside else str(found.file)


def some(names: Sequence[str], most: int = 5) -> str:
    """The first of several names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
