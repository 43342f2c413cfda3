"""Which pictures may be the same: an inverted file over signatures, so that not all pairs are compared.

Signatures are sorted into lists around centres (spherical k-means); a query looks through the lists of its nearest
centres (Sivic & Zisserman 2003; Jegou et al. 2011). With about 2 sqrt(N) lists, time grows as N to the power of 1.5.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from pneumoscope.core.progress import Progress, silent

LIKE = 0.85  # cosine of two signatures that are worth a look
MOST = 8  # pictures that one picture is compared with
FEW = 5_000  # up to this many are compared one by one
_PROBES = 6
_ROUNDS = 6


_Hits = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # asked or row, found, view, cosine


class Candidates(NamedTuple):
    """Pairs worth a look, each once, `[n]` each: the picture that asked, the one found, and by which view."""

    asked: np.ndarray
    found: np.ndarray
    view: np.ndarray


def candidates(
    signatures: np.ndarray,
    queries: Callable[[int, int], np.ndarray],
    *,
    progress: Progress = silent,
) -> Candidates:
    """For every picture the `MOST` nearest others, by whichever of its views.

    signatures: float32 `[N, D]` of length 1. queries: (start, stop) -> float32 `[stop - start, views, D]` of these.
    """
    n = len(signatures)
    lists = _lists(signatures) if n > FEW else None
    step = 1024 if lists else max(1, 4_000_000 // (32 * max(n, 1)))
    parts = []
    for start in range(0, n, step):
        stop = min(n, start + step)
        asked = queries(start, stop)
        hits = _probe(asked, signatures, lists) if lists else _compare(asked, signatures)
        parts.append(_best(start, *hits))
        progress("looking for the same pictures", stop, n)
    if not parts:
        return Candidates(*(np.zeros(0, np.int64) for _ in range(3)))
    asked, found, view, cosine = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return _once(asked, found, view, cosine)


def _compare(asked: np.ndarray, signatures: np.ndarray) -> _Hits:
    """All pairs: (row, found, view, cosine) of those alike."""
    count, views, _ = asked.shape
    cosines = (asked.reshape(count * views, -1) @ signatures.T).reshape(count, views, -1)
    view = cosines.argmax(axis=1)
    best = np.take_along_axis(cosines, view[:, None], axis=1)[:, 0]
    row, found = np.nonzero(best > LIKE)
    return row, found, view[row, found], best[row, found]


class _Lists(NamedTuple):
    centres: np.ndarray  # [C, D]
    members: np.ndarray  # [N], list by list
    starts: np.ndarray  # [C + 1]


def _lists(signatures: np.ndarray) -> _Lists:
    count = int(2 * len(signatures) ** 0.5)
    rng = np.random.default_rng(0)
    some = signatures[rng.choice(len(signatures), min(len(signatures), 30 * count), replace=False)]
    centres = some[rng.choice(len(some), count, replace=False)]
    for _ in range(_ROUNDS):
        nearest = _nearest(some, centres)
        sums = np.zeros_like(centres)
        np.add.at(sums, nearest, some)
        length = np.linalg.norm(sums, axis=1, keepdims=True)
        centres = np.where(length > 0, sums / np.maximum(length, 1e-6), centres).astype(np.float32)
    nearest = _nearest(signatures, centres)
    members = np.argsort(nearest, kind="stable")
    starts = np.searchsorted(nearest[members], np.arange(count + 1))
    return _Lists(centres, members, starts)


def _nearest(x: np.ndarray, centres: np.ndarray) -> np.ndarray:
    return np.concatenate([(x[i : i + 8192] @ centres.T).argmax(axis=1) for i in range(0, len(x), 8192)])


def _probe(asked: np.ndarray, signatures: np.ndarray, lists: _Lists) -> _Hits:
    """As `_compare`, of the pairs in the lists that each query looks through."""
    _, views, depth = asked.shape
    flat = asked.reshape(-1, depth)
    probed = np.argpartition(-(flat @ lists.centres.T), _PROBES, axis=1)[:, :_PROBES]
    order = np.argsort(probed.ravel(), kind="stable")
    bounds = np.searchsorted(probed.ravel()[order], np.arange(len(lists.centres) + 1))
    rows, founds, cosines = [], [], []
    for i in range(len(lists.centres)):
        query = order[bounds[i] : bounds[i + 1]] // _PROBES
        members = lists.members[lists.starts[i] : lists.starts[i + 1]]
        alike = flat[query] @ signatures[members].T
        q, m = np.nonzero(alike > LIKE)
        rows.append(query[q])
        founds.append(members[m])
        cosines.append(alike[q, m])
    row, found, cosine = np.concatenate(rows), np.concatenate(founds), np.concatenate(cosines)
    return row // views, found, row % views, cosine


def _best(start: int, row: np.ndarray, found: np.ndarray, view: np.ndarray, cosine: np.ndarray) -> _Hits:
    """Of each row's pictures but itself the `MOST` nearest, each once."""
    asked = row + start
    kept = asked != found
    asked, found, view, cosine = asked[kept], found[kept], view[kept], cosine[kept]
    order = np.lexsort((-cosine, found, asked))
    first = np.ones(len(order), bool)
    first[1:] = (np.diff(asked[order]) != 0) | (np.diff(found[order]) != 0)
    order = order[first]
    order = order[np.lexsort((-cosine[order], asked[order]))]
    rank = np.arange(len(order)) - np.searchsorted(asked[order], asked[order])
    order = order[rank < MOST]
    return asked[order], found[order], view[order], cosine[order]


def _once(asked: np.ndarray, found: np.ndarray, view: np.ndarray, cosine: np.ndarray) -> Candidates:
    """Each pair once, by the view that was nearer, whichever of the two asked."""
    low, high = np.minimum(asked, found), np.maximum(asked, found)
    order = np.lexsort((-cosine, high, low))
    first = np.ones(len(order), bool)
    first[1:] = (np.diff(low[order]) != 0) | (np.diff(high[order]) != 0)
    order = order[first]
    return Candidates(asked[order], found[order], view[order])
