"""Actualmed COVID-19 Chest X-ray Dataset Initiative: one Spanish provider's X-rays, made for COVIDx.

Source: README.md, metadata.csv and format_csv.py of agchung/Actualmed-COVID-chestxray-dataset. format_csv.py leaves
the finding blank where the provider's word was "doubt"; the table's `notes` then say "Inconclusive".
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pneumoscope.io.fetch import github_zip
from pneumoscope.io.layouts import metadata, tree
from pneumoscope.io.layouts.layout import Layout, Listing

SOURCE = "actualmed"
_COLUMNS = ("patientid", "finding", "view", "modality", "imagename")


def read(root: Path) -> Listing:
    """The X-rays that metadata.csv lists.

    Raises:
        DataError: not this set's folder.
    """
    base = metadata.home(root)
    rows = metadata.rows(base / metadata.NAME, _COLUMNS)
    prefix, here = metadata.pictures(root, base)
    named: dict[str, Mapping[str, str]] = {}
    for row in rows:
        if tree.is_plain(name := row.get("imagename", "")):
            named.setdefault(name, row)
    missing, extra = tree.compare(named, here)
    entries = [
        metadata.entry(here[name], row, source=SOURCE, patient=metadata.clean(row.get("patientid", "")))
        for name, row in named.items()
        if name in here
    ]
    return Listing(
        entries=tuple(entry for entry in entries if entry),
        missing=tuple(prefix + name for name in missing),
        extra=tuple(here[name] for name in extra),
        notes=(
            *metadata.counted(len(rows) - len(named), metadata.NOWHERE),
            *metadata.counted(entries.count(None), metadata.NEITHER),
        ),
    )


CITATION = (
    "Wang, Wong, Lin, McInnis, Chung, Gunraj et al. Actualmed COVID-19 Chest X-ray Dataset Initiative, 2020. "
    "https://github.com/agchung/Actualmed-COVID-chestxray-dataset"
)
LICENCE = 'none stated; README: "intended to be used for research purposes only"'
LAYOUT = Layout(
    name="actualmed",
    title="Actualmed COVID-19 Chest X-ray Dataset Initiative",
    citation=CITATION,
    licence=LICENCE,
    home="https://github.com/agchung/Actualmed-COVID-chestxray-dataset",
    obtain="git clone https://github.com/agchung/Actualmed-COVID-chestxray-dataset (free, no form).",
    release="metadata.csv of commit 2635e4b05d2b: 238 rows",
    expected={"normal": 127, "covid": 58, "unlabelled": 53},
    patients="The provider's pseudonym (ANON191), one a patient.",
    traps=(
        "'No finding' means that COVID-19 was excluded, not that the lungs are healthy.",
        "Some patients are negative on one day and positive on another: labels are per image.",
        "26 of 58 COVID-19 images are AP, and 4 of 127 negative ones: the view gives the class away.",
        "An unlabelled image was inconclusive to the provider: it is no negative.",
        "Letters and words (SENTADO) are burned into many images.",
    ),
    read=read,
    remote=(
        github_zip(
            "agchung/Actualmed-COVID-chestxray-dataset",
            "27240dd8dec9454bc97f9f3c0c432ef434de2517",
            name="actualmed.zip",
            licence=LICENCE,
            citation=CITATION,
        ),
    ),
)
