"""What changes brightness and nothing else."""

from __future__ import annotations

import numpy as np

from pneumoscope.core.image import AppliedStep, Image2D
from pneumoscope.errors import RecipeError


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
