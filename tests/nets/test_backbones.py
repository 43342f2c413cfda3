"""Backbones: their counts against Keras's, their contract, and the layers that can be hooked."""

from __future__ import annotations

import functools

import pytest
import torch

from pneumoscope.errors import UsageError
from pneumoscope.nets.architectures import ARCHITECTURES, architecture, feature_net
from pneumoscope.nets.backbones import Backbone, build_backbone, conv_layers
from pneumoscope.nets.weights import RECORDS

# keras.applications 3.15 with include_top=False: trainable parameters, and the others (BatchNorm's statistics).
KERAS = {
    "vgg16": (14_714_688, 0),
    "vgg19": (20_024_384, 0),
    "densenet121": (6_953_856, 83_648),
    "resnet152v2": (42_528_896, 97_664),  # Keras's ResNet101V2: the substitute is one
    "resnet50v2": (23_519_360, 45_440),
    "mobilenetv2": (2_223_872, 34_112),
    "inceptionv3": (21_768_352, 34_432),
    "inceptionresnetv2": (54_276_192, 60_544),
    "xception": (20_806_952, 54_528),
    "resnet50": (23_534_592, 53_120),
}
# What timm's networks have more or less, and why: Keras's Inceptions have no BatchNorm scale (gamma), and its
# ResNets give a bias to convolutions before a BatchNorm (V2: to the first, the last of a block and the skips).
LEGITIMATE = {
    "inceptionv3": 17_216,
    "inceptionresnetv2": 30_272,
    "resnet50v2": -(64 + 3840 + 3 * 256 + 4 * 512 + 6 * 1024 + 3 * 2048),
    "resnet152v2": -(64 + 3840 + 3 * 256 + 4 * 512 + 23 * 1024 + 3 * 2048),
    "resnet50": -26_560,
}


@functools.cache
def random_backbone(name: str) -> Backbone:
    return build_backbone(name, init="random", seed=1)[0].eval()


@functools.cache
def shapes_of(name: str) -> torch.nn.Module:
    return feature_net(architecture(name).timm_name, seed=None)


def grey(size: int, n: int = 1) -> torch.Tensor:
    return torch.rand(n, 1, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", KERAS)
def test_parameter_counts_are_keras_s(name):
    net = shapes_of(name)
    trainable = sum(p.numel() for p in net.parameters())
    statistics = sum(b.numel() for key, b in net.named_buffers() if not key.endswith("num_batches_tracked"))
    assert (trainable - LEGITIMATE.get(name, 0), statistics) == KERAS[name]


def test_resnet50_lacks_only_the_biases_of_keras():
    biases = sum(m.out_channels for m in shapes_of("resnet50").modules() if isinstance(m, torch.nn.Conv2d))
    assert -biases == LEGITIMATE["resnet50"]


@pytest.mark.parametrize("name", ["inceptionv3", "inceptionresnetv2"])
def test_inceptions_have_only_the_scales_more_than_keras(name):
    scales = sum(m.weight.numel() for m in shapes_of(name).modules() if isinstance(m, torch.nn.BatchNorm2d))
    assert scales == LEGITIMATE[name]


@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_contract_of_every_backbone(name):
    backbone = random_backbone(name)
    with torch.inference_mode():
        maps = backbone(grey(80))
    assert maps.shape[:2] == (1, architecture(name).channels)
    assert maps.ndim == 4
    assert torch.isfinite(maps).all()
    modules = dict(backbone.named_modules())
    assert backbone.layers()[0] == "features"
    assert set(backbone.layers()) <= set(modules)
    assert not any(getattr(m, "inplace", False) for m in modules.values())


@pytest.mark.parametrize(("name", "grid"), [("vgg16", 7), ("mobilenetv2", 7)])
def test_last_map_at_224(name, grid):
    with torch.inference_mode():
        assert random_backbone(name)(grey(224)).shape[2:] == (grid, grid)


@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_convolutions_are_in_forward_order_but_for_parallel_branches(name):
    backbone = random_backbone(name)
    convolutions, ran = conv_layers(backbone), []
    handles = [c.register_forward_hook(lambda m, _i, _o: ran.append(m)) for c in convolutions]
    with torch.inference_mode():
        backbone(grey(80))
    for handle in handles:
        handle.remove()
    assert len(ran) == len(set(ran)) == len(convolutions)
    if name == "xception":  # its skips are defined before, and run after, the branch beside them
        skips = [m for key, m in backbone.named_modules() if key.endswith(".skip")]
        ran, convolutions = ([c for c in some if c not in skips] for some in (ran, convolutions))
    assert ran == convolutions


def test_grey_is_repeated_and_normalised_inside():
    backbone = random_backbone("mobilenetv2")
    x = grey(64)
    seen = []
    handle = backbone.net.conv_stem.register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0]))
    with torch.inference_mode():
        backbone(x)
    handle.remove()
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = (x.repeat(1, 3, 1, 1) - mean[:, None, None]) / std[:, None, None]
    torch.testing.assert_close(seen[0], expected)
    assert {"mean", "std"} <= set(backbone.state_dict())


def test_seed_repeats_and_leaves_the_global_state():
    before = torch.get_rng_state()
    one, same, other = (build_backbone("mobilenetv2", init="random", seed=s)[0].net.conv_stem.weight for s in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("record", [r for r in RECORDS if r.bn_eps is not None], ids=lambda r: r.timm_name)
def test_random_networks_have_the_epsilon_of_the_known_weights(record):
    # so weights saved from one may be laid over the other
    norms = [m.eps for m in feature_net(record.timm_name, seed=None).modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert set(norms) == {record.bn_eps}


def test_epsilon_can_be_set():
    backbone = Backbone("mobilenetv2", mean=(0.5,) * 3, std=(0.5,) * 3, bn_eps=0.01, seed=None)
    assert backbone.bn_eps == 0.01
    assert {m.eps for m in backbone.modules() if isinstance(m, torch.nn.BatchNorm2d)} == {0.01}
    assert Backbone("vgg16", mean=(0.5,) * 3, std=(0.5,) * 3, seed=None).bn_eps is None


@pytest.mark.parametrize("size", [74, 75, 96, 97])
def test_border_mean_leaves_the_padding_out(size):
    import torch.nn.functional as F

    from pneumoscope.nets.architectures import BorderMean

    x = torch.rand(2, 3, size, size - 7)
    expected = F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
    torch.testing.assert_close(BorderMean()(F.avg_pool2d(x, 3, stride=1, padding=1)), expected)


def test_random_is_recorded():
    used = build_backbone("mobilenetv2", init="random", seed=3)[1]
    assert used.origin == "random, seed 3"
    assert used.file is None
    assert used.digest == ""
    assert used.bn_eps == 1e-5


def test_the_substitute_says_so():
    assert "ResNet152V2" in str(architecture("resnet152v2").substitute)
    assert architecture("resnetv2_101") is architecture("resnet152v2")
    assert [n for n in ARCHITECTURES if ARCHITECTURES.resolve(n).substitute] == ["resnet152v2"]


def test_unknown_names_are_errors():
    with pytest.raises(UsageError, match="Did you mean 'vgg16'"):
        build_backbone("vg16", init="random")
    with pytest.raises(UsageError, match="'imagenet' or 'random'"):
        build_backbone("vgg16", init="imagnet")
