"""A public set in our own form: whole, its files and no others, with what was found beside what was expected."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.serial import from_json
from pneumoscope.errors import DataError, UsageError
from pneumoscope.io.importing import Imported, import_set
from pneumoscope.io.layouts.layout import Entry, Layout, Listing, SliceLabel
from pneumoscope.io.manifest import read_dataset

CLASSES = ClassSet(names=("covid", "normal"))
COLUMNS = [
    "file",
    "label",
    "patient_id",
    "group_id",
    "view",
    "source",
    "split",
    "findings",
    "original",
    "modality",
    "sex",
    "age",
]


def entry(file: str, label: str = "covid", **more: Any) -> Entry:
    return Entry(**{"file": file, "label": label, "original": label.upper(), "modality": "xray", **more})


def layout(entries: Sequence[Entry], **listing: Any) -> Layout:
    return Layout(
        name="a-set",
        title="A set",
        citation="Somebody 2020",
        licence="none stated",
        home="https://example.org",
        obtain="Ask Somebody.",
        release="version 1",
        expected={"covid": 3, "normal": 1},
        patients="As the list says.",
        traps=("One is upside down.",),
        read=lambda root: Listing(entries=tuple(entries), **listing),
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "download"
    for name in ("a.png", "deep/COVID (106).png", "deep/b,c.png", "n.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


ENTRIES = (
    entry(
        "a.png",
        patient_id="s:1",
        view="PA",
        source="s",
        split="train",
        findings=("Edema", "Mass"),
        notes="x, y",
        sex="F",
        age="055Y",
    ),
    entry("deep/COVID (106).png", patient_id="s:1"),
    entry("deep/b,c.png", patient_id="s:2", group_id="g", split="test"),
    entry("n.png", "normal", group_id="h"),
)


def rows(out: Path) -> list[dict[str, str]]:
    with open(out / "labels.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_set_is_written_whole_and_read_again(root: Path, tmp_path: Path) -> None:
    said: list[tuple[str, int, int]] = []
    out = tmp_path / "out"
    import_set(layout(ENTRIES), root, out, progress=lambda *s: said.append(s))
    assert said[-1] == ("importing", 4, 4)
    assert sorted(p.name for p in out.iterdir()) == ["images", "import.json", "labels.csv"]
    assert list(rows(out)[0]) == [*COLUMNS, "notes"]
    assert list(rows(out)[0].values()) == [
        "images/a.png", "covid", "s:1", "", "PA", "s", "train", "Edema|Mass", "COVID", "xray", "F", "055Y", "x, y",
    ]  # fmt: skip
    dataset = read_dataset(out, CLASSES)
    files = {s.file: s for s in dataset.samples}
    assert (files["images/a.png"].sex, files["images/a.png"].age) == ("F", 55.0)
    assert set(files) == {f"images/{e.file}" for e in ENTRIES}
    for file in files:
        assert (out / file).read_bytes() == file.removeprefix("images/").encode()
    assert files["images/a.png"].group == files["images/deep/COVID (106).png"].group
    assert len(dataset.groups) == 3
    assert (files["images/a.png"].split, files["images/a.png"].view) == ("train", "PA")


def test_images_take_no_second_place_on_the_disk(root: Path, tmp_path: Path) -> None:
    import_set(layout(ENTRIES), root, tmp_path / "out")
    assert os.path.samefile(root / "a.png", tmp_path / "out" / "images" / "a.png")


def test_where_links_cannot_be_made_files_are_copied(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **more: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    import_set(layout(ENTRIES), root, tmp_path / "out")
    copied = tmp_path / "out" / "images" / "a.png"
    assert copied.read_bytes() == b"a.png"
    assert not os.path.samefile(root / "a.png", copied)


def test_what_was_found_stands_beside_what_was_expected(root: Path, tmp_path: Path) -> None:
    missing = tuple(f"m{i}.png" for i in range(50))
    found = import_set(layout(ENTRIES, missing=missing, extra=("e.png",), notes=("Note.",)), root, tmp_path / "out")
    assert found.found == {"covid": 3, "normal": 1}
    assert found.expected == {"covid": 3, "normal": 1}
    facts = json.loads((tmp_path / "out" / "import.json").read_text())
    assert from_json(Imported, facts) == found
    assert facts["missing"] == list(missing)
    assert facts["extra"] == ["e.png"]
    assert facts["notes"] == ["Note."]
    assert (facts["layout"], facts["licence"], facts["traps"]) == ("a-set", "none stated", ["One is upside down."])
    assert str(root) not in (tmp_path / "out" / "import.json").read_text()


def test_a_set_without_patients_asks_for_ungrouped(root: Path, tmp_path: Path) -> None:
    found = import_set(layout([entry("a.png"), entry("n.png", "normal")]), root, tmp_path / "out")
    assert "--ungrouped" in found.notes[0]
    with pytest.raises(DataError, match="--ungrouped"):
        read_dataset(tmp_path / "out", CLASSES)
    assert not read_dataset(tmp_path / "out", CLASSES, ungrouped=True).grouped


def test_images_without_a_patient_among_others_are_said(root: Path, tmp_path: Path) -> None:
    found = import_set(layout([entry("a.png", patient_id="s:1"), entry("n.png", "normal")]), root, tmp_path / "out")
    assert "1 of 2 images have neither patient_id nor group_id" in found.notes[0]
    with pytest.raises(DataError, match="expected a group_id or a patient_id, found neither"):
        read_dataset(tmp_path / "out", CLASSES)


def test_two_modalities_are_said(root: Path, tmp_path: Path) -> None:
    entries = [entry("a.png", patient_id="s:1"), entry("n.png", patient_id="s:2", modality="ct")]
    assert "X-ray (1) and CT (1)" in import_set(layout(entries), root, tmp_path / "out").notes[0]


def test_nothing_found_is_an_error_that_says_how_to_get_it(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"images of A set, found none\. Ask Somebody\."):
        import_set(layout([]), root, tmp_path / "out")


@pytest.mark.parametrize("twin", ["a.png", "./a.png", "deep//../a.png"])
def test_one_file_twice_is_an_error(root: Path, tmp_path: Path, twin: str) -> None:
    with pytest.raises(DataError):
        import_set(layout([entry("a.png"), entry(twin, "normal")]), root, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "file",
    ["../secret.png", "/etc/passwd", "deep/../../secret.png", "link.png", "out/secret.png", "deep", "gone.png", "", ".",
     "fifo.png", "a\0.png", "loop/a.png"],
)  # fmt: skip
def test_only_regular_files_inside_the_set_are_taken(root: Path, tmp_path: Path, file: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    for secret in (tmp_path / "secret.png", tmp_path / "elsewhere" / "secret.png"):
        secret.write_text("secret")
    (root / "link.png").symlink_to("a.png")
    (root / "out").symlink_to(tmp_path / "elsewhere")
    (root / "loop").symlink_to(root)
    os.mkfifo(root / "fifo.png")
    with pytest.raises(DataError):
        import_set(layout([entry("a.png"), entry(file)]), root, tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["download", "elsewhere", "secret.png"]


def test_a_file_that_cannot_be_read_is_named(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **more: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(shutil, "copyfile", refuse)
    with pytest.raises(DataError, match=r"'a\.png': .*found 'Permission denied'\. Check its rights"):
        import_set(layout(ENTRIES), root, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_in_use_is_left_alone(root: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="expected a new or empty folder"):
        import_set(layout(ENTRIES), root, tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_a_set_is_not_written_into_itself(root: Path) -> None:
    with pytest.raises(UsageError, match="expected a folder outside"):
        import_set(layout(ENTRIES), root, root / "out")


def test_a_folder_that_is_a_link_may_be_the_set(root: Path, tmp_path: Path) -> None:
    (tmp_path / "way").symlink_to(root)
    found = import_set(layout(ENTRIES), tmp_path / "way", tmp_path / "out")
    assert sum(found.found.values()) == len(ENTRIES)


SERIES = (
    entry("covid/P1", modality="ct", patient_id="s:P1", series=True),
    entry("normal/N1", "normal", modality="ct", patient_id="s:N1", series=True),
)


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "download"
    for name in ("covid/P1/b.dcm", "covid/P1/a.dcm", "covid/P1/more/c.dcm", "covid/P1/.hidden", "normal/N1/a.dcm"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


def test_a_series_comes_with_all_of_its_files(scans: Path, tmp_path: Path) -> None:
    slices = (SliceLabel(file="covid/P1/a.dcm", infection=True, lobes={"RUL": True}),)
    out = tmp_path / "out"
    import_set(layout(SERIES, slices=slices), scans, out)
    files = sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file())
    assert files == [
        "images/covid/P1/a.dcm", "images/covid/P1/b.dcm", "images/covid/P1/more/c.dcm", "images/normal/N1/a.dcm",
        "import.json", "labels.csv", "slices.csv",
    ]  # fmt: skip
    assert os.path.samefile(scans / "covid/P1/more/c.dcm", out / "images/covid/P1/more/c.dcm")
    assert [row["file"] for row in rows(out)] == ["images/covid/P1", "images/normal/N1"]
    assert (out / "slices.csv").read_text().split() == ["file,infection,RUL", "images/covid/P1/a.dcm,1,1"]
    assert read_dataset(out, CLASSES).counts() == {"covid": 1, "normal": 1}


def test_a_set_without_slice_labels_has_no_slices_csv(scans: Path, tmp_path: Path) -> None:
    import_set(layout(SERIES), scans, tmp_path / "out")
    assert not (tmp_path / "out" / "slices.csv").exists()


@pytest.mark.parametrize(
    "file", ["covid/P1/a.dcm", "gone", "empty", "linked", "special", "../download/covid/P1", "way"]
)
def test_only_plain_folders_are_series(scans: Path, tmp_path: Path, file: str) -> None:
    for name in ("empty", "linked", "special"):
        (scans / name).mkdir()
    (scans / "linked" / "a.dcm").symlink_to(scans / "normal/N1/a.dcm")
    os.mkfifo(scans / "special" / "a.dcm")
    (scans / "way").symlink_to(scans / "covid")
    with pytest.raises(DataError):
        import_set(layout([entry(file, modality="ct", patient_id="s:1", series=True)]), scans, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_a_copy_is_stands_before_what_the_layout_knows(root: Path, tmp_path: Path) -> None:
    found = import_set(layout(ENTRIES, release="version 2", expected={"covid": 9}), root, tmp_path / "out")
    assert (found.release, found.expected) == ("version 2", {"covid": 9})
