"""Rebuild a public set's original layout from ../shared/data: as_downloaded.py SET OUT [--shared DIR].

For trying `pneumoscope data import` on real images: files under their original names (hard links where the disk allows)
and the lists that the set's layout reads, made from labels.csv. The pixels are the reduced JPEGs of the shared data,
whatever the original suffix says; about a fifth of each set is missing there, and so it is here.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

Rows = list[dict[str, str]]

FINDINGS = (  # the 14 columns of CheXNet's lists, in their order
    "Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia", "Pneumothorax",
    "Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia",
)  # fmt: skip
# the header as it is downloaded: the commas inside the brackets part columns, and one follows the last
DATA_ENTRY = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
)


def place(rows: Rows, source: Path, where: Callable[[dict[str, str]], Path]) -> None:
    """Put the file of each row at `where(row)`, linked where the disk allows."""
    for row in rows:
        target = where(row)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        try:
            os.link(source / row["file"], target)
        except OSError:  # another disk
            shutil.copy(source / row["file"], target)


def write_csv(path: Path, head: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """Write a list of the set's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        writer.writerows(rows)


def noted(row: dict[str, str], key: str) -> str:
    """The value of `key=value` in the row's notes; "" where it is not there."""
    match = re.search(rf"(?:^|; ?|\s){re.escape(key)}=([^;]*)", row["notes"])
    return match[1].strip() if match else ""


def nih(rows: Rows, source: Path, out: Path) -> None:
    """Images, Data_Entry_2017.csv, and CheXNet's lists in labels (of NIH's own lists labels.csv says nothing)."""
    place(rows, source, lambda row: out / "images" / row["orig_name"])
    entries = (
        f"{r['orig_name']},{noted(r, 'findings')},0,{int(r['orig_name'][:8])},,,,{r['orig_w']},{r['orig_h']},,,"
        for r in rows
    )
    (out / "Data_Entry_2017.csv").write_text("\n".join((DATA_ENTRY, *entries)) + "\n")
    (out / "labels").mkdir(exist_ok=True)
    for part in ("train", "val", "test"):
        lines = [
            " ".join((r["orig_name"], *(str(int(f in noted(r, "findings").split("|"))) for f in FINDINGS)))
            for r in rows
            if noted(r, "CheXNet split") == part
        ]
        (out / "labels" / f"{part}_list.txt").write_text("".join(f"{line}\n" for line in lines))


def darkcovidnet_nih(rows: Rows, source: Path, out: Path) -> None:
    """DarkCovidNet's normal and pneumonia images, which are NIH's, as NIH has them."""
    nih([r for r in rows if r["patient_id"].startswith("nih:")], source, out)


def ieee8023(rows: Rows, source: Path, out: Path) -> None:
    """images and metadata.csv (the columns that labels.csv kept)."""
    place(rows, source, lambda row: out / "images" / row["orig_name"])
    columns = (
        "patientid", "offset", "sex", "age", "finding", "view", "modality", "folder", "filename", "url", "license",
    )  # fmt: skip
    listed = [r for r in rows if r["notes"] != "no metadata row"]
    write_csv(out / "metadata.csv", columns, ([
        bare_patient(r), noted(r, "offset_days"), noted(r, "sex"), noted(r, "age"), noted(r, "finding"), r["view"],
        noted(r, "modality"), "images", r["orig_name"], noted(r, "url"), noted(r, "image licence"),
    ] for r in listed))  # fmt: skip


AGCHUNG = (
    "patientid", "offset", "sex", "age", "finding", "survival", "temperature", "pO2 saturation", "view", "modality",
)  # fmt: skip


def figure1(rows: Rows, source: Path, out: Path) -> None:
    """images/<patientid>.jpg or .png, and metadata.csv."""
    place(rows, source, lambda row: out / "images" / row["orig_name"])
    write_csv(out / "metadata.csv", (*AGCHUNG, "artifacts/distortion", "notes"), ([
        Path(r["orig_name"]).stem, "", "", "", agchung_finding(r), "", "", "", r["view"], "X-ray", "", "",
    ] for r in rows))  # fmt: skip


def actualmed(rows: Rows, source: Path, out: Path) -> None:
    """images/<imagename>, and metadata.csv."""
    place(rows, source, lambda row: out / "images" / row["orig_name"])
    write_csv(out / "metadata.csv", (*AGCHUNG, "imagename", "artifacts/distortion", "notes"), ([
        bare_patient(r), "", "", "", agchung_finding(r), "", "", "", r["view"], "X-ray", r["orig_name"], "", "",
    ] for r in rows))  # fmt: skip


def bare_patient(row: dict[str, str]) -> str:
    """The patient as the set itself writes it."""
    return row["patient_id"].partition(":")[2]


