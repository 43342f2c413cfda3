"""A labelled folder into its Description: what labels.csv, slices.csv and headers of files say, no pixel decoded.

Every label is taken as it stands, without a recipe. Identifiers of patients are counted here and go no further.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from pneumoscope.core.progress import Progress, silent
from pneumoscope.core.result import Sizes
from pneumoscope.io.archive import shown
from pneumoscope.io.describe_scans import Mark, marks_of, scans_of
from pneumoscope.io.description import (
    MOST,
    MOST_NAMES,
    MOST_SIZES,
    Description,
    Extent,
    Findings,
    Label,
    PerPatient,
    Problem,
    Size,
    Tally,
    resolution,
)
from pneumoscope.io.headers import Header, read_header
from pneumoscope.io.manifest import BLANK, file_problem, read_rows
from pneumoscope.io.scans import Scan
from pneumoscope.io.slice_labels import read_slices
from pneumoscope.io.tells import Tell, steps, tell

__all__ = ["Description", "describe", "resolution"]

_OF_SIZE = ("original size", "original number of pixels", "size of the files", "number of pixels in the files")
_PIXELS = re.compile(r"[1-9]\d{0,5}")


class _Image(NamedTuple):
    row: Mapping[str, str]
    header: Header | None
    original: tuple[int, int] | None
    marks: tuple[Mark, ...] = ()

    @property
    def label(self) -> str:
        return self.row["label"] or BLANK

    @property
    def patient(self) -> str:
        return self.row.get("group_id") or self.row.get("patient_id") or ""

    @property
    def scan(self) -> Scan | None:
        return self.header.scan if self.header else None

    @property
    def stored(self) -> tuple[int, int] | None:
        return (self.header.width, self.header.height) if self.header and not self.header.problem else None


def describe(root: Path, *, progress: Progress = silent) -> Description:
    """Describe the folder `root`: every label as it stands, no recipe and no class.

    Of each file, and of each slice of a series, only the header is read. A file that is missing or cannot be read is
    named and counted.

    Raises:
        DataError: no labels.csv, or one or a slices.csv that does not hold together.
    """
    rows, infections = read_rows(root), read_slices(root)
    images, problems = _look(root.resolve(), rows, infections, progress)
    by_label: dict[str, list[_Image]] = defaultdict(list)
    for image in images:
        by_label[image.label].append(image)
    labels = tuple(_label(name, by_label[name]) for name in sorted(by_label, key=lambda n: (-len(by_label[n]), n)))
    found = Description(
        root=str(root),
        images=len(images),
        series=sum(i.scan is not None for i in images),
        unplaced=len(infections.keys() - {mark.file for i in images for mark in i.marks}),
        patients=len({i.patient for i in images if i.patient}),
        per_patient=_per_patient(images),
        columns=tuple(rows[0]),
        labels=labels,
        mixed=_mixed(images),
        across=sum(len(parts) > 1 for parts in _by_patient(images, lambda i: i.row.get("split", "")).values()),
        repeated=sum(n > 1 for n in Counter(str(PurePosixPath(i.row["file"])) for i in images).values()),
        findings=_findings([i.row.get("findings", "") for i in images]),
        problems=problems,
        tells=_tells(images),
        warnings=(),
    )
    return dataclasses.replace(found, warnings=_warnings(found))


def _look(
    root: Path, rows: Sequence[Mapping[str, str]], infections: Mapping[str, bool], progress: Progress
) -> tuple[list[_Image], tuple[Problem, ...]]:
    images: list[_Image] = []
    problems: dict[str, list[str]] = defaultdict(list)
    for i, row in enumerate(rows):
        header, why = None, file_problem(root, row["file"])
        if why is None:
            header = read_header(root / row["file"], row["file"])
            why = header.problem and f"that cannot be read: {header.problem}"
        if why:
            problems[why].append(row["file"])
        marks = marks_of(root, header.scan, infections) if header else ()
        images.append(_Image(row, header, _original(row), marks))
        progress("reading headers", i + 1, len(rows))
    ordered = sorted(problems.items(), key=lambda item: (-len(item[1]), item[0]))
    return images, tuple(Problem(why=why, images=len(f), files=tuple(f[:MOST_NAMES])) for why, f in ordered)


def _original(row: Mapping[str, str]) -> tuple[int, int] | None:
    width, height = row.get("orig_w", ""), row.get("orig_h", "")
    return (int(width), int(height)) if _PIXELS.fullmatch(width) and _PIXELS.fullmatch(height) else None


def _label(name: str, images: Sequence[_Image]) -> Label:
    headers = [i.header for i in images if i.header is not None]
    return Label(
        name=name,
        images=len(images),
        patients=len({i.patient for i in images if i.patient}),
        unidentified=sum(not i.patient for i in images),
        per_patient=_per_patient(images),
        formats=dict(Counter(h.format for h in headers).most_common()),
        depths=dict(Counter(h.depth for h in headers if h.depth).most_common()),
        stored=_extent(i.stored for i in images),
        original=_extent(i.original for i in images),
        blanks={column: sum(not i.row[column] for i in images) for column in images[0].row},
        views=_tally(i.row.get("view", "") for i in images),
        sources=_tally(i.row.get("source", "") for i in images),
        parts=dict(sorted(Counter(i.row.get("split") or BLANK for i in images).items())),
        scans=scans_of([i.scan for i in images if i.scan], [i.marks for i in images if i.scan]),
    )


def _per_patient(images: Sequence[_Image]) -> PerPatient | None:
    counts = Counter(i.patient for i in images if i.patient)
    if not counts:
        return None
    n = np.array(list(counts.values()))
    histogram = tuple(sorted(Counter(counts.values()).items()))
    return PerPatient(min=int(n.min()), median=float(np.median(n)), max=int(n.max()), histogram=histogram)


def _extent(found: Iterable[tuple[int, int] | None]) -> Extent | None:
    counts = Counter(size for size in found if size is not None)
    if not counts:
        return None
    pixels = np.repeat([w * h for w, h in counts], list(counts.values())).astype(np.float64)
    several = len(pixels) > 1
    return Extent(
        resolution=Sizes(
            images=len(pixels),
            min=float(pixels.min()),
            max=float(pixels.max()),
            mean=float(pixels.mean()),
            sd=float(pixels.std(ddof=1)) if several else math.nan,
        ),
        sizes=_thinned([Size(width=w, height=h, images=n) for (w, h), n in counts.items()]),
        distinct=len(counts),
    )


def _thinned(sizes: list[Size]) -> tuple[Size, ...]:
    """The most frequent sizes, and of the others as many as there is room for, evenly from small to large."""
    sizes.sort(key=lambda s: (-s.images, s.width, s.height))
    if len(sizes) <= MOST_SIZES:
        return tuple(sizes)
    rest = sorted(sizes[MOST:], key=lambda s: (s.width * s.height, s.width))
    room = MOST_SIZES - MOST
    return tuple(sizes[:MOST] + [rest[i * len(rest) // room] for i in range(room)])


def _tally(values: Iterable[str]) -> Tally:
    counts = Counter(value or BLANK for value in values)
    return Tally(top=dict(counts.most_common(MOST)), distinct=len(counts))


def _by_patient(images: Sequence[_Image], of: Callable[[_Image], str]) -> dict[str, set[str]]:
    """Patient -> what `of` says of the images, blanks left out."""
    found: dict[str, set[str]] = defaultdict(set)
    for image in images:
        if image.patient and of(image):
            found[image.patient].add(of(image))
    return found


def _mixed(images: Sequence[_Image]) -> dict[str, int]:
    several = [names for names in _by_patient(images, lambda i: i.label).values() if len(names) > 1]
    return dict(Counter(" + ".join(sorted(names)) for names in several).most_common(MOST))


def _findings(texts: Sequence[str]) -> Findings | None:
    return together([{name for part in text.split("|") if (name := part.strip())} for text in texts])


def together(seen: Sequence[Collection[str]]) -> Findings | None:
    """Which findings occur together, from those of each image; None where no image has any."""
    counts = Counter(name for names in seen for name in set(names))
    if not counts:
        return None
    names = sorted(counts, key=lambda name: (-counts[name], name))[:MOST]
    has = np.array([[name in one for name in names] for one in seen if one], dtype=np.int64)
    lone = has[[len(set(one)) == 1 for one in seen if one]].sum(axis=0)
    return Findings(
        names=tuple(names),
        together=tuple(tuple(row) for row in (has.T @ has).tolist()),
        alone=tuple(lone.tolist()),
        images=len(has),
        distinct=len(counts),
    )


def _tells(images: Sequence[_Image]) -> tuple[Tell, ...]:
    """Each fact beside the picture that takes more than one value, those that give most away first."""
    facts: Mapping[str, Sequence[str | None]] = {
        **dict(zip(_OF_SIZE, _sizes(images), strict=True)),
        "file format": [i.header.format if i.header else None for i in images],
        "depth and colour": [i.header.depth or None if i.header else None for i in images],
        "view": [i.row.get("view") or BLANK for i in images],
        "source": [i.row.get("source") or BLANK for i in images],
        **_scan_facts([i.scan for i in images]),
    }
    found = []
    for by, values in facts.items():
        known = [(v, i.label) for v, i in zip(values, images, strict=True) if v is not None and i.row["label"]]
        one = tell(by, [v for v, _ in known], [name for _, name in known])
        if one is not None and one.values > 1:
            found.append(one)
    return tuple(sorted(found, key=lambda t: t.chance - t.balanced_accuracy))


def _scan_facts(scans: Sequence[Scan | None]) -> dict[str, list[str | None]]:
    """What the headers of scans say, and single images do not."""
    slices = iter(steps([scan.slices for scan in scans if scan]))
    return {
        "number of slices": [next(slices) if scan else None for scan in scans],
        "distance between slices": [f"{scan.spacing_mm[0]:.1f} mm" if scan else None for scan in scans],
        "slice thickness": [f"{scan.thickness_mm or 0:.1f} mm" if scan else None for scan in scans],
        "kernel": [scan.kernel or BLANK if scan else None for scan in scans],
        "manufacturer": [scan.manufacturer or BLANK if scan else None for scan in scans],
    }


def _sizes(images: Sequence[_Image]) -> tuple[list[str | None], ...]:
    original, stored = [i.original for i in images], [i.stored for i in images]
    return [_text(s) for s in original], _steps(original), [_text(s) for s in stored], _steps(stored)


def _text(size: tuple[int, int] | None) -> str | None:
    return None if size is None else f"{size[0]} x {size[1]}"


def _steps(sizes: Sequence[tuple[int, int] | None]) -> list[str | None]:
    named = iter(steps([s[0] * s[1] for s in sizes if s is not None]))
    return [None if s is None else next(named) for s in sizes]


def _warnings(d: Description) -> tuple[str, ...]:
    unidentified = sum(one.unidentified for one in d.labels)
    unlabelled = sum(one.images for one in d.labels if one.name == BLANK)
    unusable = sum(problem.images for problem in d.problems)
    said = [
        (unusable, f"{unusable:,} of {d.images:,} files are missing or cannot be read; training would stop at them."),
        (unlabelled, f"{unlabelled:,} of {d.images:,} images have no label."),
        (d.repeated, f"Files listed more than once: {d.repeated:,}. Training would refuse them."),
        (unidentified == d.images, "Nothing says which patient an image is of: no split can keep patients apart."),
        (
            0 < unidentified < d.images,
            f"{unidentified:,} of {d.images:,} images have neither a group_id nor a patient_id; training would refuse "
            "them.",
        ),
        (
            d.mixed,
            f"Patients with images of several labels: {_counted(d.mixed)}. Where a label is about the patient, one of "
            "them is wrong.",
        ),
        (
            d.unplaced,
            f"slices.csv labels {d.unplaced:,} slices that are no slice of a series listed here: no file there, or no "
            "part of the series that is read.",
        ),
        (d.across, f"Patients in more than one official part: {d.across:,}. That split leaks."),
    ]
    striking = [t for t in d.tells if t.striking]
    # sizes tell the same thing four times over: the loudest is enough
    sizes = [t for t in striking if t.by in _OF_SIZE]
    told = [t for t in striking if t not in sizes[1:]]
    return (*(text for applies, text in said if applies), *(t.sentence for t in told))


def _counted(counts: Mapping[str, int]) -> str:
    first = ", ".join(f"{n:,} with {shown(names)[:120]}" for names, n in list(counts.items())[:3])
    return f"{first}, ..." if len(counts) > 3 else first
