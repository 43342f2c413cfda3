"""Which places the slices of a CT series have, and whether they make a volume: from headers alone.

Slices are ordered along their normal by ImagePositionPatient (PS3.3 C.7.6.2.1.1), never by name or InstanceNumber.
What makes a place doubtful is refused; what leaves it known but unusual is a warning.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from pneumoscope.errors import InputError
from pneumoscope.io.dicom_slice import SliceFacts, check_rescale
from pneumoscope.io.found import some
from pneumoscope.io.studies import Member

MAX_SLICES = 4096
MAX_VOXELS = 2**30 - 1  # just below 2 GiB of int16
SAME_PLACE = 0.01  # mm along the normal within which two slices are at one place
MOST_UNEVEN = 0.25  # share of distances that may differ from the usual one
MOST_BROKEN = 2  # of these no whole multiple of it, as one slice out of place makes; and alike in a row
MOST_SHIFT = 2.0  # mm by which a slice may lie beside the straight line through the others
LEAST_TILT = 0.5  # degrees
SPACINGS = (0.01, 100.0)  # mm from pixel to pixel
FARTHEST = 1e5  # mm from the origin

_STANDARD = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)  # rows to the left, columns to the back
_WHOLE = "Give the slices of one reconstruction in a folder of their own."


@dataclass(frozen=True, kw_only=True)
class Stack:
    """The slices of a series, in order along their normal.

    places: the files at each place, several only where two stand at one. origin: centre of the first pixel of the
    first slice, mm, LPS. steps: rows are the ways to the next slice, row and column, mm, LPS, [3, 3]. by: the attribute
    that the order is known by. heights: mm of each place above the first; () where they are even.
    """

    places: tuple[tuple[Member, ...], ...]
    origin: np.ndarray
    steps: np.ndarray
    by: str
    warnings: tuple[str, ...]
    heights: tuple[float, ...] = ()


def order(members: Sequence[Member], name: str) -> Stack:
    """The order of a series of CT slices, all of one SeriesInstanceUID; `name` stands for the series in messages.

    Raises:
        InputError: slices that differ in size, spacing or orientation, lack a position, or lie where no series has
            them; more of them than `MAX_SLICES` or `MAX_VOXELS`.
    """
    check_bounds(len(members), _rows(members[0]), _columns(members[0]), name)
    _check_alike(members)
    cosines, said = _orientation(members)
    positions, by, also = _positions(members, cosines)
    normal = np.cross(cosines[0], cosines[1])
    along = positions @ normal
    groups = _groups(along)
    places = tuple(tuple(members[i] for i in sorted(g, key=lambda i: members[i].path)) for g in groups)
    firsts = np.array([min(g, key=lambda i: members[i].path) for g in groups])
    if len(places) < 2:
        raise InputError(f"{name}: expected slices at several places, found all {len(members)} at one. {_WHOLE}")
    heights = along[firsts] - along[firsts[0]]
    step, uneven = _spacing(heights, [p[0] for p in places], name)
    tilt = _tilt(positions[firsts], normal, places)
    spacing = _facts(members[0]).spacing or (1.0, 1.0)
    return Stack(
        places=places,
        origin=positions[firsts[0]],
        steps=np.stack([normal * step, cosines[1] * spacing[0], cosines[0] * spacing[1]]),
        by=by,
        warnings=(*said, *also, *uneven, *tilt, *_mixed([p[0] for p in places]), *_thin(members, step)),
        heights=tuple(round(float(h), 4) for h in heights) if uneven else (),
    )


def check_bounds(slices: int, rows: int, columns: int, name: str) -> None:
    """Refuse a volume by its size, before anything is taken for it.

    Raises:
        InputError: more than `MAX_SLICES` or `MAX_VOXELS`.
    """
    if slices > MAX_SLICES:
        raise InputError(f"{name}: expected at most {MAX_SLICES:,} slices, found {slices:,}. Give one series.")
    if slices * rows * columns > MAX_VOXELS:
        raise InputError(
            f"{name}: expected less than 2 GiB of voxels, found {slices:,} slices of {columns} x {rows}. "
            "Give fewer or smaller slices."
        )


def _facts(member: Member) -> SliceFacts:
    if member.facts.slice is None:
        raise InputError(f"{member.path}: expected a CT slice, found none. {_WHOLE}")
    return member.facts.slice


def _check_alike(members: Sequence[Member]) -> None:
    """Size, spacing, frame of reference and rescale, which all slices of a series share or have."""
    for member in members:
        spacing = _facts(member).spacing
        if spacing is None or not SPACINGS[0] <= min(spacing) <= max(spacing) <= SPACINGS[1]:
            raise InputError(
                f"{member.path}, PixelSpacing: expected two numbers from {SPACINGS[0]} to {SPACINGS[1]:g} mm, found "
                f"{'none' if spacing is None else _numbers(spacing)}. Export the original series."
            )
        check_rescale(_facts(member), member.path)
    sizes = [(_columns(m), _rows(m)) for m in members]
    _near(members, "columns and rows", sizes, 0.5)
    _near(members, "PixelSpacing", [_facts(m).spacing or () for m in members], 0.002)
    thick = [m for m in members if m.facts.thickness]
    _near(thick, "SliceThickness", [(m.facts.thickness or 0.0,) for m in thick], 0.05)
    _one(members, "ConvolutionKernel", [m.facts.kernel for m in members])
    _one(members, "TemporalPositionIdentifier", [_facts(m).phase for m in members])
    if len({_facts(m).frame_of_reference for m in members}) > 1:
        raise InputError(
            f"{members[0].path}, FrameOfReferenceUID: expected one for all {len(members)} slices of its series, found "
            f"several: their positions cannot be compared. {_WHOLE}"
        )


def _one(members: Sequence[Member], what: str, values: Sequence[str]) -> None:
    """See that all slices say the same, but for those that say nothing."""
    found: dict[str, str] = {}
    for member, value in zip(members, values, strict=True):
        if value:
            found.setdefault(value, member.path)
    if len(found) > 1:
        (usual, _), (other, path) = list(found.items())[:2]
        raise InputError(
            f"{path}, {what}: expected {usual} as in others of its series, found {other}: two reconstructions or "
            f"phases in one series. {_WHOLE}"
        )


def _near(members: Sequence[Member], what: str, values: Sequence[Sequence[float]], most: float) -> None:
    """See that a few numbers are the same for all slices, within `most`."""
    if not members:
        return
    table = np.array(values, dtype=np.float64)
    # those of a slice, which a median of columns need not be
    usual = table[np.abs(table - np.median(table, axis=0)).max(axis=1).argmin()]
    odd = np.flatnonzero(np.abs(table - usual).max(axis=1) > most)
    if len(odd):
        raise InputError(
            f"{members[odd[0]].path}, {what}: expected {_numbers(usual)} as in the others of its series, found "
            f"{_numbers(table[odd[0]])}, as in {len(odd)} of {len(members)} slices. {_WHOLE}"
        )


def _numbers(values: Iterable[float]) -> str:
    return ", ".join(f"{v:.4g}" for v in values)


def _orientation(members: Sequence[Member]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Unit vectors of rows and columns, [2, 3]."""
    lacking = [m for m in members if m.facts.orientation is None]
    if len(lacking) == len(members):
        otherwise = next((m for m in members if _facts(m).lies not in ("", "HFS")), None)
        if otherwise is not None:
            raise InputError(
                f"{otherwise.path}, ImageOrientationPatient: expected six numbers, found none, and a patient who lies "
                f"{_facts(otherwise).lies[:16]}: left and right cannot be told. Export the series again."
            )
        warning = "The slices lack ImageOrientationPatient; the patient was taken to lie on the back, head up."
        return np.array(_STANDARD).reshape(2, 3), (warning,)
    if lacking:
        raise InputError(
            f"{lacking[0].path}, ImageOrientationPatient: expected six numbers, found none, as in {len(lacking)} of "
            f"{len(members)} slices. Export the series again."
        )
    _near(members, "ImageOrientationPatient", [m.facts.orientation or () for m in members], 0.002)
    cosines = np.array(members[0].facts.orientation, dtype=np.float64).clip(-2, 2).reshape(2, 3)
    lengths = np.linalg.norm(cosines, axis=1)
    if not np.all(np.abs(lengths - 1) < 0.02) or abs(float(cosines[0] @ cosines[1])) > 0.02:
        raise InputError(
            f"{members[0].path}, ImageOrientationPatient: expected two unit vectors at right angles, found "
            f"{_numbers(cosines.ravel())}. Export the series again."
        )
    return cosines / lengths[:, np.newaxis], ()


