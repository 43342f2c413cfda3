"""Copies are found however they were stored; synthetic patients, who all look alike, are not taken for copies."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from pneumoscope import phantoms
from pneumoscope.audit import same, signatures
from pneumoscope.audit.duplicates import Sets
from pneumoscope.audit.nearest import candidates


def xray(seed: int) -> np.ndarray:
    pixels = phantoms.make_xray("covid" if seed % 2 else "normal", seed, size=256).pixels
    return np.clip(pixels * 255, 0, 255).astype(np.uint8)


def jpeg(grey: np.ndarray) -> np.ndarray:
    return cv2.imdecode(cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, 50])[1], cv2.IMREAD_GRAYSCALE)


def crop(grey: np.ndarray) -> np.ndarray:
    h, w = grey.shape
    return np.ascontiguousarray(grey[h // 20 : h - h // 20, : w - w // 10])


CHANGES = {
    "resized": lambda g: cv2.resize(g, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "recompressed": jpeg,
    "cropped": crop,
    "mirrored": lambda g: np.ascontiguousarray(g[:, ::-1]),
    "brightened": lambda g: np.clip(g * 0.7 + 60, 0, 255).astype(np.uint8),
    "all": lambda g: jpeg(crop(np.ascontiguousarray(g[:, ::-1]))),
}


@pytest.fixture(scope="module")
def patients() -> list[np.ndarray]:
    return [xray(seed) for seed in range(12)]


def matches(pictures: list[np.ndarray]) -> dict[tuple[int, int], same.Match]:
    squares = np.stack([signatures.square(p) for p in pictures])
    keys = signatures.signatures(squares)
    asked = candidates(keys, lambda start, stop: signatures.queries(squares[start:stop]))
    found = {(a, b): same.match(squares[a], squares[b], v) for a, b, v in zip(*asked, strict=True)}
    return {(min(pair), max(pair)): match for pair, match in found.items() if match is not None}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_found_and_nothing_else(patients: list[np.ndarray], change: str) -> None:
    copy = CHANGES[change](patients[3])
    found = matches([*patients, copy])
    assert {pair for pair, match in found.items() if match.correlation >= same.SAME} == {(3, 12)}
    match = found[3, 12]
    assert match.mirrored == (change in ("mirrored", "all"))
    assert (0.96 <= match.area <= 1 / 0.96) == (change not in ("cropped", "all"))


def test_different_patients_are_not_alike(patients: list[np.ndarray]) -> None:
    assert all(match.correlation < same.SAME for match in matches(patients).values())


def test_blank_pictures_have_no_signature() -> None:
    blank = np.full((2, signatures.SIDE, signatures.SIDE), 77, np.uint8)
    assert not signatures.signatures(blank).any()
    assert matches([blank[0], blank[1]]) == {}


def test_a_window_asks_with_the_signature_of_the_crop() -> None:
    rng = np.random.default_rng(0)
    noise = cv2.GaussianBlur(rng.uniform(0, 255, (640, 640)).astype(np.float32), (0, 0), 40)
    grey = cv2.normalize(noise, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    whole, part = signatures.square(grey), signatures.square(np.ascontiguousarray(grey[:576, 64:]))
    at = signatures.windows().index((0.0, pytest.approx(0.1), pytest.approx(0.9), pytest.approx(1.0)))
    asked = signatures.queries(whole[None])[0] @ signatures.signatures(part[None])[0]
    assert int(asked.argmax()) == at
    assert asked[at] > 0.98


def test_the_index_finds_what_comparing_all_pairs_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(size=(3000, 16)).astype(np.float32)
    copies = base[:300] + rng.normal(scale=0.08, size=(300, 16)).astype(np.float32)
    keys = np.concatenate([base, copies])
    keys /= np.linalg.norm(keys, axis=1, keepdims=True)

    def ask(start: int, stop: int) -> np.ndarray:
        return keys[start:stop, None]

    def pairs() -> set[tuple[int, int]]:
        found = candidates(keys, ask)
        return {(min(a, b), max(a, b)) for a, b in zip(found.asked, found.found, strict=True)}

    exact = pairs()
    monkeypatch.setattr("pneumoscope.audit.nearest.FEW", 100)
    quick = pairs()
    planted = {(i, 3000 + i) for i in range(300)}
    assert planted <= exact
    assert len(planted & quick) >= 297
    assert quick <= exact


def test_sets_are_named_by_their_least() -> None:
    sets = Sets(5)
    sets.join(4, 2)
    sets.join(2, 1)
    assert [sets.root(i) for i in range(5)] == [0, 1, 1, 3, 1]


@pytest.mark.shared
def test_known_copies_of_the_shared_pack(shared_data: Path) -> None:
    pairs = [
        ("xray/figure1/images/COVID-00020.jpg", "xray/kermany-pediatric/images/person1004_virus_1686.jpg", True),
        ("xray/figure1/images/COVID-00045.jpg", "xray/ieee8023/images/16654_1_1.jpg", True),
        ("xray/figure1/images/COVID-00020.jpg", "xray/ieee8023/images/16654_1_1.jpg", False),
    ]
    for a, b, expected in pairs:
        greys = [cv2.imread(str(shared_data / file), cv2.IMREAD_GRAYSCALE) for file in (a, b)]
        found = [m for m in matches(greys).values() if m.correlation >= same.SAME]
        assert bool(found) is expected
