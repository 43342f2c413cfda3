"""One way to prepare an image, and the way back for a map over it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pneumoscope.core.image import Image2D
from pneumoscope.core.stage import Step
from pneumoscope.errors import RecipeError, UsageError
from pneumoscope.prep import pipeline

STEPS = (Step(name="window", args={"center_hu": -600.0, "width_hu": 1500.0}), Step(name="resize", args={"size": 32}))


def image(pixels: np.ndarray, unit: str = "unit") -> Image2D:
    return Image2D(pixels=pixels.astype(np.float32), unit=unit)  # type: ignore[arg-type]


def test_the_window_maps_its_ends_to_0_and_1_and_clips_beyond() -> None:
    hu = image(np.array([[-2000, -1350, -600, 150, 3000]]), "HU")
    windowed = pipeline.run(hu, STEPS[:1])
    np.testing.assert_allclose(windowed.pixels, [[0, 0, 0.5, 1, 1]], atol=1e-6)
    assert windowed.unit == "unit"


def test_an_image_in_0_to_1_passes_the_window() -> None:
    x = image(np.random.default_rng(0).random((8, 8)))
    assert pipeline.run(x, STEPS[:1]).pixels is x.pixels


def test_shrinking_averages_areas() -> None:
    """Oracle: OpenCV's area interpolation is the mean of whole blocks where the factor is whole."""
    x = np.random.default_rng(0).random((64, 128)).astype(np.float32)
    blocks = x.reshape(32, 2, 32, 4).mean(axis=(1, 3))
    np.testing.assert_allclose(pipeline.run(image(x), STEPS).pixels, blocks, atol=1e-5)


def test_growing_interpolates() -> None:
    x = np.random.default_rng(0).random((16, 16)).astype(np.float32)
    expected = cv2.resize(x, (32, 32), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(pipeline.run(image(x), STEPS).pixels, expected, atol=1e-6)


@given(st.integers(3, 90), st.integers(3, 90))
def test_every_image_ends_at_the_networks_size_in_0_to_1(height: int, width: int) -> None:
    pixels = np.random.default_rng(height * 100 + width).random((height, width))
    prepared = pipeline.run(image(pixels), STEPS)
    assert prepared.shape == (32, 32)
    assert prepared.pixels.dtype == np.float32
    assert prepared.pixels.min() >= 0
    assert prepared.pixels.max() <= 1 + 1e-6
    assert prepared.steps[-1].args["before"] == [height, width]


@given(st.integers(20, 200), st.integers(20, 200), st.floats(0.2, 0.8), st.floats(0.2, 0.8))
def test_a_map_comes_back_to_where_it_was(height: int, width: int, down: float, across: float) -> None:
    """A blob over the prepared image lies over the same place of the source, whatever its size and aspect."""
    prepared = pipeline.run(image(np.zeros((height, width))), STEPS)
    y, x = np.mgrid[0:16, 0:16]
    blob = np.exp(-(((y + 0.5) / 16 - down) ** 2 + ((x + 0.5) / 16 - across) ** 2) / 0.02)
    back = pipeline.to_source(blob, prepared)
    assert back.shape == (height, width)
    rows, columns = np.mgrid[0:height, 0:width]
    weight = back / back.sum()
    grid = blob / blob.sum()
    assert ((rows + 0.5) / height * weight).sum() == pytest.approx(((y + 0.5) / 16 * grid).sum(), abs=0.03)
    assert ((columns + 0.5) / width * weight).sum() == pytest.approx(((x + 0.5) / 16 * grid).sum(), abs=0.03)


@pytest.mark.parametrize(
    ("steps", "error", "says"),
    [
        ((Step(name="rotate"),), UsageError, "prep step: expected a registered name, found 'rotate'"),
        ((Step(name="resize", args={"sise": 3}),), RecipeError, "prep.resize: expected its own arguments"),
        ((Step(name="resize", args={"size": 0}),), RecipeError, "at least 1 pixel"),
        ((Step(name="window", args={"center_hu": 0.0, "width_hu": 0.0}),), RecipeError, "a width above 0"),
    ],
)
def test_steps_that_do_not_fit_are_named(steps: tuple[Step, ...], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        pipeline.run(image(np.zeros((4, 4)), "HU"), steps)


def test_hu_may_not_reach_the_network() -> None:
    with pytest.raises(RecipeError, match="found HU left"):
        pipeline.run(image(np.zeros((4, 4)), "HU"), STEPS[1:])
