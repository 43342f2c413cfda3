"""What follows a backbone: a convolution, pooling, hidden layers, outputs, and Grad-CAM as a forward computation.

Linear layers, (leaky, clipped) ReLU and, in evaluation mode, dropout and BatchNorm are piecewise linear, so the
gradient of a class score at the last feature map needs no autograd: it is the product of the weight matrices with the
rows of inactive units scaled. Written as tensors in, tensors out, it exports with the graph, and the base install
explains without torch. Tested equal to autograd. It holds for the last feature map only: earlier ones feed later
convolutions, also where the head joins them (Garg 2021, Fig. 3).
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from pneumoscope.core.stage import Head

LEAK = 0.01
CEILING = 10.0  # of the clipped ReLU; Xue 2021 does not say it, so that of MATLAB's example is assumed
SLOPES = {"relu": 0.0, "leaky_relu": LEAK, "clipped_relu": 0.0}


class MlpHead(nn.Module):
    """A convolution where the recipe has one, pooling, hidden layers, outputs.

    channels, grid: of the backbone's last feature map `[N, C, h, w]`. joined: channels of all earlier stages whose
    means are joined to the last one's. outputs: 1 (a logit of the positive class) or one a class.
    """

    def __init__(self, head: Head, *, channels: int, grid: tuple[int, int], outputs: int, joined: int = 0) -> None:
        super().__init__()
        self.pooling = head.pooling
        self.scales = head.scales
        self.slope = SLOPES[head.activation]
        self.ceiling = CEILING if head.activation == "clipped_relu" else None
        filters = head.convolution
        self.convolution = nn.Conv2d(channels, filters, 3, padding=1) if filters else None
        channels = filters or channels
        cells = {"flatten": grid[0] * grid[1], "max_flatten": (grid[0] // 2) * (grid[1] // 2), "average": 1}
        sizes = (joined + channels * cells[head.pooling], *head.hidden, outputs)
        self.outputs = outputs
        self.linears = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))
        self.norms = nn.ModuleList(nn.BatchNorm1d(n) for n in head.hidden) if head.batch_norm else None
        self.dropout = nn.Dropout(head.dropout)
        self.dropout_first = head.dropout_first
        self.maps = nn.Identity()  # gives the feature map that Grad-CAM is of a name to hook

    def fixed(self, maps: Tensor, earlier: tuple[Tensor, ...] = ()) -> Tensor:
        """What no weight of the head changes, of the backbone's `[N, C, h, w]`: `[N, F]`, or the maps themselves.

        earlier: maps of the stages before, in their order; their means stand before the last one's.
        """
        return maps if self.convolution is not None else self._joined(maps, earlier)

    def forward(self, fixed: Tensor) -> Tensor:
        """What `fixed` gave -> logits `[N, outputs]`."""
        return torch.as_tensor(self.linears[-1](self.penultimate(fixed)))

    def penultimate(self, fixed: Tensor) -> Tensor:
        """What `fixed` gave -> what the output layer gets, `[N, units of the last hidden layer]`.

        It stands after that layer's activation, dropout (which does nothing in evaluation mode) and BatchNorm.
        """
        features = fixed if self.convolution is None else self._pool(self.last_maps(fixed))
        features = self.dropout(features) if self.dropout_first else features
        for linear, norm in self._hidden():
            features = self._activated(linear(features))
            features = features if self.dropout_first else self.dropout(features)
            features = features if norm is None else norm(features)
        return features

    def last_maps(self, maps: Tensor) -> Tensor:
        """The last feature map, `[N, C', h, w]`, of the backbone's `[N, C, h, w]`."""
        if self.convolution is not None:
            maps = self._activated(self.convolution(maps))
        return torch.as_tensor(self.maps(maps))

    def answer(self, maps: Tensor, seeds: Tensor, earlier: tuple[Tensor, ...] = ()) -> tuple[Tensor, Tensor, Tensor]:
        """In evaluation mode: logits `[N, outputs]`, Grad-CAM at the last map, `[N, K, h, w]`, and `penultimate`.

        maps, earlier: the backbone's, as in `fixed`. seeds: `[K, outputs]`, the gradient of each class's score at the
        logits. The Grad-CAM is at least 0 and not normalised (Selvaraju et al. 2017, equations 1 and 2).
        """
        maps = self.last_maps(maps)
        hidden, gradient = self._hidden_and_gradient(self._joined(maps, earlier), seeds)
        channels, height, width = maps.shape[1], maps.shape[2], maps.shape[3]
        before = sum(stage.shape[1] for stage in earlier)  # the last feature map changes none of what these give
        # a maximum passes its gradient to one place of its window, so the mean over all places is known without it
        alpha = gradient[..., before:].reshape(*gradient.shape[:2], channels, -1).sum(dim=3) / (height * width)
        cam = torch.relu(torch.bmm(alpha, maps.flatten(2)).reshape(*gradient.shape[:2], height, width))
        return torch.as_tensor(self.linears[-1](hidden)), cam, hidden

    def is_output(self, name: str) -> bool:
        """Whether a tensor of the network, by its name, belongs to the output layer: new for other classes."""
        return name.startswith(f"head.linears.{len(self.linears) - 1}.")

    def _activated(self, x: Tensor) -> Tensor:
        x = nn.functional.leaky_relu(x, self.slope)
        return x if self.ceiling is None else x.clamp(max=self.ceiling)

    def _joined(self, maps: Tensor, earlier: tuple[Tensor, ...]) -> Tensor:
        """`[N, F]`: the means of the earlier stages in their order, then the last feature map, pooled."""
        pooled = self._pool(maps)
        return torch.cat([*(stage.mean(dim=(2, 3)) for stage in earlier), pooled], dim=1) if earlier else pooled

    def _pool(self, maps: Tensor) -> Tensor:
        """`[N, C, h, w]` -> `[N, F]`."""
        if self.pooling == "average":
            return maps.mean(dim=(2, 3))
        if self.pooling == "max_flatten":
            maps = nn.functional.max_pool2d(maps, 2)
        return maps.flatten(1)

    def _hidden_and_gradient(self, features: Tensor, seeds: Tensor) -> tuple[Tensor, Tensor]:
        """`penultimate`, and the gradient of each score at the pooled features, `[N, K, F]`."""
        slopes = []
        for linear, norm in self._hidden():
            before = linear(features)
            slope = torch.where(before > 0, 1.0, self.slope).to(before.dtype)
            features = before * slope
            if self.ceiling is not None:
                slope = slope * (before < self.ceiling)
                features = features.clamp(max=self.ceiling)
            if norm is not None:
                scale, shift = _affine(norm)
                features = features * scale + shift
                slope = slope * scale
            slopes.append(slope)
        gradient = (seeds @ torch.as_tensor(self.linears[-1].weight)).unsqueeze(0).expand(features.shape[0], -1, -1)
        for (linear, _), slope in zip(reversed(self._hidden()), reversed(slopes), strict=True):
            gradient = _times(gradient * slope.unsqueeze(1), linear.weight)
        return features, gradient

    def _hidden(self) -> list[tuple[nn.Linear, nn.BatchNorm1d | None]]:
        """The hidden layers, each with its BatchNorm where it has one."""
        linears = [m for m in self.linears if isinstance(m, nn.Linear)][:-1]
        norms: list[nn.BatchNorm1d | None] = [m for m in self.norms or () if isinstance(m, nn.BatchNorm1d)]
        return list(zip(linears, norms or [None] * len(linears), strict=True))


def _affine(norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    """What BatchNorm multiplies with and adds in evaluation mode."""
    scale = norm.weight * torch.rsqrt(torch.as_tensor(norm.running_var) + norm.eps)
    return scale, norm.bias - torch.as_tensor(norm.running_mean) * scale


def _times(gradient: Tensor, weight: Tensor) -> Tensor:
    """`gradient @ weight`, `[N, K, A] x [A, B]`.

    A square weight gets a row of zeros: OpenVINO 2026.4 packs a weight once for both products that it stands in, and
    where it is square answers this one with the transposed weight of the forward pass.
    """
    if weight.shape[0] == weight.shape[1]:
        gradient = torch.cat([gradient, torch.zeros_like(gradient[..., :1])], dim=-1)
        weight = torch.cat([weight, torch.zeros_like(weight[:1])])
    return gradient @ weight
