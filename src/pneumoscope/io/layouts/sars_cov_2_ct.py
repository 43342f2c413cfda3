"""SARS-CoV-2 CT-scan dataset (Soares, Angelov et al. 2020): single CT slices, COVID or not, from Sao Paulo.

COVID/"Covid (1).png" and non-COVID/"Non-Covid (1).png". The set says nothing of patients: neighbouring numbers are
neighbouring slices of one patient, so blocks of 20 consecutive numbers of one class are what may not be parted.
"""

from __future__ import annotations

import re
from pathlib import Path

from pneumoscope.errors import DataError
from pneumoscope.io.layouts.layout import Entry, Layout, Listing
from pneumoscope.io.layouts.tree import below, compare, home, images

BLOCK = 20  # numbers a group; our choice (SOURCES.md), since the set gives no patients
LABELS = {"covid": "covid", "non-covid": "non-covid"}  # folder, lower case -> label
_NAME = re.compile(r"(covid|non-covid) ?\((0|[1-9]\d{0,3})\)\.(?:png|jpe?g)", re.ASCII | re.IGNORECASE)


def read(root: Path) -> Listing:
    """The images of COVID and non-COVID by their numbers; a gap in the numbers is a missing file.

    Raises:
        DataError: the two folders are not there, or hold no image of this set.
    """
    folder = home(root, _is_home, expected="the folders COVID and non-COVID")
    found = images(root)
    entries = tuple(e for file, inside in below(root, folder, found) if (e := _entry(file, inside)))
    if not entries:
        raise DataError(f'{root}: expected images like "COVID/Covid (1).png", found none. Unpack the archive first.')
    missing = tuple(name for label in LABELS.values() for name in _gaps([e.file for e in entries if e.label == label]))
    _, extra = compare((e.file for e in entries), found)
    return Listing(
        entries=entries,
        missing=missing,
        extra=extra,
        notes=(
            f"No patient ids: blocks of {BLOCK} consecutive numbers of one class are kept together (group_id).",
            "There is no list of the files: those missing are the gaps in the numbers.",
        ),
    )


def _is_home(folder: Path) -> bool:
    return folder.is_dir() and set(LABELS) <= {f.name.lower() for f in folder.iterdir() if f.is_dir()}


def _entry(file: str, inside: str) -> Entry | None:
    kind, _, name = inside.rpartition("/")
    match = _NAME.fullmatch(name)
    if kind.lower() not in LABELS or match is None or match[1].lower() != kind.lower():
        return None
    return Entry(
        file=file,
        label=LABELS[kind.lower()],
        original=kind,
        modality="ct",
        group_id=f"sars-cov-2-ct:{kind.lower()}:{int(match[2]) // BLOCK}",
        view="axial",
        source="sars-cov-2-ct",
    )


def _gaps(files: list[str]) -> list[str]:
    """The files of one class that the numbers of those here skip."""
    here = {int(match[2]): file for file in files if (match := _NAME.fullmatch(file.rpartition("/")[2]))}
    if not here:
        return []
    start, _, end = here[max(here)].rpartition(f"({max(here)})")
    return [f"{start}({number}){end}" for number in range(1, max(here)) if number not in here]


LAYOUT = Layout(
    name="sars-cov-2-ct",
    title="SARS-CoV-2 CT-scan dataset",
    citation=(
        "Soares E, Angelov P, Biaso S, Higa Froes M, Kanda Abe D. SARS-CoV-2 CT-scan dataset: A large dataset of real "
        "patients CT scans for SARS-CoV-2 identification. medRxiv 2020. doi 10.1101/2020.04.24.20078584"
    ),
    licence="CC BY-NC-SA 4.0 (from memory)",
    home="https://www.kaggle.com/plameneduardo/sarscov2-ctscan-dataset",
    obtain="Download from Kaggle (plameneduardo/sarscov2-ctscan-dataset); a login is needed.",
    release="the release of 2020, 2,482 slices",
    expected={"covid": 1252, "non-covid": 1230},
    patients=f"None; group_id is a block of {BLOCK} consecutive numbers of one class, which is a guess.",
    traps=(
        "No patient ids, and neighbouring numbers are neighbouring slices: on a random split of the images a "
        "5-nearest-neighbour of 24x24 thumbnails scores 0.88, on blocks of 20 numbers 0.78.",
        "A block may still cut a patient in two, and its halves may then stand on two sides of a split.",
        "Slices are 8-bit pictures of many sizes, without Hounsfield units, and some carry burned-in text.",
        "Accuracies above 97 % that are published on it come from random splits.",
    ),
    read=read,
)
