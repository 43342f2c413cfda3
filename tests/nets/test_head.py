"""The head, and its Grad-CAM as a forward computation against autograd's."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.recipe import Head
from pneumoscope.explain.cam import grad_cam
from pneumoscope.nets.build import Net, ScreeningNet, probabilities, score_seeds
from pneumoscope.nets.cnn import SimpleCnn
from pneumoscope.nets.head import MlpHead

TWO = ClassSet(names=("non-covid", "covid"), positive="covid")
TURNED = ClassSet(names=("covid", "non-covid"), positive="covid")
THREE = ClassSet(names=("covid", "pneumonia", "normal"))
SIZE = (48, 32)


def net_of(head: Head, classes: ClassSet, outputs: int) -> Net:
    torch.manual_seed(1)
    made = MlpHead(head, channels=128, grid=(SIZE[0] // 16, SIZE[1] // 16), outputs=outputs)
    return Net(SimpleCnn(), made, classes).eval()


CASES = list(
    itertools.product(
        ("flatten", "average"),
        ((), (16,), (32, 8)),
        ("relu", "leaky_relu"),
        ((TWO, 1), (TURNED, 1), (TWO, 2), (THREE, 3)),
    )
)


@pytest.mark.parametrize(("pooling", "hidden", "activation", "case"), CASES)
def test_the_forward_map_is_autograds(pooling: str, hidden: tuple[int, ...], activation: str, case: tuple) -> None:
    classes, outputs = case
    head = Head(pooling=pooling, hidden=hidden, activation=activation, dropout=0.3)
    net = net_of(head, classes, outputs).double()
    x = torch.rand(3, 1, *SIZE, generator=torch.Generator().manual_seed(2)).double()
    with torch.inference_mode():
        _, forward = ScreeningNet(net).double().eval()(x)
    for k, seed in enumerate(score_seeds(outputs, classes)):
        expected = grad_cam(net, x, "backbone", lambda logits, seed=seed: logits @ seed.double())
        np.testing.assert_allclose(forward[:, k].numpy(), expected, rtol=1e-6, atol=1e-12)


def test_the_forward_map_is_not_trivially_zero() -> None:
    net = net_of(Head(pooling="average", hidden=(16,)), THREE, 3)
    with torch.inference_mode():
        _, cam = ScreeningNet(net).eval()(torch.rand(4, 1, *SIZE))
    assert float(cam.max()) > 0
    assert float(cam.min()) >= 0


def test_probabilities_follow_the_order_of_the_classes() -> None:
    logits = torch.tensor([[2.0], [-1.0]])
    p = torch.sigmoid(logits)[:, 0]
    assert torch.allclose(probabilities(logits, TWO), torch.stack([1 - p, p], dim=1))
    assert torch.allclose(probabilities(logits, TURNED), torch.stack([p, 1 - p], dim=1))
    three = torch.tensor([[1.0, 2.0, 3.0]])
    assert torch.allclose(probabilities(three, THREE), torch.softmax(three, dim=1))


def test_the_paper_heads_have_the_papers_sizes() -> None:
    """Szalay 2021, section 4: flatten-256-512-1 on VGG16's 7 x 7 x 512, and the same after average pooling."""
    flat = MlpHead(Head(pooling="flatten", hidden=(256, 512)), channels=512, grid=(7, 7), outputs=1)
    average = MlpHead(Head(pooling="average", hidden=(256, 512)), channels=512, grid=(7, 7), outputs=1)
    assert sum(p.numel() for p in flat.parameters()) == (25088 * 256 + 256) + (256 * 512 + 512) + (512 + 1)
    assert sum(p.numel() for p in average.parameters()) == (512 * 256 + 256) + (256 * 512 + 512) + (512 + 1)


def test_the_head_is_torchs_own_layers() -> None:
    head = MlpHead(Head(pooling="average", hidden=(4,), activation="relu"), channels=3, grid=(2, 2), outputs=2)
    first, last = head.linears
    oracle = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), first, nn.ReLU(), last)
    maps = torch.rand(5, 3, 2, 2)
    assert torch.allclose(head(head.pool(maps)), oracle(maps), atol=1e-6)
