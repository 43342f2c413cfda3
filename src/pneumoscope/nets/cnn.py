"""Networks of the papers' own that are small and have no pretrained weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from pneumoscope.core.registry import Registry

OWN: Registry[Callable[[], nn.Module]] = Registry("network of a paper's own")


@OWN.register("cnn")
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


@OWN.register("cnn12")
class Cnn12(nn.Module):
    """Basu 2020's CNN up to its last convolution (section III-B): "12 layers" with the pooling and the dense ones.

    Grey 0..1 `[N, 1, H, W]` -> `[N, 128, h, w]`: six 3x3 "valid" convolutions with ReLU, of 32, 32, 64, 64, 128 and
    128 filters, a 2x2 maximum after the second and the fourth. The one after the sixth belongs to the head
    (pooling "max_flatten"), so that Grad-CAM is of the last convolution, as in the paper.
    """

    channels = 128

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 1
        for filters in (32, 64, 128):
            # the maximum and ReLU may change places: the answer is the same, and ReLU has a quarter of the work
            end = [nn.ReLU()] if filters == 128 else [nn.MaxPool2d(2), nn.ReLU()]
            layers += [nn.Conv2d(before, filters, 3), nn.ReLU(), nn.Conv2d(filters, filters, 3), *end]
            before = filters
        self.features = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """The last convolution's map, after its ReLU."""
        return torch.as_tensor(self.features(x))
