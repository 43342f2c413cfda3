"""The head, and its Grad-CAM as a forward computation against autograd's."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from torch import nn

from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.stage import Head
from pneumoscope.explain.cam import grad_cam
from pneumoscope.nets.build import Net, ScreeningNet, probabilities, score_seeds
from pneumoscope.nets.cnn import SimpleCnn
from pneumoscope.nets.head import MlpHead
from pneumoscope.runtime import engine
from pneumoscope.train import graphs

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
    assert torch.allclose(head(head.fixed(maps)), oracle(maps), atol=1e-6)


# --- a convolution, BatchNorm, and the maximum before flattening (Berrimi 2021, Basu 2020) ------------------------

WHOLE = Head(pooling="average", convolution=6, hidden=(8, 5), activation="leaky_relu", dropout=0.4, batch_norm=True)
NEW_PARTS = [
    WHOLE,
    dataclasses.replace(WHOLE, convolution=0),
    dataclasses.replace(WHOLE, batch_norm=False, activation="relu"),
    dataclasses.replace(WHOLE, pooling="max_flatten"),
    dataclasses.replace(WHOLE, pooling="flatten", hidden=(7,)),
    Head(pooling="max_flatten", hidden=(8, 8), activation="relu"),
    Head(pooling="max_flatten", convolution=4),
]


def settled(head: Head, *, grid: tuple[int, int], classes: ClassSet, outputs: int) -> Net:
    """A network on maps of 10 channels whose BatchNorms have learned: no scale is 1 and no mean 0."""
    torch.manual_seed(3)
    made = MlpHead(head, channels=10, grid=grid, outputs=outputs)
    for norm in made.modules():
        if isinstance(norm, nn.BatchNorm1d):
            nn.init.normal_(norm.weight)  # some below 0: a scale that turns the sign
            nn.init.normal_(norm.bias)
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.2, 3.0)
    return Net(nn.Conv2d(1, 10, 1), made, classes).eval()


@pytest.mark.parametrize("grid", [(4, 6), (5, 7)], ids=["even", "odd"])
@pytest.mark.parametrize(("classes", "outputs"), [(TURNED, 1), (THREE, 3)])
@pytest.mark.parametrize("head", NEW_PARTS, ids=lambda h: f"{h.pooling}-{h.convolution}-{h.batch_norm}")
def test_the_forward_map_of_the_new_parts_is_autograds(
    head: Head, classes: ClassSet, outputs: int, grid: tuple[int, int]
) -> None:
    net = settled(head, grid=grid, classes=classes, outputs=outputs).double()
    x = torch.rand(3, 1, *grid, generator=torch.Generator().manual_seed(2)).double()
    with torch.inference_mode():
        probability, forward = ScreeningNet(net).double().eval()(x)
        assert torch.allclose(probability, probabilities(net(x), classes))
    assert forward.shape == (3, len(classes.names), *grid)
    assert float(forward.max()) > 0
    for k, seed in enumerate(score_seeds(outputs, classes)):
        layer = "head.maps" if head.convolution else "backbone"
        expected = grad_cam(net, x, layer, lambda logits, seed=seed: logits @ seed.double())
        np.testing.assert_allclose(forward[:, k].numpy(), expected, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("pooling", ["average", "max_flatten"])
def test_the_graph_answers_as_torch_where_a_hidden_weight_is_square(pooling: str) -> None:
    """OpenVINO packs a square weight once for its two products, and answers the second with its transpose."""
    head = Head(pooling=pooling, hidden=(16, 16, 16), activation="leaky_relu", batch_norm=True)  # type: ignore[arg-type]
    net = settled(head, grid=(9, 9), classes=THREE, outputs=3)
    images = np.random.default_rng(0).random((4, 9, 9), dtype=np.float32)
    expected, expected_maps = graphs.torch_answers(net, images)
    got, maps = engine.Engine(graphs.to_onnx(net, (9, 9)), precision="fp32").run(images)
    np.testing.assert_allclose(got, expected, atol=1e-5)
    assert float(expected_maps.max()) > 0
    np.testing.assert_allclose(maps, expected_maps, atol=1e-4 * float(expected_maps.max()))


def test_the_new_parts_are_torchs_own_layers() -> None:
    """In the order of the papers: convolution, its ReLU, pooling; dense, ReLU, dropout, BatchNorm; outputs."""
    head = settled(WHOLE, grid=(4, 4), classes=THREE, outputs=3).head
    leak = nn.LeakyReLU(0.01)
    layers: list[nn.Module] = [head.convolution, leak, nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    for linear, norm in zip(head.linears, (*head.norms, None), strict=True):
        layers += [linear] if norm is None else [linear, leak, head.dropout, norm]
    oracle = nn.Sequential(*layers)
    maps = torch.rand(5, 10, 4, 4)
    assert torch.allclose(head(head.fixed(maps)), oracle(maps), atol=1e-6)
    for module in (head.train(), oracle.train()):  # the same order in training: dropout falls before BatchNorm
        torch.manual_seed(0)
        module.answers = module(maps)
    assert torch.allclose(head.answers, oracle.answers, atol=1e-5)


def test_a_maximum_is_of_each_two_by_two_and_the_odd_edge_is_dropped() -> None:
    head = MlpHead(Head(pooling="max_flatten"), channels=1, grid=(3, 5), outputs=2)
    maps = torch.tensor([[1.0, 2, 3, 4, 90], [5, 6, 7, 8, 90], [90, 90, 90, 90, 90]]).reshape(1, 1, 3, 5)
    assert head.fixed(maps).tolist() == [[6.0, 8.0]]
    assert head.linears[0].in_features == 2


def test_what_no_weight_of_the_head_changes_is_kept_as_it_is_before_a_convolution() -> None:
    maps = torch.rand(2, 10, 4, 4)
    with_one = MlpHead(WHOLE, channels=10, grid=(4, 4), outputs=3)
    assert with_one.fixed(maps) is maps
    without = MlpHead(dataclasses.replace(WHOLE, convolution=0), channels=10, grid=(4, 4), outputs=3)
    assert torch.equal(without.fixed(maps), maps.mean(dim=(2, 3)))


def test_the_output_layer_is_the_last_linear_one() -> None:
    net = settled(WHOLE, grid=(4, 4), classes=THREE, outputs=3)
    names = {name for name in net.state_dict() if net.head.is_output(name)}
    assert names == {"head.linears.2.weight", "head.linears.2.bias"}
