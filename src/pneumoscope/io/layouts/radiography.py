"""COVID-19 Radiography Database (Qatar University and others, Kaggle): four classes gathered from other public sets.

The newer release: {COVID,Lung_Opacity,Normal,Viral Pneumonia}/{images,masks}/COVID-1.png and <class>.metadata.xlsx;
older ones: {COVID-19,NORMAL,Viral Pneumonia}/"COVID-19 (1).png". Masks are lung masks, not X-rays: they are passed
over, but a mask without its image names a missing file. No patient ids anywhere.
"""

from __future__ import annotations

from pathlib import Path

from pneumoscope.errors import DataError
from pneumoscope.io.layouts.layout import Entry, Layout, Listing
from pneumoscope.io.layouts.tree import below, compare, home, images

LABELS = {  # folder, lower case -> label
    "covid": "covid",
    "covid-19": "covid",
    "lung_opacity": "other",
    "normal": "normal",
    "viral pneumonia": "pneumonia",
}


def read(root: Path) -> Listing:
    """The images of the class folders, of the newer release or an older one.

    Raises:
        DataError: the class folders are not there, or hold no image.
    """
    expected = "the folders COVID (or COVID-19), Normal and Viral Pneumonia"
    folder = home(root, _is_home, expected=expected)
    found = images(root)
    placed = [(file, *_place(inside)) for file, inside in below(root, folder, found)]
    entries = tuple(_entry(file, kind) for file, kind, what in placed if what == "images")
    if not entries:
        raise DataError(f"{root}: expected images in {expected[4:]}, found none. Unpack the archive first.")
    masks = [file for file, _, what in placed if what == "masks"]
    here = {_image_of(e.file) for e in entries}
    missing = tuple(_image_of(mask) + ".png" for mask in masks if _image_of(mask) not in here)
    _, extra = compare((*masks, *(e.file for e in entries)), found)
    notes = ["No patient ids: files cannot be grouped by patient."]
    if masks:
        notes.append(f"{len(masks)} lung masks were passed over.")
    else:
        notes.append("There is no list of the files: what is missing can be told by the counts only.")
    return Listing(entries=entries, missing=missing, extra=extra, notes=tuple(notes))


def _is_home(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    below = {f.name.lower() for f in folder.iterdir() if f.is_dir()}
    return {"normal", "viral pneumonia"} <= below and bool({"covid", "covid-19"} & below)


def _place(inside: str) -> tuple[str, str]:
    """The class folder and the kind of picture ("images", "masks"); two empty strings for anything else."""
    match inside.split("/"):
        case [kind, ("images" | "masks") as what, _] if kind.lower() in LABELS:
            return kind, what
        case [kind, _] if kind.lower() in LABELS:
            return kind, "images"
    return "", ""


def _image_of(file: str) -> str:
    """The path without suffix of an image, or of the image that a mask belongs to."""
    *above, what, name = file.rpartition(".")[0].split("/")
    return "/".join((*above, "images" if what == "masks" else what, name))


def _entry(file: str, kind: str) -> Entry:
    return Entry(
        file=file, label=LABELS[kind.lower()], original=kind, modality="xray", source="covid19-radiography-database"
    )


LAYOUT = Layout(
    name="covid19-radiography-database",
    title="COVID-19 Radiography Database",
    citation=(
        "Chowdhury MEH, Rahman T, Khandakar A, et al. Can AI help in screening Viral and COVID-19 pneumonia? IEEE "
        "Access 8, 2020, 132665-132676; and Rahman T, Khandakar A, Qiblawey Y, et al. Exploring the effect of image "
        "enhancement techniques on COVID-19 detection using chest X-ray images. 2021"
    ),
    licence="none stated in its README; the sets it was gathered from keep their own",
    home="https://www.kaggle.com/tawsifurrahman/covid19-radiography-database",
    obtain="Download from Kaggle (tawsifurrahman/covid19-radiography-database); a login is needed.",
    release="the second update (2021); the first release had 219, 1,341 and 1,345 and no Lung_Opacity",
    expected={"covid": 3616, "other": 6012, "normal": 10192, "pneumonia": 1345},
    patients="None: images of one patient cannot be told, and several of its sources have many a patient.",
    traps=(
        "All viral pneumonias and 1,341 of the normals are Kermany's children; most COVID images are PadChest's, the "
        "other normals and all lung opacities RSNA's: source and age tell the class.",
        "It shares images with ieee8023, Kermany, SIRM and RSNA, and so with COVIDx: do not test on one what another "
        "trained, and look for near-duplicates first.",
        "Lung_Opacity is RSNA's, read by its owner as an infection other than COVID: labelled 'other' here, since it "
        "is no diagnosis; --map other=pneumonia takes it as one.",
        "Releases differ in classes, counts and file names.",
    ),
    read=read,
)
