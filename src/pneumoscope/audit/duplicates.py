"""Files that hold one picture, as the same bytes, the same pixels or a changed copy; and files that are alike."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from pneumoscope.audit import same, signatures
from pneumoscope.audit.look import Looked, Picture, mapped
from pneumoscope.audit.nearest import Candidates, candidates
from pneumoscope.core.audit import Kind
from pneumoscope.core.progress import Progress, silent

_ALL = 10  # identical files of which every pair is listed; of more, each with the first
_CHUNK = 2048


class Found(NamedTuple):
    """Two items by number, `a` before `b`. how, correlation: see `core.audit.Pair`."""

    a: int
    b: int
    kind: Kind
    how: str
    correlation: float


def find(looked: Looked, progress: Progress = silent) -> list[Found]:
    """Every pair of items that hold one picture, or such that are alike; a pair once, by the strictest kind."""
    found: dict[tuple[int, int], Found] = {}
    by_bytes = _grouped((s.digest, i) for i, s in enumerate(looked.samples) if s.digest)
    by_pixels = _grouped((p.pixels, p.item) for p in looked.pictures)
    for sets, kind, how in ((by_bytes, "bytes", "the same file"), (by_pixels, "pixels", "the same pixels")):
        for items in sets:
            pairs = combinations(items, 2) if len(items) <= _ALL else ((items[0], other) for other in items[1:])
            for a, b in pairs:
                found.setdefault((a, b), Found(a, b, kind, how, 1.0))  # type: ignore[arg-type]
    for near in _near(looked, progress):
        known = found.get((near.a, near.b))
        if known is None or (known.kind in ("near", "alike") and known.correlation < near.correlation):
            found[near.a, near.b] = near
    return sorted(found.values())


def _grouped(keyed: Iterable[tuple[object, int]]) -> list[list[int]]:
    groups: dict[object, set[int]] = defaultdict(set)
    for key, item in keyed:
        groups[key].add(item)
    return [sorted(items) for items in groups.values() if len(items) > 1]


def _near(looked: Looked, progress: Progress) -> Iterable[Found]:
    first = list({picture.pixels: i for i, picture in reversed(list(enumerate(looked.pictures)))}.values())
    squares, rows = looked.squares, np.array(sorted(first), dtype=np.int64)
    keys = [signatures.signatures(squares[rows[i : i + _CHUNK]]) for i in range(0, len(rows), _CHUNK)]
    if not keys:
        return
    asked = candidates(
        np.concatenate(keys), lambda start, stop: signatures.queries(squares[rows[start:stop]]), progress=progress
    )
    pairs = [(int(rows[a]), int(rows[b]), int(v)) for a, b, v in _across(asked, rows, looked.pictures)]

    def compared(pair: tuple[int, int, int]) -> same.Match | None:
        a, b, view = pair
        return same.match(squares[a], squares[b], view)

    for i, (pair, match) in enumerate(zip(pairs, mapped(compared, pairs), strict=True)):
        progress("comparing pictures", i + 1, len(pairs))
        if match is not None:
            yield _found(looked.pictures, pair[0], pair[1], match)


def _across(asked: Candidates, rows: np.ndarray, pictures: Sequence[Picture]) -> Iterable[tuple[int, int, int]]:
    """The candidates that are not two slices of one series."""
    for a, b, view in zip(*asked, strict=True):
        if pictures[rows[a]].item != pictures[rows[b]].item:
            yield a, b, view


def _found(pictures: Sequence[Picture], asked: int, other: int, match: same.Match) -> Found:
    one, two = pictures[asked], pictures[other]
    kind: Kind = "near" if match.correlation >= same.SAME else "alike"
    a, b = sorted((one.item, two.item))
    return Found(a, b, kind, _how(one, two, match, kind), round(match.correlation, 3))


def _how(one: Picture, two: Picture, match: same.Match, kind: Kind) -> str:
    cropped = not 0.96 <= match.area <= 1 / 0.96
    changes = [
        (match.mirrored, "mirrored"),
        (cropped, "cropped"),
        (not cropped and one.shape != two.shape, "resized"),
        (not 0.85 <= match.gain <= 1 / 0.85 or abs(match.offset) > 25, "brightness changed"),
    ]
    said = ", ".join(text for applies, text in changes if applies)
    if kind == "alike":
        return f"another picture in the same position{', ' + said if said else ''}"
    return said or "stored anew"


class Sets:
    """Numbers joined into sets (union-find)."""

    def __init__(self, count: int) -> None:
        self._up = list(range(count))

    def root(self, i: int) -> int:
        """The number that stands for the set of `i`, its least one."""
        while self._up[i] != i:
            self._up[i] = self._up[self._up[i]]
            i = self._up[i]
        return i

    def join(self, a: int, b: int) -> None:
        """Make one set of two."""
        low, high = sorted((self.root(a), self.root(b)))
        self._up[high] = low
