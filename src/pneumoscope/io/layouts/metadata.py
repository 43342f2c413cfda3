"""The metadata.csv of Cohen's collection, which Figure 1 and Actualmed took over: where it lies, what its words mean.

Columns and views: SCHEMA.md of ieee8023/covid-chestxray-dataset. Findings are a path there
(`Pneumonia/Viral/COVID-19`) since the summer of 2020, and were flat before (`COVID-19, ARDS`); headers differ in
capitals and underscores (`pO2 saturation`, `pO2_saturation`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from pneumoscope.core.image import Modality
from pneumoscope.errors import DataError
from pneumoscope.io.layouts import tree
from pneumoscope.io.layouts.layout import Entry

NAME = "metadata.csv"
IMAGES = "images"
MODALITIES: Mapping[str, Modality] = {"x-ray": "xray", "ct": "ct"}
_UNLABELLED = {"", "todo", "unknown"}
# Flat findings that are a pneumonia without saying the word; as paths they stand under `Pneumonia/`.
_PNEUMONIAS = {
    *("aspergillosis", "bacterial", "chlamydophila", "e.coli", "fungal", "h1n1", "herpes", "influenza", "klebsiella"),
    *("invasive aspergillosis", "legionella", "mers", "mers-cov", "mrsa", "mycoplasma", "nocardia", "pneumocystis"),
    *("sars", "staphylococcus", "streptococcus", "varicella", "viral"),
}
_SAME_PERSON_YEARS = 2  # follow-ups of one person may be that far apart


def home(root: Path) -> Path:
    """The folder that holds metadata.csv: the one above where `root` is its images/, else as `tree.home`.

    Raises:
        DataError: there is none, or more than one.
    """
    if root.name == IMAGES and _holds(root.parent):
        return root.parent
    return tree.home(root, _holds, expected=f"{NAME} and the folder {IMAGES}/ beside it")


def _holds(folder: Path) -> bool:
    return (folder / NAME).is_file() and not (folder / NAME).is_symlink()


def rows(path: Path, columns: Iterable[str]) -> list[dict[str, str]]:
    """The rows of metadata.csv, with column names in lower case and with `_` for a space; `columns` must be there.

    Raises:
        DataError: not a table, an empty one, or a column that is not there: another set's, most likely.
    """
    found = [
        {re.sub(r"[ _]+", "_", name.lower()): value for name, value in row.items() if name}
        for row in tree.table(path, ())
    ]
    names = {name for row in found for name in row}
    lacking = [name for name in columns if name not in names]
    if lacking:
        raise DataError(
            f"{NAME}: expected the columns {', '.join(columns)}, found none called '{lacking[0]}'. "
            "Check that this is the set it should be."
        )
    return found


def pictures(root: Path, base: Path) -> tuple[str, dict[str, str]]:
    """Images of the set in `base`, in images/ or, without that folder, beside metadata.csv.

    Returns what their paths relative to `root` start with, and name in the folder -> path relative to `root`.

    Raises:
        DataError: images/ is a link, which might lead anywhere.
    """
    folder = base / IMAGES
    if folder.is_symlink():
        raise DataError(f"{folder}: expected a folder, found a link, which is not followed. Put the images there.")
    if not folder.is_dir():
        folder = base
    prefix = "" if folder == root else folder.relative_to(root).as_posix() + "/"
    return prefix, {name: prefix + name for name in tree.images(folder)}


def label(finding: str) -> str:
    """A finding, as a path or flat, in the words that all layouts share.

    ARDS, tuberculosis and what is not known here are "other", as is lipoid pneumonia, which no germ causes.
    """
    parts = {part.strip().lower() for part in re.split(r"[/,]", finding)}
    if "covid-19" in parts:
        return "covid"
    if parts <= _UNLABELLED:
        return "unlabelled"
    if parts == {"no finding"}:
        return "normal"
    if "lipoid" in parts:
        return "other"
    if parts & _PNEUMONIAS or any(part.endswith("pneumonia") for part in parts):
        return "pneumonia"
    return "other"


def entry(file: str, row: Mapping[str, str], *, source: str, patient: str) -> Entry | None:
    """A row and its file as an entry; None where the row's modality is neither X-ray nor CT. patient: "" if unknown."""
    modality = MODALITIES.get(row.get("modality", "").lower())
    if modality is None:
        return None
    original = clean(row.get("finding", ""))
    several = tuple(part for part in map(str.strip, original.split(",")) if part)
    return Entry(
        file=file,
        label=label(original),
        original=original,
        modality=modality,
        patient_id=f"{source}:{patient}" if patient else None,
        view=clean(row.get("view", "")) or None,
        source=source,
        findings=several if len(several) > 1 else (),
        sex=clean(row.get("sex", ""), 20),
        age=clean(row.get("age", ""), 20),
        notes=facts(row),
    )


def clean(value: str, most: int = 200) -> str:
    """A stranger's field as one short printable line; `|` would part findings in labels.csv."""
    return " ".join("".join(c if c.isprintable() and c != "|" else " " for c in value).split())[:most]


def facts(row: Mapping[str, str]) -> str:
    """What a row says in columns made for it: never its free text."""
    asked = ("offset", "sex", "age", "rt_pcr_positive", "survival", "license", "doi")
    return "; ".join(f"{name}={said}" for name in asked if (said := clean(row.get(name, ""))))


def mixed(people: Iterable[tuple[str, Mapping[str, str]]]) -> tuple[str, ...]:
    """A note where one patient id carries two sexes or ages too far apart for one person; (id, row) pairs.

    Such images stay together, which is safe for a split; ids are counted and not named. "" is nobody's id.
    """
    sexes: dict[str, set[str]] = {}
    ages: dict[str, set[float]] = {}
    for patient, row in people:
        if row.get("sex", "").upper() in ("M", "F"):
            sexes.setdefault(patient, set()).add(row["sex"].upper())
        if re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3})?", row.get("age", "")):
            ages.setdefault(patient, set()).add(float(row["age"]))
    two = {patient for patient, found in sexes.items() if len(found) > 1}
    two |= {patient for patient, found in ages.items() if max(found) - min(found) > _SAME_PERSON_YEARS}
    return counted(len(two - {""}), "patient ids with two sexes, or with ages over 2 years apart (perhaps two people)")


NEITHER = "images left out, being neither X-ray nor CT by their row"
NOWHERE = "rows left out, naming no file of their own inside the folder"


def counted(number: int, what: str) -> tuple[str, ...]:
    """A note of how many there are, where there are any."""
    return (f"{what}: {number}",) if number else ()
