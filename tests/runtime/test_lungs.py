"""Lung fields: against the anatomy of synthetic patients and V7 Labs' outlines, and what is not to be believed."""

from __future__ import annotations

import csv
import dataclasses
import functools
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from pneumoscope import phantoms
from pneumoscope.errors import IntegrityError, UsageError
from pneumoscope.runtime import lungs
from pneumoscope.runtime.lungs import LungFields, doubt, find_lungs, lung_fields

GOOD = LungFields(mask=np.ones((4, 4), bool), share=0.3, balance=0.9, tilt=3.0, certainty=0.97)


@functools.cache
def film(seed: int = 1, label: str = "normal") -> phantoms.XrayPhantom:
    return phantoms.make_xray(label, seed=seed, size=256)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * float((a & b).sum()) / float(a.sum() + b.sum())


def moved(pixels: np.ndarray, x: float, y: float) -> np.ndarray:
    by = np.array([[1, 0, x], [0, 1, y]], np.float32)
    size = (pixels.shape[1], pixels.shape[0])
    return cv2.warpAffine(pixels, by, size, borderMode=cv2.BORDER_REPLICATE)


@pytest.fixture
def shipped(tmp_path, monkeypatch) -> Path:
    """A copy of what is shipped, and nothing of it read yet; what was read before is not left behind either."""
    folder = tmp_path / "xray_lungs"
    shutil.copytree(lungs.FOLDER, folder)
    monkeypatch.setattr(lungs, "FOLDER", folder)
    for kept in (lungs.card, lungs._graph):
        kept.cache_clear()
    yield folder
    for kept in (lungs.card, lungs._graph):
        kept.cache_clear()


@pytest.fixture
def answer(monkeypatch):
    """Let the network answer with given probabilities `[SIZE, SIZE]`."""

    class Given:
        def infer(self, inputs: list[np.ndarray], outputs: int, rule: str) -> list[np.ndarray]:
            return [np.repeat(self.share[None], len(inputs[0]), 0)]

    given = Given()
    monkeypatch.setattr(lungs, "_graph", lambda: given)

    def say(share: np.ndarray) -> LungFields:
        given.share = share.astype(np.float32)
        return find_lungs([np.eye(lungs.SIZE, dtype=np.float32)])[0]

    return say


# --- what is found ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", ["normal", "pneumonia", "covid"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_fields_are_those_of_the_patient_but_for_the_heart(label, seed):
    made = film(seed, label)
    found = find_lungs([made.pixels])[0]
    # the outlines learned from include what lies behind heart and domes, the patient's own do not
    hull = cv2.convexHull(np.argwhere(made.lungs)[:, ::-1].astype(np.int32))
    between = cv2.fillConvexPoly(np.zeros(made.lungs.shape, np.uint8), hull, 1).astype(bool) & ~made.lungs
    assert dice(found.mask & ~between, made.lungs) > 0.93
    assert doubt(found) is None


def test_consolidation_stays_within_the_field():
    ill = film(2, "covid")
    assert ill.lesions.any()
    assert lung_fields(ill.pixels)[ill.lesions].mean() > 0.95


@pytest.mark.parametrize(("x", "y"), [(12, 0), (-9, 7)])
def test_the_fields_move_with_the_patient(x, y):
    made = film(1)
    before, after = lung_fields(made.pixels), lung_fields(moved(made.pixels, x, y))
    assert dice(moved(before.astype(np.float32), x, y) > 0.5, after) > 0.95
    assert dice(before, after) < 0.95


@pytest.mark.parametrize("shape", [(64, 64), (300, 420), (700, 500)])
def test_the_mask_is_in_the_pixels_of_the_picture(shape):
    pixels = film(3).pixels
    found = lung_fields(cv2.resize(pixels, shape[::-1], interpolation=cv2.INTER_AREA))
    assert found.shape == shape
    assert found.dtype == bool
    assert dice(found, cv2.resize(lung_fields(pixels).astype(np.float32), shape[::-1]) > 0.5) > 0.97


def test_many_are_found_as_one_by_one():
    many = [film(1).pixels, film(2).pixels[:, :200], film(3).pixels] * 6  # more than one batch
    for one, found in zip(many[:3], find_lungs(many)[-3:], strict=True):
        assert dice(lung_fields(one), found.mask) > 0.999
    assert find_lungs([]) == []


def test_brightness_and_contrast_do_not_matter():
    pixels = film(1).pixels
    assert dice(lung_fields(pixels), lung_fields(0.3 + 0.2 * pixels)) > 0.999


# --- parts -----------------------------------------------------------------------------------------------------------


def test_the_two_largest_parts_are_kept_and_their_holes_filled(answer):
    share = np.zeros((lungs.SIZE, lungs.SIZE))
    share[20:100, 10:50] = 0.9
    share[40:50, 20:30] = 0.1  # a hole
    share[30:110, 70:100] = 0.8
    share[20:60, 110:120] = 0.9  # a third
    found = answer(share)
    wanted = np.zeros(share.shape, bool)
    wanted[20:100, 10:50] = wanted[30:110, 70:100] = True
    assert np.array_equal(found.mask, wanted)
    assert found.balance == pytest.approx(80 * 30 / (80 * 40 - 100))
    assert 0 < found.tilt < 30
    assert found.share == pytest.approx(wanted.mean())


