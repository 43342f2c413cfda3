"""What of a network is trained, and in which mode the rest stays."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from pneumoscope.core.resolve import resolve
from pneumoscope.core.stage import Stage
from pneumoscope.errors import RecipeError
from pneumoscope.nets import backbones
from pneumoscope.nets.build import Net, build, choose_trainable
from pneumoscope.recipes import find

RECIPE = resolve(find("szalay2021")[0])
STAGE = dataclasses.replace(RECIPE.stages[0], net="mobilenetv2", init="random")


def made(stage: Stage, seed: int = 0) -> Net:
    return build(stage, RECIPE.classes, input_size=(32, 32), weights_dir=None, seed=seed)[0]


def trained(net: Net) -> set[str]:
    return {name for name, p in net.named_parameters() if p.requires_grad}


def test_a_frozen_backbone_trains_nothing_and_stays_in_eval_mode() -> None:
    net = made(STAGE)
    frozen = choose_trainable(net, STAGE)
    assert frozen == [net.backbone]
    assert all(name.startswith("head.") for name in trained(net))
    assert len(trained(net)) == len(list(net.head.parameters()))


def test_upper_convolutions_are_the_last_ones() -> None:
    net = made(STAGE)
    frozen = choose_trainable(net, dataclasses.replace(STAGE, trainable="upper:2"))
    last = backbones.conv_layers(net.backbone)[-2:]
    names = {name for name, m in net.named_modules() if any(m is c for c in last)}
    assert {name.rpartition(".")[0] for name in trained(net) if name.startswith("backbone")} == names
    assert frozen == [net.backbone]


def test_all_trains_all() -> None:
    net = made(STAGE)
    assert choose_trainable(net, dataclasses.replace(STAGE, trainable="all")) == []
    assert trained(net) == {name for name, _ in net.named_parameters()}


def test_more_convolutions_than_there_are_is_an_error() -> None:
    with pytest.raises(RecipeError, match="expected 1 to 52 convolutions of mobilenetv2, found 100"):
        choose_trainable(made(STAGE), dataclasses.replace(STAGE, trainable="upper:100"))


def test_the_same_seed_builds_the_same_network() -> None:
    one, same, other = made(STAGE, 1).state_dict(), made(STAGE, 1).state_dict(), made(STAGE, 2).state_dict()
    assert all(torch.equal(one[k], same[k]) for k in one)
    assert not all(torch.equal(one[k], other[k]) for k in one)


def test_a_network_without_pretrained_weights_says_so() -> None:
    with pytest.raises(RecipeError, match="expected 'random' for the net 'cnn', found 'imagenet'"):
        made(dataclasses.replace(STAGE, net="cnn", init="imagenet"))


def test_one_output_needs_two_classes() -> None:
    three = dataclasses.replace(RECIPE.classes, names=("covid", "pneumonia", "normal"))
    with pytest.raises(RecipeError, match="expected 'cross_entropy' unless there are two classes"):
        build(STAGE, three, input_size=(32, 32), weights_dir=None, seed=0)
