"""DarkCovidNet's image set (Ozturk et al. 2020): 125 COVID-19, 500 normal and 500 pneumonia X-rays, in three folders.

Source: README.md and tree of muhammedtalo/COVID-19. There is no list: what an image is, its folder says; whose it
is, at most its name. NIH's names begin with the patient; the others are covid-chestxray-dataset's file names, whose
patients stand in that set's metadata.csv and not here.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path, PurePosixPath

from pneumoscope.io.fetch import github_zip
from pneumoscope.io.layouts import metadata, tree
from pneumoscope.io.layouts.layout import Entry, Layout, Listing

FOLDERS = {"Covid-19": "covid", "No_findings": "normal", "Pneumonia": "pneumonia"}
EXPECTED = {"covid": 125, "normal": 500, "pneumonia": 500}
_NIH = re.compile(r"([0-9]{8})_[0-9]{3}\.png")
# What names of one case differ by: the day, the view, a side, the figure's letter, the page of an article.
_DAYS = re.compile(r"(?<![a-z])day-?[0-9]+", re.IGNORECASE)
_APART = re.compile(r"pa|ap|l|left|right|later|admission|on|[a-z][0-9]?|f[0-9][a-z]?|[0-9]{3}", re.IGNORECASE)


def case(name: str) -> str:
    """What the names of a case's images have in common: its views, days and panels taken out of the name."""
    stem = _DAYS.sub("", PurePosixPath(name).stem)
    words = [re.sub(r"(?<=[0-9])[a-d]$", "", word) for word in re.split(r"[-_]", stem) if word]
    return "-".join(word for word in words if not _APART.fullmatch(word)) or stem


def read(root: Path) -> Listing:
    """The images in the three folders.

    Raises:
        DataError: not this set's folder.
    """
    base = tree.home(root, _holds, expected=f"the folders {', '.join(FOLDERS)}")
    prefix = "" if base == root else base.relative_to(root).as_posix() + "/"
    entries, extra = [], []
    for name in tree.images(base):
        folder, _, file = name.partition("/")
        entry = _entry(prefix + name, folder, file) if folder in FOLDERS else None
        if entry is None:
            extra.append(prefix + name)
        else:
            entries.append(entry)
    return Listing(entries=tuple(entries), extra=tuple(extra), notes=_notes(entries))


def _holds(folder: Path) -> bool:
    return all((folder / name).is_dir() and not (folder / name).is_symlink() for name in FOLDERS)


def _entry(path: str, folder: str, file: str) -> Entry | None:
    """An image as an entry; None for one that cannot be the set's: all of its NIH images keep NIH's names."""
    nih, covid = _NIH.fullmatch(file), FOLDERS[folder] == "covid"
    if (nih is None) != covid or "/" in file:
        return None
    return Entry(
        file=path,
        label=FOLDERS[folder],
        original=folder,
        modality="xray",
        patient_id=f"nih:{nih[1]}" if nih else None,
        group_id=None if nih else f"darkcovidnet:{metadata.clean(case(file))}",
        source=f"darkcovidnet/{'nih' if nih else 'ieee8023'}",
    )


def _notes(entries: list[Entry]) -> tuple[str, ...]:
    here = Counter(entry.label for entry in entries)
    off = [f"{here[label]} {label} of {number}" for label, number in EXPECTED.items() if here[label] != number]
    said = (f"The set has no list, so what is missing cannot be named: {', '.join(off)} are here",) if off else ()
    names = Counter(PurePosixPath(entry.file).name for entry in entries)
    return (*said, *metadata.counted(sum(n > 1 for n in names.values()), "images in two folders, so with two labels"))


CITATION = (
    "Ozturk, Talo, Yildirim, Baloglu, Yildirim, Acharya. Automated detection of COVID-19 cases using deep "
    "neural networks with X-ray images. Computers in Biology and Medicine 121:103792, 2020. "
    "doi:10.1016/j.compbiomed.2020.103792"
)
LICENCE = (
    "none stated; COVID-19 images: each as in covid-chestxray-dataset; the others: NIH Clinical Center, free "
    "use with attribution (from memory)"
)
LAYOUT = Layout(
    name="darkcovidnet",
    title="DarkCovidNet's X-ray image set",
    citation=CITATION,
    licence=LICENCE,
    home="https://github.com/muhammedtalo/COVID-19",
    obtain="git clone https://github.com/muhammedtalo/COVID-19 (free, no form), folder 'X-Ray Image DataSet'.",
    release="commit ee3e2cffc082 of the repository",
    expected=EXPECTED,
    patients="Normal and pneumonia: NIH's patient, from the name. COVID-19: none; images whose names differ by day, "
    "view or panel alone are one group, which finds 42 of the 51 pairs of one patient that we know of.",
    traps=(
        "COVID-19 images of one patient under unlike names (6C94A287-... and B2D20576-...) can part in a split: only "
        "covid-chestxray-dataset's metadata.csv knows them.",
        "All normal and pneumonia images are 1024 x 1024 PNG, and no COVID-19 image but one is square: size or format "
        "alone tell the classes.",
        "The COVID-19 images are covid-chestxray-dataset's and the others NIH's: joined with NIH, patients join by "
        "their ids; joined with covid-chestxray-dataset, look for duplicates, since the ids here are other ones.",
        "By NIH's labels 8 of the 500 pneumonia images have no finding and 18 more no pneumonia.",
        "Several images of one patient are the rule: 164 of the NIH patients have 482 of the 1000 images.",
    ),
    read=read,
    remote=(
        github_zip(
            "muhammedtalo/COVID-19",
            "11f2ec7edd3a298b4a6081605ec7b458cc770fae",
            name="darkcovidnet.zip",
            licence=LICENCE,
            citation=CITATION,
        ),
    ),
)
