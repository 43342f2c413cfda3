"""covid-chestxray-dataset: findings old and new, who is who, what lies where."""

from __future__ import annotations

import csv
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pneumoscope.core.image import Modality
from pneumoscope.errors import DataError
from pneumoscope.io.layouts import layouts, metadata
from pneumoscope.io.layouts.covid_chestxray import LAYOUT
from pneumoscope.io.layouts.layout import Listing

NEW_HEAD = (
    "patientid,offset,sex,age,finding,RT_PCR_positive,survival,intubated,intubation_present,went_icu,in_icu,"
    "needed_supplemental_O2,extubated,temperature,pO2_saturation,leukocyte_count,neutrophil_count,lymphocyte_count,"
    "view,modality,date,location,folder,filename,doi,url,license,clinical_notes,other_notes,"
)
OLD_HEAD = (
    "Patientid,offset,sex,age,finding,survival,temperature,pO2 saturation,wbc count,neutrophil count,"
    "lymphocyte count,view,modality,date,location,filename,doi,url,license,clinical notes,other notes"
)
NEW, OLD = NEW_HEAD.split(","), OLD_HEAD.split(",")


def write(base: Path, header: list[str], rows: list[dict[str, str]], files: list[str]) -> Path:
    (base / "images").mkdir(parents=True)
    with (base / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, header)
        table.writeheader()
        table.writerows(rows)
    for name in files:
        path = base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"not read")
    return base


def row(name: str, **more: str) -> dict[str, str]:
    plain = {"patientid": "2", "finding": "Pneumonia/Viral/COVID-19", "view": "PA", "modality": "X-ray"}
    return {**plain, "folder": "images", "filename": name, **more}


def read(tmp_path: Path, rows: list[dict[str, str]], files: list[str], header: list[str] = NEW) -> Listing:
    return LAYOUT.read(write(tmp_path / "covid-chestxray-dataset", header, rows, files))


def test_it_is_found_by_its_name() -> None:
    assert layouts().resolve("covid-chestxray-dataset") is LAYOUT


def test_a_row_becomes_an_entry(tmp_path: Path) -> None:
    said = row(
        "a b.jpeg",
        offset="3",
        sex="M",
        age="65",
        RT_PCR_positive="Y",
        license="CC BY-NC-SA",
        doi="10.1056/x",
        location="Some Hospital, Some City",
        date="January 22, 2020",
        clinical_notes="On January 22, a 65-year-old man was\nadmitted",
        other_notes="courtesy of Dr Somebody",
    )
    (entry,) = read(tmp_path, [said], ["images/a b.jpeg"]).entries
    assert (entry.file, entry.label, entry.modality) == ("images/a b.jpeg", "covid", "xray")
    assert (entry.patient_id, entry.view, entry.original) == ("ieee8023:2", "PA", "Pneumonia/Viral/COVID-19")
    assert (entry.sex, entry.age) == ("M", "65")
    assert entry.notes == "offset=3; sex=M; age=65; rt_pcr_positive=Y; license=CC BY-NC-SA; doi=10.1056/x"


@pytest.mark.parametrize(
    ("finding", "label"),
    [
        ("Pneumonia/Viral/COVID-19", "covid"),
        ("COVID-19", "covid"),
        ("COVID-19, ARDS", "covid"),
        ("Pneumonia", "pneumonia"),
        ("Pneumonia/Viral/SARS", "pneumonia"),
        ("Pneumonia/Viral/Herpes ", "pneumonia"),
        ("Pneumonia/Viral/Influenza/H1N1", "pneumonia"),
        ("Pneumonia/Bacterial/Staphylococcus/MRSA", "pneumonia"),
        ("Pneumonia/Fungal/Pneumocystis", "pneumonia"),
        ("Pneumonia/Aspiration", "pneumonia"),
        ("SARS", "pneumonia"),
        ("Streptococcus", "pneumonia"),
        ("E.Coli", "pneumonia"),
        ("Mycoplasma Bacterial Pneumonia", "pneumonia"),
        ("Herpes pneumonia, ARDS", "pneumonia"),
        ("No Finding", "normal"),
        ("No finding", "normal"),
        ("todo", "unlabelled"),
        ("Unknown", "unlabelled"),
        ("", "unlabelled"),
        ("Tuberculosis", "other"),
        ("ARDS", "other"),
        ("Lipoid", "other"),
        ("Pneumonia/Lipoid", "other"),
        ("something new", "other"),
    ],
)
def test_findings(finding: str, label: str) -> None:
    assert metadata.label(finding) == label


