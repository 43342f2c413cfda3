"""What is wrong with labelled images before any model is asked: `pneumoscope audit`, a door beside `api`.

The leak part needs the base install only.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from pneumoscope.audit import gather as gathering
from pneumoscope.audit import look as looking
from pneumoscope.audit.findings import audit_of
from pneumoscope.audit.sets import with_shortcuts
from pneumoscope.core.audit import Audit
from pneumoscope.core.files import new_folder, write_json, write_text
from pneumoscope.core.progress import Progress, silent


def audit(
    data: Sequence[str | Path],
    *,
    out: Path,
    mapping: Mapping[str, str] | None = None,
    bundle: str | None = None,
    progress: Progress = silent,
) -> Audit:
    """Look for leaks in labelled folders, and for what goes with the labels: `out` gets audit.json and report.html.

    data: folders with labels.csv; every row counts, whatever its label; a file that cannot be read is named. mapping:
    label -> label, of all folders. bundle: what of the data it has learned from is said, too.

    Raises:
        DataError: no labels.csv, or one that does not hold together.
        UsageError: a folder given twice, a mapping of a label that occurs nowhere, or an `out` in use.
        BundleError, IntegrityError: a bundle that cannot be read.
    """
    from pneumoscope import bundle as bundles
    from pneumoscope.report.audit import audit_report, shown_files

    with new_folder(out) as folder:  # before the work: an `out` in use is known at once
        known = None if bundle is None else bundles.load(bundle)
        start = time.monotonic()
        root, items = gathering.gather([Path(d) for d in data], mapping or {})
        looked = looking.look(items, progress=progress)
        seconds = {"reading files": round(time.monotonic() - start, 2)}
        found = audit_of(looked, mapping=mapping or {}, bundle=known, seconds=seconds, progress=progress)
        labelled = gathering.dataset(root, [s for s in looked.samples if s.digest])
        found = with_shortcuts(found, labelled, known, progress)
        write_json(folder / "audit.json", found)
        paths = {item.file: item.path for item in items}
        pictures = {file: looking.read_grey(paths[file]) for file in shown_files(found)}
        write_text(folder / "report.html", audit_report(found, pictures=pictures))
    return found
