"""Augmentation: each image its own, repeatable from torch's seed, never out of 0..1."""

from __future__ import annotations

import pytest
import torch

from pneumoscope.core.recipe import Step
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
