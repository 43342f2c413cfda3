"""A recipe's prep steps, run in order and recorded, and the way back for a map over the result.

Training, evaluation, screening and explanation all go through `run`: there is one way to prepare an image.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np

from pneumoscope.core.image import Image2D
from pneumoscope.core.recipe import Recipe
from pneumoscope.core.registry import Registry
from pneumoscope.core.stage import Step
from pneumoscope.errors import RecipeError
from pneumoscope.prep import body, geometry, intensity

STEPS: Registry[Callable[..., Image2D]] = Registry("prep step")
STEPS.add("window", intensity.window)
STEPS.add("range", intensity.full_range)
STEPS.add("body", body.body)
STEPS.add("brightness", intensity.brightness)
STEPS.add("resize", geometry.resize)

# how a map over the image after a step becomes one over the image before it; steps that move nothing are absent
UNDO: Mapping[str, Callable[[np.ndarray, Mapping[str, Any]], np.ndarray]] = {"resize": geometry.undo_resize}


def run(image: Image2D, steps: tuple[Step, ...]) -> Image2D:
    """The image as the network takes it: float32 `[H, W]` in 0..1, with what was done recorded.

    Raises:
        UsageError: a step that does not exist.
        RecipeError: arguments that a step does not take, or steps that leave an image in HU.
    """
    for step in steps:
        function = STEPS.resolve(step.name)
        try:
            image = function(image, **step.args)
        except TypeError as error:
            raise RecipeError(
                f"prep.{step.name}: expected its own arguments, found {dict(step.args)}. {error}"
            ) from error
    if image.unit != "unit":
        raise RecipeError("prep: expected steps that bring every image to 0..1, found HU left. Add a window step.")
    return image


def input_size(recipe: Recipe) -> tuple[int, int]:
    """`(H, W)` of every prepared image.

    Raises:
        RecipeError: the steps leave images of different sizes.
    """
    shapes = {
        run(Image2D(pixels=np.zeros(shape, np.float32), unit="unit"), recipe.prep).shape
        for shape in ((64, 48), (40, 80))
    }
    if len(shapes) != 1:
        raise RecipeError(
            f"{recipe.name}.prep: expected one size for every image, found {sorted(shapes)}. Add a resize."
        )
    return shapes.pop()


def to_source(values: np.ndarray, prepared: Image2D) -> np.ndarray:
    """A map `[h, w]` over a prepared image -> float32 over the image as it was read.

    The map's own grid is first stretched over the prepared image (bilinear, half-pixel centres), then every step
    that moved pixels is undone, last first.
    """
    height, width = prepared.shape
    values = np.asarray(cv2.resize(values.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR))
    for step in reversed(prepared.steps):
        if step.name in UNDO:
            values = UNDO[step.name](values, step.args)
    return values.astype(np.float32)
