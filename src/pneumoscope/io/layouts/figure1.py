"""Figure 1 COVID-19 Chest X-ray Dataset Initiative: X-rays that physicians posted, made for COVIDx.

Source: README.md and metadata.csv of agchung/Figure1-COVID-chestxray-dataset. The table names no files: a row's
patientid is the file's name without its ending, and a letter at its end counts images of one patient.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from pneumoscope.errors import DataError
from pneumoscope.io.fetch import github_zip
from pneumoscope.io.layouts import metadata, tree
from pneumoscope.io.layouts.layout import Layout, Listing

SOURCE = "figure1"
_COLUMNS = ("patientid", "finding", "view", "modality", "artifacts/distortion")
_OTHERS = ("filename", "imagename")  # columns of sets whose table looks the same otherwise


def patient(stem: str) -> str:
    """The patient of an image: COVID-00003a and COVID-00003b are one's."""
    return re.sub(r"(?<=\d)[a-z]$", "", stem)


def read(root: Path) -> Listing:
    """The X-rays that metadata.csv lists.

    Raises:
        DataError: not this set's folder.
    """
    base = metadata.home(root)
    rows = metadata.rows(base / metadata.NAME, _COLUMNS)
    if any(name in row for row in rows for name in _OTHERS):
        raise DataError(
            f"{metadata.NAME}: expected the table of Figure 1, which names no files, found a column of file names. "
            "Check that this is the set it should be."
        )
    prefix, here = metadata.pictures(root, base)
    by_stem = {PurePosixPath(name).stem: name for name in reversed(here) if "/" not in name}
    named = {stem: row for row in reversed(rows) if tree.is_plain(stem := row.get("patientid", ""))}
    missing, _ = tree.compare(named, by_stem)
    taken = {by_stem[stem]: (stem, row) for stem, row in reversed(named.items()) if stem in by_stem}
    entries = [
        metadata.entry(here[name], row, source=SOURCE, patient=patient(stem)) for name, (stem, row) in taken.items()
    ]
    return Listing(
        entries=tuple(entry for entry in entries if entry),
        missing=tuple(f"{prefix}{stem}.*" for stem in missing),
        extra=tuple(path for name, path in here.items() if name not in taken),
        notes=(
            *metadata.counted(len(rows) - len(named), metadata.NOWHERE),
            *metadata.counted(entries.count(None), metadata.NEITHER),
            *metadata.mixed((patient(stem), row) for stem, row in taken.values()),
        ),
    )


CITATION = (
    "Wang, Wong, Lin, Lee, McInnis, Chung et al. Figure 1 COVID-19 Chest X-ray Dataset Initiative, 2020. "
    "https://github.com/agchung/Figure1-COVID-chestxray-dataset"
)
LICENCE = 'none stated; README: "intended to be used for research purposes only"'
LAYOUT = Layout(
    name="figure1",
    title="Figure 1 COVID-19 Chest X-ray Dataset Initiative",
    citation=CITATION,
    licence=LICENCE,
    home="https://github.com/agchung/Figure1-COVID-chestxray-dataset",
    obtain="git clone https://github.com/agchung/Figure1-COVID-chestxray-dataset (free, no form).",
    release="metadata.csv of commit 95bb569e55f4: 55 rows",
    expected={"covid": 35, "unlabelled": 15, "normal": 3, "pneumonia": 2},
    patients="The number in the file's name: COVID-00003a and COVID-00003b are one patient's.",
    traps=(
        "COVID-00020, labelled COVID-19, is the picture of a child in Kermany's set (person1004_virus_1686).",
        "A blank finding means that nothing was confirmed, whatever the patient had: 15 of 55 are unlabelled.",
        "COVID-00040a, labelled 'No finding', was taken a year before its patient fell ill.",
        "Many are photographs of a monitor, with its texture, colour and reflections.",
        "Some images of covid-chestxray-dataset are from Figure 1 too (names figure1-...): patients may overlap, and "
        "the ids do not say so.",
    ),
    read=read,
    remote=(
        github_zip(
            "agchung/Figure1-COVID-chestxray-dataset",
            "95bb569e55f4110d3b734c0f355340e04e16989a",
            name="figure1.zip",
            licence=LICENCE,
            citation=CITATION,
        ),
    ),
)
