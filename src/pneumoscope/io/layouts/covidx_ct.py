"""COVIDx CT, the benchmark of COVID-Net CT (Gunraj et al.): CT slices of many sets as PNG, with official parts.

Lists `name class xmin ymin xmax ymax`, 0 normal, 1 pneumonia, 2 COVID-19; the box is the body, and is kept in notes.
Verified in haydengunraj/COVIDNet-CT: the lists in splits/, metadata.csv, docs/dataset.md at several commits with the
counts of CT-1 and CT-3A, and dataset_construction/*.py, which say what a file's name is made of. On Kaggle: folder
images and *_COVIDx-CT.txt (CT-1), 2A_images and *_COVIDx_CT-2A.txt, 3A_images and *_COVIDx_CT-3A.txt (users' code).
CT-2A's counts a part are from memory; their sums and the test part are those that Garg 2021 prints.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, get_args

from pneumoscope.errors import DataError
from pneumoscope.io.layouts.layout import Entry, Layout, Listing
from pneumoscope.io.layouts.metadata import NOWHERE, clean, counted
from pneumoscope.io.layouts.tree import images, in_several_parts, is_plain, table, text

Part = Literal["train", "val", "test"]
PARTS: tuple[Part, ...] = get_args(Part)
CLASSES = {"0": ("normal", "Normal"), "1": ("pneumonia", "Pneumonia"), "2": ("covid", "COVID-19")}
# version -> part -> normal, pneumonia, covid
PUBLISHED: Mapping[str, Mapping[Part, tuple[int, int, int]]] = {
    "1": {"train": (27201, 22061, 12520), "val": (9107, 7400, 4529), "test": (9450, 7395, 4346)},
    "2A": {"train": (35996, 25496, 82286), "val": (11842, 7400, 6244), "test": (12245, 7395, 6018)},
    "3A": {"train": (35996, 26970, 294552), "val": (17570, 8008, 8147), "test": (17922, 7965, 7894)},
    "3B": {"train": (35996, 26970, 300733), "val": (17570, 8008, 8147), "test": (17922, 7965, 7894)},
}
_LIST = re.compile(r"(train|val|test)_COVIDx[-_]CT(?:[-_]v?(\d[AB]?))?\.txt", re.IGNORECASE | re.ASCII)
_LINE = re.compile(r"(\S+)\s+([012])(?:\s+(\d{1,5})\s+(\d{1,5})\s+(\d{1,5})\s+(\d{1,5}))?", re.ASCII)
# how the builder names a slice -> source, and the patient as that source's own layout would write it
_PATIENTS = (
    (re.compile(r"((?:NCP|CP|Normal)_\d+)_\d+_\d+"), "cncb", "cncb"),
    (re.compile(r"COVIDCTMD-([^-]+)-.+"), "covid-ct-md", "ctmd"),
    (re.compile(r"HUST-(.+)-\d+"), "ictcf", "ictcf"),
    (re.compile(r"STOIC-(.+)-\d+"), "stoic", "stoic"),
    (re.compile(r"(LIDC-IDRI-\d+)-.+"), "lidc-idri", "lidc"),
    (re.compile(r"(volume-covid19-A-\d+)[-_].+"), "tcia-covid", "tcia-covid"),
    (re.compile(r"(A\d{6})-.+"), "covid-19-ny-sbu", "nysbu"),
    (re.compile(r"(coronacases_\d+)-\d+"), "coronacases", "coronacases"),
    (re.compile(r"radiopaedia_\d+_(\d+)_\d+-\d+"), "radiopaedia", "radiopaedia:study"),
    (re.compile(r"radiopaedia-(\d+)-\d+-\d+-\d+"), "radiopaedia", "radiopaedia"),
    (re.compile(r"(study_\d+)[-_].+"), "mosmed", "mosmed"),
    (re.compile(r".+_((?:patient|normal)\d+)_.+"), "covid-ctset", "covid-ctset"),
)
_TOLD = ("country", "sex", "age", "verified finding", "slice selection")


def read(root: Path) -> Listing:
    """The images that the lists of one version name.

    Raises:
        DataError: no lists, lists of several versions, or a line that is not one.
    """
    lists = _lists(root)
    version = (next(iter(lists.values()))[1] or "1").upper()
    found = images(root, suffixes=(".png",))
    here = _here(found, version)
    people = _people(next(iter(lists.values()))[0].parent)
    entries: dict[str, Entry] = {}
    missing: list[str] = []
    listed: dict[Part, Counter[str]] = {part: Counter() for part in lists}
    refused = twice = 0
    for part, (path, _) in lists.items():
        for name, number, box in _lines(path):
            listed[part][CLASSES[number][0]] += 1
            if not is_plain(name):
                refused += 1
            elif name not in here:
                missing.append(name)
            elif here[name] in entries:
                twice += 1
            else:
                entries[here[name]] = _entry(here[name], name, CLASSES[number], part, box, people)
    return Listing(
        entries=tuple(entries.values()),
        missing=tuple(sorted(set(missing))),
        extra=tuple(file for file in found if file not in entries),
        notes=(
            *_differences(version, listed),
            *counted(refused, NOWHERE),
            *counted(twice, "lines naming a file a second time, the first counts"),
            *_about_patients(entries.values()),
        ),
        release=f"COVIDx CT-{version}",
        expected=_expected(version),
    )


def _lists(root: Path) -> dict[Part, tuple[Path, str]]:
    """Part -> its list and the version that its name tells: in `root`, or in the only folder below that has any."""
    below = [p for p in sorted(root.glob("*")) if p.is_dir() and not p.is_symlink()]
    for place in (root, *below):
        found = [(m, p) for p in sorted(place.glob("*.txt")) if (m := _LIST.fullmatch(p.name)) and not p.is_symlink()]
        if not found:
            continue
        parts = Counter(m[1].lower() for m, _ in found)
        several = next((part for part, n in parts.items() if n > 1), None)
        if several or set(parts) != set(PARTS):
            what = f"{parts[several]} for {several}" if several else f"none for {', '.join(set(PARTS) - set(parts))}"
            raise DataError(f"{place}: expected one list a part, found {what}. Keep the three lists of one version.")
        named = {m[1].lower(): (p, m[2] or "") for m, p in found}
        return {part: named[part] for part in PARTS}
    raise DataError(
        f"{root}: expected lists such as train_COVIDx_CT-2A.txt beside the folder of images, found none. "
        "They come with the download from Kaggle."
    )


def _here(found: Iterable[str], version: str) -> dict[str, str]:
    """Name -> path of the images in the version's folder; of all images where there is no such folder."""
    folder = "images" if version == "1" else f"{version}_images".lower()
    paths = [(file.rpartition("/")[2], file) for file in found]
    of_version = {name: file for name, file in paths if folder in file.lower().split("/")[:-1]}
    return of_version or dict(paths)


