"""Feature maps: what a layer answers, of any network, and the grid of the brightest channels."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import nn

from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.stage import Head
from pneumoscope.errors import UsageError
from pneumoscope.nets.architectures import ARCHITECTURES
from pneumoscope.nets.backbones import build_backbone
from pneumoscope.nets.build import Net
from pneumoscope.nets.cnn import OWN
from pneumoscope.nets.head import MlpHead
from pneumoscope.nets.maps import BORDER, MOST, TILE, default_layers, feature_maps, grid, picture

CLASSES = ClassSet(names=("no", "yes"), positive="yes")
PIXELS = np.random.default_rng(0).random((96, 96), dtype=np.float32)


@functools.cache
def net(name: str, convolution: int = 0) -> Net:
    torch.manual_seed(0)
    backbone = OWN.resolve(name)() if name in OWN else build_backbone(name, init="random", seed=1)[0]
    with torch.inference_mode():
        channels, *size = backbone.eval()(torch.zeros(1, 1, 96, 96)).shape[1:]
    described = Head(pooling="average", convolution=convolution)
    return Net(backbone, MlpHead(described, channels=channels, grid=(size[0], size[1]), outputs=1), CLASSES)


# the two left out are a larger one of a kind that is there
@pytest.mark.parametrize("name", sorted({*ARCHITECTURES, *OWN} - {"vgg19", "resnet152v2"}))
def test_an_early_a_middle_and_the_last_layer_of_any_network(name: str) -> None:
    layers = default_layers(net(name))
    found = feature_maps(net(name), PIXELS, layers)
    assert tuple(found) == layers
    assert len(set(layers)) == 3
    assert layers[2] == "features"
    sides = [maps.shape[1] for maps in found.values()]
    assert sides[0] > sides[1] >= sides[2]
    assert all(maps.dtype == np.float32 and maps.ndim == 3 for maps in found.values())
    with torch.inference_mode():
        last = net(name).backbone.eval()(torch.from_numpy(PIXELS)[None, None])[0].numpy()
    np.testing.assert_array_equal(found["features"], last)


def test_the_last_layer_is_the_heads_where_the_head_convolves() -> None:
    made = net("cnn", 5)
    assert default_layers(made)[2] == "head.maps"
    maps = feature_maps(made, PIXELS, ["features", "head.maps"])
    with torch.inference_mode():
        expected = made.head.last_maps(torch.from_numpy(maps["features"])[None])[0]
    assert maps["head.maps"].shape == (5, 6, 6)
    np.testing.assert_allclose(maps["head.maps"], expected.numpy(), rtol=1e-5, atol=1e-7)


def test_a_layer_in_between_answers_what_the_layers_up_to_it_compute() -> None:
    made = net("cnn12")
    maps = feature_maps(made, PIXELS, ["features.0", "features.3"])
    with torch.inference_mode():
        x = torch.from_numpy(PIXELS)[None, None]
        expected = {f"features.{k}": made.backbone.features[: k + 1](x)[0].numpy() for k in (0, 3)}
    for layer, values in expected.items():
        np.testing.assert_allclose(maps[layer], values, rtol=1e-4, atol=1e-6)
    assert maps["features.0"].min() < 0  # before its ReLU


def test_an_operation_in_place_behind_a_layer_does_not_change_its_maps() -> None:
    made = Net(OWN.resolve("cnn")(), net("cnn").head, CLASSES)
    made.backbone.features[2] = nn.ReLU(inplace=True)
    assert feature_maps(made, PIXELS, ["features.1"])["features.1"].min() < 0


def test_the_network_is_left_as_it_was() -> None:
    made = net("cnn").train()
    made.backbone.features[1].eval()
    state = {name: tensor.clone() for name, tensor in made.state_dict().items()}
    modes = [m.training for m in made.modules()]
    one, again = (feature_maps(made, PIXELS, ["features.1"])["features.1"] for _ in range(2))
    with pytest.raises(UsageError):
        feature_maps(made, PIXELS, ["features", "features.99"])
    assert np.array_equal(one, again)
    assert [m.training for m in made.modules()] == modes
    assert all(torch.equal(tensor, state[name]) for name, tensor in made.state_dict().items())
    assert not any(m._forward_hooks for m in made.modules())
    assert all(p.requires_grad for p in made.parameters())


def test_the_image_may_be_read_only() -> None:
    pixels = PIXELS.copy()
    pixels.flags.writeable = False
    assert feature_maps(net("cnn"), pixels, ["features"])["features"].shape == (128, 6, 6)


@pytest.mark.parametrize("layer", ["", "features.99", "net", "../x", "head", "head.linears.0"])
def test_an_unknown_layer_is_an_error(layer: str) -> None:
    with pytest.raises(UsageError, match=r"^layer: expected one of the network, found"):
        feature_maps(net("cnn"), PIXELS, [layer])


def test_a_layer_that_does_not_run_once_or_has_no_maps_is_an_error() -> None:
    with pytest.raises(UsageError, match=r"found 'head\.maps' run 0 times"):
        feature_maps(net("cnn"), PIXELS, ["head.maps"])
    twice = Net(OWN.resolve("cnn")(), net("cnn").head, CLASSES)
    twice.backbone.features[6] = twice.backbone.features[2]
    with pytest.raises(UsageError, match=r"found 'features\.2' run 2 times"):
        feature_maps(twice, PIXELS, ["features.2"])
    flat = Net(nn.Sequential(nn.Flatten(), nn.Unflatten(1, (1, 96, 96))), net("cnn").head, CLASSES)
    with pytest.raises(UsageError, match=r"expected an output \[N, C, h, w\], found \[1, 9216\] at '0'"):
        feature_maps(flat, PIXELS, ["0"])


def tiles_of(sheet: np.ndarray, columns: int, side: int) -> list[np.ndarray]:
    """The tiles of a grid of square ones with a border of two pixels, row by row."""
    step = side + 2
    rows = (sheet.shape[0] - 2) // step
    return [sheet[2 + r * step :, 2 + c * step :][:side, :side] for r in range(rows) for c in range(columns)]


def test_the_brightest_channels_come_first_on_one_scale() -> None:
    rng = np.random.default_rng(1)
    strength = np.array([1, 4, 2, 8, 3], dtype=np.float32)
    maps = (rng.random((5, TILE, TILE)) * strength[:, None, None]).astype(np.float32)
    sheet = grid(maps, most=4)
    assert sheet.dtype == np.float32
    assert sheet.shape == (2 * TILE + 6, 2 * TILE + 6)
    tiles = tiles_of(sheet, 2, TILE)
    white = np.percentile(maps[[3, 1, 4, 2]], 99)
    for tile, channel in zip(tiles, [3, 1, 4, 2], strict=True):
        np.testing.assert_allclose(tile, np.minimum(maps[channel] / white, 1), rtol=1e-5)
    between = [0, 1, TILE + 2, TILE + 3, -2, -1]
    assert np.all(sheet[between] == np.float32(BORDER))
    assert np.all(sheet[:, between] == np.float32(BORDER))


def test_light_is_what_lies_above_zero() -> None:
    dark, bright = np.full((TILE, TILE), -9, np.float32), np.full((TILE, TILE), -1, np.float32)
    bright[:8] = 2
    first, second = tiles_of(grid(np.stack([dark, bright])), 2, TILE)
    assert (first[:8] == 1).all()
    assert not first[8:].any()
    assert not second.any()


def test_one_place_far_above_all_does_not_darken_the_rest() -> None:
    maps = np.random.default_rng(0).random((4, TILE, TILE), dtype=np.float32)
    maps[0, 3, 3] = 1000
    assert np.median(grid(maps)) > 0.4


def test_small_maps_are_enlarged_pixel_by_pixel_and_the_grid_is_near_square() -> None:
    maps = np.arange(7 * 4, dtype=np.float32).reshape(7, 2, 2)
    sheet = grid(maps)
    assert sheet.shape == (3 * TILE + 8, 3 * TILE + 8)
    tiles = tiles_of(sheet, 3, TILE)
    half = TILE // 2
    for r in (0, half):
        for c in (0, half):
            assert len(np.unique(tiles[0][r : r + half, c : c + half])) == 1
    assert all((tile == np.float32(BORDER)).all() for tile in tiles[7:])


def test_equal_channels_keep_their_order() -> None:
    maps = np.zeros((3, TILE, TILE), np.float32)
    for k in range(3):
        maps[k, k] = 1
    assert [int(np.flatnonzero(tile[:, 0])[0]) for tile in tiles_of(grid(maps), 2, TILE)[:3]] == [0, 1, 2]


@given(
    maps=arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 40), st.integers(1, 9), st.integers(1, 9)),
        elements=st.floats(-(2.0**100), 2.0**100, width=32, allow_subnormal=False),
    ),
    most=st.integers(1, 50),
)
def test_any_maps_make_a_picture_in_zero_to_one(maps: np.ndarray, most: int) -> None:
    sheet = grid(maps, most=most)
    assert sheet.dtype == np.float32
    assert np.isfinite(sheet).all()
    assert sheet.min() >= 0
    assert sheet.max() <= 1
    shape = maps.shape[1:]
    scale = -(-TILE // max(shape))
    assert sheet.size >= min(most, len(maps)) * scale**2 * shape[0] * shape[1]


def test_a_caption_names_layer_channels_and_size() -> None:
    many = picture("net.layer1", np.zeros((64, 5, 7), np.float32))
    assert many.caption == f"net.layer1: {MOST} brightest of 64 channels of 5 x 7"
    assert picture("features", np.zeros((16, 5, 7), np.float32)).caption == "features: 16 channels of 5 x 7"
    assert many.right is None
    assert many.heat is None
