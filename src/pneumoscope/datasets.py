"""The public datasets: what is known, fetching what is free, bringing a download into our form, describing a folder.

A second leaf of the door that `api` is: in the same layer, and the apps use no other two.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pneumoscope.core.files import new_folder, write_json, write_text
from pneumoscope.core.progress import Progress, silent
from pneumoscope.errors import DataError

if TYPE_CHECKING:
    from pneumoscope.io.describe import Description
    from pneumoscope.io.importing import Imported


def list_layouts() -> list[dict[str, Any]]:
    """Every known public dataset: the fields of its Layout but the function that reads it, sorted by name.

    can_be_fetched: whether `fetch_data` has files of it. digest_published: whether the publisher states the SHA-256 of
    each; None where there is nothing to fetch.
    """
    from pneumoscope.io.layouts import layouts

    known = [layouts().resolve(name) for name in sorted(layouts())]
    return [
        {f.name: getattr(set_, f.name) for f in dataclasses.fields(set_) if f.name != "read"}
        | {
            "can_be_fetched": bool(set_.remote),
            "digest_published": all(file.sha256 for file in set_.remote) if set_.remote else None,
        }
        for set_ in known
    ]


def import_data(name: str, root: str | Path, *, out: Path, progress: Progress = silent) -> Imported:
    """Bring the dataset `name`, as downloaded to the folder `root`, into our form in the new folder `out`.

    Raises:
        UsageError: no such dataset, or an `out` in use.
        DataError: a folder that is not this set's.
    """
    from pneumoscope.io.importing import import_set
    from pneumoscope.io.layouts import layouts

    return import_set(layouts().resolve(name), Path(root), out, progress=progress)


def fetch_data(
    name: str, *, out: Path, digests: Mapping[str, str] | None = None, progress: Progress = silent
) -> tuple[Path, ...]:
    """Download what may be downloaded freely of the dataset `name` into `out`; a call that was stopped goes on.

    digests: file -> SHA-256 (hex) that the user vouches for, for files whose own is not published.

    Raises:
        UsageError: no such dataset, or a digest that is malformed or of no such file.
        DataError: a set that needs a form or a login, or a network that does not give the file.
        IntegrityError: another file than the expected one; or one without a digest, which then lies unverified beside
            its place: the message has its SHA-256, and a second call with it in `digests` takes the file.
    """
    from pneumoscope.io.fetch import fetch
    from pneumoscope.io.layouts import layouts

    found = layouts().resolve(name)
    if not found.remote:
        raise DataError(
            f"{name}: expected a set with files that can be fetched and checked, found none. {found.obtain} "
            f"Home: {found.home} Then: pneumoscope data import {name} DIR --out OUT"
        )
    return fetch(found.remote, out, digests=digests or {}, progress=progress)


def describe_data(root: str | Path, *, out: Path | None = None, progress: Progress = silent) -> Description:
    """Describe a folder with labels.csv; `out` is a new folder for description.json and report.html.

    Raises:
        DataError: no labels.csv, or one that does not hold together.
        UsageError: an `out` in use.
    """
    from pneumoscope.io.describe import describe
    from pneumoscope.report.data import data_report

    if out is None:
        return describe(Path(root), progress=progress)
    with new_folder(out) as folder:  # before the work: an `out` in use is known at once
        description = describe(Path(root), progress=progress)
        write_json(folder / "description.json", description)
        write_text(folder / "report.html", data_report(description))
    return description
