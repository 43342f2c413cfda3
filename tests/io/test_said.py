"""What rows and headers say of sex, age and view, and that nothing is guessed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from dicom_making import GREY, make

from pneumoscope.core.dataset import ClassSet, Dataset, Sample
from pneumoscope.io import said
from pneumoscope.io.manifest import read_dataset

CLASSES = ClassSet(names=("normal", "covid"))


@pytest.mark.parametrize(
    ("text", "years"),
    [
        ("71", 71),
        ("71.5", 71.5),
        ("071Y", 71),
        ("018M", 1.5),
        ("0", 0),
        ("120", 120),
        ("121", None),
        ("414Y", None),
        ("", None),
        ("N/A", None),
        ("-3", None),
        ("7e1", None),
        ("40-50", None),
        ("\u0667\u0661", None),
    ],
)
def test_an_age_is_years_or_is_not_stated(text: str, years: float | None) -> None:
    assert said.age(text) == years


def test_weeks_and_days_are_parts_of_a_year() -> None:
    assert said.age("026W") == pytest.approx(0.5, abs=0.01)
    assert said.age("365D") == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    ("text", "sex"), [("F", "F"), ("m", "M"), ("Female", "F"), ("male", "M"), ("O", None), ("", None), ("MF", None)]
)
def test_a_sex_is_one_of_two_letters_or_is_not_stated(text: str, sex: str | None) -> None:
    assert said.sex(text) == sex


def folder(root: Path, labels: str, **files: bytes) -> Path:
    root.mkdir(exist_ok=True)
    (root / "labels.csv").write_text(labels, encoding="utf-8")
    for name, data in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    return root


def test_columns_become_fields_and_leave_the_digest_alone(tmp_path: Path) -> None:
    told = read_dataset(
        folder(tmp_path / "a", "file,label,patient_id,sex,age\na,normal,1,F,055Y\nb,covid,2,?,x\n", a=b"a", b=b"b"),
        CLASSES,
    )
    assert [(s.sex, s.age) for s in told.samples] == [("F", 55.0), (None, None)]
    plain = read_dataset(
        folder(tmp_path / "b", "file,label,patient_id\na,normal,1\nb,covid,2\n", a=b"a", b=b"b"), CLASSES
    )
    assert [(s.sex, s.age) for s in plain.samples] == [(None, None)] * 2
    assert plain.digest == told.digest


def test_a_header_says_what_the_row_does_not(tmp_path: Path) -> None:
    dicom = make(GREY, PatientSex="M", PatientAge="064Y", ViewPosition="AP")
    root = folder(
        tmp_path / "a",
        "file,label,patient_id,sex,view\na.dcm,normal,1,F,\nseries,covid,2,,PA\nbad,covid,3,,\nc.png,covid,4,,\n",
        **{"a.dcm": dicom, "series__x.dcm": dicom, "bad": dicom[:300], "c.png": b"\x89PNG\r\n\x1a\n"},
    )
    found = {s.file: (s.sex, s.age, s.view) for s in said.with_headers(read_dataset(root, CLASSES)).samples}
    assert found == {
        "a.dcm": ("F", 64.0, "AP"),  # the row comes first
        "series": ("M", 64.0, "PA"),
        "bad": (None, None, None),
        "c.png": (None, None, None),
    }


def test_a_file_is_not_opened_where_all_is_said() -> None:
    whole = Sample(file="not-there.dcm", label="covid", group="g", view="PA", sex="F", age=3.0)
    lacking = dataclasses.replace(whole, file="not-there-either.dcm", sex=None)
    data = Dataset(root="/nowhere", samples=(whole, lacking), classes=CLASSES)
    assert {s.sex for s in said.with_headers(data).samples} == {"F", None}
