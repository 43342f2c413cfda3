"""Looking at files: every picture once, what cannot be read counted, and cheap shortcuts kept for the next report."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pneumoscope.audit import shortcuts as measuring
from pneumoscope.audit import shown as looking
from pneumoscope.audit import small, views
from pneumoscope.audit.baselines import against, baselines, drawn, rows_of
from pneumoscope.audit.metadata import FILE, ORIGINAL
from pneumoscope.audit.sets import audited
from pneumoscope.audit.shown import HAND_MADE, hand_made, show
from pneumoscope.core.dataset import ClassSet, Dataset
from pneumoscope.core.result import Interval
from pneumoscope.core.shortcuts import Headline
from pneumoscope.io.manifest import join, read_dataset, write_labels

CLASSES = ClassSet(names=("covid", "normal"))


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer trees and resamples: what is asked here does not depend on them."""
    monkeypatch.setattr(small, "TREES", 10)
    monkeypatch.setattr(measuring, "RESAMPLES", 200)


def write(folder: Path, n: int = 24, *, seed: int = 0, view: str = "PA") -> Dataset:
    """A set in which the width of the file is the class, as that of the original is."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        label, width = (("covid", 40), ("normal", 48))[i % 2]
        pixels = rng.integers(0, 255, (44, width), dtype=np.uint8)
        (folder / "images").mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / "images" / f"{i:03d}.png")
        rows.append(
            {
                "file": f"images/{i:03d}.png",
                "label": label,
                "patient_id": f"{folder.name}-{i}",
                "view": view,
                "orig_w": str(10 * width),
                "orig_h": "440",
            }
        )
    write_labels(folder, rows)
    return read_dataset(folder, CLASSES)


def test_each_sample_has_its_facts_and_its_thumbnail(tmp_path: Path) -> None:
    dataset = write(tmp_path / "a")
    found = show(dataset, rows_of(dataset), deep=False)
    assert [s.file for s in found.samples] == [s.file for s in dataset.samples]
    assert found.thumbnails.shape == (24, 24 * 24)
    assert [one and one["width"] for one in found.facts[FILE]][:2] == [40, 48]
    assert [one and one["width"] for one in found.facts[ORIGINAL]][:2] == [400, 480]
    assert found.features == {}


def test_a_file_that_cannot_be_read_is_counted_and_not_named(tmp_path: Path) -> None:
    dataset = write(tmp_path / "a")
    (tmp_path / "a" / dataset.samples[3].file).write_bytes(b"\x89PNG\r\n\x1a\n cut off")
    found = show(dataset, {}, deep=False)
    assert len(found.samples) == 23
    assert sum(found.unread.values()) == 1
    assert not any("003" in why for why in found.unread)


def test_without_weights_features_are_hand_made_and_said_to_be(tmp_path: Path) -> None:
    dataset = write(tmp_path / "a")
    found = audited(dataset, None).shortcuts[0]
    assert found.learned_from == HAND_MADE
    assert found.warnings[0].startswith("No pretrained weights were found")
    one = found.named("metadata: file")
    assert one is not None
    assert one.balanced_accuracy.value == 1.0
    # noise has no lungs, and then nothing vouches for the borders
    assert found.without_lungs == {"covid": 12, "normal": 12}
    assert found.named(views.OUT) is None
    assert any(text.startswith("'borders' is not taken to be free of lung") for text in found.warnings)


def test_hand_made_features_see_direction_and_brightness() -> None:
    stripes = (np.indices((128, 128))[0] // 8 % 2).astype(np.float32)
    flat, across, down = hand_made(np.stack([np.zeros_like(stripes), stripes, stripes.T]))
    pixels, gradients = 32 * 32, slice(32 * 32, None)
    assert not flat.any()
    assert np.isclose(across[:pixels].mean(), 0.5, atol=0.01)
    of_rows, of_columns = (one[gradients].reshape(8, 8, 9).sum(axis=(0, 1)) for one in (across, down))
    assert of_rows.argmax() == 4  # a gradient that runs down, at a right angle to the columns
    assert of_columns.argmax() in (0, 8)


def test_sets_together_and_alone(tmp_path: Path) -> None:
    both = join([write(tmp_path / "a"), write(tmp_path / "b", seed=1)])
    found = audited(both, None)
    assert [one.of for one in found.shortcuts] == ["all together", "a", "b"]
    assert {(c.learned, c.tested) for c in found.crossed} == {("a", "a"), ("a", "b"), ("b", "a"), ("b", "b")}
    told = found.shortcuts[0].named("class from source")
    assert told is not None
    assert told.balanced_accuracy.low < 0.5
    rows = rows_of(both)
    assert len(rows) == 48
    assert rows["b/images/000.png"]["patient_id"] == "b-0"


def test_cheap_shortcuts_are_measured_once_and_held_against_any_headline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = write(tmp_path / "a")
    headline = Headline(
        of="a model", classes=("covid", "normal"), balanced_accuracy=Interval(value=0.9, low=0.8, high=0.95)
    )
    found = baselines(dataset, headline, cache=tmp_path / "cache")
    assert found.verdict[0].startswith("A model scores a balanced accuracy of 0.90")
    assert found.verdict[1].startswith("All of what that is above guessing needs no lung")
    monkeypatch.setattr(looking, "facts_about", None)  # nothing is looked at again
    again = baselines(dataset, None, cache=tmp_path / "cache")
    assert again.found == found.found
    assert against(again, headline) == found


def test_data_that_cannot_be_measured_says_why_instead(tmp_path: Path) -> None:
    found = baselines(write(tmp_path / "a", 8), None)
    assert found.found == ()
    assert "expected at least two labels with 10 patients each, found 0" in found.warnings[0]


def test_of_many_images_whole_patients_are_drawn(tmp_path: Path) -> None:
    dataset = write(tmp_path / "a", 24)
    pairs = tuple(dataclasses.replace(s, group=f"p{i // 3}") for i, s in enumerate(dataset.samples))
    few = drawn(dataclasses.replace(dataset, samples=pairs), 10)
    kept = {s.group for s in few.samples}
    assert len(few) == 12
    assert len(kept) == 4
    assert drawn(dataset, 24) is dataset