def agchung_finding(row: dict[str, str]) -> str:
    """The finding; what was inconclusive is blank there."""
    finding = noted(row, "finding")
    return "" if finding.startswith("blank") else finding


def darkcovidnet(rows: Rows, source: Path, out: Path) -> None:
    """Three folders, no list."""
    folders = {"covid": "Covid-19", "normal": "No_findings", "pneumonia": "Pneumonia"}
    place(rows, source, lambda row: out / "X-Ray Image DataSet" / folders[row["label"]] / row["orig_name"])


def kermany(rows: Rows, source: Path, out: Path) -> None:
    """NORMAL and PNEUMONIA without train and test, since labels.csv does not say which was which."""
    place(rows, source, lambda row: out / "chest_xray" / row["label"].upper() / row["orig_name"])


def sars_cov_2_ct(rows: Rows, source: Path, out: Path) -> None:
    """COVID and non-COVID, no list."""
    folders = {"covid": "COVID", "non-covid": "non-COVID"}
    place(rows, source, lambda row: out / folders[row["label"]] / row["orig_name"])


def ucsd_covid_ct(rows: Rows, source: Path, out: Path) -> None:
    """Images-processed, the official lists, and both MetaInfo tables."""
    kinds = {"covid": "COVID", "non-covid": "NonCOVID"}
    lists = source.parents[1] / "splits" / "ucsd-covid-ct"
    place(rows, source, lambda row: out / "Images-processed" / f"CT_{kinds[row['label']]}" / row["orig_name"])
    for label, kind in kinds.items():
        (out / "Data-split" / kind).mkdir(parents=True, exist_ok=True)
        for part in ("train", "val", "test"):
            name = f"{part}CT_{kind}.txt"
            shutil.copy(lists / name, out / "Data-split" / kind / name)
        known = [(r["orig_name"], r["patient_id"].rpartition(":")[2]) for r in rows if r["label"] == label]
        head = ("File name", "Patient ID") if kind == "COVID" else ("image name", "patient id")
        write_csv(out / f"{kind}-CT-MetaInfo.csv", head, [pair for pair in known if pair[1]])


def covid_ct_md(rows: Rows, source: Path, out: Path) -> None:
    """A folder a patient, Index.csv, and the labels of slices and lobes; those held back are -1 in them."""
    folders = {"covid": "COVID-19 Cases", "pneumonia": "Cap Cases", "normal": "Normal Cases"}
    slices = [
        {"file": path.relative_to(source).as_posix(), "home": folders[row["label"]]}
        for row in rows
        for path in sorted((source / row["file"]).glob("*.dcm"))
    ]
    place(slices, source, lambda one: out / one["home"] / one["file"])
    shutil.copy(source / "Index.csv", out / "Index.csv")
    with np.load(source / "annotations-all-79-patients.npz", allow_pickle=False) as labels:
        np.save(out / "Slice-level-labels.npy", labels["slice_level"], allow_pickle=False)
        np.save(out / "Lobe-level-labels.npy", labels["lobe_level"], allow_pickle=False)


SETS: dict[str, tuple[str, Callable[[Rows, Path, Path], None]]] = {  # name -> folder of the shared data, builder
    "nih-starter": ("xray/nih-starter", nih),
    "darkcovidnet-nih": ("xray/darkcovidnet", darkcovidnet_nih),
    "ieee8023": ("xray/ieee8023", ieee8023),
    "figure1": ("xray/figure1", figure1),
    "actualmed": ("xray/actualmed", actualmed),
    "darkcovidnet": ("xray/darkcovidnet", darkcovidnet),
    "kermany-pediatric": ("xray/kermany-pediatric", kermany),
    "sars-cov-2-ct": ("ct-slices/sars-cov-2-ct", sars_cov_2_ct),
    "covid-ct-md": ("ct-series/covid-ct-md", covid_ct_md),
    "ucsd-covid-ct": ("ct-slices/ucsd-covid-ct", ucsd_covid_ct),
}


def rebuild(name: str, out: Path, shared: Path) -> Rows:
    """Write the set `name` under `out` as it is downloaded; the rows of its labels.csv."""
    folder, build = SETS[name]
    with (shared / folder / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    out.mkdir(parents=True, exist_ok=True)
    build(rows, shared / folder, out)
    return rows


def main() -> int:
    """Rebuild one set and say what was written."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("set", choices=sorted(SETS))
    parser.add_argument("out", type=Path)
    parser.add_argument("--shared", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    options = parser.parse_args()
    rebuild(options.set, options.out, options.shared)
    print(f"{options.out}: {sum(p.is_file() for p in options.out.rglob('*'))} files of {options.set} as downloaded")
    return 0


if __name__ == "__main__":
    sys.exit(main())
