"""UCSD's COVID-CT-Dataset (Zhao et al. 2020): CT slices cut out of publications, COVID or not, with official parts.

Images-processed/{CT_COVID,CT_NonCOVID} (two zips in the repository), Data-split/*/{train,val,test}CT_*.txt, and
COVID-CT-MetaInfo.xlsx (or .csv) and NonCOVID-CT-MetaInfo.csv with the patients; later rows leave the suffix off.
"2020.01.24.919183-p27-132.png" is a figure of page 27 of bioRxiv 10.1101/2020.01.24.919183, "71%0.jpg" of patient 71.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Literal

from pneumoscope.errors import DataError
from pneumoscope.io.fetch import github_zip
from pneumoscope.io.layouts.layout import Entry, Layout, Listing
from pneumoscope.io.layouts.tree import below, compare, home, images, in_several_parts, is_plain, table, text
from pneumoscope.io.xlsx import tables

Part = Literal["train", "val", "test"]

PARTS: tuple[Part, ...] = ("train", "val", "test")
LABELS = {"CT_COVID": "covid", "CT_NonCOVID": "non-covid"}  # folder -> label
CONFLICT = "ucsd:paper:kjr-21-e24"  # kjr-21-e24-p5-29 and -31 (COVID) are the pictures 71%0 and 71%1 (NonCOVID)
RUN = 3  # numbers of one MedPix case lie so near each other; what lies as near is kept together
_PAPER = re.compile(r"(PIIS\d+)[_%].*|(.+?)-p\d+-\d.*", re.ASCII)
_PICTURES = re.compile(r"\.(?:png|jpe?g)", re.IGNORECASE)


def read(root: Path) -> Listing:
    """The images that the official lists name; without the lists, all of CT_COVID and CT_NonCOVID.

    Raises:
        DataError: the two folders are not there or hold no image, or some of the six lists are there and some not.
    """
    folder = home(root, _is_home, expected="Images-processed with CT_COVID and CT_NonCOVID (unpack the two zips)")
    found = images(root)
    place = _place(folder) or folder
    here = {inside: file for file, inside in below(root, place, found) if _is_image(inside)}
    parts, notes = _parts(folder)
    named = [inside for inside in (parts or here) if inside in here]
    if not named:
        raise DataError(f"{root}: expected images in CT_COVID and CT_NonCOVID, found none. Unpack the two zips first.")
    patients, found_in = _patients(folder)
    runs = _runs([*here, *parts])
    entries = tuple(_entry(here[inside], inside, parts.get(inside), patients, runs) for inside in sorted(named))
    start = "" if place == root else place.relative_to(root).as_posix() + "/"
    missing = tuple(sorted(start + inside for inside in parts if inside not in here))
    _, extra = compare((e.file for e in entries), found)
    return Listing(entries=entries, missing=missing, extra=extra, notes=(*notes, *found_in, *_warnings(entries)))


def _is_home(folder: Path) -> bool:
    return _place(folder) is not None


def _place(folder: Path) -> Path | None:
    """Where CT_COVID and CT_NonCOVID are: in Images-processed, or beside each other in `folder` itself."""
    places = (folder / "Images-processed", folder)
    return next((place for place in places if all((place / kind).is_dir() for kind in LABELS)), None)


def _is_image(inside: str) -> bool:
    kind, _, name = inside.partition("/")
    return kind in LABELS and "/" not in name


def _lists(folder: Path, names: Collection[str]) -> dict[str, Path]:
    """The files of these names under `folder`, each the first in the order of the folders; links are not followed."""
    lists: dict[str, Path] = {}
    for place, folders, files in os.walk(folder):
        folders.sort()
        for name in names:
            if name in files:
                lists.setdefault(name, Path(place) / name)
    return lists


def _parts(folder: Path) -> tuple[dict[str, Part], list[str]]:
    """Path inside Images-processed -> part, of the six official lists, and what is to be said of them."""
    wanted = {f"{part}{kind}.txt": (part, kind) for kind in LABELS for part in PARTS}
    lists = _lists(folder, wanted)
    if not lists:
        return {}, ["No parts: the lists of Data-split are not there, and an image that is missing cannot be named."]
    if len(lists) < len(wanted):
        lacking = ", ".join(name for name in wanted if name not in lists)
        raise DataError(f"Data-split: expected six lists or none, found {len(lists)}. Download {lacking} too.")
    found: dict[str, Part] = {}
    strange = again = 0
    for name, (part, kind) in wanted.items():
        lines = [line.strip() for line in text(lists[name]).splitlines() if line.strip()]
        strange += sum(not is_plain(line) for line in lines)
        again += sum(f"{kind}/{line}" in found for line in lines)
        found |= {f"{kind}/{line}": part for line in lines if is_plain(line)}
    notes = [f"{strange} names in the lists are no names of files and were left out."] if strange else []
    return found, [*notes, f"{again} images are in two lists; the later part counts."] if again else notes


def _patients(folder: Path) -> tuple[dict[str, str], list[str]]:
    """Path inside Images-processed without suffix -> patient, of the MetaInfo tables, and which were not there."""
    patients: dict[str, str] = {}
    notes = []
    for kind, stem in (("CT_COVID", "COVID-CT-MetaInfo"), ("CT_NonCOVID", "NonCOVID-CT-MetaInfo")):
        tried = _lists(folder, (f"{stem}.csv", f"{stem}.xlsx"))
        pairs = _meta(next(iter(tried.values()))) if tried else []
        if not pairs:
            notes.append(f"{stem} is not there, or names no patient: those of {kind} are known by file names alone.")
        patients |= {f"{kind}/{_bare(name)}": f"ucsd:{LABELS[kind]}:{patient}" for name, patient in pairs}
    return patients, notes


def _meta(path: Path) -> list[tuple[str, str]]:
    """Pairs (file, patient) of a MetaInfo table, whatever its copies call the two columns."""
    if path.suffix == ".xlsx" and path.is_symlink():
        raise DataError(f"{path}: expected a file, found a link. Put the file itself there.")
    rows = [row for sheet in tables(path) for row in sheet] if path.suffix == ".xlsx" else table(path, ())
    pairs = []
    for row in rows:
        lower = {key.lower(): value for key, value in row.items()}
        name = lower.get("file name") or lower.get("image name") or lower.get("image") or ""
        patient = lower.get("patient id") or lower.get("patient") or ""
        if name and patient:
            pairs.append((name, patient))
    return pairs


def _bare(name: str) -> str:
    """The name without its suffix; many names have dots and no suffix."""
    stem, dot, suffix = name.rpartition(".")
    return stem if _PICTURES.fullmatch(dot + suffix) else name


def _runs(inside: Iterable[str]) -> dict[str, str]:
    """MedPix image ("CT_NonCOVID/658.png") -> group of the numbers that follow each other by no more than RUN."""
    numbers = sorted({int(m[1]) for i in inside if (m := re.fullmatch(r"CT_NonCOVID/(\d{1,6})\.png", i, re.ASCII))})
    runs, first = {}, 0
    for position, number in enumerate(numbers):
        if position == 0 or number - numbers[position - 1] > RUN:
            first = number
        runs[f"CT_NonCOVID/{number}.png"] = f"ucsd:run:{first}"
    return runs


def _entry(file: str, inside: str, part: Part | None, patients: Mapping[str, str], runs: Mapping[str, str]) -> Entry:
    kind, _, name = inside.partition("/")
    patient = patients.get(_bare(inside))
    if kind == "CT_COVID":
        match = _PAPER.fullmatch(_bare(name))
        source = (match[1] or match[2]) if match else "unknown"
        group = f"ucsd:paper:{source}" if match else None
    else:
        number = name.partition(".")[0].partition("%")[0]
        source = "medpix" if name.endswith(".png") else "crawled"
        group = runs.get(inside)
        if patient is None and source == "crawled" and number.isdecimal():
            patient = f"ucsd:non-covid:crawled_patient_{number}"
    conflict = group == CONFLICT or patient == "ucsd:non-covid:crawled_patient_71"
    return Entry(
        file=file,
        label=LABELS[kind],
        original=kind,
        modality="ct",
        patient_id=patient,
        group_id=CONFLICT if conflict else None if patient else group,
        view="axial",
        source=source,
        split=part,
        notes="kjr-21-e24-p5-29 and -31 (COVID) are the pictures 71%0 and 71%1 (NonCOVID)" if conflict else "",
    )


def _warnings(entries: tuple[Entry, ...]) -> list[str]:
    notes = []
    unknown = sum(e.patient_id is None for e in entries)
    if unknown:
        notes.append(f"{unknown} images tell no patient; they are grouped by paper, or by neighbouring numbers.")
    if conflicts := sum(e.group_id == CONFLICT for e in entries):
        notes.append(f"{conflicts} images are held together because two pictures among them have both labels.")
    groups = in_several_parts((e.group_id or e.patient_id, e.split) for e in entries)
    papers = in_several_parts((e.source, e.split) for e in entries if e.label == "covid")
    if groups or papers:
        notes.append(f"The official parts cut {groups} patients or groups and {papers} papers.")
    return notes


CITATION = "Zhao J, Zhang Y, He X, Xie P. COVID-CT-Dataset: a CT scan dataset about COVID-19. arXiv:2003.13865, 2020"
LICENCE = "All copyrights of the data belong to the authors and publishers of the papers that the images are from"
LAYOUT = Layout(
    name="ucsd-covid-ct",
    title="COVID-CT-Dataset (UCSD-AI4H)",
    citation=CITATION,
    licence=LICENCE,
    home="https://github.com/UCSD-AI4H/COVID-CT",
    obtain="Clone the repository and unpack Images-processed/CT_COVID.zip and CT_NonCOVID.zip where they lie.",
    release="the repository's release with official parts: train 191 + 234, val 60 + 58, test 98 + 105",
    expected={"covid": 349, "non-covid": 397},
    patients="COVID: 216 in COVID-CT-MetaInfo; NonCOVID: NonCOVID-CT-MetaInfo, and for JPEGs the number in the name.",
    traps=(
        "Pictures kjr-21-e24-p5-29 and -31 (COVID) are also 71%0 and 71%1 (NonCOVID): two label conflicts.",
        "The official parts cut papers, and so figures, windows and hospitals, between train, val and test.",
        "COVID-CT-MetaInfo leaves the suffix off in its later rows: matched by whole names, those lose their patients.",
        "-p27- in a name is a page, not a patient.",
        "Cut from publications: varying windows, white borders, arrows, letters; COVID are PNG of papers, a part of "
        "NonCOVID are JPEG, so that the format tells the class.",
        "Data-split of other carriers may be another split, or have other line ends.",
    ),
    read=read,
    remote=(
        github_zip(
            "UCSD-AI4H/COVID-CT",
            "0c83254a43230de176489a9b4e3ac12e23b0df53",
            name="ucsd-covid-ct.zip",
            licence=LICENCE,
            citation=CITATION,
            inner=("Images-processed/CT_COVID.zip", "Images-processed/CT_NonCOVID.zip"),
        ),
    ),
)
