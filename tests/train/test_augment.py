"""Augmentation: each image its own, repeatable from torch's seed, never out of 0..1."""

from __future__ import annotations

import math

import pytest
import torch

from pneumoscope.core.stage import Step
from pneumoscope.errors import RecipeError, UsageError
from pneumoscope.train.augment import augmentation

ALL = (
    Step(name="affine", args={"degrees": 10.0, "shift": 0.1, "zoom": 0.1}),
    Step(name="flip"),
    Step(name="brightness", args={"by": 0.5}),
)


def test_each_image_is_changed_by_itself_and_the_seed_repeats_it() -> None:
    change = augmentation(ALL)
    assert change is not None
    batch = torch.rand(1, 1, 24, 24, generator=torch.Generator().manual_seed(0)).repeat(4, 1, 1, 1)
    torch.manual_seed(1)
    one = change(batch)
    torch.manual_seed(1)
    two = change(batch)
    assert torch.equal(one, two)
    assert not torch.equal(one[0], one[1])
    assert one.shape == batch.shape
    assert float(one.min()) >= 0
    assert float(one.max()) <= 1


def test_a_certain_flip_exchanges_left_and_right() -> None:
    change = augmentation((Step(name="flip", args={"probability": 1.0}),))
    assert change is not None
    batch = torch.rand(2, 1, 4, 6)
    assert torch.equal(change(batch), batch.flip(3))


def test_none_is_none() -> None:
    assert augmentation(()) is None


def test_what_does_not_exist_or_does_not_fit_is_named() -> None:
    with pytest.raises(UsageError, match="augmentation: expected a registered name, found 'mixup'"):
        augmentation((Step(name="mixup"),))
    with pytest.raises(RecipeError, match=r"augment\.flip: expected arguments it takes"):
        augmentation((Step(name="flip", args={"often": 1.0}),))


# --- Garg 2021, section III-B: each range, by what it does to a known picture ---------------------------------------

SIDE = 224
SHEAR = math.degrees(math.atan(0.2))


def moved(pixels: torch.Tensor, draws: int = 60, **args: float) -> torch.Tensor:
    """The picture `[H, W]`, changed so many times: `[N, H, W]`."""
    change = augmentation((Step(name="affine", args=args),))
    assert change is not None
    torch.manual_seed(0)
    return change(pixels.expand(draws, 1, *pixels.shape))[:, 0]


def spot(y: int, x: int) -> torch.Tensor:
    pixels = torch.zeros(SIDE, SIDE)
    pixels[y - 2 : y + 3, x - 2 : x + 3] = 1
    return pixels


def where(found: torch.Tensor) -> torch.Tensor:
    """`[N, 2]`: y and x of the spot from the middle."""
    axis = torch.arange(SIDE) - (SIDE - 1) / 2
    mass = found.sum((1, 2))
    return torch.stack([(found.sum(2) @ axis) / mass, (found.sum(1) @ axis) / mass], 1)


def test_shift_is_up_to_20_pixels_of_224_each_way() -> None:
    at = where(moved(spot(112, 112), shift=20 / 224)) - where(spot(112, 112)[None])
    assert 17 < float(at.abs().max()) <= 20.01
    assert float(at.min()) < -15
    assert float(at.max()) > 15


def test_rotation_is_up_to_25_degrees_each_way() -> None:
    at = where(moved(spot(112, 180), degrees=25.0))
    angles = torch.rad2deg(torch.atan2(at[:, 0], at[:, 1]))
    assert 22 < float(angles.abs().max()) < 25.6
    assert float(angles.min()) < -18
    assert float(angles.max()) > 18


def test_zoom_is_0_8_to_1_2() -> None:
    far = where(spot(112, 172)[None])[0, 1]
    factors = where(moved(spot(112, 172), zoom=0.2))[:, 1] / far
    assert 0.795 < float(factors.min()) < 0.85
    assert 1.15 < float(factors.max()) < 1.205


def test_shear_moves_a_row_by_up_to_0_2_of_its_distance() -> None:
    at, before = where(moved(spot(172, 112), shear=SHEAR)), where(spot(172, 112)[None])[0]
    share = (at[:, 1] - before[1]) / before[0]
    assert 0.17 < float(share.abs().max()) <= 0.205
    assert float(share.min()) < -0.1
    assert float(share.max()) > 0.1
    assert float((at[:, 0] - before[0]).abs().max()) < 0.5  # along one axis only


def test_brightness_is_0_8_to_1_2_times_the_original() -> None:
    change = augmentation((Step(name="brightness", args={"by": 0.2}),))
    assert change is not None
    torch.manual_seed(0)
    factors = change(torch.full((80, 1, 4, 4), 0.5))[:, 0, 0, 0] / 0.5
    assert 0.8 <= float(factors.min()) < 0.83
    assert 1.17 < float(factors.max()) <= 1.2 + 1e-6


def test_a_zoom_to_nothing_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"augment\.affine: expected arguments it takes"):
        augmentation((Step(name="affine", args={"zoom": 1.0}),))
