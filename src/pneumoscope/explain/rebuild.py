"""A bundle's network in torch again, for explanations that need gradients."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as from_safetensors
from torch import Tensor, nn

from pneumoscope import bundle as bundles
from pneumoscope.bundle import Bundle
from pneumoscope.core.registry import did_you_mean
from pneumoscope.errors import IntegrityError, UsageError
from pneumoscope.explain.cam import grad_cam
from pneumoscope.nets import maps
from pneumoscope.nets.build import Net, build, score_seeds
from pneumoscope.prep import pipeline


def rebuild(bundle: Bundle) -> Net:
    """The bundle's network of images, or of slices, with its weights, in eval mode.

    Raises:
        IntegrityError: weights that do not fit the recipe's network.
    """
    facts = bundle.facts
    of_images = [stage for stage in facts.recipe.stages if stage.level in ("image", "slice")]
    stage = dataclasses.replace(of_images[-1], init="random")
    net, _ = build(stage, facts.recipe.classes, input_size=pipeline.input_size(facts.recipe), weights_dir=None, seed=0)
    if facts.pretrained is not None and facts.pretrained.bn_eps is not None:
        for module in net.backbone.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = facts.pretrained.bn_eps
    try:
        net.load_state_dict(from_safetensors(bundle.read(bundles.WEIGHTS)))
    except (RuntimeError, SafetensorError) as error:
        why = " ".join(str(error).split())
        raise IntegrityError(
            f"{bundles.WEIGHTS}: expected the weights of {facts.recipe.title}, found others. {why}"
        ) from error
    return net.eval()


def layer_cam(bundle: Bundle, pixels: np.ndarray, *, layer: str, target: str) -> np.ndarray:
    """Grad-CAM grid `[h, w]` of one prepared image `[H, W]`: see `layer_cams`."""
    return np.asarray(layer_cams(bundle, pixels[np.newaxis], layer=layer, target=target)[0])


def layer_cams(bundle: Bundle, images: np.ndarray, *, layer: str, target: str) -> np.ndarray:
    """Grad-CAM grids `[n, h, w]` of prepared images `[n, H, W]` at any layer of the backbone, for the class `target`.

    Raises:
        UsageError: no such layer.
    """
    net = rebuild(bundle)
    _check_known(net, layer)
    seeds = score_seeds(net.head.outputs, net.classes)[net.classes.index(target)]

    def score(logits: Tensor) -> Tensor:
        return logits @ seeds

    x = torch.from_numpy(np.ascontiguousarray(images)).unsqueeze(1)
    return grad_cam(net, x, f"backbone.{layer}", score)


def layer_maps(bundle: Bundle, pixels: np.ndarray, *, layer: str | None) -> dict[str, np.ndarray]:
    """Feature maps `[C, h, w]` of a prepared image `[H, W]` at `layer`, or at an early, a middle and the last one.

    Raises:
        UsageError: no such layer, or one without maps.
    """
    net = rebuild(bundle)
    if layer is not None and layer != bundle.facts.explains:
        _check_known(net, layer)
    return maps.feature_maps(net, pixels, maps.default_layers(net) if layer is None else [layer])


def _check_known(net: Net, layer: str) -> None:
    known = dict(net.backbone.named_modules())
    if layer not in known or not layer:
        names = [name for name, module in known.items() if name and not list(module.children())]
        listed: tuple[str, ...] = getattr(net.backbone, "layers", tuple)()
        if not listed:
            raise UsageError(f"--layer: expected a layer of the network, found '{layer}'. {did_you_mean(layer, names)}")
        hint = did_you_mean(layer, [*listed, *names])
        raise UsageError(
            f"--layer: expected the end of a stage ({', '.join(listed)}, the last one first) or a layer inside the "
            f"network, found '{layer}'. {hint if hint.startswith('Did') else 'Take one of these.'}"
        )