@given(st.text())
def test_whatever_a_finding_says_it_has_a_label(finding: str) -> None:
    assert metadata.label(finding) in {"covid", "pneumonia", "normal", "unlabelled", "other"}
    assert metadata.clean(finding).isprintable()


@pytest.mark.parametrize(
    ("view", "modality", "expected"),
    [("AP Supine", "X-ray", "xray"), ("L", "X-ray", "xray"), ("Axial", "CT", "ct"), ("Coronal", "CT", "ct")],
)
def test_views_and_modalities(tmp_path: Path, view: str, modality: str, expected: Modality) -> None:
    (entry,) = read(tmp_path, [row("a.png", view=view, modality=modality)], ["images/a.png"]).entries
    assert (entry.view, entry.modality) == (view, expected)


def test_a_row_of_no_known_modality_is_left_out_and_counted(tmp_path: Path) -> None:
    listing = read(tmp_path, [row("a.png", modality="ultrasound")], ["images/a.png"])
    assert (listing.entries, listing.notes) == ((), (f"{metadata.NEITHER}: 1",))


def test_old_tables_are_read_as_well(tmp_path: Path) -> None:
    old = {"Patientid": "62", "finding": "COVID-19, ARDS", "view": "AP", "modality": "X-ray", "filename": "x.jpg"}
    (entry,) = read(tmp_path, [old], ["images/x.jpg"], OLD).entries
    assert (entry.label, entry.patient_id, entry.findings) == ("covid", "ieee8023:62", ("COVID-19", "ARDS"))


def test_what_is_missing_and_what_is_too_many_is_named(tmp_path: Path) -> None:
    listing = read(
        tmp_path, [row("a.png"), row("b.png")], ["images/a.png", "images/4-x-day1.jpg", "docs/hierarchy.jpg"]
    )
    assert listing.missing == ("images/b.png",)
    assert listing.extra == ("images/4-x-day1.jpg",)


def test_volumes_are_counted_in_a_note_and_not_missing(tmp_path: Path) -> None:
    rows = [row("a.png")] + [row(f"coronacases_{i}.nii.gz", folder="volumes", modality="CT") for i in range(3)]
    listing = read(tmp_path, rows, ["images/a.png", "volumes/coronacases_1.nii.gz"])
    assert (len(listing.entries), listing.missing) == (1, ())
    assert listing.notes == ("CT volumes (NIfTI) in the table, not imported (1 of them are here): 3",)


def test_one_id_for_two_people_is_noted_and_not_named(tmp_path: Path) -> None:
    rows = [row("a.png", patientid="62", sex="M", age="30"), row("b.png", patientid="62", sex="F", age="70")]
    rows += [row("c.png", patientid="63", sex="F", age="70"), row("d.png", patientid="63", sex="F", age="71")]
    (note,) = read(tmp_path, rows, [f"images/{name}.png" for name in "abcd"]).notes
    assert note == "patient ids with two sexes, or with ages over 2 years apart (perhaps two people): 1"


def test_a_file_named_twice_counts_once(tmp_path: Path) -> None:
    listing = read(tmp_path, [row("a.png"), row("a.png", finding="No Finding")], ["images/a.png"])
    assert [entry.label for entry in listing.entries] == ["covid"]
    assert listing.notes == ("rows naming a file a second time, the first counts (1 with another label): 1",)


