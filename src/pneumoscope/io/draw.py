"""Assembling a role's data as a paper did: which files of which findings, how many of each, drawn by a seed.

No file is opened: NIH has 112,120 of them, of which a paper takes a thousand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from pneumoscope.core.dataset import ClassSet, Dataset
from pneumoscope.core.role import Draw, Role
from pneumoscope.errors import DataError
from pneumoscope.io.manifest import Candidate, candidates


def draw(
    roots: Sequence[Path],
    role: Role,
    classes: ClassSet,
    *,
    mapping: Mapping[str, str],
    modalities: Sequence[str],
    others: Sequence[Dataset],
    say: Callable[[str], None],
) -> dict[Path, dict[int, str]]:
    """For each folder: line of its labels.csv -> class.

    A role without draws takes every row whose label is a class. mapping: label -> class, given by the user: such rows
    are taken for that class, all of them. others: what stands in other roles already; its patients and files are not
    drawn. say: told where fewer files than asked for are there, and what was left out for `others`.

    Raises:
        DataError: a draw that finds nothing, or a labels.csv that does not hold together.
    """
    rows = [row for root in roots for row in candidates(root, modalities)]
    # in the order of the files: that of the rows and of the folders must not change what is drawn
    rows.sort(key=lambda row: (row.file, row.label, row.group or ""))
    taken = {sample.group for other in others for sample in other.samples}
    used = {str(Path(other.root) / sample.file) for other in others for sample in other.samples}
    free = [row for row in rows if row.group not in taken and str(row.root.resolve() / row.file) not in used]
    if len(free) < len(rows):
        say(f"role {role.name}: {len(rows) - len(free)} files are of patients of another role, and left out.")
    chosen: dict[Path, dict[int, str]] = {root: {} for root in roots}
    named = dict(mapping) if role.draws else {name: name for name in classes.names} | dict(mapping)
    for row in free:
        if row.label in named:
            chosen[row.root][row.line] = named[row.label]
    rng = np.random.default_rng([role.seed, len(rows)])
    for one in role.draws:
        left = [row for row in free if row.line not in chosen[row.root]]
        found = _drawn(left, one, role, rng, say)
        if not found and one.label not in mapping.values():
            what = f"{' or '.join(one.findings)} ({one.match}) of {' or '.join(one.sources) or 'any source'}"
            raise DataError(
                f"roles.{role.name}.draws.{one.name}: expected files with {what} for '{one.label}', found none. "
                "Add the set that has them (--data), or map a label to it (--map)."
            )
        for row in found:
            chosen[row.root][row.line] = one.label
    return chosen


def _drawn(
    rows: Sequence[Candidate], draw: Draw, role: Role, rng: np.random.Generator, say: Callable[[str], None]
) -> list[Candidate]:
    fitting = [row for row in rows if draw.takes(row.findings or (row.label,), row.source, row.view)]
    if not draw.count:
        return fitting
    if len(fitting) < draw.count:
        say(f"roles.{role.name}.draws.{draw.name}: {draw.count} files wanted, {len(fitting)} found, all taken.")
    return [fitting[i] for i in sorted(rng.permutation(len(fitting))[: draw.count])]