def _positions(members: Sequence[Member], cosines: np.ndarray) -> tuple[np.ndarray, str, tuple[str, ...]]:
    """Centre of the first pixel of each slice, mm, [N, 3], and by what it is known."""
    lacking = [m for m in members if m.facts.position is None]
    for member in members:
        if max(abs(v) for v in member.facts.position or (_facts(member).location or 0,)) > FARTHEST:
            raise InputError(
                f"{member.path}: expected a position within 100 m, found another. Export the series again."
            )
    if not lacking:
        return np.array([m.facts.position for m in members], dtype=np.float64), "ImagePositionPatient", ()
    if len(lacking) < len(members):
        raise InputError(
            f"{lacking[0].path}, ImagePositionPatient: expected three numbers, found none, as in {len(lacking)} of "
            f"{len(members)} slices. Export the series again."
        )
    nowhere = [m for m in members if _facts(m).location is None]
    if nowhere:
        raise InputError(
            f"{nowhere[0].path}: expected ImagePositionPatient, or else SliceLocation, found neither. "
            "Export the series again: slices cannot be ordered by their names."
        )
    normal = np.cross(cosines[0], cosines[1])
    places = np.array([_facts(m).location for m in members], dtype=np.float64)
    warning = "The slices lack ImagePositionPatient; they were ordered by SliceLocation, taken to grow to the head."
    return places[:, np.newaxis] * normal[np.newaxis] * math.copysign(1.0, normal[2]), "SliceLocation", (warning,)


