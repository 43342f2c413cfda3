"""What changes brightness and nothing else."""

from __future__ import annotations

import math

import cv2
import numpy as np

from pneumoscope.core.image import AppliedStep, Image2D
from pneumoscope.errors import RecipeError

GREYS = np.arange(256, dtype=np.float32) / np.float32(255)  # brightness of each 8-bit level


def window(image: Image2D, *, center_hu: float, width_hu: float) -> Image2D:
    """HU `[H, W]` -> 0..1 by a linear window; an image that is in 0..1 already passes as it is.

    Source: the LINEAR_EXACT function of PS3.3 C.11.2.1.3.2.
    """
    if width_hu <= 0:
        raise RecipeError(f"prep.window.width_hu: expected a width above 0, found {width_hu}.")
    if image.unit == "unit":
        return image
    pixels = np.clip((image.pixels - np.float32(center_hu)) / np.float32(width_hu) + np.float32(0.5), 0, 1)
    return image.after(
        pixels, AppliedStep(name="window", args={"center_hu": center_hu, "width_hu": width_hu}), unit="unit"
    )


def full_range(image: Image2D) -> Image2D:
    """HU `[H, W]` -> 0..1, the lowest value 0 and the highest 1, in steps of 1/255; one in 0..1 passes as it is.

    Source: Garg 2021, section III-A2, "normalise the images to an intensity range of 0-255", then "unsigned integer
    values" (whose conversion drops what is behind the point). Assumed: of each slice by itself, as it says "images" and
    as a slice that comes alone must answer as it does in its study. Metal in a slice darkens the rest of it; a fixed
    range for all is the step `window`.
    """
    if image.unit == "unit":
        return image
    low, high = float(image.pixels.min()), float(image.pixels.max())
    scale = 255 / (high - low) if high > low else 0.0  # a slice of one value is black
    levels = image.pixels - np.float32(low)
    levels *= np.float32(scale)
    step = AppliedStep(name="range", args={"low_hu": low, "high_hu": high})
    return image.after(np.asarray(cv2.LUT(levels.astype(np.uint8), GREYS)), step, unit="unit")


def brightness(image: Image2D, *, factor: float) -> Image2D:
    """The brightness that `range` gave times `factor`, at most 1; an image that came in 0..1 passes as it is.

    Source: Garg 2021, section III-A2: times 2, for slices in HU alone, to be as bright as those that come as pictures.

    Raises:
        RecipeError: a factor that is not above 0, or an image in HU.
    """
    if not 0 < factor < math.inf:
        raise RecipeError(f"prep.brightness.factor: expected a finite number above 0, found {factor}.")
    if image.unit == "HU":
        raise RecipeError("prep.brightness: expected an image in 0..1, found HU. Put the step range before it.")
    if not any(step.name == "range" for step in image.steps):
        return image
    pixels = image.pixels * np.float32(factor)
    return image.after(
        np.minimum(pixels, np.float32(1), out=pixels), AppliedStep(name="brightness", args={"factor": factor})
    )
