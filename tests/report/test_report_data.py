"""The report on a labelled folder, and the tables of the command line."""

from __future__ import annotations

import base64
import csv
import dataclasses
import hashlib
import math
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from report_examples import Page

from pneumoscope.core.result import Sizes
from pneumoscope.io.describe import describe
from pneumoscope.io.description import Description, Findings
from pneumoscope.report.data import LISTED, SHOWN, data_report, describe_tables

HOSTILE = "<script>alert(1)</script>'\"&{{ 7 * 7 }}<img src=x>"
COLUMNS = ["file", "label", "patient_id", "group_id", "view", "split", "source", "orig_w", "orig_h", "findings"]


def folder(root: Path, rows: list[dict[str, object]], pixels: tuple[int, int] = (20, 30)) -> Path:
    with open(root / "labels.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)), restval="")
        writer.writeheader()
        writer.writerows(rows)
    for row in rows[::2]:
        Image.fromarray(np.zeros(pixels, np.uint8)).save(root / str(row["file"]))
    return root


def rows_of(label: str, n: int, size: int, findings: str = "") -> list[dict[str, object]]:
    values = ["", label, "P", "", "PA" if size == 1024 else "AP", "train", "here", size, 1024, findings]
    rows = [dict(zip(COLUMNS, values, strict=True)) for _ in range(n)]
    for i, row in enumerate(rows):
        row |= {"file": f"{label[:3].strip('<')}{i}.png", "patient_id": f"{label}{i // 3}"}
    return rows


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Description:
    rows = rows_of("normal", 40, 1024, "No Finding") + rows_of("covid", 32, 700, "Mass|Effusion")
    return describe(folder(tmp_path_factory.mktemp("set"), rows))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Description:
    rows = [row | {HOSTILE: ""} for row in rows_of(HOSTILE, 40, 1024, HOSTILE + "|x") + rows_of("b", 40, 700)]
    rows = [row | {"source": HOSTILE, "view": row["view"] if row["label"] == "b" else HOSTILE} for row in rows]
    rows[1] |= {"file": HOSTILE.replace("/", "") + ".png"}
    return describe(folder(tmp_path_factory.mktemp("hostile"), rows))


@pytest.fixture(scope="module", params=["found", "hostile", "bare"])
def text(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    if request.param != "bare":
        return data_report(request.getfixturevalue(request.param))
    root = tmp_path_factory.mktemp("bare")
    (root / "labels.csv").write_text("file,label\nx.png,\n")
    return data_report(describe(root))


def test_nothing_outside_is_referred_to(text: str) -> None:
    page = Page(text)
    for tag, attributes in page.tags:
        assert tag not in {"link", "iframe", "object", "embed", "base", "form", "img", "a"}
        assert not {"style", "src", "href", "xlink:href"} & attributes.keys()
        assert not any(name.startswith("on") for name in attributes)
    assert not re.search(r"https?:|url\(|@import", text, re.IGNORECASE)
    assert page.open == []
    assert len(page.all("script")) == 1


def test_the_policy_allows_this_style_and_script_and_nothing_else(text: str) -> None:
    (policy,) = [a["content"] for a in Page(text).all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    for tag, source in (("style", "style-src"), ("script", "script-src")):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{source} 'sha256-{digest}';" in policy
    assert "unsafe" not in policy


def test_hostile_text_is_shown_and_inert(hostile: Description) -> None:
    text = data_report(hostile)
    assert "<script>alert" not in text
    assert Page(text).text.count(HOSTILE) > 10  # label, finding, source, view, column, each more than once
    assert "49" not in re.findall(r"\b49\b", Page(text).text.replace("{{ 7 * 7 }}", ""))


def test_what_a_user_should_know_stands_on_top(found: Description) -> None:
    page = Page(data_report(found))
    assert len(found.warnings) >= 3
    positions = [page.text.index(text) for text in found.warnings]
    assert positions == sorted(positions)
    assert positions[-1] < page.text.index("Images and patients")


def test_the_figures_stand_in_the_page(found: Description) -> None:
    page = Page(data_report(found))
    assert "72 images of 25 known patients, 2 labels" in page.text
    assert "40 images, 14 patients" in page.text
    assert "normal 40 1,048,576 1,048,576 1,048,576 0 1 1024 x 1024 (40)" in page.text
    assert "covid 32 716,800 716,800 716,800 0 1 700 x 1024 (32)" in page.text
    assert "covid: 700 x 1024, 32 images" in page.text
    assert "36 missing (check the paths)" in page.text
    bars = [a["width"] for a in page.all("rect", "area") if "%" in a["width"]]
    assert bars == ["100.0%", "35.0%", "80.0%", "27.5%"]


def test_points_are_inside_the_plot_and_its_columns_stand_on_the_line(found: Description) -> None:
    page = Page(data_report(found))
    rings = [a for a in page.all("circle", "ring") if a["cx"] != "11"]
    assert len(rings) == 4  # two labels, of the originals and of the files
    for ring in rings:
        assert 0 <= float(ring["cx"]) <= 320
        assert 0 <= float(ring["cy"]) <= 320
    for column in [a for a in page.all("rect", "area") if "%" not in a["width"]]:
        assert float(column["y"]) + float(column["height"]) == pytest.approx(64)


def test_findings_that_occur_together_are_a_table(found: Description) -> None:
    table = data_report(found).split("Findings that occur together")[1].split("</table>")[0]
    cells = [re.sub("<.*?>", " ", cell).split() for cell in re.findall("<td.*?</td>", table, re.DOTALL)]
    # a blank corner; No Finding: its own, Effusion, Mass, alone; Effusion; Mass
    assert cells[1:] == [
        *(["40"], ["0"], ["0"], ["40"]),
        *(["0"], ["32"], ["32", "100", "%"], ["0"]),
        *(["0"], ["32", "100", "%"], ["32"], ["0"]),
    ]


def test_many_labels_and_findings_are_bounded(tmp_path: Path) -> None:
    rows = "".join(f"{i}.png,label{i:03},{i},{i + 9},10,{'|'.join(map(str, range(i)))}\n" for i in range(200))
    (tmp_path / "labels.csv").write_text("file,label,patient_id,orig_w,orig_h,findings\n" + rows)
    found = describe(tmp_path)
    text = data_report(found)
    assert len(text) < 200_000
    assert f"{200 - SHOWN} more labels" in Page(text).text
    tables = {title: rows for title, _, rows in describe_tables(found)}
    assert len(tables["200 images of 200 patients, 150 labels not shown"]) == LISTED


def test_an_undefined_standard_deviation_is_called_so(found: Description) -> None:
    label = found.labels[0]
    assert label.original is not None
    one = Sizes(images=1, min=6, max=6, mean=6, sd=math.nan)
    alone = dataclasses.replace(label, original=dataclasses.replace(label.original, resolution=one))
    assert "undefined" in data_report(dataclasses.replace(found, labels=(alone,)))


def test_the_tables_of_the_command_line(found: Description) -> None:
    tables = {title: (columns, rows) for title, columns, rows in describe_tables(found)}
    assert list(tables) == [
        "72 images of 25 patients",
        "Resolution: width x height in pixels",
        "Views, sources, official parts",
        "Findings",
        "Blank fields",
        "What beside the picture tells labels apart",
        "Files that cannot be used",
        "What to know",
    ]
    for columns, rows in tables.values():
        assert rows
        assert all(len(row) == len(columns) and all(isinstance(cell, str) for cell in row) for row in rows)
    assert tables["72 images of 25 patients"][1][0] == [
        *("normal", "40", "14", "1 to 3, median 3", "20 png", "20 8-bit grey")
    ]
    assert tables["Resolution: width x height in pixels"][1][0] == [
        *("normal", "originals", "40", "1,048,576", "1,048,576", "1,048,576", "0", "1", "1024 x 1024 (40)")
    ]
    assert tables["Findings"][1][1] == ["Effusion", "32", "0", "32 Mass"]
    assert tables["Blank fields"][1] == [["group_id", "72 of 72", "40 normal, 32 covid"]]


def test_tables_hold_nothing_that_steers_a_terminal(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file,label,a\x1b[2J,findings\nx\x1b[31m.png,\x1b]0;title\x07,,\x1b[1m|y\n")
    for title, columns, rows in describe_tables(describe(tmp_path)):
        assert all(cell.isprintable() for cell in [title, *columns, *(c for row in rows for c in row)])


def test_rare_findings_are_left_out_aloud(found: Description) -> None:
    n = 30
    names = tuple(f"f{i}" for i in range(n))
    together = tuple(tuple(int(i == j) for j in range(n)) for i in range(n))
    many = Findings(names=names, together=together, alone=(1,) * n, images=n, distinct=70)
    assert "50 rarer findings left out" in Page(data_report(dataclasses.replace(found, findings=many))).text
