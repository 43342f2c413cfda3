"""Random changes of training images, through torchvision; each image of a batch gets its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2

from pneumoscope.core.registry import Registry
from pneumoscope.core.stage import Step
from pneumoscope.errors import RecipeError

AUGMENT: Registry[Callable[..., Any]] = Registry("augmentation")


@AUGMENT.register("affine")
def affine(*, degrees: float = 0.0, shift: float = 0.0, zoom: float = 0.0, shear: float = 0.0) -> Any:
    """Rotation by up to +-degrees, shift by up to a share of the side, zoom by 1 +- zoom, shear in degrees.

    Shear moves each row by its distance from the middle times the tangent. Where a paper names a number without a unit
    ("-0.2 to 0.2", Garg 2021, which names one for its rotation), it is taken to be that tangent, as in COVIDNet-CT:
    11.31 degrees. Keras's `shear_range` is in degrees since 2.1.3 (keras pull request 8868), in which 0.2 does nothing.
    """
    return v2.RandomAffine(
        degrees=degrees,
        translate=(shift, shift),
        scale=(1 - zoom, 1 + zoom),
        shear=shear,
        interpolation=InterpolationMode.BILINEAR,
    )


@AUGMENT.register("flip")
def flip(*, probability: float = 0.5) -> Any:
    """Left and right exchanged."""
    return v2.RandomHorizontalFlip(probability)


@AUGMENT.register("brightness")
def brightness(*, by: float) -> Any:
    """Brightness times 1 +- by."""
    return v2.ColorJitter(brightness=by)


def augmentation(steps: tuple[Step, ...]) -> Callable[[Tensor], Tensor] | None:
    """The steps as one function of a batch `[N, 1, H, W]` in 0..1, or None where there are none.

    Draws from torch's global generator, which the trainer seeds each epoch.

    Raises:
        UsageError: an augmentation that does not exist.
        RecipeError: arguments that it does not take.
    """
    if not steps:
        return None
    transforms = []
    for step in steps:
        try:
            transforms.append(AUGMENT.resolve(step.name)(**step.args))
        except (TypeError, ValueError) as error:
            raise RecipeError(
                f"augment.{step.name}: expected arguments it takes, found {dict(step.args)}. {error}"
            ) from error
    together = v2.Compose(transforms)
    return lambda batch: torch.stack([together(image) for image in batch]).clamp_(0, 1)
