"""Preparing a dataset: what is read, what the gate refuses, what cannot be read, and what is found again."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from fixtures_trained import MAPPING, RECIPE, TINY

from pneumoscope import api, phantoms
from pneumoscope.core.dataset import Dataset, Sample
from pneumoscope.core.progress import silent
from pneumoscope.core.resolve import resolve
from pneumoscope.errors import DataError
from pneumoscope.io import load
from pneumoscope.phantoms.files import write_dicom
from pneumoscope.recipes import find
from pneumoscope.train.data import Prepared, prepare

METHOD = resolve(find("szalay2021")[0], overrides={"prep.resize.size": "64"})
SIZE = 96


def grey(folder: Path, name: str, label: str, seed: int) -> Sample:
    phantoms.write_png(phantoms.make_xray(label, seed=seed, size=SIZE), folder / name)
    return sample(folder, name, "covid" if label == "covid" else "non-covid")


def small(folder: Path, name: str, label: str) -> Sample:
    """40 pixels a side, of which the gate wants 64."""
    cv2.imwrite(str(folder / name), np.random.default_rng(0).integers(0, 255, (40, 40), dtype=np.uint8))
    return sample(folder, name, label)


def coloured(folder: Path, name: str, label: str) -> Sample:
    picture = np.random.default_rng(1).integers(0, 255, (SIZE, SIZE, 3), dtype=np.uint8)
    cv2.imwrite(str(folder / name), picture)
    return sample(folder, name, label)


def sample(folder: Path, name: str, label: str) -> Sample:
    digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    return Sample(file=name, label=label, group=name, digest=digest)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "set"
    made.mkdir()
    return made


@pytest.fixture
def good(folder: Path) -> list[Sample]:
    return [grey(folder, f"{i}.png", label, i) for i, label in enumerate(("covid", "normal", "covid", "normal"))]


def prepared(folder: Path, samples: list[Sample]) -> Prepared:
    dataset = Dataset(root=str(folder), samples=tuple(samples), classes=METHOD.classes)
    return prepare(dataset, METHOD, folder.parent / "prepared", silent)


def test_every_image_is_there_as_the_network_takes_it(folder: Path, good: list[Sample]) -> None:
    found = prepared(folder, good)
    assert found.images.shape == (4, 64, 64)
    assert found.images.dtype == np.float32
    assert [s.file for s in found.dataset.samples] == ["0.png", "1.png", "2.png", "3.png"]
    assert found.labels.tolist() == [1, 0, 1, 0]
    assert found.pixels.tolist() == [SIZE * SIZE] * 4
    assert found.notes == (
        "4 of 4 images: The file does not say what it shows; it is taken to be a chest X-ray or a chest CT.",
    )


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (small, "size: expected at least 64 pixels a side, found 40 x 40."),
        (coloured, "colour: expected a grey picture, found a coloured one"),
    ],
)
def test_a_picture_that_the_gate_refuses_is_left_out_and_counted(
    folder: Path, good: list[Sample], make, why: str
) -> None:
    alone = prepared(folder, good)
    found = prepared(folder, [*good, make(folder, "1-refused.png", "covid")])  # between the second and the third
    assert [s.file for s in found.dataset.samples] == ["0.png", "1.png", "2.png", "3.png"]
    np.testing.assert_array_equal(found.images, alone.images)
    assert found.labels.tolist() == [1, 0, 1, 0]
    assert found.pixels.tolist() == [SIZE * SIZE] * 4
    assert found.notes[0].startswith(f"1 of 5 images were left out, the first one for: {why}")
    assert "1-refused" not in " ".join(found.notes)  # a file's name may be a patient's
    assert found.notes[1].startswith("4 of 5 images: ")
    assert found.sizes()["covid"].images == 2


def test_all_that_are_refused_are_counted_together(folder: Path, good: list[Sample]) -> None:
    found = prepared(folder, [*good, small(folder, "7.png", "covid"), coloured(folder, "8.png", "non-covid")])
    assert found.notes[0] == (
        "2 of 6 images were left out, the first one for: size: expected at least 64 pixels a side, found 40 x 40."
    )
    assert len(found.dataset) == 4


def test_a_class_whose_every_image_is_refused_is_an_error_that_says_why(folder: Path, good: list[Sample]) -> None:
    healthy = [s for s in good if s.label == "non-covid"]
    says = r"expected images of each class, found none of 'covid' once 1 of 3 images were left out, .* 40 x 40\.$"
    for _ in range(2):  # the second time from what was kept
        with pytest.raises(DataError, match=says):
            prepared(folder, [*healthy, small(folder, "9.png", "covid")])


def test_a_file_that_cannot_be_read_is_an_error_and_leaves_nothing_behind(folder: Path, good: list[Sample]) -> None:
    for name in ("7.png", "8.png"):
        (folder / name).write_bytes(b"no image " + name.encode())
    bad = [sample(folder, "7.png", "covid"), sample(folder, "8.png", "covid")]
    with pytest.raises(DataError, match=r"found 2 of 7 that are not: .*7\.png.* take their lines out of labels\.csv"):
        prepared(folder, [*good, *bad, small(folder, "9.png", "covid")])
    assert list((folder.parent / "prepared").iterdir()) == []


def test_a_second_call_reads_nothing_again(folder: Path, good: list[Sample], monkeypatch: pytest.MonkeyPatch) -> None:
    samples = [*good, small(folder, "4.png", "covid")]
    first = prepared(folder, samples)
    files = sorted((folder.parent / "prepared").iterdir())
    assert [path.suffix for path in files] == [".f32", ".json"]

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(load, "load_study", refuse)
    again = prepared(folder, samples)
    np.testing.assert_array_equal(again.images, first.images)
    np.testing.assert_array_equal(again.pixels, first.pixels)
    assert (again.dataset, again.notes) == (first.dataset, first.notes)
    assert sorted((folder.parent / "prepared").iterdir()) == files
    with pytest.raises(AssertionError, match="read again"):  # other data is another file
        prepared(folder, good)


def test_what_labels_say_may_change_without_reading_again(
    folder: Path, good: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared(folder, good)
    monkeypatch.delattr(load, "load_study")
    turned = {"covid": "non-covid", "non-covid": "covid"}
    found = prepared(folder, [dataclasses.replace(s, label=turned[s.label], modality="ct") for s in good])
    assert found.labels.tolist() == [0, 1, 0, 1]
    assert {s.modality for s in found.dataset.samples} == {"ct"}


def test_the_modality_is_the_files_and_else_the_samples(folder: Path, good: list[Sample]) -> None:
    write_dicom(phantoms.make_xray("covid", seed=9, size=SIZE), folder / "9.dcm")
    told = [dataclasses.replace(good[0], modality="ct"), dataclasses.replace(good[1], modality="xray"), good[2]]
    dicom = dataclasses.replace(sample(folder, "9.dcm", "covid"), modality="ct")
    found = prepared(folder, [*told, dicom])
    assert {s.file: s.modality for s in found.dataset.samples} == {
        "0.png": "ct",
        "1.png": "xray",
        "2.png": None,
        "9.dcm": "xray",
    }


def test_a_run_with_a_refused_picture_finishes_and_says_so(tiny_data: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(tiny_data, tmp_path / "data"))
    with (data / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))
    small(data / "images", "small.png", "covid")
    with (data / "labels.csv").open("a") as file:
        file.write("images/small.png,covid,someone,someone,PA,x\n")
    out = tmp_path / "run"
    (evaluation,) = api.train(RECIPE, [data], out=out, mapping=MAPPING, overrides=TINY | {"stages.head.epochs": "1"})
    assert evaluation.n_images == len(rows)
    assert evaluation.n_patients == len({r["patient_id"] for r in rows})
    says = f"1 of {len(rows) + 1} images were left out, the first one for: size: expected at least 64 pixels a side"
    assert [w for w in evaluation.warnings if w.startswith(says)]
    assert says in (out / "report.html").read_text()
    with (out / "predictions.csv").open() as file:
        assert "images/small.png" not in {r["file"] for r in csv.DictReader(file)}
    assert api.verify(str(out / "bundle")) < 1e-3