def _groups(along: np.ndarray) -> list[list[int]]:
    """Positions of slices in the order of their places, those of one place together."""
    ordered = np.argsort(along, kind="stable")
    groups = [[int(ordered[0])]]
    for before, i in pairwise(ordered):
        if along[i] - along[before] <= SAME_PLACE:
            groups[-1].append(int(i))
        else:
            groups.append([int(i)])
    return groups


def _spacing(along: np.ndarray, slices: Sequence[Member], name: str) -> tuple[float, tuple[str, ...]]:
    """Distance from slice to slice, mm, and a warning of each that is another.

    Raises:
        InputError: distances of which too many are others, or that change along the series.
    """
    distances = np.diff(along)
    usual = float(np.median(distances))
    most = max(0.1 * usual, 0.1)
    is_odd = np.abs(distances - usual) > most
    odd = [int(i) for i in np.flatnonzero(is_odd)]
    broken = [i for i in odd if not _missing(distances[i] / usual)]
    if len(odd) > MOST_UNEVEN * len(distances) or len(broken) > MOST_BROKEN:
        raise InputError(
            f"{name}: expected slices at even distances, found {len(odd)} of {len(distances)} other than the usual "
            f"{usual:.4g} mm, from {distances.min():.4g} to {distances.max():.4g} mm. Slices are missing or of several "
            "series: export the series again."
        )
    step = float(distances[~is_odd].mean())
    changed = _change(distances, is_odd, step, most)
    if changed is not None:
        raise InputError(
            f"{slices[changed].path}: expected slices {step:.4g} mm apart as in the others of its series, found "
            f"another distance from here on. {_WHOLE}"
        )
    if not odd:
        return step, ()
    found = [
        f"{distances[i]:.4g} mm between {slices[i].path} and {slices[i + 1].path}"
        + (f" ({n} missing)" if (n := _missing(distances[i] / usual)) else "")
        for i in odd
    ]
    warning = (
        f"Slices are {step:.4g} mm apart, but {some(found, 3)}; the volume has them {step:.4g} mm apart, so what "
        "was not imaged there is not judged, and lengths across it are wrong."
    )
    return step, (warning,)


