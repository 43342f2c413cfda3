"""Brightness as garg2021 sets it: known answers, and what passes as it is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pneumoscope.core.image import Image2D
from pneumoscope.core.stage import Step
from pneumoscope.errors import RecipeError
from pneumoscope.prep import pipeline
from pneumoscope.prep.intensity import brightness, full_range

TWICE = Step(name="brightness", args={"factor": 2.0})


def image(pixels: object, unit: str = "HU") -> Image2D:
    return Image2D(pixels=np.array(pixels, np.float32), unit=unit)  # type: ignore[arg-type]


def test_the_range_ends_at_0_and_1_in_steps_of_a_byte_cut_off() -> None:
    found = full_range(image([[-1024, -1000, 0, 1000, 1526]]))
    np.testing.assert_array_equal(found.pixels * 255, [[0, 2, 102, 202, 255]])  # 2550 HU in 255 steps, floored
    assert found.unit == "unit"
    assert found.pixels.dtype == np.float32
    assert found.steps[-1].args == {"low_hu": -1024.0, "high_hu": 1526.0}


@given(st.integers(-1024, 3000), st.integers(1, 4000), st.integers(0, 99))
def test_the_range_is_numpys_conversion_to_bytes(low: int, wide: int, seed: int) -> None:
    hu = np.random.default_rng(seed).integers(low, low + wide + 1, (5, 7)).astype(np.float32)
    found = full_range(image(hu)).pixels * 255
    if hu.max() > hu.min():
        exact = (hu.astype(np.float64) - hu.min()) / (np.float64(hu.max()) - hu.min()) * 255
        assert np.abs(np.rint(found) - found).max() < 1e-4
        assert np.all((found <= exact + 1e-3) & (found > exact - 1 - 1e-3))
        assert found.min() == 0
        assert found.max() >= 254  # rounding may cut one step off the highest


def test_a_slice_of_one_value_is_black() -> None:
    assert not full_range(image([[7, 7], [7, 7]])).pixels.any()


def test_twice_as_bright_and_no_brighter_than_white() -> None:
    found = pipeline.run(image([[0, 100, 150, 255]]), (Step(name="range"), TWICE))
    np.testing.assert_allclose(found.pixels, [[0, 200 / 255, 1, 1]], atol=1e-6)
    assert [step.name for step in found.steps] == ["range", "brightness"]


def test_a_picture_passes_both_as_it_is() -> None:
    picture = image(np.linspace(0, 1, 12).reshape(3, 4), "unit")
    found = pipeline.run(picture, (Step(name="range"), TWICE))
    assert found.pixels is picture.pixels
    assert found.steps == ()


def test_one_step_order_for_hu_and_pictures_alike() -> None:
    """The recipe's whole preparation, of a slice in HU and of a picture that comes in 0..1."""
    steps = (Step(name="range"), Step(name="body"), TWICE, Step(name="resize", args={"size": 16}))
    hu = np.full((40, 40), -1000.0)
    hu[10:30, 8:32] = 40
    hu[14:26, 12:18] = -850
    for x in (image(hu), image((hu + 1350) / 1500, "unit")):
        found = pipeline.run(x, steps)
        assert found.shape == (16, 16)
        assert 0 < found.pixels.max() <= 1
        assert found.pixels[0, 0] == 0


@pytest.mark.parametrize("factor", [0, -1, float("nan"), float("inf")])
def test_a_factor_that_is_none_is_refused(factor: float) -> None:
    with pytest.raises(RecipeError, match=r"prep\.brightness\.factor: expected a finite number above 0"):
        brightness(image([[1.0]], "unit"), factor=factor)


def test_brightness_of_hu_is_refused() -> None:
    with pytest.raises(RecipeError, match="Put the step range before it"):
        brightness(image([[1.0]]), factor=2.0)
