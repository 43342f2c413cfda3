"""`pneumoscope audit` from folders to report: leaks, counts, what cannot be read; and the gate before training."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from pneumoscope import auditing, phantoms
from pneumoscope.audit import marks
from pneumoscope.audit.apart import keep_together
from pneumoscope.core.audit import Audit
from pneumoscope.core.dataset import ClassSet, Dataset
from pneumoscope.core.serial import from_json
from pneumoscope.errors import DataError, LeakError, UsageError
from pneumoscope.io.manifest import read_dataset, write_labels

CLASSES = ClassSet(names=("covid", "normal"))


def row(file: str, label: str, patient: str, **more: str) -> dict[str, str]:
    return {"file": file, "label": label, "patient_id": patient, **more}


@pytest.fixture(scope="module")
def pictures() -> dict[str, np.ndarray]:
    # one seed is one body, whatever its label
    made = {
        f"{label}{i}": phantoms.make_xray(label, 10 * k + i, size=192).pixels
        for k, label in enumerate(CLASSES.names)
        for i in range(4)
    }
    return {name: np.clip(255 * p, 0, 255).astype(np.uint8) for name, p in made.items()}


@pytest.fixture
def folders(tmp_path: Path, pictures: dict[str, np.ndarray]) -> tuple[Path, Path]:
    """A set with one copy under another patient, and one whose image stands in the first with another label."""
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
    rows = []
    for name, grey in pictures.items():
        cv2.imwrite(str(one / f"{name}.png"), grey)
        age = "004Y" if name == "normal3" else "61"
        rows.append(row(f"{name}.png", name[:-1], f"secret-{name}", sex="F", age=age, split="train", view="PA"))
    cv2.imwrite(str(one / "copy.jpg"), cv2.resize(pictures["covid0"], (150, 150), interpolation=cv2.INTER_AREA))
    rows.append(row("copy.jpg", "covid", "secret-other", sex="M", age="", split="test", view=""))
    write_labels(one, rows)
    cv2.imwrite(str(two / "again.png"), pictures["normal1"])
    (two / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    write_labels(two, [row("again.png", "sick", "secret-covid1"), row("broken.png", "sick", "")])
    return one, two


def test_what_is_wrong_is_found_and_written(folders: tuple[Path, Path], tmp_path: Path) -> None:
    found = auditing.audit(folders, out=tmp_path / "out", mapping={"sick": "covid"})
    assert from_json(Audit, json.loads((tmp_path / "out" / "audit.json").read_text())).leaks == found.leaks
    pairs = {(p.a, p.b): (p.kind, p.crosses) for p in found.leaks.listed if p.kind != "alike"}
    assert pairs == {
        ("one/normal1.png", "two/again.png"): ("bytes", ("patients", "labels", "data sets")),
        ("one/covid0.png", "one/copy.jpg"): ("near", ("patients", "splits")),
    }
    assert found.leaks.listed[0].b == "two/again.png"  # the worst one first
    assert found.leaks.patients == {"patients": 0, "labels": 0, "data sets": 1, "splits": 0}
    assert (found.leaks.pictures, found.leaks.files) == (2, 4)
    (unread,) = found.unread
    assert unread.files == ("two/broken.png",)
    normal = next(p for p in found.parts if p.label == "normal")
    assert (normal.images, normal.ages.children, normal.ages.max, normal.sexes) == (4, 1, 61.0, {"F": 4})
    assert any("Children stand among adults: 1 of 8" in text for text in found.grave)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "again.png" in page
    assert "secret" not in page + (tmp_path / "out" / "audit.json").read_text()


def test_the_bundle_that_has_seen_a_file_is_named(folders: tuple[Path, Path], tmp_path: Path, monkeypatch) -> None:
    from pneumoscope import bundle as bundles

    digest = read_dataset(folders[0], CLASSES).samples
    known = {s.digest[:16] for s in digest if s.file == "covid0.png"}
    monkeypatch.setattr(bundles.Bundle, "seen", lambda self: known)
    found = auditing.audit(folders[:1], out=tmp_path / "out", bundle="phantom")
    assert found.seen is not None
    assert (found.seen.images, found.seen.near) == ({"one": 1}, 1)
    assert "has learned from 1 of these files" in " ".join(found.grave)


@pytest.mark.parametrize(
    ("data", "more", "error", "text"),
    [
        (["one", "one"], {}, UsageError, "one given twice"),
        (["one"], {"mapping": {"flu": "covid"}}, UsageError, "--map flu=covid: expected a label that occurs"),
        (["absent"], {}, DataError, "expected a folder with labels.csv"),
    ],
)
def test_wrong_use_is_said(folders, tmp_path: Path, data, more, error, text) -> None:
    with pytest.raises(error, match=text):
        auditing.audit([tmp_path / name for name in data], out=tmp_path / "out", **more)
    assert not (tmp_path / "out").exists()


def test_the_command_prints_what_matters(folders, tmp_path: Path, monkeypatch, capsys) -> None:
    from pneumoscope.app.cli import main

    words = ["pneumoscope", "audit", "--data", str(folders[0]), "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 0
    said = capsys.readouterr()
    assert "warning: 1 pair of files of one picture stand under different patients" in said.err
    assert said.out.startswith("report: ")


# --- before training -----------------------------------------------------------------------------------------------


def read(folder: Path) -> Dataset:
    return read_dataset(folder, CLASSES)


def test_training_is_refused_over_a_changed_copy(folders) -> None:
    with pytest.raises(LeakError, match=r"'copy.jpg' and 'covid0.png' \(.*\)\. Give each pair one group_id"):
        keep_together(read(folders[0]), join=False)


def test_a_paper_s_way_is_told_of_it(folders) -> None:
    dataset = read(folders[0])
    kept, said = keep_together(dataset, join=False, refuse=False)
    assert kept is dataset
    assert "hold one picture under different patients" in said[0]


def test_groups_are_joined_aloud(folders) -> None:
    dataset = read(folders[0])
    kept, said = keep_together(dataset, join=True)
    group = {s.file: s.group for s in kept.samples}
    assert group["copy.jpg"] == group["covid0.png"]
    assert len(kept.groups) == len(dataset.groups) - 1
    assert f"{len(dataset.groups)} groups became {len(kept.groups)}" in said[0]
    assert keep_together(kept, join=False) == (kept, ())


# --- parts ---------------------------------------------------------------------------------------------------------


def test_text_is_seen_and_anatomy_is_not(pictures: dict[str, np.ndarray]) -> None:
    for grey in pictures.values():
        film = cv2.resize(grey, (448, 448))
        assert not marks.has_text(film)
        cv2.putText(film, "PORTABLE 12:40", (20, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 255, 1)
        assert marks.has_text(film)
