"""The CT scans of one label in numbers: slices, spacing, kernels, scanners, and where infected slices lie.

Xue & Abhayaratne 2021, Fig. 1: the share of infected slices by their place along the body. Slices are counted from feet
to head by their positions, and the scan's length is cut into equal parts, since scans have different numbers of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pneumoscope.io.description import MOST, PROFILE, Profile, Scans, Spread, Tally
from pneumoscope.io.manifest import BLANK
from pneumoscope.io.scans import Scan


class Mark(NamedTuple):
    """A labelled slice: its file in slices.csv, its part of the scan from the feet, 0..`PROFILE` - 1, and its label."""

    file: str
    part: int
    infected: bool


def marks_of(root: Path, scan: Scan | None, infections: Mapping[str, bool]) -> tuple[Mark, ...]:
    """The slices of a scan in the resolved folder `root` that slices.csv labels, from feet to head."""
    if scan is None or not infections:
        return ()
    names = [file.relative_to(root).as_posix() for file in scan.files]
    return tuple(
        Mark(name, int(PROFILE * (i + 0.5) / len(names)), infections[name])
        for i, name in enumerate(names)
        if name in infections
    )


def scans_of(scans: Sequence[Scan], marks: Sequence[Sequence[Mark]]) -> Scans | None:
    """The numbers of some scans and of their labelled slices; None where there are no scans."""
    if not scans:
        return None
    thicknesses = [BLANK if s.thickness_mm is None else f"{s.thickness_mm:.3g} mm" for s in scans]
    return Scans(
        studies=len(scans),
        slices=_spread(s.slices for s in scans),
        step_mm=_spread(s.spacing_mm[0] for s in scans),
        pixel_mm=_spread(s.spacing_mm[2] for s in scans),
        unlike=sum(abs(s.spacing_mm[1] - s.spacing_mm[2]) > 0.01 * s.spacing_mm[2] for s in scans),
        thicknesses=_tally(thicknesses),
        kernels=_tally(s.kernel for s in scans),
        manufacturers=_tally(s.manufacturer for s in scans),
        profile=_profile(marks),
    )


def _spread(numbers: Iterable[float]) -> Spread:
    found = np.array(list(numbers), dtype=np.float64)
    return Spread(min=float(found.min()), median=float(np.median(found)), max=float(found.max()))


def _tally(values: Iterable[str]) -> Tally:
    counts = Counter(value[:64] or BLANK for value in values)
    return Tally(top=dict(counts.most_common(MOST)), distinct=len(counts))


def _profile(marks: Sequence[Sequence[Mark]]) -> Profile | None:
    labelled, infected = np.zeros(PROFILE, np.int64), np.zeros(PROFILE, np.int64)
    for mark in (mark for study in marks for mark in study):
        labelled[mark.part] += 1
        infected[mark.part] += mark.infected
    if not labelled.any():
        return None
    studies = sum(bool(study) for study in marks)
    return Profile(studies=studies, labelled=tuple(labelled.tolist()), infected=tuple(infected.tolist()))
