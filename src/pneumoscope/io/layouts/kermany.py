"""Kermany's pediatric chest X-rays (Mendeley rscbjbr9sj, the Kaggle set chest-xray-pneumonia): normal or pneumonia.

chest_xray/{train,val,test}/{NORMAL,PNEUMONIA}; there is no list: folders give the label, names the patient and the
kind of pneumonia. v2: person1004_virus_1686.jpeg, IM-0117-0001.jpeg, NORMAL2-IM-0383-0001.jpeg; v3:
BACTERIA-1008087-0001.jpeg, VIRUS-..., NORMAL-1003233-0001.jpeg.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pneumoscope.errors import DataError
from pneumoscope.io.layouts.layout import Entry, Layout, Listing
from pneumoscope.io.layouts.tree import below, compare, home, images, in_several_parts

PARTS: Mapping[str, Literal["train", "val", "test"]] = {"train": "train", "val": "val", "test": "test"}
LABELS = {"NORMAL": "normal", "PNEUMONIA": "pneumonia"}
_V2 = re.compile(r"(person\d+)_(bacteria|virus)_\d+|((?:NORMAL2-)?IM-\d+)-\d+(?:-\d+)?", re.ASCII)
_V3 = re.compile(r"(BACTERIA|VIRUS|NORMAL)-(\d+)-\d+", re.ASCII)


def patient_of(name: str) -> str | None:
    """The patient that a file name of this set carries, as "kermany:..."; None for any other name."""
    stem = name.rpartition(".")[0]
    if match := _V2.fullmatch(stem):
        return f"kermany:{match[1] or match[3]}"
    if match := _V3.fullmatch(stem):
        return f"kermany:{match[2]}"
    return None


def read(root: Path) -> Listing:
    """The images of {train,val,test}/{NORMAL,PNEUMONIA}; without parts, of {NORMAL,PNEUMONIA}.

    Raises:
        DataError: those folders are not there, or hold no image.
    """
    folder = home(root, _is_home, expected="NORMAL and PNEUMONIA, alone or in the folders train, val and test")
    found = images(root)
    entries = tuple(e for file, inside in below(root, folder, found) if (e := _entry(file, inside)))
    if not entries:
        raise DataError(f"{root}: expected images in NORMAL and PNEUMONIA, found none. Unpack the archive first.")
    _, extra = compare((e.file for e in entries), found)
    return Listing(entries=entries, extra=extra, notes=_notes(entries, extra))


def _is_home(folder: Path) -> bool:
    return any(all((folder / part / label).is_dir() for label in LABELS) for part in (*PARTS, "."))


def _entry(file: str, inside: str) -> Entry | None:
    *above, kind, name = ("", *inside.split("/"))
    part = "/".join(above[1:])
    if kind not in LABELS or part not in ("", *PARTS):
        return None
    stem = name.upper()
    subtype = "bacteria" if "BACTERIA" in stem else "virus" if "VIRUS" in stem else None
    return Entry(
        file=file,
        label=LABELS[kind],
        original=kind if subtype is None else f"{kind} ({subtype})",
        modality="xray",
        patient_id=patient_of(name),
        view="AP",
        source="kermany",
        split=PARTS.get(part),
        findings=(subtype,) if subtype else (),
        notes="children of one to five years",
    )


def _notes(entries: tuple[Entry, ...], extra: tuple[str, ...]) -> tuple[str, ...]:
    notes = ["There is no list of the files: what is missing can be told by the counts only."]
    strange = sum(e.patient_id is None for e in entries)
    if strange:
        notes.append(f"{strange} images have a name that tells no patient.")
    across = in_several_parts((e.patient_id, e.split) for e in entries)
    if across:
        notes.append(f"{across} patient ids have images in more than one official part.")
    names = {e.file.rpartition("/")[2] for e in entries}
    again = sum(file.rpartition("/")[2] in names for file in extra)
    if again:
        notes.append(f"{again} extra files have the names of images of the set: the archive may hold a second copy.")
    return tuple(notes)


LAYOUT = Layout(
    name="kermany",
    title="Kermany's chest X-rays of children, normal or pneumonia",
    citation=(
        "Kermany D, Zhang K, Goldbaum M. Labeled Optical Coherence Tomography (OCT) and Chest X-Ray Images for "
        "Classification. Mendeley Data, V2, 2018. doi 10.17632/rscbjbr9sj.2; and Kermany et al. Identifying Medical "
        "Diagnoses and Treatable Diseases by Image-Based Deep Learning. Cell 172, 2018"
    ),
    licence="CC BY 4.0",
    home="https://data.mendeley.com/datasets/rscbjbr9sj/2",
    obtain="Download the archive of X-rays from the home page, or from Kaggle (chest-xray-pneumonia) with a login.",
    release="v2 as Kaggle's paultimothymooney/chest-xray-pneumonia parts it (train 5,216, val 16, test 624)",
    expected={"normal": 1583, "pneumonia": 4273},
    patients=(
        "From the file names (person<N>, IM-<N>; v3: the number); whether person<N> is one child wherever it occurs "
        "is not stated, so all its images are held together."
    ),
    traps=(
        "Children of one to five years from Guangzhou: as the normal or pneumonia of an adult set, a model learns age.",
        "Normals were exposed and cropped differently: the original size alone gives 0.90 balanced accuracy.",
        "One number person<N> has bacterial and viral images, and images in more than one official part.",
        "The official val part has 16 images: too few to choose anything by.",
        "Kaggle's archive holds a second copy of everything in chest_xray/chest_xray (from memory).",
        "person1004_virus_1686 is Figure1's COVID-00020, labelled COVID-19 there.",
        "v2 (about 1.2 GB) and v3 (about 7.9 GB) name their files differently: do not join them.",
    ),
    read=read,
)
