"""NIH ChestX-ray8 and ChestX-ray14: frontal X-rays with findings mined from their reports (Wang et al. 2017).

Data_Entry_2017.csv or Data_Entry_2017_v2020.csv lists the images; train_val_list.txt and test_list.txt are the official
parts. Without them the lists of arnoweng/CheXNet (a file and 14 zeros or ones a line) give labels and parts.
Both headers write `OriginalImage[Width,Height]` unquoted: only the columns left of it are read by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from pneumoscope.errors import DataError
from pneumoscope.io.layouts.layout import Entry, Layout, Listing
from pneumoscope.io.layouts.tree import compare, home, images, in_several_parts, table, text

Part = Literal["train", "val", "test"]

TABLES = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv")
OFFICIAL: Mapping[str, Part] = {"train_val_list.txt": "train", "test_list.txt": "test"}
CHEXNET: Mapping[str, Part] = {"train_list.txt": "train", "val_list.txt": "val", "test_list.txt": "test"}
FINDINGS = (  # the order of the 14 columns in CheXNet's lists
    "Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia", "Pneumothorax",
    "Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia",
)  # fmt: skip
_NAME = re.compile(r"(\d{8})_\d{3}\.(?:png|jpe?g)", re.ASCII | re.IGNORECASE)


class Row(NamedTuple):
    """What a list says of one image: its name, its findings, and view, sex and age where the list gives them."""

    name: str
    findings: tuple[str, ...]
    view: str
    sex: str = ""
    age: str = ""


def patient_of(name: str) -> str | None:
    """The patient that an NIH file name carries ("00000061_012.png" -> "nih:00000061"); None for any other name."""
    match = _NAME.fullmatch(name)
    return f"nih:{match[1]}" if match else None


def read(root: Path) -> Listing:
    """The images that the lists name, wherever under the set's folder they lie, by name (a re-encoded copy counts).

    Raises:
        DataError: neither Data_Entry_2017*.csv nor CheXNet's lists are there, or a list is not what it should be.
    """
    folder = home(root, _is_home, expected=f"{TABLES[1]}, {TABLES[0]} or CheXNet's {', '.join(CHEXNET)}")
    rows, notes = _rows(folder)
    parts, whence = _parts(folder)
    found = images(root)
    here = {_stem(file): file for file in reversed(found)}
    entries = tuple(_entry(row, here[_stem(row.name)], parts) for row in rows if _stem(row.name) in here)
    missing = tuple(sorted(row.name for row in rows if _stem(row.name) not in here))
    _, extra = compare((entry.file for entry in entries), found)
    across = in_several_parts((e.patient_id, e.split) for e in entries)
    if across:
        notes.append(f"{across} patients have images in more than one official part.")
    return Listing(entries=entries, missing=missing, extra=extra, notes=(*notes, whence))


def _is_home(folder: Path) -> bool:
    return any((folder / name).is_file() for name in TABLES) or _chexnet(folder) is not None


def _chexnet(folder: Path) -> Path | None:
    """The folder of CheXNet's lists: beside the images, or in `labels` as in its repository."""
    for place in (folder, folder / "labels"):
        if (place == folder or not place.is_symlink()) and all((place / name).is_file() for name in CHEXNET):
            return place
    return None


def _rows(folder: Path) -> tuple[list[Row], list[str]]:
    tables = [name for name in TABLES if (folder / name).is_file()]
    if tables:
        rows = [
            Row(
                row["Image Index"],
                _findings(row.get("Finding Labels", "")),
                row.get("View Position", ""),
                row.get("Patient Gender", "") or row.get("Patient Sex", ""),
                row.get("Patient Age", ""),
            )
            for row in table(folder / tables[0], ("Image Index", "Finding Labels"))
        ]
    else:
        rows = [row for name in CHEXNET for row in _chexnet_rows(_place(folder) / name)]
    good = {_stem(row.name): row for row in rows if patient_of(row.name)}
    notes = [f"{tables[1]} is there too and was not read: {tables[0]} is newer."] if len(tables) > 1 else []
    strange = sum(patient_of(row.name) is None for row in rows)
    if strange:
        notes.append(f"{strange} rows with a name that no NIH image has were left out.")
    if len(good) + strange < len(rows):
        notes.append(f"{len(rows) - strange - len(good)} rows name an image again; the last one counts.")
    return list(good.values()), notes


