"""From what was seen of the files to an Audit: leaks, counts by label and data set, and what a reader must be told."""

from __future__ import annotations

import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from pneumoscope.audit import duplicates
from pneumoscope.audit.duplicates import Found
from pneumoscope.audit.gather import Item
from pneumoscope.audit.look import Looked
from pneumoscope.audit.told import grave, notes
from pneumoscope.bundle import Bundle
from pneumoscope.core.audit import (
    CROSSINGS,
    KINDS,
    MOST_FILES,
    MOST_PAIRS,
    Ages,
    Audit,
    Crossing,
    Leaks,
    Pair,
    Part,
    Seen,
    Unread,
)
from pneumoscope.core.progress import Progress, silent

ADULT = 18  # years


def audit_of(
    looked: Looked,
    *,
    mapping: Mapping[str, str],
    bundle: Bundle | None = None,
    seconds: Mapping[str, float],
    progress: Progress = silent,
) -> Audit:
    """The audit of files that were looked at. seconds: what was done before -> wall seconds."""
    start = time.monotonic()
    found = duplicates.find(looked, progress)
    leaks = leaks_of(looked, found)
    parts, unread = _parts(looked), _unread(looked)
    seen = None if bundle is None else _seen(looked, bundle, found)
    return Audit(
        data_sets=tuple(dict.fromkeys(item.data_set for item in looked.items)),
        images=len(looked.items),
        patients=len({item.group for item in looked.items if item.named}),
        parts=parts,
        leaks=leaks,
        unread=unread,
        seen=seen,
        grave=grave(leaks, parts, seen),
        notes=notes(leaks, parts, unread, any(len(s.members) for s in looked.samples)),
        mapping=dict(mapping),
        seconds={**seconds, "looking for leaks": round(time.monotonic() - start, 2)},
    )


# --- leaks ---------------------------------------------------------------------------------------------------------


def leaks_of(looked: Looked, found: Sequence[Found]) -> Leaks:
    """The leaks among items, of the pairs that were found."""
    pairs = [_pair(looked.items, one) for one in found]
    crossing: dict[str, dict[str, int]] = {kind: dict.fromkeys(CROSSINGS, 0) for kind in KINDS}
    for pair in pairs:
        for what in pair.crosses:
            crossing[pair.kind][what] += 1
    sets = duplicates.Sets(len(looked.items))
    copies = [one for one in found if one.kind != "alike"]
    for one in copies:
        sets.join(one.a, one.b)
    files = {i for one in copies for i in (one.a, one.b)}
    return Leaks(
        images=len(looked.pictures),
        pairs={kind: sum(pair.kind == kind for pair in pairs) for kind in KINDS},
        crossing=crossing,
        pictures=len({sets.root(i) for i in files}),
        files=len(files),
        patients=_patients(looked),
        listed=tuple(sorted(pairs, key=_badness)[:MOST_PAIRS]),
    )


def _badness(pair: Pair) -> tuple[int, int, float, str]:
    """What sorts pairs, the worst first: a label conflict of one picture, then two patients, then the rest."""
    weight = {"labels": 8, "patients": 4, "splits": 2, "data sets": 1}
    return -sum(weight[what] for what in pair.crosses), KINDS.index(pair.kind), -pair.correlation, pair.a


def _pair(items: Sequence[Item], found: Found) -> Pair:
    one, two = items[found.a], items[found.b]
    apart: dict[Crossing, bool] = {
        "patients": one.group != two.group,
        "labels": one.label != two.label,
        "data sets": one.data_set != two.data_set,
        "splits": one.data_set == two.data_set and bool(one.split and two.split) and one.split != two.split,
    }
    return Pair(
        a=one.file,
        b=two.file,
        kind=found.kind,
        how=found.how,
        correlation=found.correlation,
        crosses=tuple(what for what in CROSSINGS if apart[what]),
        labels=(one.label, two.label),
    )


def _patients(looked: Looked) -> dict[str, int]:
    """What -> patients who stand on both sides of it; "patients": those known under several groups."""
    groups: dict[str, list[Item]] = defaultdict(list)
    known: dict[str, set[str]] = defaultdict(set)
    for item, header in zip(looked.items, looked.patients, strict=True):
        if item.named:
            groups[item.group].append(item)
        for patient in {item.patient, header} - {None}:
            known[str(patient)].add(item.group)
    several = groups.values()
    return {
        "patients": sum(len(under) > 1 for under in known.values()),
        "labels": sum(len({i.label for i in of}) > 1 for of in several),
        "data sets": sum(len({i.data_set for i in of}) > 1 for of in several),
        "splits": sum(len({i.split for i in of if i.split}) > 1 for of in several),
    }


# --- labels and what goes with them --------------------------------------------------------------------------------


def _parts(looked: Looked) -> tuple[Part, ...]:
    by: dict[tuple[str, str], list[int]] = defaultdict(list)
    for i, item in enumerate(looked.items):
        by[item.data_set, item.label].append(i)
    return tuple(
        _part(name, label, [looked.items[i] for i in at], [looked.text[i] for i in at])
        for (name, label), at in sorted(by.items())
    )


def _part(name: str, label: str, items: Sequence[Item], text: Sequence[bool | None]) -> Part:
    return Part(
        data_set=name,
        label=label,
        images=len(items),
        patients=len({item.group for item in items if item.named}),
        unidentified=sum(not item.named for item in items),
        splits=_counted(item.split for item in items),
        sexes=_counted(item.sex for item in items),
        ages=_ages([item.years for item in items if item.years is not None]),
        views=_counted(item.view for item in items),
        text=sum(one is True for one in text),
        looked=sum(one is not None for one in text),
    )


def _counted(values: Iterable[str]) -> dict[str, int]:
    return dict(Counter(value for value in values if value).most_common())


def _ages(years: Sequence[float]) -> Ages:
    nan = float("nan")
    return Ages(
        known=len(years),
        min=min(years, default=nan),
        median=float(statistics.median(years)) if years else nan,
        max=max(years, default=nan),
        children=sum(one < ADULT for one in years),
    )


def _unread(looked: Looked) -> tuple[Unread, ...]:
    files: dict[str, list[str]] = defaultdict(list)
    for item, why in zip(looked.items, looked.problems, strict=True):
        if why:
            files[why].append(item.file)
    ordered = sorted(files.items(), key=lambda pair: -len(pair[1]))
    return tuple(Unread(why=why, images=len(of), files=tuple(of[:MOST_FILES])) for why, of in ordered)


def _seen(looked: Looked, bundle: Bundle, found: Sequence[Found]) -> Seen:
    known = bundle.seen()
    among = [bool(s.digest) and s.is_among(known) for s in looked.samples]
    images = Counter(s.collection for s, is_among in zip(looked.samples, among, strict=True) if is_among)
    near = {i for one in found for i, j in ((one.a, one.b), (one.b, one.a)) if one.kind != "alike" and among[j]}
    return Seen(
        bundle=bundle.facts.name,
        id=bundle.facts.id,
        images=dict(images),
        near=sum(not among[i] for i in near),
    )