def _change(distances: np.ndarray, is_odd: np.ndarray, step: float, most: float) -> int | None:
    """The slice from which on the usual distance is another; None where there is none.

    That is more than `MOST_BROKEN` odd distances in a row that are alike, or small differences that together move a
    slice by a whole `step`.
    """
    for i in range(len(distances) - MOST_BROKEN):
        row = slice(i, i + MOST_BROKEN + 1)
        if is_odd[row].all() and np.ptp(distances[row]) <= most:
            return i
    drift = np.abs(np.cumsum(np.where(is_odd, 0, distances - step)))
    return int(drift.argmax()) + 1 if drift.max() > step else None


def _missing(ratio: float) -> int:
    """How many slices are missing where a distance is so many times the usual one; 0 where it is no such gap."""
    count = round(ratio) - 1
    return count if count > 0 and abs(ratio - round(ratio)) <= 0.2 else 0


def _tilt(positions: np.ndarray, normal: np.ndarray, places: tuple[tuple[Member, ...], ...]) -> tuple[str, ...]:
    """A warning where slices lie askew above each other, as with a tilted gantry.

    Raises:
        InputError: a slice that lies beside the line through the others.
    """
    moved = positions - positions[0]
    along = moved @ normal
    aside = moved - along[:, np.newaxis] * normal
    shear = (along @ aside) / float(along @ along)
    beside = np.linalg.norm(aside - along[:, np.newaxis] * shear, axis=1)
    worst = int(beside.argmax())
    if beside[worst] > MOST_SHIFT:
        raise InputError(
            f"{places[worst][0].path}, ImagePositionPatient: expected slices straight above each other, found this one "
            f"{beside[worst]:.1f} mm aside. {_WHOLE}"
        )
    angle = math.degrees(math.atan(float(np.linalg.norm(shear))))
    stated = max((abs(_facts(p[0]).tilt) for p in places), default=0.0)
    if angle >= LEAST_TILT:
        return (
            f"The gantry was tilted by {angle:.1f} degrees: slices lie askew; the volume has them straight above each "
            "other, at their distance along the normal.",
        )
    if stated >= LEAST_TILT:
        return (f"GantryDetectorTilt is {stated:.1f} degrees, but the positions of the slices show no tilt.",)
    return ()


def _mixed(slices: Sequence[Member]) -> tuple[str, ...]:
    """A warning where acquisitions take turns along the volume: each a block is usual, turns are two scans in one."""
    numbers = [_facts(m).acquisition for m in slices]
    turns, several = sum(a != b for a, b in pairwise(numbers)), sorted(set(numbers))
    if turns < len(several):
        return ()
    return (
        f"AcquisitionNumber changes {turns} times along the series, between {some(several, 3)}: its slices may be of "
        "two scans or phases, and the volume mixes them.",
    )


def _thin(members: Sequence[Member], step: float) -> tuple[str, ...]:
    """A warning where slices are much thinner than the distance between them."""
    thickness = members[0].facts.thickness
    if not thickness or step < 2 * thickness:
        return ()
    return (f"Slices of {thickness:.3g} mm are {step:.3g} mm apart: what lies between them is not judged.",)


def _rows(member: Member) -> int:
    return _facts(member).layout.rows


def _columns(member: Member) -> int:
    return _facts(member).layout.columns
