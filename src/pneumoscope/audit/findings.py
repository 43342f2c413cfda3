"""From what was seen of the files to an Audit: counts by label and data set, and what a reader must be told."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence

from pneumoscope.audit.gather import Item
from pneumoscope.audit.look import Looked
from pneumoscope.bundle import Bundle
from pneumoscope.core.audit import MOST_FILES, Ages, Audit, Leaks, Part, Seen, Unread
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
    """The audit of files that were looked at."""
    leaks = Leaks(images=len(looked.items), pairs={}, crossing={}, pictures=0, files=0, patients={}, listed=())
    return Audit(
        data_sets=tuple(dict.fromkeys(item.data_set for item in looked.items)),
        images=len(looked.items),
        patients=len({item.group for item in looked.items if item.named}),
        parts=_parts(looked),
        leaks=leaks,
        unread=_unread(looked),
        seen=None if bundle is None else _seen(looked, bundle),
        grave=(),
        notes=(),
        mapping=dict(mapping),
        seconds=dict(seconds),
    )


def _parts(looked: Looked) -> tuple[Part, ...]:
    by: dict[tuple[str, str], list[int]] = {}
    for i, item in enumerate(looked.items):
        by.setdefault((item.data_set, item.label), []).append(i)
    return tuple(_part(name, label, [looked.items[i] for i in at]) for (name, label), at in sorted(by.items()))


def _part(name: str, label: str, items: Sequence[Item]) -> Part:
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
        text=0,
        looked=0,
    )


def _counted(values: object) -> dict[str, int]:
    return dict(Counter(value for value in values if value).most_common())  # type: ignore[attr-defined]


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
    files: dict[str, list[str]] = {}
    for item, why in zip(looked.items, looked.problems, strict=True):
        if why:
            files.setdefault(why, []).append(item.file)
    ordered = sorted(files.items(), key=lambda pair: -len(pair[1]))
    return tuple(Unread(why=why, images=len(of), files=tuple(of[:MOST_FILES])) for why, of in ordered)


def _seen(looked: Looked, bundle: Bundle) -> Seen:
    known = bundle.seen()
    found = Counter(s.collection for s in looked.samples if s.digest and s.is_among(known))
    return Seen(bundle=bundle.facts.name, id=bundle.facts.id, images=dict(found))
