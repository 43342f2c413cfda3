"""What moves pixels, and how to move a map back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from pneumoscope.core.image import AppliedStep, Image2D
from pneumoscope.errors import RecipeError

LARGEST = 4096  # pixels a side; no network takes more, and one number must not ask for all the memory


def resize(image: Image2D, *, size: int) -> Image2D:
    """The image stretched to `[size, size]`: averaging areas where it shrinks, bilinear where it grows.

    Raises:
        RecipeError: a size that is no whole number from 1 to `LARGEST`.
    """
    if type(size) is not int or not 1 <= size <= LARGEST:
        raise RecipeError(f"prep.resize.size: expected at least 1 pixel, at most {LARGEST}, found {size!r}.")
    step = AppliedStep(name="resize", args={"size": size, "before": list(image.shape)})
    return image.after(stretch(image.pixels, size, size), step)


def undo_resize(values: np.ndarray, args: Mapping[str, Any]) -> np.ndarray:
    """A map `[h, w]` over a resized image -> over the image before it, bilinear with half-pixel centres."""
    height, width = args["before"]
    return np.asarray(cv2.resize(values, (width, height), interpolation=cv2.INTER_LINEAR))


def stretch(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """float32 `[H, W]` -> `[height, width]`, each axis antialiased if it shrinks and interpolated if it grows."""
    rows, columns = pixels.shape
    if height < rows or width < columns:
        down = (min(width, columns), min(height, rows))
        pixels = cv2.resize(pixels, down, interpolation=cv2.INTER_AREA)
    if pixels.shape != (height, width):
        pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(pixels, dtype=np.float32)
