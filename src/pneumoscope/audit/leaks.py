"""The leak that no split can mend: one image under two patients, or under two labels.

Byte-identical files are found by their SHA-256. (Near-duplicates follow in a later issue.)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from pneumoscope.core.dataset import Dataset, Sample
from pneumoscope.errors import DataError, LeakError


def check_leaks(dataset: Dataset) -> tuple[tuple[str, ...], ...]:
    """The files that are identical within one group, set by set: unequal weight, but no leak.

    Raises:
        LeakError: identical files under two groups (in an ungrouped set every file is its own).
        DataError: identical files with two labels, or samples without a digest.
    """
    by_digest: dict[str, list[Sample]] = defaultdict(list)
    for sample in dataset.samples:
        if not sample.digest:
            raise DataError(f"leaks: expected the digest of every file, found none for '{sample.file}'. Read the set.")
        by_digest[sample.digest].append(sample)
    same = [samples for samples in by_digest.values() if len(samples) > 1]
    conflicts = [samples for samples in same if len({s.label for s in samples}) > 1]
    if conflicts:
        labels = ", ".join(sorted({s.label for s in conflicts[0]}))
        raise DataError(
            f"leaks: expected one label for identical files, found {len(conflicts)} file(s) with several ({labels}): "
            f"{_some(conflicts)}. Correct the labels, or remove the files."
        )
    leaks = [samples for samples in same if len({s.group for s in samples}) > 1]
    if leaks:
        fix = "Give each such set of files one group_id" if dataset.grouped else "Give all files a group_id"
        raise LeakError(
            f"leaks: expected identical files in one group, found {len(leaks)} file(s) in several: {_some(leaks)}. "
            f"{fix}, or keep one file of each."
        )
    return tuple(tuple(s.file for s in samples) for samples in same)


def _some(sets: Sequence[Sequence[Sample]]) -> str:
    shown = "; ".join(" = ".join(repr(s.file) for s in samples[:3]) for samples in sets[:3])
    return shown + ("; ..." if len(sets) > 3 else "")
