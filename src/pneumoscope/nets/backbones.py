"""2D backbones behind one contract: a grey image in 0..1 in, the last feature map out.

Repeating to three channels and normalising are part of the network, so that an exported graph takes grey images
and no caller can normalise wrongly. Networks: `architectures.py`; pretrained weights: `weights.py`.
"""

from __future__ import annotations

import dataclasses
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from pneumoscope.errors import UsageError
from pneumoscope.nets import weights
from pneumoscope.nets.architectures import architecture, feature_net, set_bn_eps
from pneumoscope.nets.weights import WeightsUsed


class Backbone(nn.Module):
    """A network without its classifier.

    mean, std: of each RGB channel, what the weights were trained with on pixels in 0..1; saved with the weights.
    bn_eps: epsilon of every BatchNorm; None leaves the architecture's.
    seed: see `feature_net`.
    """

    mean: torch.Tensor
    std: torch.Tensor
    net: Any  # a network of timm's

    def __init__(
        self,
        name: str,
        *,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
        bn_eps: float | None = None,
        seed: int | None = 0,
    ) -> None:
        super().__init__()
        self.architecture = architecture(name)
        self.channels = self.architecture.channels
        self.register_buffer("mean", torch.tensor(mean).reshape(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).reshape(1, 3, 1, 1))
        self.net = feature_net(self.architecture.timm_name, seed=seed)
        self.features = nn.Identity()  # gives the last feature map a name to hook
        if bn_eps is not None:
            set_bn_eps(self.net, bn_eps)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`[N, 1, H, W]` in 0..1 -> the last feature map `[N, C, h, w]`, after its activation."""
        rgb = (x - self.mean) / self.std  # broadcast: one grey channel becomes three
        maps: torch.Tensor = self.features(self.net.forward_features(rgb))
        return maps

    def scales(self, x: torch.Tensor, count: int) -> tuple[torch.Tensor, ...]:
        """The last maps `[N, C, h, w]` of the last `count` stages, the coarsest one last: what `forward` gives.

        count: 1 to as many as `most_scales`.
        """
        found: list[torch.Tensor] = []

        def keep(_module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
            found.append(output)

        # hooked for this pass alone, so that hooks that are there already (Grad-CAM's) are run, and heard, first
        with ExitStack() as hooks:
            for name in self.architecture.earlier[: count - 1]:
                hooks.callback(self.net.get_submodule(name).register_forward_hook(keep).remove)
            last = self(x)
        return (*found, last)

    @property
    def most_scales(self) -> int:
        """How many stages have a map of their own size."""
        return 1 + len(self.architecture.earlier)

    def layers(self) -> tuple[str, ...]:
        """Names of the modules that Grad-CAM is meant for: the last feature map, then the stages before it."""
        return ("features", *(f"net.{stage}" for stage in self.architecture.stages))

    @property
    def bn_eps(self) -> float | None:
        """Epsilon of the BatchNorms, None for a network without."""
        return next((m.eps for m in self.net.modules() if isinstance(m, nn.BatchNorm2d)), None)


def build_backbone(
    name: str, *, init: Literal["imagenet", "random"], weights_dir: Path | None = None, seed: int = 0
) -> tuple[Backbone, WeightsUsed]:
    """The backbone `name` (the recipes' name or timm's), and the weights that it starts from.

    seed: of the random weights. weights_dir: looked into first, see `weights.load`.

    Raises:
        UsageError: an unknown name or init, or a `weights_dir` that is no folder.
        MissingError: the weights are nowhere; never random weights in their place.
        IntegrityError: a weights file that is damaged or of another network.
    """
    timm_name = architecture(name).timm_name
    if init == "imagenet":
        tensors, used = weights.load(timm_name, weights_dir)
    elif init == "random":
        tensors, used = None, weights.random_weights(timm_name, seed)
    else:
        raise UsageError(f"init: expected 'imagenet' or 'random', found '{init}'.")
    start = seed if tensors is None else None
    backbone = Backbone(name, mean=used.mean, std=used.std, bn_eps=used.bn_eps, seed=start)
    if tensors is not None:
        fitting = weights.fitting(tensors, backbone.net.state_dict(), str(used.file))
        backbone.net.load_state_dict(fitting, assign=True)
    return backbone, dataclasses.replace(used, bn_eps=backbone.bn_eps)


def conv_layers(net: nn.Module) -> list[nn.Conv2d | nn.Conv3d]:
    """The convolutions of `net` from input to output, in the order in which they are defined.

    The order of parallel branches is timm's. A depthwise and its pointwise convolution count as two.
    """
    return [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.Conv3d)]
