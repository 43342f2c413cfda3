"""The classifier of volumes: the head's sizes, its Grad-CAM without autograd, and what it refuses."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.stage import Head, Optim, Stage
from pneumoscope.errors import RecipeError
from pneumoscope.explain.cam import grad_cam
from pneumoscope.nets.build import choose_trainable, probabilities, score_seeds
from pneumoscope.nets.head import MlpHead
from pneumoscope.nets.volume import SAVE_MEMORY_FROM, ScreeningVolume, VolumeNet, bf16_is_right, build_volume
from pneumoscope.train.loop import autocast, bf16_is_fast

THREE = ClassSet(names=("covid", "cap", "normal"), positive="covid", normal="normal")
TWO = ClassSet(names=("covid", "normal"), positive="covid")
HEAD = Head(pooling="average", hidden=(512,), activation="clipped_relu", dropout=0.5)  # Xue 2021, Table 2
STAGE = Stage(
    name="volume",
    level="volume",
    net="resnet18_3d",
    head=HEAD,
    init="random",
    trainable="all",
    loss="cross_entropy",
    class_weights="none",
    optim=Optim(name="adam", lr=2e-4),
    epochs=1,
    batch=2,
)


class Blocks(nn.Module):
    """Maps of 6 channels, `[N, 6, D/2, H/2, W/2]`."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv3d(1, 6, 3, padding=1), nn.ReLU(), nn.MaxPool3d(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.features(x)


def net_of(head: Head, classes: ClassSet, outputs: int) -> VolumeNet:
    torch.manual_seed(4)
    made = MlpHead(head, channels=6, grid=(1, 1), outputs=outputs)
    with torch.no_grad():
        made.linears[0].weight.mul_(200)  # so that units are below 0, between, and above the ceiling
    return VolumeNet(Blocks(), made, classes).eval()


def volumes(n: int = 3) -> torch.Tensor:
    return torch.rand(n, 1, 6, 8, 10, generator=torch.Generator().manual_seed(5))


CASES = [(THREE, 3), (TWO, 2), (TWO, 1)]
HEADS = [
    HEAD,
    dataclasses.replace(HEAD, hidden=(64, 48)),
    dataclasses.replace(HEAD, batch_norm=True, hidden=(32,)),
    dataclasses.replace(HEAD, activation="relu", hidden=()),
]


@pytest.mark.parametrize("head", HEADS, ids=lambda h: f"{h.activation}-{h.hidden}")
@pytest.mark.parametrize(("classes", "outputs"), CASES)
def test_the_forward_map_of_a_volume_is_autograds(head: Head, classes: ClassSet, outputs: int) -> None:
    net = net_of(head, classes, outputs).double()
    x = volumes().double()
    with torch.inference_mode():
        probability, forward = ScreeningVolume(net).double().eval()(x)
        assert torch.allclose(probability, probabilities(net(x), classes))
    assert forward.shape == (3, len(classes.names), 3, 4, 5)
    assert float(forward.max()) > 0
    for k, seed in enumerate(score_seeds(outputs, classes)):
        expected = grad_cam(net, x, "backbone", lambda logits, seed=seed: logits @ seed.double())
        np.testing.assert_allclose(forward[:, k].numpy(), expected, rtol=1e-6, atol=1e-12)


def test_the_clipped_relu_ends_at_10_and_units_on_both_sides_were_tested_above() -> None:
    net = net_of(HEAD, THREE, 3)
    before = net.head.linears[0](net.features(volumes()))
    assert bool((before < 0).any() & (before > 10).any() & ((before > 0) & (before < 10)).any())
    torch.testing.assert_close(net.head.penultimate(net.features(volumes())), nn.functional.hardtanh(before, 0, 10))


def test_the_network_of_table_2_has_its_sizes_and_trains() -> None:
    net, used = build_volume(STAGE, THREE, input_size=(32, 32, 32), weights_dir=None, seed=1)
    assert [tuple(linear.weight.shape) for linear in net.head.linears] == [(512, 512), (3, 512)]
    assert used.file is None
    assert not net.backbone.save_memory
    assert choose_trainable(net, STAGE) == []
    logits = net.train()(torch.rand(2, 1, 32, 32, 32))
    nn.functional.cross_entropy(logits, torch.tensor([0, 2])).backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in net.parameters())


def test_its_upper_convolutions_are_found() -> None:
    net, _ = build_volume(STAGE, THREE, input_size=(32, 32, 32), weights_dir=None, seed=1)
    choose_trainable(net, dataclasses.replace(STAGE, trainable="upper:2"))
    trained = {name for name, p in net.backbone.named_parameters() if p.requires_grad}
    assert trained == {"net.layer4.1.conv1.weight", "net.layer4.1.conv2.weight"}


@pytest.mark.parametrize(("batch", "saves"), [(1, False), (2, True)])
def test_large_batches_are_trained_with_less_memory(batch: int, saves: bool) -> None:
    half = (192, 192, SAVE_MEMORY_FROM // 192**2 // 2)
    net, _ = build_volume(dataclasses.replace(STAGE, batch=batch), THREE, input_size=half, weights_dir=None, seed=1)
    assert net.backbone.save_memory is saves


@pytest.mark.parametrize(
    "changed", [{"pooling": "flatten"}, {"convolution": 8}, {"scales": 3}], ids=lambda c: next(iter(c))
)
def test_a_head_for_images_alone_is_refused(changed: dict) -> None:
    stage = dataclasses.replace(STAGE, head=dataclasses.replace(HEAD, **changed))
    with pytest.raises(RecipeError, match=r"stages\.volume\.head: expected pooling 'average', no convolution and 1"):
        build_volume(stage, THREE, input_size=(32, 32, 32), weights_dir=None, seed=0)


def test_medicalnet_is_for_volumes_alone() -> None:
    assert dataclasses.replace(STAGE, init="medicalnet").init == "medicalnet"
    with pytest.raises(RecipeError, match=r"expected 'imagenet', 'random' or 'stage:<name>', found 'medicalnet'"):
        dataclasses.replace(STAGE, level="slice", init="medicalnet")


def dirty_heap() -> None:
    """Leave NaN in the memory that is handed out next."""
    for n in (10_000, 100_000, 1_000_000) * 8:
        torch.full((n,), float("nan"))


@pytest.mark.parametrize("side", [64, 96])
def test_gradients_of_volumes_hold_nothing_that_lay_in_memory(side: int) -> None:
    """The last stage's convolutions, as they are trained: 2 voxels a side for volumes of 64, 3 for 96."""
    for seed in range(3):
        torch.manual_seed(seed)
        layer = nn.Conv3d(128, 128, 3, padding=1, bias=False).to(memory_format=torch.channels_last_3d)
        x = torch.rand(2, 128, *3 * [side // 32]).contiguous(memory_format=torch.channels_last_3d)
        with autocast(bf16_is_right((side, side, side)) and bf16_is_fast()):
            y = layer(x)
        dirty_heap()
        y.float().square().mean().backward()
        assert layer.weight.grad is not None
        assert layer.weight.grad.isfinite().all()


def test_images_are_trained_in_bf16_whatever_their_size() -> None:
    assert bf16_is_right((32, 32))
    assert not bf16_is_right((64, 128, 128))
