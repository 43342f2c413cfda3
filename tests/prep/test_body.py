"""The body mask: what lies around the body goes, what lies in it stays, on drawn shapes, phantoms and real slices."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pneumoscope.core.image import Image2D
from pneumoscope.core.stage import Step
from pneumoscope.errors import RecipeError
from pneumoscope.io.load import load_study
from pneumoscope.phantoms.ct import phantom_ct
from pneumoscope.prep import pipeline
from pneumoscope.prep.body import body

OF_HU = (Step(name="range"), Step(name="body"))
AIR, LUNG, FLESH = 0.15, 0.2, 0.8


def slice_of(height: int = 120, width: int = 160) -> np.ndarray:
    """A body with two lungs and something dense in one of them, on a table, without noise."""
    pixels = np.full((height, width), AIR, np.float32)
    middle = (width // 2, height // 2 - 10)
    cv2.ellipse(pixels, middle, (60, 40), 0, 0, 360, FLESH, -1)
    for side in (-1, 1):
        cv2.ellipse(pixels, (middle[0] + side * 26, middle[1]), (18, 26), 0, 0, 360, LUNG, -1)
    cv2.circle(pixels, (middle[0] + 26, middle[1]), 4, 0.7, -1)
    pixels[height - 12 : height - 8] = 0.6
    return pixels


def image(pixels: np.ndarray, unit: str = "unit") -> Image2D:
    return Image2D(pixels=pixels.astype(np.float32), unit=unit)  # type: ignore[arg-type]


def test_the_table_and_the_air_go_and_the_lungs_stay() -> None:
    pixels = slice_of()
    found = body(image(pixels)).pixels
    assert not found[100:].any()
    assert not found[:, :15].any()
    inside = np.zeros(pixels.shape, np.uint8)
    cv2.ellipse(inside, (80, 50), (57, 37), 0, 0, 360, 1, -1)
    np.testing.assert_array_equal(found[inside > 0], pixels[inside > 0])
    around = np.zeros(pixels.shape, np.uint8)
    cv2.ellipse(around, (80, 50), (63, 43), 0, 0, 360, 1, -1)
    assert not found[around == 0].any()


def test_a_step_says_what_was_done() -> None:
    step = body(image(slice_of()), kernel=3).steps[-1]
    assert step.name == "body"
    assert step.args["kernel"] == 3
    assert step.args["kept"] == pytest.approx(np.pi * 60 * 40 / (120 * 160), abs=0.02)


@settings(max_examples=30, deadline=None)
@given(st.integers(20, 70), st.integers(20, 90), st.integers(0, 2**16))
def test_pixels_are_kept_as_they_are_or_become_black(height: int, width: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).random((height, width), dtype=np.float32)
    pixels[: height // 2] *= 0.2
    found = body(image(pixels)).pixels
    assert found.dtype == np.float32
    assert np.all((found == pixels) | (found == 0))


@pytest.mark.parametrize("value", [0.0, 0.4, 1.0])
def test_where_nothing_stands_out_nothing_changes(value: float) -> None:
    pixels = np.full((32, 48), value, np.float32)
    found = body(image(pixels))
    np.testing.assert_array_equal(found.pixels, pixels)
    assert found.steps[-1].args["kept"] == (value > 0)


def test_the_step_moves_nothing() -> None:
    found = pipeline.run(image(slice_of()), (Step(name="body"), Step(name="resize", args={"size": 32})))
    assert pipeline.to_source(np.ones((4, 4)), found).shape == (120, 160)


@pytest.mark.parametrize("cut", [(slice(15, 85), slice(20, 130)), (slice(12, 88), slice(36, 130))])
def test_a_lung_that_the_edge_cuts_open_stays(cut: tuple[slice, slice]) -> None:
    """Cropped as the pictures of sars-cov-2-ct are: the edge meets the chest wall, and a lung."""
    pixels = slice_of()[cut]
    whole = body(image(slice_of())).pixels[cut]
    found = body(image(pixels)).pixels
    lungs = pixels == np.float32(LUNG)
    assert (found[lungs] > 0).all()
    assert (found[whole > 0] > 0).mean() > 0.99
    assert (found[(whole == 0) & (pixels == np.float32(AIR))] > 0).mean() < 0.5


def test_hu_and_absurd_kernels_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"prep\.body: expected an image in 0\.\.1, found HU"):
        body(image(slice_of(), "HU"))
    for kernel in (0, 4, 101, -3, 5.0, True):
        with pytest.raises(RecipeError, match=r"prep\.body\.kernel: expected an odd number from 1 to 99"):
            body(image(slice_of()), kernel=kernel)  # type: ignore[arg-type]


@pytest.mark.parametrize(("label", "seed"), [("normal", 1), ("covid", 2), ("pneumonia", 3)])
def test_the_table_of_a_phantom_goes_and_its_lungs_and_lesions_stay(label: str, seed: int) -> None:
    phantom = phantom_ct(label, seed, size=192, slices=8)
    lost, table = 0, 0
    for hu, lungs in zip(phantom.voxels, phantom.lungs, strict=True):
        ranged = pipeline.run(image(hu, "HU"), OF_HU[:1]).pixels
        found = pipeline.run(image(hu, "HU"), OF_HU).pixels
        lost += int(((found == 0) & (ranged > 0) & lungs).sum())
        # the table: what is far from air below the lowest row of the body
        flesh = np.flatnonzero((hu > -100).sum(1) > 10)
        table += int((found[flesh[-1] + 6 :] > 0).sum())
        assert (hu[flesh[-1] + 6 :] > -800).any()
    assert lost == 0
    assert table == 0


@pytest.mark.shared
def test_the_table_of_a_real_series_goes(shared_data: Path) -> None:
    volume = load_study(shared_data / "ct-series" / "covid-ct-md" / "P001").volume
    assert volume is not None
    for hu in volume.voxels[::6]:
        found = pipeline.run(image(hu, "HU"), OF_HU)
        assert 0.3 < found.steps[-1].args["kept"] < 0.6
        assert not found.pixels[-80:].any()  # where its table ends, and the body does not
        assert (hu[-80:] > -800).any()


@pytest.mark.shared
@pytest.mark.parametrize("name", ["Non-Covid_824_", "Covid_81_"])
def test_cropped_pictures_keep_their_lungs(shared_data: Path, name: str) -> None:
    """The largest contour alone keeps 0.60 and 0.74 of them, and loses a lung."""
    file = shared_data / "ct-slices" / "sars-cov-2-ct" / "images" / f"{name}.jpg"
    assert body(load_study(file).images[0]).steps[-1].args["kept"] > 0.9
