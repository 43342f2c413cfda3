"""Features of several stages: what is joined, what it means for the head, and Grad-CAM with and without gradients."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest
import torch

from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.stage import Head, Optim, Stage
from pneumoscope.errors import RecipeError
from pneumoscope.explain.cam import grad_cam
from pneumoscope.nets.architectures import ARCHITECTURES, architecture
from pneumoscope.nets.backbones import Backbone, build_backbone
from pneumoscope.nets.build import Net, ScreeningNet, build, choose_trainable, probabilities, score_seeds
from pneumoscope.nets.cut import cut
from pneumoscope.runtime import engine
from pneumoscope.train import graphs

THREE = ClassSet(names=("normal", "cap", "covid"), positive="covid", normal="normal")
SIZE = (64, 64)
STAGE = Stage(  # Garg 2021, section III-C1
    name="slice",
    level="slice",
    net="resnet50",
    head=Head(pooling="average", scales=3, hidden=(1024,), dropout=0.5, dropout_first=True),
    init="random",
    trainable="all",
    loss="cross_entropy",
    class_weights="balanced",
    optim=Optim(name="adam", lr=1e-3),
    epochs=1,
    batch=4,
)


def made(net: str = "resnet50", **head: object) -> Net:
    stage = dataclasses.replace(STAGE, net=net, head=dataclasses.replace(STAGE.head, **head))
    return build(stage, THREE, input_size=SIZE, weights_dir=None, seed=0)[0].eval()


@functools.cache
def garg() -> Net:
    return made()


def grey(n: int = 2, seed: int = 2) -> torch.Tensor:
    return torch.rand(n, 1, *SIZE, generator=torch.Generator().manual_seed(seed))


def test_stages_3_4_and_5_make_3584_features_and_the_papers_head() -> None:
    net = garg()
    with torch.inference_mode():
        features = net.features(grey())
        maps, earlier = net.maps(grey())
        logits = net(grey())
    assert [tuple(m.shape[1:]) for m in (*earlier, maps)] == [(512, 8, 8), (1024, 4, 4), (2048, 2, 2)]
    assert torch.equal(features, torch.cat([m.mean((2, 3)) for m in (*earlier, maps)], 1))
    assert [sum(p.numel() for p in m.parameters()) for m in net.head.linears] == [3_671_040, 3_075]
    assert net.head.linears[0].in_features == 3584
    with torch.inference_mode():
        hidden = net.penultimate(features)
        assert hidden.shape == (2, 1024)
        assert float(hidden.min()) == 0  # after ReLU
        assert torch.equal(net.head.linears[-1](hidden), logits)


@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_any_backbone_joins_as_many_stages_as_it_has(name: str) -> None:
    backbone = build_backbone(name, init="random", seed=1)[0].eval()
    x = torch.rand(1, 1, 80, 80)
    seen: dict[str, torch.Tensor] = {}
    known = architecture(name).earlier
    for stage in known:
        backbone.net.get_submodule(stage).register_forward_hook(
            lambda _m, _i, out, stage=stage: seen.update({stage: out.clone()})
        )
    with torch.inference_mode():
        last = backbone(x)
        found = backbone.scales(x, backbone.most_scales)
    assert torch.equal(found[-1], last)
    assert len(found) == backbone.most_scales == len(known) + 1
    for maps, stage in zip(found[:-1], reversed(known), strict=True):
        assert torch.equal(maps, seen[stage])  # nothing behind a stage changed its maps in place
    sides = [m.shape[2] for m in found]
    assert sides == sorted(sides, reverse=True)
    assert len(set(sides)) == len(sides)  # each of a size of its own
    assert len(backbone.scales(x, 1)) == 1
    assert [m.shape for m in backbone.scales(x, 2)] == [m.shape for m in found[-2:]]
    assert all(len(m._forward_hooks) <= 1 for m in backbone.modules())


def test_more_stages_than_there_are_is_an_error() -> None:
    with pytest.raises(RecipeError, match=r"stages\.slice\.head\.scales: expected at most the 4 of resnet50, found 5"):
        made(scales=5)
    with pytest.raises(RecipeError, match="at most the 1 of cnn, found 2"):
        made("cnn", scales=2)


def test_dropout_stands_before_the_first_layer_where_the_recipe_says_so() -> None:
    features = torch.ones(4, 3584)
    for first in (True, False):
        head = made(dropout_first=first, hidden=()).head.train()
        torch.manual_seed(0)
        answers = head(features)
        assert torch.equal(answers[0], answers[1]) is not first
        assert torch.equal(head.eval()(features)[0], head(features)[1])


@pytest.mark.parametrize("head", [{}, {"hidden": (16, 8), "activation": "leaky_relu", "batch_norm": True}])
def test_the_forward_map_of_the_last_stage_is_autograds(head: dict[str, object]) -> None:
    net = made(**head).double()
    x = grey().double()
    with torch.inference_mode():
        p, forward = ScreeningNet(net).double().eval()(x)
        assert torch.allclose(p, probabilities(net(x), THREE))
    assert forward.shape == (2, 3, 2, 2)
    assert float(forward.max()) > 0
    for k, seed in enumerate(score_seeds(3, THREE)):
        expected = grad_cam(net, x, "backbone.features", lambda logits, seed=seed: logits @ seed.double())
        np.testing.assert_allclose(forward[:, k].numpy(), expected, rtol=1e-5, atol=1e-9 * float(forward.max()))


@pytest.mark.parametrize("layer", ["layer2", "layer3"])
def test_grad_cam_of_an_earlier_stage_hears_the_joined_features_too(layer: str) -> None:
    """Oracle: the network from that stage on, written out."""
    net = garg()
    x = grey(1)
    with torch.no_grad():
        inner = net.backbone.net
        stem = inner.maxpool(inner.act1(inner.bn1(inner.conv1((x - net.backbone.mean) / net.backbone.std))))
        second = inner.layer2(inner.layer1(stem))
        third = inner.layer3(second)
    leaf = (second if layer == "layer2" else third).clone().requires_grad_()
    third = inner.layer3(leaf) if layer == "layer2" else leaf
    maps = [leaf if layer == "layer2" else second, third, inner.layer4(third)]
    score = net.head(torch.cat([m.mean((2, 3)) for m in maps], 1))[:, 2].sum()
    gradient = torch.autograd.grad(score, leaf)[0]
    expected = (gradient.mean((2, 3), keepdim=True) * leaf.detach()).sum(1).relu().numpy()
    found = grad_cam(net, x, f"backbone.net.{layer}", lambda logits: logits[:, 2])
    assert expected.max() > 0
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6 * float(expected.max()))


def test_the_graph_answers_as_torch() -> None:
    net = made("vgg16", hidden=(16,))  # of few layers, since the export takes its time by layers
    graph = graphs.to_onnx(net, SIZE)
    images = grey(3).numpy()[:, 0]
    expected, maps = graphs.torch_answers(net, images)
    found, found_maps = engine.Engine(graph).run(images)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert float(maps.max()) > 0
    np.testing.assert_allclose(found_maps, maps, atol=1e-4 * float(maps.max()))


# --- the paper's four steps: what is learned, and in which mode the rest stays -------------------------------------

BACKBONE, NORMS, HEAD = 23_508_032, 53_120, 3_671_040 + 3_075  # parameters


@pytest.mark.parametrize(
    ("step", "trainable", "parameters"),
    [
        (1, "all", BACKBONE + HEAD),
        (2, "head", HEAD),
        (3, "all_but_norm", BACKBONE - NORMS + HEAD),
        (4, "all_but_norm", BACKBONE - NORMS + HEAD),
    ],
)
def test_what_each_step_learns_and_what_stays(step: int, trainable: str, parameters: int) -> None:
    net = garg()
    frozen = choose_trainable(net, dataclasses.replace(STAGE, trainable=trainable))
    assert sum(p.numel() for p in net.parameters() if p.requires_grad) == parameters
    net.train()
    for module in frozen:
        module.eval()
    norms = [m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert len(norms) == 53
    assert all(m.training is (step == 1) for m in norms)
    assert net.head.dropout.training
    before = [m.running_mean.clone() for m in norms]
    trained_before = {n: b.clone() for n, b in net.named_buffers()}
    with torch.no_grad():
        net(grey(2, seed=step))
    moved = [not torch.equal(m.running_mean, b) for m, b in zip(norms, before, strict=True)]
    assert all(moved) if step == 1 else not any(moved)
    net.load_state_dict(trained_before, strict=False)
    choose_trainable(net, STAGE)
    net.eval()


def test_all_but_norm_freezes_the_heads_norms_too_and_leaves_weights_as_they_are() -> None:
    net = made("mobilenetv2", batch_norm=True, hidden=(8,))
    frozen = choose_trainable(net, dataclasses.replace(STAGE, trainable="all_but_norm"))
    assert net.head.norms[0] in frozen
    still = {id(p) for m in frozen for p in m.parameters()}
    assert all(p.requires_grad is (id(p) not in still) for p in net.parameters())
    state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    net.train()
    for module in frozen:
        module.eval()
    optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=0.1)
    net(grey(2)).logsumexp(1).sum().backward()
    optimizer.step()
    changed = {name for name, tensor in net.state_dict().items() if not torch.equal(tensor, state[name])}
    of_norms = {f"{name}.{t}" for name, m in net.named_modules() if m in frozen for t in m.state_dict()}
    assert changed
    assert not changed & of_norms


def test_a_network_that_joins_stages_is_not_cut() -> None:
    net = made("vgg16", hidden=(8,))
    choose_trainable(net, dataclasses.replace(STAGE, net="vgg16", trainable="upper:1"))
    assert isinstance(net.backbone, Backbone)
    assert cut(net) is None
