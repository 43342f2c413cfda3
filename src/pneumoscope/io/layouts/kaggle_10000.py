"""Kaggle's covid-19-x-ray-10000-images (nabeelsajid917): about a hundred X-rays, whatever its name says.

dataset/{covid,normal}, and in some copies a metadata.csv. Berrimi et al. 2021 name it as their third X-ray source.
The set states no sources; where a file name or metadata.csv is that of the set an image was taken from, the patient
is that set's, so that the two join.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pneumoscope.errors import DataError
from pneumoscope.io.layouts import kermany
from pneumoscope.io.layouts.layout import Entry, Layout, Listing
from pneumoscope.io.layouts.tree import below, compare, home, images, table

LABELS = {"covid": "covid", "normal": "normal"}


def read(root: Path) -> Listing:
    """The images of dataset/covid and dataset/normal.

    Raises:
        DataError: the two folders are not there, or hold no image.
    """
    folder = home(root, _is_home, expected="the folders covid and normal (in dataset)")
    found = images(root)
    patients = _patients(folder if folder == root else folder.parent) or _patients(folder)
    entries = tuple(e for file, inside in below(root, folder, found) if (e := _entry(file, inside, patients)))
    if not entries:
        raise DataError(f"{root}: expected images in covid and normal, found none. Unpack the archive first.")
    _, extra = compare((e.file for e in entries), found)
    unknown = sum(e.patient_id is None for e in entries)
    notes = (
        "There is no list of the files: what is missing can be told by the counts only.",
        f"{unknown} of {len(entries)} images tell no patient.",
    )
    return Listing(entries=entries, extra=extra, notes=notes)


def _is_home(folder: Path) -> bool:
    return all((folder / kind).is_dir() for kind in LABELS)


def _patients(folder: Path) -> dict[str, str]:
    """File name -> patient, of a metadata.csv with ieee8023's columns in `folder`; empty without one."""
    path = folder / "metadata.csv"
    if not path.is_file():
        return {}
    rows = table(path, ())
    if not rows or not {"patientid", "filename"} <= set(rows[0]):
        return {}
    return {row["filename"]: f"ieee8023:{row['patientid']}" for row in rows if row.get("patientid")}


def _entry(file: str, inside: str, patients: Mapping[str, str]) -> Entry | None:
    kind, _, name = inside.rpartition("/")
    if kind not in LABELS:
        return None
    return Entry(
        file=file,
        label=LABELS[kind],
        original=kind,
        modality="xray",
        patient_id=patients.get(name) or kermany.patient_of(name),
        source="covid-19-x-ray-10000-images",
    )


LAYOUT = Layout(
    name="covid-19-x-ray-10000-images",
    title="COVID-19 X rays 10000 images (Kaggle)",
    citation="Sajid N. COVID-19 X rays 10000 images. Kaggle, 2020",
    licence="none stated where we looked",
    home="https://www.kaggle.com/nabeelsajid917/covid-19-x-ray-10000-images",
    obtain="Download from Kaggle (nabeelsajid917/covid-19-x-ray-10000-images); a login is needed.",
    release="as downloaded in 2020, 98 images; the counts by label are from memory, and one user counted 72 and 28",
    expected={"covid": 70, "normal": 28},
    patients="None of its own; those of ieee8023 or Kermany where a name or metadata.csv tells them.",
    traps=(
        "Its name promises 10,000 images: it has about a hundred.",
        "COVID images are ieee8023's and normals Kermany's children (both from memory): look for duplicates where they "
        "are joined with those sets; alone, age and source tell the class.",
    ),
    read=read,
)
