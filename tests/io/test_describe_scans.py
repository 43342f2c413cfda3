"""The CT scans of a labelled folder: known answers on made series, phantoms, and real ones."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from series_making import series

from pneumoscope.core.serial import from_json, to_json
from pneumoscope.errors import DataError
from pneumoscope.io.describe import describe
from pneumoscope.io.description import PROFILE, Description, Label
from pneumoscope.phantoms.ct_files import write_cts


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two covid series and a normal one of 10 slices, each `%03d.dcm` from the head, and one that is none."""
    folder = tmp_path_factory.mktemp("set")
    made = {
        "a": series(ConvolutionKernel="B60f", Manufacturer="One", PatientID="X-4711"),
        "b": series(ConvolutionKernel="B30f", Manufacturer="One", step=1.0, SliceThickness=1),
        "n": series(Manufacturer="Two", PixelSpacing=[0.5, 0.5], SliceThickness=None),
        "odd": series(step=0.0),
    }
    for name, files in made.items():
        (folder / name).mkdir()
        for file, data in files.items():
            (folder / name / file).write_bytes(data)
    (folder / "labels.csv").write_text("file,label,patient_id\na,covid,1\nb,covid,2\nn,normal,3\nodd,covid,4\n")
    infected = {"a": range(6, 9), "b": range(8, 11)}
    rows = [f"{s}/{i:03d}.dcm,{int(i in infected[s])}" for s in "ab" for i in range(1, 11)]
    (folder / "slices.csv").write_text("\n".join(["file,infection", *rows, "n/001.dcm,", "gone/001.dcm,1", ""]))
    return folder


@pytest.fixture(scope="module")
def found(root: Path) -> Description:
    return describe(root)


def labelled(found: Description, name: str) -> Label:
    return next(one for one in found.labels if one.name == name)


def test_slices_spacing_kernels_and_makers_by_label(found: Description) -> None:
    scans = labelled(found, "covid").scans
    assert scans is not None
    assert (scans.studies, scans.slices.min, scans.slices.max) == (2, 10, 10)
    assert (scans.step_mm.min, scans.step_mm.median, scans.step_mm.max) == (1.0, 1.5, 2.0)
    assert (scans.pixel_mm.median, scans.unlike) == (0.5, 2)
    assert scans.thicknesses.top == {"2 mm": 1, "1 mm": 1}
    assert scans.kernels.top == {"B60f": 1, "B30f": 1}
    assert scans.manufacturers.top == {"One": 2}
    normal = labelled(found, "normal").scans
    assert normal is not None
    assert (normal.kernels.top, normal.thicknesses.top, normal.unlike) == ({"(blank)": 1}, {"(blank)": 1}, 0)


def test_series_are_counted_and_described_as_files_are(found: Description) -> None:
    assert (found.images, found.series) == (4, 3)
    covid = labelled(found, "covid")
    assert covid.formats["dicom series"] == 2
    assert covid.stored is not None
    assert [(s.width, s.height, s.images) for s in covid.stored.sizes] == [(16, 16, 2)]
    (problem,) = found.problems
    assert problem.files == ("odd",)


def test_infected_slices_are_placed_from_the_feet(found: Description) -> None:
    """In both series slice 10 is the lowest one, in the first tenth of the scan."""
    scans = labelled(found, "covid").scans
    assert scans is not None
    profile = scans.profile
    assert profile is not None
    assert (profile.studies, sum(profile.labelled), sum(profile.infected)) == (2, 20, 6)
    tenths = [sum(profile.infected[i : i + PROFILE // 10]) for i in range(0, PROFILE, PROFILE // 10)]
    assert tenths == [1, 1, 2, 1, 1, 0, 0, 0, 0, 0]
    normal = labelled(found, "normal").scans
    assert normal is not None
    assert normal.profile is None


def test_labels_of_slices_that_are_nowhere_are_said(found: Description) -> None:
    assert found.unplaced == 1
    assert any(text.startswith("slices.csv labels 1 slices") for text in found.warnings)


def test_the_json_is_read_back_and_names_nobody(found: Description) -> None:
    text = json.dumps(to_json(found), allow_nan=False)
    assert to_json(from_json(Description, json.loads(text))) == to_json(found)
    assert "4711" not in text


def test_a_broken_table_of_slices_is_an_error(root: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file,label\nx.png,a\n")
    (tmp_path / "slices.csv").write_text("file\n")
    with pytest.raises(DataError, match=r"slices\.csv"):
        describe(tmp_path)


def test_a_scanner_that_gives_the_label_away_is_said(root: Path, tmp_path: Path) -> None:
    """One series stands for 60 patients, a row each: what is measured are the headers."""
    rows = []
    for i in range(60):
        (tmp_path / f"s{i}").mkdir()
        for path in (root / ("a" if i % 2 else "n")).iterdir():
            (tmp_path / f"s{i}" / path.name).hardlink_to(path)
        rows.append(f"s{i},{'covid' if i % 2 else 'normal'},{i}")
    (tmp_path / "labels.csv").write_text("\n".join(["file,label,patient_id", *rows, ""]))
    found = describe(tmp_path)
    told = {t.by for t in found.tells if t.striking}
    assert told == {"kernel", "manufacturer", "slice thickness"}
    assert any("The manufacturer alone tells labels apart" in text for text in found.warnings)


def test_a_phantom_set_of_twelve(tmp_path: Path) -> None:
    root = write_cts(tmp_path / "set", patients=12, seed=3, size=64, slices=16)
    found = describe(root)
    assert (found.images, found.series, found.problems, found.unplaced) == (12, 12, (), 0)
    with (root / "slices.csv").open() as table:
        rows = list(csv.DictReader(table))
    profiles = {one.name: one.scans.profile for one in found.labels if one.scans}
    assert sum(sum(p.labelled) for p in profiles.values() if p) == len(rows)
    assert sum(sum(p.infected) for p in profiles.values() if p) == sum(row["infection"] == "1" for row in rows)
    normal = profiles["normal"]
    assert normal is not None
    assert sum(normal.infected) == 0


@pytest.mark.shared
def test_real_series_are_what_their_sources_say(shared_data: Path) -> None:
    root = shared_data / "ct-series" / "covid-ct-md"
    found = describe(root)
    with (root / "labels.csv").open() as table:
        rows = {row["file"]: row for row in csv.DictReader(table)}
    assert (found.images, found.series, found.problems, found.unplaced) == (4, 4, (), 0)
    slices = [one.scans.slices for one in found.labels if one.scans]
    assert {s.max for s in slices} <= {float(row["slices"]) for row in rows.values()}
    assert all(one.scans and one.scans.step_mm.median == pytest.approx(8, abs=0.01) for one in found.labels)