def _place(folder: Path) -> Path:
    place = _chexnet(folder)
    if place is None:
        raise DataError(f"{folder}: expected {', '.join(CHEXNET)}, found not all of them. Download the missing ones.")
    return place


def _findings(text: str) -> tuple[str, ...]:
    return tuple(f for f in (part.strip() for part in text.split("|")) if f and f != "No Finding")


def _chexnet_rows(path: Path) -> Iterable[Row]:
    for number, line in enumerate(text(path).splitlines(), 1):
        name, *flags = line.split() or [""]
        if not name:
            continue
        if len(flags) != len(FINDINGS) or set(flags) - {"0", "1"}:
            raise DataError(
                f"{path.name}, line {number}: expected a file and 14 times 0 or 1, found {len(flags)} columns more. "
                "Use CheXNet's list, or add Data_Entry_2017.csv."
            )
        yield Row(name, tuple(f for f, flag in zip(FINDINGS, flags, strict=True) if flag == "1"), "")


def _parts(folder: Path) -> tuple[dict[str, Part], str]:
    """Name without suffix -> part, and where that comes from."""
    if all((folder / name).is_file() for name in OFFICIAL):
        place, lists, whence = folder, OFFICIAL, "The parts are NIH's (train_val_list.txt counts as train)."
    elif (chexnet := _chexnet(folder)) is not None:
        place, lists, whence = chexnet, CHEXNET, "The parts are CheXNet's (arnoweng/CheXNet), not NIH's."
    else:
        return {}, f"No parts: {' and '.join(OFFICIAL)} are not there."
    lines = ((line.split(), part) for name, part in lists.items() for line in text(place / name).splitlines())
    return {_stem(line[0]): part for line, part in lines if line}, whence


def _entry(row: Row, file: str, parts: Mapping[str, Part]) -> Entry:
    label = "pneumonia" if "Pneumonia" in row.findings else "disease" if row.findings else "normal"
    return Entry(
        file=file,
        label=label,
        original="|".join(row.findings) or "No Finding",
        modality="xray",
        patient_id=patient_of(row.name),
        view=row.view or "frontal",
        source="nih",
        split=parts.get(_stem(row.name)),
        findings=row.findings,
        sex=row.sex,
        age=row.age,
    )


def _stem(file: str) -> str:
    return file.rpartition("/")[2].rpartition(".")[0]


LAYOUT = Layout(
    name="nih-chestxray",
    title="NIH ChestX-ray14 (and its earlier release ChestX-ray8)",
    citation=(
        "Wang X, Peng Y, Lu L, Lu Z, Bagheri M, Summers RM. ChestX-ray8: Hospital-scale Chest X-ray Database and "
        "Benchmarks on Weakly-Supervised Classification and Localization of Common Thorax Diseases. IEEE CVPR 2017, "
        "3462-3471. arXiv:1705.02315"
    ),
    licence=(
        "No restriction on use; asked for: a link to the download site, the citation, and to name the NIH Clinical "
        "Center as the provider"
    ),
    home="https://nihcc.app.box.com/v/ChestXray-NIHCC",
    obtain="Download images_001 to images_012 (45 GB) and the lists from the home page; no login is needed.",
    release="ChestX-ray14, 112,120 images of 30,805 patients (the counts by label: from memory)",
    expected={"normal": 60361, "pneumonia": 1431, "disease": 50328},
    patients="Eight digits of the file name; the owner's own, and one patient has up to 184 images (from memory).",
    traps=(
        "Labels were mined from reports by software, which its owner expects to be right above 90 %; nobody read "
        "the images for them.",
        "Early papers count ChestX-ray8 (108,948 images of 32,717 patients, 8 findings); this is the later release.",
        "Data_Entry_2017.csv, its v2020 and CheXNet's lists number a few follow-ups of one patient differently.",
        "Official lists: 86,524 train and val, 25,596 test, no patient in both; CheXNet's parts are others.",
        "Images are 1024x1024 PNG: joined with other sets, the size alone tells the source.",
        "DarkCovidNet's normal and pneumonia images are from here: patients carry the same ids, so that they join.",
    ),
    read=read,
)
