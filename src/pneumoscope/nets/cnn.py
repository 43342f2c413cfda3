"""Networks of the papers' own that are small and have no pretrained weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SimpleCnn(nn.Module):
    """Szalay 2021's "self-designed simple and basic CNN" (section 4); its layers are unstated, so assumed.

    Grey 0..1 `[N, 1, H, W]` -> `[N, 128, H/16, W/16]`: four blocks of 3x3 convolution, BatchNorm, ReLU and 2x2
    maximum pooling, of 16, 32, 64 and 128 filters.
    """

    channels = 128

    def __init__(self) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        before = 1
        for filters in (16, 32, 64, 128):
            blocks += [
                nn.Conv2d(before, filters, 3, padding=1, bias=False),
                nn.BatchNorm2d(filters),
                nn.ReLU(),
                nn.MaxPool2d(2),
            ]
            before = filters
        self.features = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        """The last feature map."""
        # grey 0..1 is centred here, so that the exported graph takes what every other network takes
        return torch.as_tensor(self.features(x * 4 - 2))
