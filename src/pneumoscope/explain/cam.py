"""Grad-CAM: where a network looked, on the grid of one of its layers.

Source: Selvaraju et al., Grad-CAM, ICCV 2017, equations 1 and 2; in 3D the same sums over three axes. From the
layer's grid to the pixels of the source image: elsewhere, with the steps that the image went through.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from pneumoscope.core.registry import did_you_mean
from pneumoscope.errors import UsageError


def grad_cam(
    model: nn.Module, x: torch.Tensor, layer: str, score: Callable[[torch.Tensor], torch.Tensor]
) -> np.ndarray:
    """ReLU of the layer's channels, weighted by the spatial mean of the score's gradient at each; not normalised.

    The model runs in evaluation mode and is left as it was; parameters may be frozen.

    Args:
        model: what is explained.
        x: the images, `[N, 1, H, W]` (or `[N, 1, D, H, W]`).
        layer: dotted name of a module whose output is `[N, C, h, w]`; see `Backbone.layers`.
        score: the model's output -> `[N]`, what is explained (a logit, not a probability).

    Returns:
        float32 `[N, h, w]`, at least 0.

    Raises:
        UsageError: no such layer, one without a spatial output, or one that the score does not depend on.
    """
    with torch.inference_mode(mode=False), torch.enable_grad(), _evaluating(model), _recording(model, layer) as outputs:
        scores = score(model(x.detach().clone()))
        if scores.shape != x.shape[:1]:
            raise ValueError(f"score: expected one number an image, [{len(x)}], found {list(scores.shape)}.")
        maps = _only(outputs, layer)
        gradient = torch.autograd.grad(scores.sum(), maps, allow_unused=True)[0] if scores.requires_grad else None
    if gradient is None:
        raise UsageError(f"layer: expected one that the score depends on, found '{layer}'. Take an earlier layer.")
    weights = gradient.flatten(2).mean(2).reshape(*gradient.shape[:2], *[1] * (gradient.ndim - 2))
    cam = (weights * maps.detach()).sum(1).relu()
    return cam.float().cpu().numpy()


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def _recording(model: nn.Module, layer: str) -> Iterator[list[torch.Tensor]]:
    """The list to which each run of `layer` adds its output."""
    modules = dict(model.named_modules())
    if not layer or layer not in modules:
        raise UsageError(f"layer: expected a module of the model, found '{layer}'. {_hint(layer, list(modules))}")
    outputs: list[torch.Tensor] = []

    def keep(_module: nn.Module, _inputs: object, output: object) -> torch.Tensor:
        if not isinstance(output, torch.Tensor) or output.ndim < 4:
            found = list(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
            raise UsageError(
                f"layer: expected an output [N, C, h, w], found {found} at '{layer}'. Take an earlier one."
            )
        # the gradient is wanted from here on only, frozen or not; what follows gets a copy, since it may
        # change its input in place (ReLU after DenseNet's and Inception's concatenations)
        outputs.append(output.detach().clone().requires_grad_())
        return outputs[-1].clone()

    handle = modules[layer].register_forward_hook(keep)
    try:
        yield outputs
    finally:
        handle.remove()


def _only(outputs: list[torch.Tensor], layer: str) -> torch.Tensor:
    if len(outputs) != 1:
        raise UsageError(f"layer: expected one that runs once, found '{layer}' run {len(outputs)} times. Take another.")
    return outputs[0]


def _hint(layer: str, names: list[str]) -> str:
    hint = did_you_mean(layer, names)
    return hint if hint.startswith("Did") else "See Backbone.layers()."
