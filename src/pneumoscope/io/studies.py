"""Which DICOM files belong together, and which of a study's images is read: stated rules, no guess.

Files are joined by patient, StudyInstanceUID and modality (PS3.3 A.1.2). An X-ray study gives one image, frontal
before lateral; a CT study gives one series, of which only a single slice can be read so far.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pneumoscope.io.dicom import Facts

_VIEWS = ("PA", "AP")
_LATERAL = ("LL", "RL", "LLD", "RLD", "LATERAL", "LAT")


@dataclass(frozen=True, kw_only=True)
class Member:
    """One DICOM file: how it is shown, where its bytes are, and what it says."""

    path: str
    facts: Facts
    file: Path
    member: str | None = None


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What is read of one study: `chosen` and `rule`; `others` names what is not.

    slices: files of the chosen series; more than one only for CT.
    """

    chosen: Member
    rule: str
    slices: tuple[Member, ...]
    others: tuple[str, ...] = ()


def choose(members: Iterable[Member]) -> list[Choice]:
    """One choice for each patient, study and modality among `members`, in the order of their first files."""
    studies: dict[tuple[str | None, str, str], list[Member]] = {}
    for member in members:
        facts = member.facts
        # a file without a study UID is a study of its own
        studies.setdefault((facts.patient, facts.study_uid or f"!{member.path}", facts.modality), []).append(member)
    return [_choose_ct(s) if key[2] == "ct" else _choose_xray(s) for key, s in studies.items()]


def by_series(members: Iterable[Member]) -> dict[str, list[Member]]:
    """Files by SeriesInstanceUID, in the order of their first files."""
    series: dict[str, list[Member]] = {}
    for member in members:
        series.setdefault(member.facts.series_uid, []).append(member)
    return series


def numbered(member: Member) -> str:
    """The series number as text."""
    number = member.facts.series_number
    return "without number" if number is None else str(number)


def _choose_xray(members: list[Member]) -> Choice:
    if len(members) == 1:
        return Choice(chosen=members[0], rule="the only image", slices=(members[0],))
    ordered = sorted(members, key=lambda m: (_frontal(m.facts.view), *_place(m)))
    chosen = ordered[0]
    rule = (
        f"view {chosen.facts.view or 'unknown'} of {len(members)} images: PA before AP, unknown and lateral; "
        "then lowest series and instance number"
    )
    return Choice(chosen=chosen, rule=rule, slices=(chosen,), others=tuple(_shown(m) for m in ordered[1:]))


def _choose_ct(members: list[Member]) -> Choice:
    slices, copies = _without_copies(members)
    series = sorted(by_series(slices).values(), key=_worth)
    chosen = tuple(sorted(series[0], key=_place))
    rule = "the only image" if len(slices) == 1 else "the only series"
    if len(series) > 1:
        rule = (
            f"series {numbered(chosen[0])} of {len(series)} series: no localizer, axial, most slices, "
            "then lowest series number"
        )
    others = tuple(f"series {numbered(s[0])} ({len(s)} {s[0].facts.view or 'unknown'})" for s in series[1:])
    others += tuple(f"{m.path} (a copy of an instance that is here)" for m in copies)
    return Choice(chosen=chosen[0], rule=rule, slices=chosen, others=others)


def _without_copies(members: list[Member]) -> tuple[list[Member], list[Member]]:
    """The members, and those that repeat a SOPInstanceUID: one slice in two files is not a series."""
    seen: set[str] = set()
    slices: list[Member] = []
    copies: list[Member] = []
    for member in members:
        uid = member.facts.sop_uid
        (copies if uid in seen else slices).append(member)
        if uid:
            seen.add(uid)
    return slices, copies


def _worth(series: list[Member]) -> tuple[bool, bool, int, float, str]:
    first = series[0]
    plane = first.facts.view != "axial"
    return any(m.facts.localizer for m in series), plane, -len(series), _order(first.facts.series_number), first.path


def _frontal(view: str | None) -> int:
    if view in _VIEWS:
        return _VIEWS.index(view)
    return 3 if view in _LATERAL else 2


def _place(member: Member) -> tuple[float, float, str]:
    return _order(member.facts.series_number), _order(member.facts.instance), member.path


def _order(number: int | None) -> float:
    return float("inf") if number is None else number


def _shown(member: Member) -> str:
    return f"{member.path} ({member.facts.view or 'unknown view'})"
