"""COVIDx CXR, the benchmark of COVID-Net: images of several sets, in two or three parts with a list each.

Source: docs/COVIDx.md and labels/*.txt of lindawangg/COVID-Net. A line is `patient file class [source]`, parted by
blanks that also stand inside patients and files: `COVID 106 COVID (106).png COVID-19 sirm`. Lines with and without
a source occur in one list (7A). Lists called *_pnemunia and *Sev* mean other classes and are not read.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple, get_args

from pneumoscope.errors import DataError
from pneumoscope.io.layouts import figure1, metadata, tree
from pneumoscope.io.layouts.layout import Entry, Layout, Listing

Part = Literal["train", "val", "test"]
PARTS: tuple[Part, ...] = get_args(Part)
CLASSES = {
    "covid-19": "covid",
    "positive": "covid",
    "negative": "non-covid",
    "normal": "normal",
    "pneumonia": "pneumonia",
}
# Their word for a source, as our layouts prefix patients; "rnsa" is a slip that the lists of version 9 repeat.
SOURCES = {"cohen": "ieee8023", "fig1": "figure1", "actmed": "actualmed", "rnsa": "rsna"}
# Who made an id, for lines that do not say; all ids of versions 1 to 6 are of these kinds.
_KINDS = (
    (re.compile(r"\d{1,4}[a-z]?"), "ieee8023"),
    (re.compile(r"COVID-\d{5}[a-z]?"), "figure1"),
    (re.compile(r"ANON\d+"), "actualmed"),
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "rsna"),
    (re.compile(r"COVID.?\(?\d+\)?"), "sirm"),
)
_MOST_WORDS = 20  # the longest real line has 6


class Line(NamedTuple):
    """One line of a list."""

    patient: str
    file: str
    original: str
    source: str


def read(root: Path) -> Listing:
    """The images that the lists name.

    Raises:
        DataError: no list or several of one part, or a line that is not one.
    """
    images = tree.images(root)
    by_part = _by_part(images)
    entries: dict[str, Entry] = {}
    missing: list[str] = []
    refused, twice = 0, 0
    for part, path in _lists(root).items():
        for number, text in enumerate(tree.text(path).splitlines(), start=1):
            if not text.strip():
                continue
            line = _line(text, by_part[part])
            if line is None:
                raise DataError(
                    f"{path.name}, line {number}: expected 'patient file class [source]' with a class of "
                    f"{', '.join(CLASSES)}, found something else. Check that this is a COVIDx list."
                )
            file = by_part[part].get(line.file)
            if not tree.is_plain(line.file):
                refused += 1
            elif file is None:
                missing.append(f"{part}/{line.file}")
            elif file in entries:
                twice += 1
            else:
                entries[file] = _entry(file, line, part)
    return Listing(
        entries=tuple(entries.values()),
        missing=tuple(sorted(set(missing))),
        extra=tuple(sorted(set(images) - set(entries))),
        notes=(
            *metadata.counted(refused, metadata.NOWHERE),
            *metadata.counted(twice, "lines naming a file a second time, the first counts"),
            *metadata.counted(
                tree.in_several_parts((entry.patient_id, entry.split) for entry in entries.values()),
                "patients with images in more than one part",
            ),
        ),
    )


def _by_part(files: Iterable[str]) -> dict[str, dict[str, str]]:
    """Part -> name -> path of the images in train/, val/ and test/; of all images where there are no such folders."""
    found: dict[str, dict[str, str]] = {part: {} for part in PARTS}
    paths = [PurePosixPath(file) for file in files]
    parted = any(path.parent.name in PARTS for path in paths)
    for path in paths:
        for part in PARTS:
            if path.parent.name == part or not parted:
                found[part].setdefault(path.name, str(path))
    return found


def _lists(root: Path) -> dict[Part, Path]:
    """The list of each part: in `root`, its labels/ or its only folder that has any; beside `root` if that is data/."""
    below = [path for path in sorted(root.glob("*")) if path.is_dir() and path.name != "labels"]
    above = [root.parent, root.parent / "labels"] if root.name == "data" else []
    places = [root, *(path for path in (root / "labels", *below, *above) if not path.is_symlink())]
    for place in places:
        found = {part: paths for part in PARTS if (paths := _named(place, part))}
        if several := next((part for part, paths in found.items() if len(paths) > 1), None):
            raise DataError(
                f"{place}: expected one {several} list, found {len(found[several])} "
                f"({', '.join(path.name for path in found[several][:4])}). Keep the list of the version you have."
            )
        if found:
            return {part: paths[0] for part, paths in found.items()}
    raise DataError(
        f"{root}: expected a list such as train_COVIDx9A.txt or train.txt beside train/ and test/, found none. "
        "Put the lists of github.com/lindawangg/COVID-Net, folder labels, there."
    )


def _named(place: Path, part: Part) -> list[Path]:
    pattern = re.compile(rf"{part}(_COVIDx(?!Sev).*)?\.txt", re.IGNORECASE)
    return sorted(p for p in place.glob("*.txt") if pattern.fullmatch(p.name) and p.is_file() and not p.is_symlink())


def _line(text: str, names: Collection[str]) -> Line | None:
    """A line's columns, read from the right, since the class is a known word; None where there is none."""
    words = text.split()
    if len(words) > _MOST_WORDS:
        return None
    for behind in (0, 1):
        at = len(words) - 1 - behind
        if at >= 2 and words[at].lower() in CLASSES:
            patient, file = _split(words[:at], names)
            source = words[-1].lower() if behind else _source(patient)
            return Line(patient, file, words[at], SOURCES.get(source, source))
    return None


