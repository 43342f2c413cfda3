"""Which DICOM files belong together, and which of a study's images is read: stated rules, no guess.

Files are joined by patient, StudyInstanceUID and modality (PS3.3 A.1.2). An X-ray study gives one image, frontal
before lateral; a CT study gives one series, by `_RULES`, as a volume where it has `MIN_SLICES`, else slice by slice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from pneumoscope.io.dicom import Facts

MIN_SLICES = 8  # of a series that is read as a volume; fewer are single images. A chest at 30 mm still has as many

LEAST_EXTENT = 150.0  # mm of the body that a series of the chest covers: an adult's lungs are 200 to 300 high

_VIEWS = ("PA", "AP")
_LATERAL = ("LL", "RL", "LLD", "RLD", "LATERAL", "LAT")
# values of ImageType (PS3.3 C.7.6.1.1.2, C.8.2.1.1.1, C.8.16.1.3): slices anew from slices, and what is none
_REFORMATS = ("AXIAL", "REFORMATTED", "MPR", "RESAMPLED")
_PROJECTIONS = ("MIP", "MINIP", "MAXIP", "MIN_IP", "MAX_IP", "PROJECTION IMAGE", "VRT", "VOLREN", "VOLUME_RENDER")
# Siemens from 50 on (B50f, Br64d, Bl57, I70f), GE LUNG, BONE, BONEPLUS, EDGE, Philips L, D, E, YB, YC, YD, Canon and
# Toshiba FC30, FC50 to FC59, FC80 to FC89
_LUNG_KERNEL = re.compile(
    r"[BDIT][lrv]?[5-9]\d[a-z]*|.*LUNG.*|BONE.*|EDGE.*|L|D|E|Y[BCD]|FC(30|5\d|8\d)(-.*)?", re.IGNORECASE
)


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

    slices: files of the chosen series; several, in the order of their paths, are read as one volume.
    """

    chosen: Member
    rule: str
    slices: tuple[Member, ...]
    others: tuple[str, ...] = ()


def choose(members: Iterable[Member]) -> list[Choice]:
    """The choices for each patient, study and modality among `members`, in the order of their first files.

    One for each, and for a CT series of fewer than `MIN_SLICES` one for each slice.
    """
    studies: dict[tuple[str | None, str, str], list[Member]] = {}
    for member in members:
        facts = member.facts
        # a file without a study UID is a study of its own, but for a slice, which has its series
        series = facts.series_uid if facts.modality == "ct" else ""
        study = facts.study_uid or series or f"!{member.path}"
        studies.setdefault((facts.patient, study, facts.modality), []).append(member)
    return [c for key, s in studies.items() for c in (_choose_ct(s) if key[2] == "ct" else [_choose_xray(s)])]


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


def is_localizer(facts: Facts) -> bool:
    """Whether a CT image is a scout view (PS3.3 C.8.2.1.1.1)."""
    return "LOCALIZER" in facts.image_type


def derived(facts: Facts) -> int:
    """0 for an original image, 1 for slices made anew from slices, 2 for any other derived image.

    DERIVED stands in the first value of ImageType; a maximum or minimum projection or a rendering is 2 wherever its
    name stands.
    """
    if any(value in _PROJECTIONS for value in facts.image_type):
        return 2
    if facts.image_type[:1] != ("DERIVED",):
        return 0
    return 1 if any(value in _REFORMATS for value in facts.image_type[2:]) else 2


def is_lung_kernel(kernel: str) -> bool:
    """Whether a ConvolutionKernel is one of the vendors' lung or sharp ones, which show the lung's fine structure."""
    return _LUNG_KERNEL.fullmatch(kernel.strip()) is not None


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


