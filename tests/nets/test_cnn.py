"""The networks of the papers' own."""

from __future__ import annotations

import torch
from torch import nn

from pneumoscope.nets.cnn import Cnn12


def test_the_maximum_before_relu_answers_as_after_it() -> None:
    torch.manual_seed(0)
    net = Cnn12()
    convolutions = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
    as_written = nn.Sequential(
        *[m for i, c in enumerate(convolutions) for m in (c, nn.ReLU(), *([nn.MaxPool2d(2)] if i in (1, 3) else []))]
    )
    x = torch.rand(2, 1, 64, 64)
    ours, written = net(x), as_written(x)
    assert torch.equal(ours, written)
    weight = convolutions[0].weight
    (got,) = torch.autograd.grad(ours.square().sum(), weight)
    (expected,) = torch.autograd.grad(written.square().sum(), weight)
    assert torch.allclose(got, expected, rtol=1e-5, atol=1e-7)
