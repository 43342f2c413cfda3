"""2D weights in a 3D network: on a volume of equal slices it answers in every slice as the 2D network does."""

from __future__ import annotations

import functools

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from pneumoscope.nets.architectures import feature_net
from pneumoscope.nets.backbones import Backbone
from pneumoscope.nets.inflate import for_grey, inflate
from pneumoscope.nets.resnet3d import ResNet3d, build_resnet3d
from pneumoscope.nets.weights import HALF, IMAGENET_MEAN, IMAGENET_STD


@functools.cache
def flat_state() -> dict[str, Tensor]:
    """Tensors of a 2D ResNet18 whose BatchNorms have seen something: no mean is 0 and no deviation 1."""
    net = feature_net("resnet18", seed=7)
    generator = torch.Generator().manual_seed(8)
    for norm in net.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean = 0.3 * torch.randn(norm.num_features, generator=generator)
            norm.running_var = 0.5 + torch.rand(norm.num_features, generator=generator)
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}


@functools.cache
def inflated(mean: tuple[float, float, float], std: tuple[float, float, float]) -> ResNet3d:
    net = ResNet3d("resnet18_3d", mean=sum(mean) / 3, std=sum(std) / 3, seed=None)
    net.net.load_state_dict(inflate(for_grey(flat_state(), mean, std)), assign=True)
    return net.eval()


def flat_answer(image: Tensor, mean: tuple[float, float, float], std: tuple[float, float, float]) -> Tensor:
    """What timm's own 2D network makes of a grey image repeated to three channels."""
    net = feature_net("resnet18", seed=0)
    net.load_state_dict(flat_state())
    x = (image.expand(-1, 3, -1, -1) - torch.tensor(mean).reshape(3, 1, 1)) / torch.tensor(std).reshape(3, 1, 1)
    with torch.inference_mode():
        return net.eval().forward_features(x)


def image(size: int = 96) -> Tensor:
    coarse = torch.rand(2, 1, size // 8, size // 8, generator=torch.Generator().manual_seed(3))
    return nn.functional.interpolate(coarse, size=(size, size), mode="bilinear")


def off(got: Tensor, expected: Tensor) -> float:
    return float((got - expected).norm() / expected.norm())


@pytest.mark.parametrize("depth", [1, 7, 64])
def test_a_volume_of_equal_slices_is_answered_in_every_slice_as_the_2d_network_answers_one(depth: int) -> None:
    """In every slice, the first and the last, too: what zero padding adds in depth meets the zeros of the kernel."""
    volume = image().unsqueeze(2).expand(-1, -1, depth, -1, -1)
    expected = flat_answer(image(), HALF, HALF)
    with torch.inference_mode():
        got = inflated(HALF, HALF)(volume)
    assert got.shape == (2, 512, -(-depth // 32), 3, 3)
    assert float((got - expected.unsqueeze(2)).abs().max()) < 1e-4 * float(expected.abs().max())
    assert off(got.mean((2, 3, 4)), expected.mean((2, 3))) < 1e-5  # what the head gets, pooled over the depth, too


def test_with_means_that_differ_the_first_layer_is_exact_but_at_the_border_in_the_plane() -> None:
    net, flat = inflated(IMAGENET_MEAN, IMAGENET_STD), feature_net("resnet18", seed=0)
    flat.load_state_dict(flat_state())
    backbone = Backbone("resnet50", mean=IMAGENET_MEAN, std=IMAGENET_STD, seed=None)
    with torch.inference_mode():
        expected = flat.eval().bn1(flat.conv1((image() - backbone.mean) / backbone.std))
        x = (image().unsqueeze(2).expand(-1, -1, 5, -1, -1) - net.mean) / net.std
        got = net.net.bn1(net.net.conv1(x))
    inner = (..., slice(2, -2), slice(2, -2))
    assert off(got[inner], expected.unsqueeze(2).expand_as(got)[inner]) < 1e-5
    assert 1e-4 < off(got, expected.unsqueeze(2).expand_as(got)) < 0.2


def test_a_kernel_stands_in_the_middle_plane_and_the_rest_is_zero() -> None:
    made = inflate({"conv": torch.rand(4, 2, 3, 3), "one": torch.rand(4, 2, 1, 1), "bn": torch.rand(4)})
    assert made["conv"].shape == (4, 2, 3, 3, 3)
    assert made["one"].shape == (4, 2, 1, 1, 1)
    assert made["bn"].shape == (4,)
    assert float(made["conv"][:, :, 1].min()) > 0
    assert float(made["conv"][:, :, [0, 2]].abs().max()) == 0


def test_the_users_2d_weights_are_found_inflated_and_recorded(tmp_path) -> None:
    save_file(flat_state() | {"fc.weight": torch.zeros(3, 512)}, tmp_path / "resnet18.safetensors")
    net, used = build_resnet3d("resnet18_3d", init="imagenet", weights_dir=tmp_path)
    assert used.file == "resnet18.safetensors"
    assert used.note.endswith("of the 2D network, inflated at the centre slice")
    assert float(net.mean) == pytest.approx(sum(used.mean) / 3)
    kernel = flat_state()["layer1.0.conv1.weight"]
    torch.testing.assert_close(net.net.state_dict()["layer1.0.conv1.weight"][:, :, 1], kernel)
    volume = image().unsqueeze(2).expand(-1, -1, 3, -1, -1)
    with torch.inference_mode():
        got = net.eval()(volume)[:, :, 0]
    assert off(got, flat_answer(image(), used.mean, used.std)) < 0.05  # the border
