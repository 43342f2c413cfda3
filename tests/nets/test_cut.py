"""A network cut where training begins answers, learns and saves as the whole one does."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.stage import Head, Optim, Stage
from pneumoscope.nets.build import Net, build, choose_trainable
from pneumoscope.nets.cut import cut

CLASSES = ClassSet(names=("non-covid", "covid"), positive="covid")


def made(net: str, trainable: str) -> Net:
    stage = Stage(
        name="s",
        level="image",
        net=net,
        head=Head(pooling="average", hidden=(8,)),
        init="random",
        trainable=trainable,
        loss="binary_cross_entropy",
        class_weights="none",
        optim=Optim(name="adam", lr=1e-3),
        epochs=1,
        batch=4,
    )
    built, _ = build(stage, CLASSES, input_size=(64, 64), weights_dir=None, seed=3)
    choose_trainable(built, stage)
    return built.eval()


@pytest.mark.parametrize(("net", "trainable"), [("vgg16", "upper:3"), ("vgg16", "upper:1"), ("densenet121", "upper:4")])
def test_the_two_parts_answer_and_learn_as_the_whole(net: str, trainable: str) -> None:
    whole = made(net, trainable)
    parts = cut(whole)
    assert parts is not None
    lower, upper = parts
    x = torch.rand(3, 1, 64, 64)
    with torch.no_grad():
        maps = lower(x)
    assert not any(p.requires_grad for p in lower.parameters())
    expected, found = whole(x), upper(maps)
    assert torch.allclose(found, expected, atol=1e-6)
    learned = [(name, p) for name, p in whole.named_parameters() if p.requires_grad]
    gradients = torch.autograd.grad(expected.sum(), [p for _, p in learned])
    names = [name.removeprefix("net.") for name, p in upper.named_parameters() if p.requires_grad]
    assert names == [name for name, _ in learned]
    again = torch.autograd.grad(found.sum(), [p for p in upper.parameters() if p.requires_grad])
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(gradients, again, strict=True))


def test_vgg16_is_cut_before_its_last_block() -> None:
    parts = cut(made("vgg16", "upper:3"))
    assert parts is not None
    lower, upper = parts
    assert sum(isinstance(m, nn.Conv2d) for m in lower.modules()) == 10
    assert lower(torch.zeros(1, 1, 64, 64)).shape == (1, 512, 4, 4)
    assert upper.first == 24


@pytest.mark.parametrize(("net", "trainable"), [("mobilenetv2", "upper:2"), ("vgg16", "upper:13"), ("cnn", "upper:1")])
def test_what_cannot_be_cut_is_left_whole(net: str, trainable: str) -> None:
    assert cut(made(net, trainable)) is None
