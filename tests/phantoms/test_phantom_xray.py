"""What a phantom must be: the same for the same seed, chest-like, and without a shortcut to its label."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pneumoscope.errors import UsageError
from pneumoscope.phantoms import XRAY_LABELS, XrayPhantom, make_xray

KNOWN = [
    0.1450, 0.3220, 0.3478, 0.2159,
    0.2504, 0.3536, 0.5141, 0.4220,
    0.2186, 0.4108, 0.6890, 0.3479,
    0.2908, 0.8215, 0.7921, 0.3250,
]  # fmt: skip


def _block_means(pixels: np.ndarray, blocks: int) -> np.ndarray:
    step = pixels.shape[0] // blocks
    means: np.ndarray = pixels[: blocks * step, : blocks * step].reshape(blocks, step, blocks, step).mean((1, 3))
    return means


def _around(lungs: np.ndarray) -> np.ndarray:
    """The lungs with what lies between and behind them: heart, mediastinum, 4 cm below the domes."""
    hull = cv2.convexHull(np.argwhere(lungs)[:, ::-1].astype(np.int32))
    filled = cv2.fillConvexPoly(np.zeros(lungs.shape, np.uint8), hull, 1)
    reach = round(0.1 * lungs.shape[0])
    return cv2.dilate(filled, np.ones((2 * reach + 1, 7), np.uint8)) > 0


def _sides(phantom: XrayPhantom) -> tuple[int, int]:
    """Pixels of lesion left and right of the middle of the lungs."""
    middle = round(float(np.nonzero(phantom.lungs)[1].mean()))
    return int(phantom.lesions[:, :middle].sum()), int(phantom.lesions[:, middle:].sum())


@settings(max_examples=12, deadline=None)
@given(label=st.sampled_from(XRAY_LABELS), seed=st.integers(0, 2**64), size=st.integers(64, 200))
def test_any_phantom_holds_the_contract(label: str, seed: int, size: int) -> None:
    phantom = make_xray(label, seed, size=size)
    assert phantom.label == label
    assert phantom.pixels.shape == phantom.lungs.shape == phantom.lesions.shape == (size, size)
    assert [str(p.dtype) for p in (phantom.pixels, phantom.lungs, phantom.lesions)] == ["float32", "bool", "bool"]
    assert phantom.pixels.min() >= 0
    assert phantom.pixels.max() <= 1
    assert 360 <= phantom.spacing_mm * size <= 420
    assert 0.12 < phantom.lungs.mean() < 0.45
    assert not (phantom.lesions & ~phantom.lungs).any()
    assert phantom.lesions.any() == (label != "normal")


def test_the_same_seed_makes_the_same_picture_and_another_seed_another() -> None:
    first, again, other = (make_xray("covid", seed, size=128) for seed in (5, 5, 6))
    assert np.array_equal(first.pixels, again.pixels)
    assert np.array_equal(first.lesions, again.lesions)
    assert np.abs(first.pixels - other.pixels).mean() > 0.03


def test_the_pictures_are_those_of_every_other_machine() -> None:
    # Block means rather than a digest: SIMD and OpenCV builds round the last bit of a float differently, which may
    # move a pixel by one grey level; another draw or another shape would move these by far more than half a level.
    assert _block_means(make_xray("covid", 2020, size=256).pixels, 4).ravel() == pytest.approx(KNOWN, abs=0.002)


def test_a_lesion_changes_no_pixel_but_its_own() -> None:
    # the honesty of the phantoms: exposure, noise, border and anatomy do not know the label
    for seed in range(8):
        normal, *ill = (make_xray(label, seed, size=160) for label in XRAY_LABELS)
        for phantom in ill:
            assert np.array_equal(phantom.lungs, normal.lungs)
            changed = np.abs(phantom.pixels - normal.pixels)
            borders = (changed[:6], changed[-6:], changed[:, :6], changed[:, -6:])
            assert max(border.max() for border in borders) < 1e-3  # a quarter of a grey level
            assert changed[~_around(phantom.lungs)].max() < 1e-2
            assert changed[~_around(phantom.lungs)].mean() < 1e-5
            assert changed[phantom.lesions].mean() > 1e-2


def test_opacities_are_brighter_than_the_same_lung_without() -> None:
    for seed in range(4):
        normal = make_xray("normal", seed, size=128)
        for label in ("pneumonia", "covid"):
            ill = make_xray(label, seed, size=128)
            assert ill.pixels[ill.lesions].mean() > normal.pixels[ill.lesions].mean() + 0.01


def test_covid_is_on_both_sides_and_low_and_pneumonia_on_one_side() -> None:
    heights = []
    for seed in range(12):
        covid, pneumonia = make_xray("covid", seed, size=128), make_xray("pneumonia", seed, size=128)
        assert min(_sides(covid)) > 0.05 * sum(_sides(covid))
        assert min(_sides(pneumonia)) < 0.05 * sum(_sides(pneumonia))
        heights.append(np.nonzero(covid.lesions)[0].mean() - np.nonzero(covid.lungs)[0].mean())
    assert np.mean(heights) > 3


def test_lesions_go_from_small_to_large() -> None:
    shares = [p.lesions.sum() / p.lungs.sum() for p in (make_xray("pneumonia", s, size=128) for s in range(20))]
    assert min(shares) < 0.07
    assert max(shares) > 0.15


def test_the_chest_looks_like_one() -> None:
    for seed in range(6):
        phantom = make_xray("normal", seed, size=128)
        rows, columns = np.nonzero(phantom.lungs)
        middle = round(float(columns.mean()))
        pillar = phantom.pixels[rows.min() + 20 : rows.max(), middle - 3 : middle + 3]
        assert phantom.pixels[phantom.lungs].mean() < pillar.mean() - 0.2  # lungs dark, mediastinum bright
        right, left = phantom.lungs[:, :middle].sum(), phantom.lungs[:, middle:].sum()
        assert left < right  # the heart takes its room from the left lung (right in the image)
        parts, _ = cv2.connectedComponents(phantom.lungs.astype(np.uint8))
        assert parts >= 3  # background and two lungs


def test_two_films_of_one_patient_share_the_chest_but_not_the_exposure() -> None:
    one, two = (make_xray("covid", seed, size=128, patient=77) for seed in (1, 2))
    assert np.abs(one.pixels - two.pixels).mean() > 0.01
    shares = [p.lesions.sum() / p.lungs.sum() for p in (one, two)]
    assert shares[0] == pytest.approx(shares[1], rel=0.1)
    assert np.array_equal(make_xray("covid", 77, size=128).pixels, make_xray("covid", 77, size=128, patient=77).pixels)


@pytest.mark.parametrize(
    ("label", "seed", "size", "what"),
    [
        ("tuberculosis", 0, 128, "label: expected one of normal, pneumonia, covid, found 'tuberculosis'"),
        ("covid", -1, 128, "seed: expected 0 or more, found -1"),
        ("covid", 0, 63, "size: expected 64 to 2048 pixels, found 63"),
        ("covid", 0, 5000, "size: expected 64 to 2048 pixels, found 5000"),
    ],
)
def test_what_cannot_be_made_is_refused(label: str, seed: int, size: int, what: str) -> None:
    with pytest.raises(UsageError, match=what):
        make_xray(label, seed, size=size)