def test_specks_are_not_lungs(answer):
    share = np.zeros((lungs.SIZE, lungs.SIZE))
    share[20:30, 20:30] = 1
    assert not answer(share).mask.any()


def test_fields_that_touch_are_two_all_the_same(answer):
    share = np.zeros((lungs.SIZE, lungs.SIZE))
    share[20:100, 20:50] = share[20:100, 60:90] = 0.99
    share[20:30, 50:60] = 0.6
    assert doubt(answer(share)) is None
    share[20:30, 50:60] = 0.99
    assert "two fields of like size" in doubt(answer(share))


# --- what is not believed --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_there_are_no_lungs_in_an_even_picture(level):
    noise = np.random.default_rng(0).normal(level, 0.005, (200, 240)).astype(np.float32)
    found = find_lungs([noise])[0]
    assert not found.mask.any()
    assert doubt(found) is not None


@pytest.mark.parametrize(
    "change", [np.rot90, lambda p: np.rot90(p, 2), lambda p: np.rot90(p, 3), lambda p: 1 - p, lambda p: p[:, :110]]
)
def test_turned_inverted_and_halved_films_are_doubted(change):
    assert doubt(find_lungs([np.ascontiguousarray(change(film(1).pixels))])[0]) is not None


def test_ct_slices_are_doubted():
    voxels = phantoms.phantom_ct("normal", seed=5, size=96, slices=24).voxels[6:18:3]
    windowed = [(np.clip(v.astype(np.float32), -1350, 150) + 1350) / 1500 for v in voxels]
    assert all(doubt(found) for found in find_lungs(windowed))


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"share": 0.05}, "at least 10% of the picture, found 5%"),
        ({"share": 0.9}, "at most 75% of the picture, found 90%"),
        ({"balance": 0.1}, "the smaller at 10% of the larger"),
        ({"tilt": 80.0}, "at 80 degrees"),
        ({"certainty": 0.6}, "mean probability of 0.60"),
    ],
)
def test_doubt_names_its_reason(changed, says):
    assert doubt(GOOD) is None
    assert says in doubt(dataclasses.replace(GOOD, **changed))


@pytest.mark.parametrize(
    ("pixels", "says"),
    [
        (np.zeros((8, 8, 3), np.float32), r"expected \[H, W\], found \[8, 8, 3\]"),
        (np.zeros((0, 8), np.float32), r"expected \[H, W\], found \[0, 8\]"),
        (np.full((80, 80), np.nan, np.float32), "expected finite numbers"),
    ],
)
def test_what_is_no_picture_is_refused(pixels, says):
    with pytest.raises(UsageError, match=says):
        lung_fields(pixels)


# --- what is shipped -------------------------------------------------------------------------------------------------


def test_every_file_is_on_the_card_and_the_card_says_how_well_it_does(shipped):
    assert {p.name for p in shipped.iterdir()} == {lungs.CARD, *lungs.card().files}
    assert all(0.93 < m.dice.low < m.dice.value < m.dice.high < 1 for m in lungs.card().measured)
    assert sum(p.stat().st_size for p in shipped.iterdir()) < 1_500_000


def test_a_changed_graph_is_not_run(shipped):
    graph = shipped / lungs.GRAPH
    data = bytearray(graph.read_bytes())
    data[-1000] ^= 1
    graph.write_bytes(data)
    with pytest.raises(IntegrityError, match=r"graph\.onnx: expected SHA-256 \w{16}, found \w{16}"):
        lung_fields(film(1).pixels)


def test_a_changed_card_is_not_believed(shipped):
    card = shipped / lungs.CARD
    plain = json.loads(card.read_text())
    plain["files"][lungs.GRAPH] = "0" * 64
    card.write_text(json.dumps(plain))
    with pytest.raises(IntegrityError, match="the content that its id was made from"):
        lung_fields(film(1).pixels)


@pytest.mark.parametrize("name", [lungs.GRAPH, lungs.CARD])
def test_a_missing_file_is_an_error_of_integrity(shipped, name):
    (shipped / name).unlink()
    with pytest.raises(IntegrityError, match="Install pneumoscope again"):
        lung_fields(film(1).pixels)


@pytest.mark.shared
def test_dice_on_patients_that_it_did_not_learn_from(shared_data):
    with (lungs.FOLDER / "credits.csv").open(encoding="utf-8") as file:
        seen = {row["image"] for row in csv.DictReader(file)}
    folder = shared_data / "masks" / "xray-v7-lung"
    with (folder / "labels.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    learned = {row["group_id"] for row in rows if Path(row["image"]).name in seen}
    others = [row for row in rows if row["group_id"] not in learned][::12]
    assert len(others) > 10
    assert seen
    found = []
    for row in others:
        pixels = cv2.imread(str(folder / row["image"]), cv2.IMREAD_GRAYSCALE).astype(np.float32) / 255
        mask = cv2.imread(str(folder / row["file"]), cv2.IMREAD_GRAYSCALE)
        found.append(dice(lung_fields(pixels) & (mask != 127), mask == 255))
    assert np.mean(found) > 0.93
    assert min(found) > 0.8