Series = list[Member]
# the first rule by which two series differ decides between them; each is (what is preferred, what is compared)
_RULES: tuple[tuple[str, Callable[[Series], float | str]], ...] = (
    ("no localizer", lambda s: any(is_localizer(m.facts) for m in s)),
    ("neither projection nor other derived image", lambda s: max(derived(m.facts) for m in s) == 2),
    ("axial", lambda s: s[0].facts.view != "axial"),
    (f"at least {MIN_SLICES} slices", lambda s: len(s) < MIN_SLICES),
    (f"at least {LEAST_EXTENT:g} mm of the body", lambda s: _extent(s) < LEAST_EXTENT),
    ("original before reformatted", lambda s: max(derived(m.facts) for m in s)),
    ("lung kernel", lambda s: not is_lung_kernel(s[0].facts.kernel)),
    ("thinnest slices", lambda s: round(_order(s[0].facts.thickness), 1)),
    ("most slices", lambda s: -len(s)),
    ("lowest series number", lambda s: _order(s[0].facts.series_number)),
    ("first path", lambda s: s[0].path),
)


def _choose_ct(members: list[Member]) -> list[Choice]:
    slices, copies = _without_copies(members)
    groups: dict[tuple[str, bool, bool], Series] = {}
    for member in slices:
        groups.setdefault(_group(member), []).append(member)
    series = sorted((sorted(s, key=_place) for s in groups.values()), key=_worth)
    chosen = series[0]
    others = tuple(f"series {numbered(s[0])} ({len(s)} {s[0].facts.view or 'unknown'})" for s in series[1:])
    again = [m for m in copies if len(chosen) >= MIN_SLICES and _group(m) == _group(chosen[0])]
    others += tuple(f"{m.path} (a copy of an instance that is here)" for m in copies if m not in again)
    rule = "the only image" if len(slices) == 1 else "the only series"
    if len(series) > 1:
        won = next(name for name, of in _RULES if of(chosen) != of(series[1]))
        rule = f"series {numbered(chosen[0])} of {len(series)} series: {won}"
    if len(chosen) >= MIN_SLICES:
        # copies too: whether they are any is seen when pixels are read
        return [Choice(chosen=chosen[0], rule=rule, slices=(*chosen, *again), others=others)]
    if len(chosen) > 1:
        rule += f"; {len(chosen)} slices are read as single images, {MIN_SLICES} would be a volume"
    return [Choice(chosen=m, rule=rule, slices=(m,), others=others) for m in chosen]


def _group(member: Member) -> tuple[str, bool, bool]:
    """What is read together: a series, but for a localizer or a derived image that has the series' UID."""
    return member.facts.series_uid, is_localizer(member.facts), derived(member.facts) == 2


def _extent(series: Series) -> float:
    """Millimetres of the body that the slices stand for: their number times their distance, 0 where it is unknown."""
    heights = [h for m in series if (h := _height(m.facts)) is not None]
    if len(heights) == len(series) > 1:
        return (max(heights) - min(heights)) * len(series) / (len(series) - 1)
    return len(series) * (series[0].facts.thickness or 0.0)


def _height(facts: Facts) -> float | None:
    """Place of a slice along its normal, mm; None where it has none."""
    if facts.position is None:
        return facts.slice.location if facts.slice else None
    a, b, c, d, e, f = facts.orientation or (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    x, y, z = facts.position
    return x * (b * f - c * e) + y * (c * d - a * f) + z * (a * e - b * d)


def _worth(series: Series) -> tuple[float | str, ...]:
    return tuple(of(series) for _, of in _RULES)


def _without_copies(members: list[Member]) -> tuple[list[Member], list[Member]]:
    """The members, and those that repeat an instance: one slice in two files is not a series.

    The same SOPInstanceUID at another place is no copy, but what a bad anonymiser makes.
    """
    seen: set[tuple[str, str, tuple[float, ...] | None, int | None]] = set()
    slices: list[Member] = []
    copies: list[Member] = []
    for member in members:
        facts = member.facts
        instance = (facts.sop_uid, facts.series_uid, facts.position, facts.instance)
        (copies if facts.sop_uid and instance in seen else slices).append(member)
        seen.add(instance)
    return slices, copies


def _frontal(view: str | None) -> int:
    if view in _VIEWS:
        return _VIEWS.index(view)
    return 3 if view in _LATERAL else 2


def _place(member: Member) -> tuple[float, float, str]:
    return _order(member.facts.series_number), _order(member.facts.instance), member.path


def _order(number: float | None) -> float:
    return float("inf") if number is None else number


def _shown(member: Member) -> str:
    return f"{member.path} ({member.facts.view or 'unknown view'})"
