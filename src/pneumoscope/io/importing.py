"""A public dataset, as its layout reads it -> a folder in our own form: images/, labels.csv and import.json.

slices.csv is there where the set labels single slices. Images, those of a folder of slices too, are hard links where
the file system allows, else copies. Identifiers are written as the layout gives them: nothing is made up for an image
whose patient the set does not name, and what that costs is said.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pneumoscope.core.files import new_folder, write_json
from pneumoscope.core.progress import Progress, silent
from pneumoscope.errors import DataError, UsageError
from pneumoscope.io.contents import folder_problem
from pneumoscope.io.layouts.layout import Entry, Layout, Listing, SliceLabel
from pneumoscope.io.manifest import write_labels
from pneumoscope.io.slice_labels import write_slices

FACTS = "import.json"
_UNFIT = "Check that it is the set as its owner gives it out."


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What an import found; its JSON is import.json.

    expected, found: label -> images, of the release that the layout knows and here. missing, extra: files that the
    set's lists name and that are not here, and images that no list names. notes: what a user must know of this copy.
    """

    layout: str
    title: str
    release: str
    citation: str
    licence: str
    home: str
    patients: str
    traps: tuple[str, ...]
    expected: Mapping[str, int]
    found: Mapping[str, int]
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    notes: tuple[str, ...]


def import_set(layout: Layout, root: Path, out: Path, *, progress: Progress = silent) -> Imported:
    """Write the set in the folder `root` to the new folder `out`.

    Raises:
        UsageError: an `out` that is in use, or inside `root`.
        DataError: a folder that is not this set's, that holds none of its images or one of them twice, or a file
            that is a link, no regular file, outside `root` or unreadable.
        PneumoscopeError: a place that cannot be written.
    """
    root = root.resolve()
    if out.resolve().is_relative_to(root):
        raise UsageError(f"--out: expected a folder outside {root}, found '{out}'. Name another.")
    listing = layout.read(root)
    if not listing.entries:
        raise DataError(f"{root}: expected images of {layout.title}, found none. {layout.obtain}")
    _check_once(listing.entries)
    facts = _facts(layout, listing)
    with new_folder(out) as folder:
        for i, entry in enumerate(listing.entries):
            _bring(root, entry, folder)
            progress("importing", i + 1, len(listing.entries))
        write_labels(folder, [_row(entry) for entry in listing.entries])
        if listing.slices:
            write_slices(folder, [_slice_row(one) for one in listing.slices])
        write_json(folder / FACTS, facts)
    return facts


def _facts(layout: Layout, listing: Listing) -> Imported:
    return Imported(
        layout=layout.name,
        title=layout.title,
        release=listing.release or layout.release,
        citation=layout.citation,
        licence=layout.licence,
        home=layout.home,
        patients=layout.patients,
        traps=layout.traps,
        expected=listing.expected or layout.expected,
        found=dict(sorted(Counter(entry.label for entry in listing.entries).items())),
        missing=listing.missing,
        extra=listing.extra,
        notes=(*listing.notes, *_notes(listing.entries)),
    )


def _check_once(entries: Sequence[Entry]) -> None:
    for file, count in Counter(_plain(entry.file) for entry in entries).items():
        if count > 1:
            raise DataError(f"{file!r}: expected one entry for each file, found {count}. {_UNFIT}")


def _plain(file: str) -> str:
    return str(PurePosixPath(file))


def _bring(root: Path, entry: Entry, folder: Path) -> None:
    """Hard link or copy one file of the set, or all files of one series, to `folder`/images."""
    file, source = entry.file, root / entry.file
    # a path is its own real path where no part of it is a link, and nothing in it leads out
    real = Path(os.path.realpath(source)) if "\0" not in file else root
    if not real.is_relative_to(root) or real != root / PurePosixPath(file):
        raise DataError(
            f"{file!r}: expected a file inside {root}, found a link or a way out. Put the file itself there."
        )
    target = folder / "images" / _plain(file)
    if entry.series:
        _bring_series(real, target, file)
        return
    if not real.is_file():
        found = "no regular file" if real.exists() else "none"
        raise DataError(f"{file!r}: expected a regular file in {root}, found {found}. {_UNFIT}")
    _place(real, target, file)


def _bring_series(source: Path, target: Path, file: str) -> None:
    """All files below the folder `source`, hidden ones left out."""
    problem = folder_problem(source) if source.is_dir() else "that are no folders (check the paths)"
    if problem is not None:
        raise DataError(f"{file!r}: expected a folder with a series, found 1 of those {problem}.")
    for member in _below(source):
        inside = member.relative_to(source)
        _place(member, target / inside, f"{file}/{inside.as_posix()}")


def _below(folder: Path) -> list[Path]:
    """The files that `folder_problem` looked at."""
    found = []
    for place, folders, files in os.walk(folder, followlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(place, name) for name in sorted(files) if not name.startswith(".")]
    return found


def _place(source: Path, target: Path, file: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another file system, one without hard links, or another owner's file: a copy says what is wrong
        _copy(source, target, file)


def _copy(source: Path, target: Path, file: str) -> None:
    try:
        shutil.copyfile(source, target, follow_symlinks=False)
    except OSError as error:
        raise DataError(
            f"{file!r}: expected a file that can be read and copied, found '{error.strerror}'. Check its rights, and "
            "the space there is."
        ) from error


def _row(entry: Entry) -> dict[str, str]:
    return {
        "file": f"images/{_plain(entry.file)}",
        "label": entry.label,
        "patient_id": entry.patient_id or "",
        "group_id": entry.group_id or "",
        "view": entry.view or "",
        "source": entry.source or "",
        "split": entry.split or "",
        "findings": "|".join(entry.findings),
        "original": entry.original,
        "modality": entry.modality,
        "sex": entry.sex,
        "age": entry.age,
        "notes": entry.notes,
    }


def _slice_row(one: SliceLabel) -> dict[str, str]:
    lobes = {lobe: str(int(infected)) for lobe, infected in one.lobes.items()}
    return {"file": f"images/{_plain(one.file)}", "infection": str(int(one.infection)), **lobes}


def _notes(entries: Sequence[Entry]) -> tuple[str, ...]:
    """What the rows as written mean for training."""
    notes = []
    blank = sum(not (entry.patient_id or entry.group_id) for entry in entries)
    if blank == len(entries):
        notes.append("The set names no patients: training asks for --ungrouped, and its report will say so.")
    elif blank:
        notes.append(
            f"{blank} of {len(entries)} images have neither patient_id nor group_id: training refuses the ones whose "
            "label it uses, until labels.csv has a group_id for them or they are taken out of it."
        )
    kinds = Counter(entry.modality for entry in entries)
    if len(kinds) > 1:
        notes.append(
            f"X-ray ({kinds['xray']}) and CT ({kinds['ct']}) stand side by side: the column modality of labels.csv "
            "tells them apart, and training takes the rows of the recipe's modalities."
        )
    return tuple(notes)