@pytest.mark.parametrize(
    "name", ["../../secret.png", "/etc/secret.png", "..\\secret.png", "C:\\secret.png", "a\x1b[2Jb.png", "..", ""]
)
def test_names_that_lead_out_are_left_out(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.png").write_bytes(b"x")
    listing = read(tmp_path, [row(name), row("a.png")], ["images/a.png"])
    assert ([entry.file for entry in listing.entries], listing.missing) == (["images/a.png"], ())
    assert listing.notes == ("rows left out, naming no file of their own inside the folder: 1",)


def test_a_folder_that_leads_out_is_left_out(tmp_path: Path) -> None:
    listing = read(tmp_path, [row("a.png", folder="../.."), row("b.png", folder="other")], ["images/a.png"])
    assert (listing.entries, listing.missing) == ((), ("images/other/b.png",))
    assert listing.notes == (f"{metadata.NOWHERE}: 1",)


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(b"x")
    base = write(tmp_path / "set", NEW, [row("a.png")], [])
    (base / "images" / "a.png").symlink_to(tmp_path / "secret.png")
    assert LAYOUT.read(base).missing == ("images/a.png",)
    shutil.rmtree(base / "images")
    (base / "images").symlink_to(tmp_path)
    with pytest.raises(DataError, match="found a link"):
        LAYOUT.read(base)


def test_the_folder_above_and_the_images_themselves_will_do(tmp_path: Path) -> None:
    base = write(tmp_path / "up" / "covid-chestxray-dataset-master", NEW, [row("a.png")], ["images/a.png"])
    above, images = LAYOUT.read(base.parent), LAYOUT.read(base / "images")
    assert [entry.file for entry in above.entries] == ["covid-chestxray-dataset-master/images/a.png"]
    assert [entry.file for entry in images.entries] == ["a.png"]
    write(tmp_path / "up" / "another", NEW, [row("a.png")], [])
    with pytest.raises(DataError, match="found 2"):
        LAYOUT.read(base.parent)


def test_images_beside_the_table_will_do(tmp_path: Path) -> None:
    base = write(tmp_path / "flat", NEW, [row("a.png")], ["a.png"])
    (base / "images").rmdir()
    assert [entry.file for entry in LAYOUT.read(base).entries] == ["a.png"]


@pytest.mark.parametrize("table", ["", "a,b\n1,2\n", "patientid,finding,view,modality,imagename\n1,x,PA,X-ray,a.png\n"])
def test_another_set_is_refused(tmp_path: Path, table: str) -> None:
    (tmp_path / "metadata.csv").write_text(table)
    with pytest.raises(DataError, match="expected the columns patientid"):
        LAYOUT.read(tmp_path)


def test_a_folder_without_a_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected metadata.csv"):
        LAYOUT.read(tmp_path)


@pytest.mark.shared
def test_the_real_names_give_the_real_labels(tmp_path: Path, shared_data: Path) -> None:
    source = shared_data / "xray" / "ieee8023"
    with (source / "labels.csv").open(newline="", encoding="utf-8") as file:
        real = {line["orig_name"]: line for line in csv.DictReader(file)}
    rows = []
    for name, line in real.items():
        said = dict(part.split("=", 1) for part in line["notes"].split("; ") if "=" in part)
        if "finding" in said:
            fields = {"Patientid": line["patient_id"].removeprefix("ieee8023:"), "view": line["view"]}
            fields |= {"finding": said["finding"], "modality": said["modality"], "sex": said["sex"]}
            rows.append({**fields, "age": said["age"], "filename": name, "offset": said["offset_days"]})
    base = write(tmp_path / "set", OLD, rows, [])
    for name, line in real.items():
        shutil.copyfile(source / line["file"], base / "images" / name)
    listing = LAYOUT.read(base)
    got = {os.path.basename(entry.file): (entry.label, entry.patient_id, entry.view or "") for entry in listing.entries}
    unlisted = {name for name, line in real.items() if line["notes"] == "no metadata row"}
    assert got == {n: (x["label"], x["patient_id"], x["view"]) for n, x in real.items() if n not in unlisted}
    assert set(listing.extra) == {f"images/{name}" for name in unlisted}
    assert listing.missing == ()
    assert not any("ieee8023:" in note for note in listing.notes)