def _lines(path: Path) -> Iterable[tuple[str, str, str]]:
    """Name, number of the class and box of each line; the box is "" where a list has none."""
    for number, line in enumerate(text(path).splitlines(), start=1):
        if not line.strip():
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise DataError(
                f"{path.name}, line {number}: expected 'name class xmin ymin xmax ymax' with a class of 0, 1 or 2, "
                "found something else. Check that this is a COVIDx CT list."
            )
        yield match[1], match[2], " ".join(match.groups()[2:]) if match[3] else ""


def _people(folder: Path) -> dict[str, Mapping[str, str]]:
    """Patient as metadata.csv writes it -> what it says; empty where it is not there, as with CT-1."""
    path = folder / "metadata.csv"
    if not path.is_file() or path.is_symlink():
        return {}
    return {row["patient id"]: row for row in table(path, ("patient id", "source"))}


def _entry(
    file: str,
    name: str,
    kind: tuple[str, str],
    part: Part,
    box: str,
    people: Mapping[str, Mapping[str, str]],
) -> Entry:
    stem = name.rpartition(".")[0] or name
    source, patient = _patient(stem)
    about = _about(stem, people)
    if patient is None and about is not None:
        source = clean(about["source"]).lower()
        patient = f"{source}:{clean(about['patient id'])}"
    told = [f"{key}={said}" for key in _TOLD if about and (said := clean(about.get(key, "")))]
    return Entry(
        file=file,
        label=kind[0],
        original=kind[1],
        modality="ct",
        patient_id=patient,
        # a name that tells no patient is <scan><separator><number of the slice>
        group_id=None if patient else f"covidx-ct:{re.sub(r'[-_]?[0-9]+$', '', stem)}",
        view="axial",
        source=source,
        split=part,
        sex=clean(about["sex"]) if about and "sex" in about else "",
        age=clean(about["age"]) if about and "age" in about else "",
        notes="; ".join([*([f"box={box}"] if box else []), *told]),
    )


