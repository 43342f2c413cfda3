"""What follows a backbone: pooling, hidden layers, outputs, and Grad-CAM of its input as a forward computation.

A head of linear layers and (leaky) ReLU is piecewise linear, so the gradient of a class score at the last feature
map needs no autograd: it is the product of the weight matrices with the rows of inactive units scaled. Written as
tensors in, tensors out, it exports with the graph, and the base install explains without torch. Tested equal to
autograd. It holds for the last feature map only: earlier ones feed later convolutions.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from pneumoscope.core.recipe import Head

LEAK = 0.01
SLOPES = {"relu": 0.0, "leaky_relu": LEAK}


class MlpHead(nn.Module):
    """Pooling, hidden layers, outputs.

    channels, grid: of the feature map `[N, C, h, w]`. outputs: 1 (a logit of the positive class) or one a class.
    """

    def __init__(self, head: Head, *, channels: int, grid: tuple[int, int], outputs: int) -> None:
        super().__init__()
        self.pooling = head.pooling
        self.slope = SLOPES[head.activation]
        width = channels * grid[0] * grid[1] if head.pooling == "flatten" else channels
        sizes = (width, *head.hidden, outputs)
        self.outputs = outputs
        self.linears = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))
        self.dropout = nn.Dropout(head.dropout)

    def pool(self, maps: Tensor) -> Tensor:
        """`[N, C, h, w]` -> `[N, F]`."""
        return maps.flatten(1) if self.pooling == "flatten" else maps.mean(dim=(2, 3))

    def forward(self, features: Tensor) -> Tensor:
        """`[N, F]` -> logits `[N, outputs]`."""
        for linear in self._hidden():
            features = self.dropout(nn.functional.leaky_relu(linear(features), self.slope))
        return torch.as_tensor(self._last()(features))

    def cam(self, maps: Tensor, seeds: Tensor) -> Tensor:
        """Grad-CAM at the feature map, dropout taken as off.

        maps: `[N, C, h, w]`. seeds: `[K, outputs]`, the gradient of each class's score at the logits.
        Returns `[N, K, h, w]`, at least 0, not normalised (Selvaraju et al. 2017, equations 1 and 2).
        """
        gradient = self._input_gradient(self.pool(maps), seeds)
        channels, height, width = maps.shape[1], maps.shape[2], maps.shape[3]
        if self.pooling == "flatten":
            alpha = gradient.reshape(*gradient.shape[:2], channels, height * width).mean(dim=3)
        else:
            alpha = gradient / (height * width)
        return torch.relu(torch.bmm(alpha, maps.flatten(2)).reshape(*gradient.shape[:2], height, width))

    def _input_gradient(self, features: Tensor, seeds: Tensor) -> Tensor:
        """Gradient of each score at the pooled features, `[N, K, F]`."""
        slopes = []
        for linear in self._hidden():
            before = linear(features)
            slopes.append(torch.where(before > 0, 1.0, self.slope).to(before.dtype))
            features = before * slopes[-1]
        gradient = (seeds @ self._last().weight).unsqueeze(0).expand(features.shape[0], -1, -1)
        for linear, slope in zip(reversed(self._hidden()), reversed(slopes), strict=True):
            gradient = (gradient * slope.unsqueeze(1)) @ linear.weight
        return gradient

    def _hidden(self) -> list[nn.Linear]:
        return [m for m in self.linears if isinstance(m, nn.Linear)][:-1]

    def _last(self) -> nn.Linear:
        return [m for m in self.linears if isinstance(m, nn.Linear)][-1]
