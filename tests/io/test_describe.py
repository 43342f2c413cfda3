"""What a labelled folder holds: known answers on a small tree, and on a real set."""

from __future__ import annotations

import csv
import itertools
import json
import math
import statistics
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from dicom_making import make
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pneumoscope.core.serial import from_json, to_json
from pneumoscope.errors import DataError, UsageError
from pneumoscope.io.describe import Description, describe, resolution
from pneumoscope.io.describe import _findings as findings_of
from pneumoscope.io.description import MOST_SIZES, Label
from pneumoscope.io.manifest import BLANK

ROWS = """file,label,patient_id,group_id,view,split,source,orig_w,orig_h,findings
a.png,normal,P1,,PA,train,one,200,100,No Finding
b.png,normal,P1,,PA,test,one,400,100,No Finding
c.jpg,covid,P2,,AP,train,two,,,Effusion|Mass
d.dcm,covid,P3,G2,,train,two,900,abc,Mass
e.png,covid,,G2,,train,two,0,10,Effusion| Mass |Nodule
gone.png,covid,P1,,AP,,two,,,
broken.png,covid,,,AP,,two,,,
series,,P9,,,,,,,
../out.png,normal,P8,,,,,,,
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    (root / "labels.csv").write_text(ROWS)
    grey = np.zeros((10, 20), np.uint8)
    Image.fromarray(grey).save(root / "a.png")
    Image.fromarray(grey.astype(np.uint16)).save(root / "b.png")
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(root / "c.jpg")
    (root / "d.dcm").write_bytes(make(np.zeros((50, 40), np.uint16), BitsStored=12))
    Image.fromarray(np.zeros((30, 30), np.uint8)).save(root / "e.png")
    (root / "broken.png").write_bytes((root / "a.png").read_bytes()[:20])
    (root / "series").mkdir()
    return root


@pytest.fixture(scope="module")
def found(tree: Path) -> Description:
    return describe(tree)


def labelled(found: Description, name: str) -> Label:
    return next(one for one in found.labels if one.name == name)


def test_images_and_patients_are_counted(found: Description) -> None:
    assert (found.images, found.patients) == (9, 5)
    assert [(one.name, one.images, one.patients, one.unidentified) for one in found.labels] == [
        ("covid", 5, 3, 1),
        ("normal", 3, 2, 0),
        (BLANK, 1, 1, 0),
    ]
    normal = labelled(found, "normal").per_patient
    assert normal is not None
    assert (normal.min, normal.median, normal.max, normal.histogram) == (1, 1.5, 2, ((1, 1), (2, 1)))


def test_formats_depths_and_sizes_are_the_files_own(found: Description) -> None:
    covid, normal = labelled(found, "covid"), labelled(found, "normal")
    assert covid.formats == {"png": 2, "jpeg": 1, "dicom": 1}
    assert covid.depths == {"8-bit colour": 1, "12-bit MONOCHROME2": 1, "8-bit grey": 1}
    assert covid.stored is not None
    assert {(s.width, s.height, s.images) for s in covid.stored.sizes} == {(30, 20, 1), (40, 50, 1), (30, 30, 1)}
    pixels = [600, 2000, 900]
    r = covid.stored.resolution
    assert (r.images, r.min, r.max) == (3, 600, 2000)
    assert r.mean == pytest.approx(statistics.mean(pixels))
    assert r.sd == pytest.approx(statistics.stdev(pixels))
    assert normal.stored is not None
    assert (normal.stored.distinct, normal.stored.sizes[0].images, normal.stored.resolution.sd) == (1, 2, 0)


def test_originals_are_those_that_two_whole_numbers_tell(found: Description) -> None:
    assert labelled(found, "covid").original is None
    r = resolution(found, "normal")
    assert r is not None
    assert (r.images, r.min, r.max, r.mean, round(r.sd, 3)) == (2, 20000, 40000, 30000, 14142.136)
    stored = resolution(found, "covid")
    assert stored is not None
    assert stored.max == 2000
    assert resolution(found, BLANK) is None
    with pytest.raises(UsageError, match="expected one of covid, normal"):
        resolution(found, "sars")


def test_one_image_has_no_standard_deviation(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file,label,orig_w,orig_h\nx.png,a,10,20\n")
    found = describe(tmp_path)
    r = resolution(found, "a")
    assert r is not None
    assert math.isnan(r.sd)
    assert to_json(from_json(Description, json.loads(json.dumps(to_json(found))))) == to_json(found)


def test_what_cannot_be_used_is_named_counted_and_stops_nothing(found: Description) -> None:
    problems = {problem.files: problem.why for problem in found.problems}
    assert problems.keys() == {("gone.png",), ("broken.png",), ("series",), ("../out.png",)}
    assert problems["gone.png",].startswith("missing")
    assert problems["broken.png",] == (
        "that cannot be read: expected a whole PNG, found no header of one. Export or copy the file again."
    )
    assert "lead out" in problems["../out.png",]
    assert "folders" in problems["series",]
    assert found.warnings[0].startswith("4 of 9 files are missing or cannot be read")


def test_many_files_with_one_problem_are_one_problem(tmp_path: Path) -> None:
    rows = "".join(f"{i}.png,a,{i}\n" for i in range(50))
    (tmp_path / "labels.csv").write_text("file,label,patient_id\n" + rows)
    (problem,) = describe(tmp_path).problems
    assert (problem.images, len(problem.files), problem.files[0]) == (50, 20, "0.png")


def test_blanks_are_counted_by_column_and_label(found: Description) -> None:
    assert labelled(found, "covid").blanks == {
        **{"file": 0, "label": 0, "patient_id": 2, "group_id": 3, "view": 2, "split": 2, "source": 0},
        **{"orig_w": 3, "orig_h": 3, "findings": 2},
    }
    assert labelled(found, BLANK).blanks["label"] == 1
    assert found.columns == tuple(ROWS.splitlines()[0].split(","))


def test_views_sources_and_parts_are_counted_by_label(found: Description) -> None:
    covid = labelled(found, "covid")
    assert (covid.views.top, covid.views.distinct) == ({"AP": 3, BLANK: 2}, 2)
    assert covid.sources.top == {"two": 5}
    assert covid.parts == {BLANK: 2, "train": 3}


def test_patients_under_two_labels_or_in_two_parts_are_told(found: Description) -> None:
    assert found.mixed == {"covid + normal": 1}
    assert found.across == 1
    text = " ".join(found.warnings)
    assert "Patients with images of several labels: 1 with covid + normal." in text
    assert "Patients in more than one official part: 1." in text
    assert "1 of 9 images have no label." in text
    assert "1 of 9 images have neither a group_id nor a patient_id" in text


def test_a_set_without_patients_says_so(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file,label\nx.png,a\n./x.png,a\n")
    found = describe(tmp_path)
    assert (found.patients, found.per_patient, found.findings, found.repeated) == (0, None, None, 1)
    assert any(text.startswith("Nothing says which patient") for text in found.warnings)
    assert any(text.startswith("Files listed more than once: 1.") for text in found.warnings)


def test_findings_that_occur_together(found: Description) -> None:
    f = found.findings
    assert f is not None
    assert f.names == ("Mass", "Effusion", "No Finding", "Nodule")
    assert f.together == ((3, 2, 0, 1), (2, 2, 0, 1), (0, 0, 2, 0), (1, 1, 0, 1))
    assert (f.alone, f.images, f.distinct) == ((1, 0, 2, 0), 5, 4)


@given(st.lists(st.lists(st.sampled_from("abcdefg"), max_size=5), max_size=60))
def test_cooccurrence_against_counting_pairs(images: list[list[str]]) -> None:
    found = findings_of(["|".join(names) for names in images])
    sets = [set(names) for names in images if names]
    pairs = Counter(pair for names in sets for pair in itertools.product(names, repeat=2))
    if not sets:
        assert found is None
        return
    assert found is not None
    assert set(found.names) == set().union(*sets)
    for (i, a), (j, b) in itertools.product(enumerate(found.names), repeat=2):
        assert found.together[i][j] == pairs[a, b]
    assert dict(zip(found.names, found.alone, strict=True)) == {n: sets.count({n}) for n in found.names}


def test_the_json_is_read_back_as_it_was(found: Description) -> None:
    text = json.dumps(to_json(found), allow_nan=False)
    assert to_json(from_json(Description, json.loads(text))) == to_json(found)


def test_no_identifier_gets_out(tmp_path: Path) -> None:
    rows = "x.png,a,Doe-4711,grp-0815\ny.png,b,Doe-4711,grp-0815\n"
    (tmp_path / "labels.csv").write_text("file,label,patient_id,group_id\n" + rows)
    text = json.dumps(to_json(describe(tmp_path)))
    assert "4711" not in text
    assert "0815" not in text


def test_progress_is_told_file_by_file(tree: Path) -> None:
    said: list[tuple[str, int, int]] = []
    describe(tree, progress=lambda what, done, total: said.append((what, done, total)))
    assert said == [("reading headers", i, 9) for i in range(1, 10)]


def with_originals(root: Path, sizes: Sequence[tuple[str, int, int]]) -> Path:
    rows = "".join(f"{i}.png,{label},{i},{w},{h}\n" for i, (label, w, h) in enumerate(sizes))
    (root / "labels.csv").write_text("file,label,patient_id,orig_w,orig_h\n" + rows)
    return root


def test_a_size_that_gives_the_label_away_is_said_once(tmp_path: Path) -> None:
    sizes = [("normal", 1024, 1024)] * 40 + [("covid", 300 + i, 400) for i in range(40)]
    found = describe(with_originals(tmp_path, sizes))
    told = [text for text in found.warnings if "alone tells labels apart" in text]
    assert len(told) == 1
    assert "original" in told[0]
    assert {t.by for t in found.tells} == {"original size", "original number of pixels"}


def test_many_different_sizes_are_thinned_and_the_frequent_ones_kept(tmp_path: Path) -> None:
    sizes = [("a", 500, 600)] * 5 + [("a", 100 + i, 100) for i in range(1000)]
    extent = describe(with_originals(tmp_path, sizes)).labels[0].original
    assert extent is not None
    assert (extent.distinct, len(extent.sizes), extent.resolution.images) == (1001, MOST_SIZES, 1005)
    assert (extent.sizes[0].width, extent.sizes[0].height, extent.sizes[0].images) == (500, 600, 5)
    assert len(set(extent.sizes)) == MOST_SIZES
    assert max(s.width for s in extent.sizes) > 1090


@pytest.mark.parametrize("labels", [None, "", "file\nx\n", "file,label\n"])
def test_a_folder_without_usable_labels_is_refused(tmp_path: Path, labels: str | None) -> None:
    if labels is not None:
        (tmp_path / "labels.csv").write_text(labels)
    with pytest.raises(DataError):
        describe(tmp_path)


@pytest.mark.shared
def test_darkcovidnet_is_what_its_traps_say(shared_data: Path) -> None:
    root = shared_data / "xray" / "darkcovidnet"
    found = describe(root)
    with open(root / "labels.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert found.images == len(rows)
    assert found.problems == ()
    assert found.patients == len({row["group_id"] for row in rows})
    for one in found.labels:
        pixels = [int(r["orig_w"]) * int(r["orig_h"]) for r in rows if r["label"] == one.name]
        r = resolution(found, one.name)
        assert r is not None
        assert (r.images, r.min, r.max) == (len(pixels), min(pixels), max(pixels))
        assert r.mean == pytest.approx(statistics.mean(pixels))
        assert r.sd == pytest.approx(statistics.stdev(pixels))
        stored = Counter((int(r["width"]), int(r["height"])) for r in rows if r["label"] == one.name)
        assert one.stored is not None
        assert {(s.width, s.height): s.images for s in one.stored.sizes} == dict(stored)
    size = next(tell for tell in found.tells if tell.by == "original size")
    assert size.balanced_accuracy == pytest.approx(0.67, abs=0.01)  # shared/data/SOURCES.md, trap 3
    assert size.striking
