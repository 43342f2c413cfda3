"""The small U-Net that finds lung fields: MONAI's BasicUNet with a quarter of its usual channels.

Ronneberger et al. 2015, arXiv:1505.04597. Batch normalisation, since it costs nothing once the graph is exported,
and bilinear upsampling, which leaves no checkerboard.
"""

from __future__ import annotations

import torch
from monai.networks.nets.basic_unet import BasicUNet
from torch import Tensor, nn

CHANNELS = (16, 16, 32, 64, 128, 16)  # 0.46 M parameters; five resolutions, so sides are multiples of 16


def small_unet() -> nn.Module:
    """An untrained network: grey `[N, 1, H, W]` -> logits `[N, 1, H, W]`, for sides that 16 divides."""
    net: nn.Module = BasicUNet(
        spatial_dims=2,
        in_channels=1,
        out_channels=1,
        features=CHANNELS,
        act=("relu", {"inplace": True}),
        norm="batch",
        upsample="nontrainable",
    )
    return net


class Shares(nn.Module):
    """A network's logits as probabilities `[N, H, W]`: what is exported."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        """Grey `[N, 1, H, W]`, standardised -> probabilities of lung `[N, H, W]`."""
        return torch.sigmoid(self.net(images))[:, 0]