def _split(words: list[str], names: Collection[str]) -> tuple[str, str]:
    """Patient and file: where the file is here, else where both say the same, else the first blank."""
    ways = [(" ".join(words[:i]), " ".join(words[i:])) for i in range(1, len(words))]
    here = [way for way in ways if way[1] in names]
    alike = [way for way in ways if _letters(way[0]) == _letters(PurePosixPath(way[1]).stem)]
    return (here or alike or ways)[0]


def _letters(text: str) -> str:
    return "".join(c for c in text.lower() if c.isalnum())


def _source(patient: str) -> str:
    return next((source for kind, source in _KINDS if kind.fullmatch(patient)), "covidx")


def _entry(file: str, line: Line, part: Part) -> Entry:
    who = figure1.patient(line.patient) if line.source == figure1.SOURCE else line.patient
    return Entry(
        file=file,
        label=CLASSES[line.original.lower()],
        original=line.original,
        modality="xray",
        patient_id=f"{metadata.clean(line.source)}:{metadata.clean(who)}",
        source=metadata.clean(line.source),
        split=part,
    )


LAYOUT = Layout(
    name="covidx-cxr",
    title="COVIDx CXR",
    citation="Wang, Lin, Wong. COVID-Net: a tailored deep convolutional neural network design for detection of "
    "COVID-19 cases from chest X-ray images. Scientific Reports 10:19549, 2020 (from memory).",
    licence="lists: AGPL-3.0, as the repository; images: as each of the sources states (ieee8023, Figure 1, Actualmed, "
    "COVID-19 Radiography Database, RSNA, RICORD, BIMCV, Stony Brook)",
    home="https://github.com/lindawangg/COVID-Net/blob/master/docs/COVIDx.md",
    obtain="Images: kaggle.com/andyczhao/covidx-cxr2 (needs a Kaggle login), or the sources through COVID-Net's "
    "notebooks; lists: folder labels of github.com/lindawangg/COVID-Net, put beside train/ and test/.",
    release="COVIDx CXR-3A of June 2022, train and test (binary CXR-3B: 14192 negative, 16194 positive)",
    expected={"normal": 8185, "pneumonia": 5655, "covid": 16194},
    patients="As the lists give them, prefixed by their source; those of `sirm` (COVID-19 Radiography Database) are "
    "image numbers, and those of `rsna` do not say which NIH patient they are.",
    traps=(
        "In the test lists 8A, 8B, 9A and 9B all COVID-19 images are RICORD's and all others RSNA's: telling the "
        "sources apart scores 100 %.",
        "RSNA's images are from NIH ChestX-ray14, under other names: do not add NIH images without looking for "
        "duplicates.",
        "It contains covid-chestxray-dataset, Figure 1 and Actualmed: joined with these, patients join by their ids.",
        "Patients and files have blanks in them (COVID 106, COVID (106).png), and some lines have no source.",
        "'negative' in the binary lists is anything but COVID-19, pneumonia included.",
        "The sirm images come from several sources, ieee8023 among them (issue #70): look for duplicates.",
    ),
    read=read,
)
