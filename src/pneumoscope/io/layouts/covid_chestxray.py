"""COVID-19 Image Data Collection (Cohen, Morrison, Dao 2020): X-rays and CT figures from publications.

Source: README.md, SCHEMA.md and metadata.csv of ieee8023/covid-chestxray-dataset; issues #36, #112 and pull requests
#18, #116, #148 of that repository. Old tables have no column `folder`: their images are in images/ too.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pneumoscope.io.fetch import github_zip
from pneumoscope.io.layouts import metadata, tree
from pneumoscope.io.layouts.layout import Layout, Listing

SOURCE = "ieee8023"
_COLUMNS = ("patientid", "finding", "view", "modality", "filename")
_VOLUMES = (".nii", ".nii.gz")


def read(root: Path) -> Listing:
    """The X-rays and CT slices that metadata.csv lists; CT volumes are counted in a note.

    Raises:
        DataError: not this set's folder.
    """
    base = metadata.home(root)
    rows = metadata.rows(base / metadata.NAME, _COLUMNS)
    prefix, here = metadata.pictures(root, base)
    named: dict[str, Mapping[str, str]] = {}
    volumes: list[Mapping[str, str]] = []
    refused, again, conflicts = 0, 0, 0
    for row in rows:
        file = _file(row)
        if not all(map(tree.is_plain, file.split("/"))):
            refused += 1
        elif file.lower().endswith(_VOLUMES):
            volumes.append(row)
        elif file in named:
            again += 1
            conflicts += metadata.label(named[file].get("finding", "")) != metadata.label(row.get("finding", ""))
        else:
            named[file] = row
    missing, extra = tree.compare(named, here)
    known = {file: row for file, row in named.items() if file in here}
    entries = [metadata.entry(here[file], row, source=SOURCE, patient=_patient(row)) for file, row in known.items()]
    notes = (
        *metadata.counted(refused, metadata.NOWHERE),
        *metadata.counted(
            again, f"rows naming a file a second time, the first counts ({conflicts} with another label)"
        ),
        *metadata.counted(entries.count(None), metadata.NEITHER),
        *_volumes(base, volumes),
        *metadata.mixed((_patient(row), row) for row in known.values()),
    )
    return Listing(
        entries=tuple(entry for entry in entries if entry),
        missing=tuple(prefix + name for name in missing),
        extra=tuple(here[name] for name in extra),
        notes=notes,
    )


def _file(row: Mapping[str, str]) -> str:
    """A row's file, relative to images/; to the folder that it names where that is another one."""
    folder, name = row.get("folder", ""), row.get("filename", "")
    return name if folder in ("", metadata.IMAGES) or name.lower().endswith(_VOLUMES) else f"{folder}/{name}"


def _patient(row: Mapping[str, str]) -> str:
    return metadata.clean(row.get("patientid", ""))


def _volumes(base: Path, rows: list[Mapping[str, str]]) -> tuple[str, ...]:
    """What is said of the CT volumes, which are series in NIfTI and not images: neither entries nor missing."""
    found = set(tree.images(base, suffixes=_VOLUMES))
    listed = {row["filename"] for row in rows}
    here = sum(name.rsplit("/", 1)[-1] in listed for name in found)
    return metadata.counted(len(listed), f"CT volumes (NIfTI) in the table, not imported ({here} of them are here)")


CITATION = (
    "Cohen, Morrison, Dao. COVID-19 image data collection. arXiv:2003.11597, 2020; Cohen et al. COVID-19 "
    "Image Data Collection: Prospective Predictions Are the Future. arXiv:2006.11988, 2020."
)
LICENCE = (
    "each image its own (column license: Apache 2.0, CC BY 4.0, CC BY-NC-SA 4.0, ...; often none stated); "
    "metadata.csv and scripts CC BY-NC-SA 4.0"
)
LAYOUT = Layout(
    name="covid-chestxray-dataset",
    title="COVID-19 Image Data Collection",
    citation=CITATION,
    licence=LICENCE,
    home="https://github.com/ieee8023/covid-chestxray-dataset",
    obtain="git clone https://github.com/ieee8023/covid-chestxray-dataset (free, no form); the CT volumes are a "
    "torrent that volumes/DOWNLOAD.md names.",
    release="grew all through 2020: no release has counts of all its images (README, mid 2020: 654 X-rays in the views "
    "PA, AP and AP Supine, 451 of them COVID-19)",
    expected={},
    patients="The set's own patient number; images of an article that does not tell its patients apart share one, and "
    "one number has stood for two people.",
    traps=(
        "Patient 62 stood for two people in the table of March 2020 (issue #36), and patient 63 for several on purpose "
        "(pull request #18); patient 186 was patient 196 again until May 2020 (pull request #116).",
        "'No Finding' may be an earlier image of somebody with a pneumonia, not a healthy person (issue #112).",
        "X-rays, lateral views and CT slices stand in one folder: choose by modality and view.",
        "Pictures come from publications and websites: arrows, letters, white borders, several formats and sizes.",
        "Almost no normal images: normals that are added come from another source, which gives the class away.",
        "DarkCovidNet, COVIDx and most COVID-19 X-ray sets on Kaggle contain these images.",
        "ARDS without COVID-19, tuberculosis and lipoid pneumonia are labelled 'other'.",
    ),
    read=read,
    remote=(
        github_zip(
            "ieee8023/covid-chestxray-dataset",
            "6a4242344473ccb5ed0d2148d8c7bfb1691e4ed8",
            name="covid-chestxray-dataset.zip",
            licence=LICENCE,
            citation=CITATION,
        ),
    ),
)
