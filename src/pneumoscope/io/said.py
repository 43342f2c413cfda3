"""What a row of labels.csv, or a DICOM file's header, says of one image: modality, findings, view, sex and age.

Sex and age: DICOM's PatientSex (PS3.3 C.7.1.1) and PatientAge (an Age String, PS3.5 6.2), and the words of the public
sets. What is not understood is not stated; nothing is guessed.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from pneumoscope.core.dataset import Dataset, Sample, Sex
from pneumoscope.core.image import Modality
from pneumoscope.errors import InputError
from pneumoscope.io.dicom import Facts, facts_of
from pneumoscope.io.foreign import beginning, named
from pneumoscope.io.sniff import HEAD, sniff

OLDEST = 120  # years; what is above is a slip of the pen (NIH ChestX-ray14 has a patient of 414)
# first words of views that one modality alone has: DICOM's ViewPosition, and those of the public sets ("AP Supine")
_VIEWS: Mapping[str, Modality] = {
    **dict.fromkeys(("axial", "coronal", "sagittal"), "ct"),
    **dict.fromkeys(("pa", "ap", "frontal", "lateral", "ll", "rl", "l"), "xray"),
}
_SEXES: Mapping[str, Sex] = {"f": "F", "female": "F", "m": "M", "male": "M"}
_AGE = re.compile(r"(\d{1,3}(?:\.\d{1,3})?)\s*([dwmy]?)", re.ASCII)
_A_YEAR = {"": 1.0, "y": 1.0, "m": 12.0, "w": 52.18, "d": 365.25}


def modality(values: Mapping[str, str]) -> str:
    """The column `modality`, else what the column `view` leaves no doubt about, else ""."""
    told = values.get("modality", "")
    view = values.get("view", "").lower().partition(" ")[0]
    return told or _VIEWS.get(view, "")


def findings(values: Mapping[str, str]) -> tuple[str, ...]:
    """The column `findings`, parted at each `|`."""
    return tuple(found for part in values.get("findings", "").split("|") if (found := part.strip()))


def sex(text: str) -> Sex | None:
    """A letter for a word that means either sex; None of anything else ("O", "", "unknown")."""
    return _SEXES.get(text.strip().lower())


def age(text: str) -> float | None:
    """Years, of a number of years ("71", "71.5") or an Age String ("071Y", "018M"); None of anything else."""
    match = _AGE.fullmatch(text.strip().lower())
    if match is None:
        return None
    years = float(match[1]) / _A_YEAR[match[2]]
    return years if years <= OLDEST else None


def with_headers(dataset: Dataset) -> Dataset:
    """The dataset with view, sex and age from the headers of its DICOM files, where labels.csv does not say them.

    Of a folder the first DICOM file, by name, speaks; archives are not opened. A file that cannot be read says nothing
    here; whoever reads its pixels says what is wrong.
    """
    samples = tuple(_with_header(Path(dataset.root), sample) for sample in dataset.samples)
    return dataclasses.replace(dataset, samples=samples)


def _with_header(root: Path, sample: Sample) -> Sample:
    if None not in (sample.view, sample.sex, sample.age):
        return sample
    facts = _facts(root / sample.file, sample.file)
    if facts is None:
        return sample
    return dataclasses.replace(
        sample,
        view=sample.view or facts.view,
        sex=sample.sex or sex(facts.headers.get("PatientSex", "")),
        age=age(facts.headers.get("PatientAge", "")) if sample.age is None else sample.age,
    )


def _facts(path: Path, name: str) -> Facts | None:
    for file in _files(path):
        try:
            with named(name, "a readable file"), file.open("rb") as opened:
                if sniff(opened.read(HEAD)) == "dicom":
                    return facts_of(partial(beginning, opened), name)
        except InputError:
            return None  # whoever reads the pixels says why
    return None


def _files(path: Path) -> list[Path]:
    """The file, or those of a folder by name."""
    if not path.is_dir():
        return [path]
    return sorted(Path(place, name) for place, _, names in os.walk(path) for name in names if name[0] != ".")
