"""A network that is trained in its upper part only, cut where training begins.

What lies below the cut answers the same in every epoch, so that it need be asked once: of VGG16 with its last block
unfrozen that is nine tenths of the work. Only networks whose feature layers are one sequence (VGG, DenseNet) are cut.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pneumoscope.nets.backbones import Backbone
from pneumoscope.nets.build import Net


class Lower(nn.Module):
    """What is frozen: grey 0..1 `[N, 1, H, W]` -> the maps that the first trained layer gets, `[N, C, h, w]`."""

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: Backbone, layers: nn.Sequential) -> None:
        super().__init__()
        self.register_buffer("mean", backbone.mean)
        self.register_buffer("std", backbone.std)
        self.layers = layers

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return torch.as_tensor(self.layers((x - self.mean) / self.std))


class Upper(nn.Module):
    """What is trained: the maps of `Lower` -> logits. Its tensors have the whole network's names behind `net.`."""

    def __init__(self, net: Net, layers: nn.Sequential, first: int) -> None:
        super().__init__()
        self.net = net
        self.first = first
        self._layers = [layers[first:]]  # in a list, so that its tensors do not go by a second name

    def forward(self, maps: Tensor) -> Tensor:
        """See the class."""
        return torch.as_tensor(self.net.head(self.net.head.fixed(self._layers[0](maps))))


def cut(net: Net) -> tuple[Lower, Upper] | None:
    """The frozen beginning and the trained rest, by `requires_grad`; None where nothing is frozen or no cut fits.

    The two share the network's tensors.
    """
    backbone = net.backbone
    layers = getattr(backbone.net, "features", None) if isinstance(backbone, Backbone) else None
    # a head that joins earlier stages wants maps from on both sides of the cut
    if not isinstance(backbone, Backbone) or not isinstance(layers, nn.Sequential) or net.head.scales > 1:
        return None
    trained = [any(p.requires_grad for p in layer.parameters()) for layer in layers]
    first = trained.index(True) if any(trained) else 0
    return (Lower(backbone, layers[:first]), Upper(net, layers, first)) if first else None
