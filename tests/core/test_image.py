"""Images hold what their docstring says, or are not made."""

from __future__ import annotations

import numpy as np
import pytest

from pneumoscope.core.image import AppliedStep, Geometry, Image2D
from pneumoscope.core.study import Source, Study, pseudonym


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((2, 2), np.float64),
        np.zeros((2, 2, 1), np.float32),
        np.zeros((0, 2), np.float32),
        np.full((2, 2), np.nan, np.float32),
        np.full((2, 2), np.inf, np.float32),
    ],
)
def test_other_pixels_are_refused(pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="pixels: expected"):
        Image2D(pixels=pixels, unit="unit")


def test_steps_are_recorded_in_order() -> None:
    image = Image2D(pixels=np.zeros((2, 3), np.float32), unit="HU")
    one, two = AppliedStep(name="one"), AppliedStep(name="two", args={"x": 1})
    after = image.after(image.pixels + 1, one, unit="unit").after(image.pixels, two)
    assert after.steps == (one, two)
    assert after.unit == "unit"
    assert image.steps == ()
    assert image.shape == (2, 3)


@pytest.mark.parametrize("spacing", [(0.0, 1.0), (1.0, -1.0), (1.0, float("nan"))])
def test_a_spacing_that_is_none_is_refused(spacing: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="spacing_mm"):
        Geometry(spacing_mm=spacing)


def test_a_direction_has_six_cosines() -> None:
    with pytest.raises(ValueError, match="direction"):
        Geometry(spacing_mm=(1.0, 1.0), direction=(1.0, 0.0, 0.0))


def test_a_pseudonym_is_stable_and_hides_the_identifier() -> None:
    assert pseudonym("MRN123") == pseudonym("MRN123")
    assert pseudonym("MRN123") != pseudonym("MRN124")
    assert "MRN" not in pseudonym("MRN123")
    assert pseudonym("x", "s").startswith("s")


def test_a_study_has_an_image() -> None:
    with pytest.raises(ValueError, match="images"):
        Study(key="s", source=Source(path="x", format="png"), images=())
