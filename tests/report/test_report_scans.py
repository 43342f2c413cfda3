"""CT scans on the data page and in the tables of the command line."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from report_examples import Page

from pneumoscope.io.describe import describe
from pneumoscope.io.description import PROFILE, Description, Profile, Tally
from pneumoscope.phantoms.ct_files import write_cts
from pneumoscope.report.data import data_report, describe_tables
from pneumoscope.report.scans import TALL, WIDE, profile_rows, profiles, scan_rows

HOSTILE = "<script>alert(1)</script>'\"&{{ 7 * 7 }}<img src=x>"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Description:
    return describe(write_cts(tmp_path_factory.mktemp("scans") / "set", patients=3, seed=1, size=64, slices=16))


def changed(found: Description, **scans: object) -> Description:
    labels = [
        dataclasses.replace(one, scans=one.scans and dataclasses.replace(one.scans, **scans)) for one in found.labels
    ]
    return dataclasses.replace(found, labels=tuple(labels))


def test_the_page_has_a_row_a_label_and_a_curve_a_label(found: Description) -> None:
    text = data_report(found)
    page = Page(text)
    assert page.open == []
    assert "CT scans" in text
    assert "3 studies" in text
    assert "Where infected slices lie" in text
    curves = [a for a in page.all("polyline") if "curve" in a["class"]]
    assert len(curves) == 3
    for curve in curves:
        points = [tuple(map(float, pair.split(","))) for pair in curve["points"].split()]
        assert points == sorted(points)
        assert all(0 <= x <= WIDE and 0 <= y <= TALL for x, y in points)


def test_a_set_without_scans_says_nothing_of_them(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file,label\nx.png,a\n")
    bare = describe(tmp_path)
    assert "CT scans" not in data_report(bare)
    assert not {"CT scans"} & {title for title, _, _ in describe_tables(bare)}
    assert profiles(bare.labels, 6) is None


def test_without_slice_labels_there_is_no_curve(found: Description) -> None:
    text = data_report(changed(found, profile=None))
    assert "CT scans" in text
    assert "Where infected slices lie" not in text


def test_kernels_and_makers_of_strangers_are_escaped_and_cut(found: Description) -> None:
    hostile = Tally(top={HOSTILE * 9: 1}, distinct=1)
    text = data_report(changed(found, kernels=hostile, manufacturers=hostile, thicknesses=hostile))
    assert "<script>alert" not in text
    assert "<img src=x>" not in text
    assert "&lt;script&gt;alert" in text


def test_a_curve_is_the_share_of_infected_slices(found: Description) -> None:
    labelled, infected = [0] * PROFILE, [0] * PROFILE
    labelled[0], infected[0], labelled[-1], infected[-1] = 4, 1, 2, 2
    profile = Profile(studies=1, labelled=tuple(labelled), infected=tuple(infected))
    drawn = profiles(changed(found, profile=profile).labels[:1], 6)
    assert drawn is not None
    half = WIDE / PROFILE / 2
    assert drawn["lines"][0]["points"] == [(half, TALL * 0.75, "1 of 4"), (WIDE - half, 0.0, "2 of 2")]
    ((_, cells),) = profile_rows(changed(found, profile=profile).labels[:1])
    assert cells == ["6 of 1 study", "25 %", "none labelled", "none labelled", "none labelled", "100 %"]


def test_the_command_lines_tables(found: Description) -> None:
    tables = {title: (columns, rows) for title, columns, rows in describe_tables(found)}
    columns, rows = tables["CT scans"]
    assert [row[0] for row in rows] == [one.name for one in found.labels]
    assert all(len(row) == len(columns) for row in rows)
    assert rows == [[name, *cells] for name, cells in scan_rows(found.labels)]
    columns, rows = next(tables[title] for title in tables if title.startswith("Infected slices"))
    assert all(len(row) == len(columns) for row in rows)
    assert any(title.startswith("3 studies of 3 patients") for title in tables)