def _patient(stem: str) -> tuple[str, str | None]:
    """Source and patient, by how the builder names slices; ("covidx-ct", None) where it is another name."""
    for pattern, source, prefix in _PATIENTS:
        if match := pattern.fullmatch(stem):
            return source, f"{prefix}:{match[1]}"
    return "covidx-ct", None


def _about(stem: str, people: Mapping[str, Mapping[str, str]]) -> Mapping[str, str] | None:
    """The row of metadata.csv whose patient the name begins with, up to a `-` or a `_`; the longest."""
    if not people:
        return None
    cuts = [i for i, c in enumerate(stem) if c in "-_"][::-1]
    return next((people[stem[:cut]] for cut in cuts if stem[:cut] in people), None)


def _expected(version: str) -> dict[str, int]:
    """Label -> images of all parts, where that was published."""
    parts = PUBLISHED.get(version, {}).values()
    return dict(zip(("normal", "pneumonia", "covid"), map(sum, zip(*parts, strict=True)), strict=True)) if parts else {}


def _differences(version: str, listed: Mapping[Part, Mapping[str, int]]) -> tuple[str, ...]:
    """What the lists name, where that is not what was published for each part."""
    if version not in PUBLISHED:
        return (f"Of COVIDx CT-{version} no counts are known here: what the lists name was not checked.",)
    odd = [
        f"{part} {label} {listed[part].get(label, 0):,} for {number:,}"
        for part, numbers in PUBLISHED[version].items()
        for label, number in zip(("normal", "pneumonia", "covid"), numbers, strict=True)
        if listed[part].get(label, 0) != number
    ]
    return (
        (f"The lists name other numbers than were published for COVIDx CT-{version}: {', '.join(odd)}.",) if odd else ()
    )


def _about_patients(entries: Iterable[Entry]) -> tuple[str, ...]:
    pairs = [(e.patient_id or e.group_id, e.patient_id is None, e.split) for e in entries]
    return (
        *counted(sum(unknown for _, unknown, _ in pairs), "images whose name tells no patient, grouped by their scan"),
        *counted(in_several_parts((who, part) for who, _, part in pairs), "patients with images in more than one part"),
    )


LAYOUT = Layout(
    name="covidx-ct",
    title="COVIDx CT (1, 2A, 3A)",
    citation="Gunraj H, Sabri A, Koff D, Wong A. COVID-Net CT-2: enhanced deep neural networks for detection of "
    "COVID-19 from chest CT images through bigger, more diverse learning. Frontiers in Medicine 8:729287, 2022. doi "
    "10.3389/fmed.2021.729287 (CT-1: Gunraj, Wang, Wong 2020, doi 10.3389/fmed.2020.608525)",
    licence="lists: AGPL-3.0, as the repository; images: as each source states (CC BY 3.0 CN, CC BY, CC BY-NC, "
    "CC BY-NC-SA, ...; docs/licenses_acknowledgements.md)",
    home="https://github.com/haydengunraj/COVIDNet-CT/blob/master/docs/dataset.md",
    obtain="Download from Kaggle (hgunraj/covidxct; CT-1, 2A and 3A are versions of it); a login is needed.",
    release="COVIDx CT-2A of January 2021, 194,922 slices of 3,745 patients, which Garg 2021 learns from first",
    expected=_expected("2A"),
    patients="In the file names, in the form of each source; checked against nothing, since the lists name none.",
    traps=(
        "Only slices with lesions are kept of COVID-19 and pneumonia, and whole lungs of normal: a slice from the "
        "lung's end is normal by its place alone.",
        "Classes come from different sets and countries (pneumonia nearly all from CNCB): telling the sources apart "
        "tells the classes.",
        "Slices of the training part are partly labelled by an earlier network (slice selection=Automatic in notes); "
        "those of val and test by radiologists.",
        "It contains COVID-CT-MD, STOIC, COVID-19-NY-SBU and others: joined with these, patients join by their ids "
        "where both sides know them.",
        "8-bit, from Hounsfield units in a lung window, some through JPEG: no HU left.",
        "The published figures are a slice, not a patient: 200 slices of one patient count 200 times.",
    ),
    read=read,
)
