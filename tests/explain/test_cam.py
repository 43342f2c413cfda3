"""Grad-CAM against its definition: autograd without hooks of ours, and CAM (Zhou et al. 2016) where they agree."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from torch import nn

from pneumoscope.errors import UsageError
from pneumoscope.explain.cam import grad_cam
from pneumoscope.nets.architectures import ARCHITECTURES
from pneumoscope.nets.backbones import build_backbone


class Classifier(nn.Module):
    """Average pooling and an MLP on a backbone, small enough an input for tests: `size` gives a last map above 1x1."""

    def __init__(self, backbone: nn.Module, channels: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.size = 112 if "inception" in backbone.architecture.timm_name else 80
        self.head = nn.Sequential(nn.Linear(channels, 8), nn.Tanh(), nn.Linear(8, 3))

    def forward(self, x):
        maps = self.backbone(x)
        return self.head(maps.flatten(2).mean(2))


def small(inplace: bool = False, dims: int = 2) -> nn.Sequential:
    torch.manual_seed(0)
    conv, norm, pool = (
        (nn.Conv2d, nn.BatchNorm2d, nn.AdaptiveAvgPool2d)
        if dims == 2
        else (nn.Conv3d, nn.BatchNorm3d, nn.AdaptiveAvgPool3d)
    )
    return nn.Sequential(
        conv(1, 4, 3, padding=1), nn.ReLU(inplace=inplace), norm(4), conv(4, 6, 3, padding=1, stride=2),
        nn.ReLU(inplace=inplace), pool(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(6, 3),
    )  # fmt: skip


def images(n: int = 2, size: int = 12) -> torch.Tensor:
    return torch.rand(n, 1, size, size, generator=torch.Generator().manual_seed(1))


def second(logits: torch.Tensor) -> torch.Tensor:
    return logits[:, 1]


@functools.cache
def classifier(name: str) -> Classifier:
    backbone, _ = build_backbone(name, init="random", seed=2)
    torch.manual_seed(3)
    model = Classifier(backbone, backbone.channels)
    # statistics of real activations: with the initial ones, they vanish or explode in the deep networks
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model.train()(images(4, model.size))
    return model.eval()


def by_autograd(model: nn.Module, x: torch.Tensor, layers: list[str]) -> dict[str, np.ndarray]:
    """Selvaraju's two equations at several layers, from one backward pass through the whole network."""
    outputs: dict[str, torch.Tensor] = {}

    def keep(name):
        def hook(_module, _inputs, output):
            output.retain_grad()
            outputs[name] = output

        return hook

    handles = [model.get_submodule(name).register_forward_hook(keep(name)) for name in layers]
    second(model(x)).sum().backward()
    for handle in handles:
        handle.remove()
    model.zero_grad()
    return {
        name: torch.einsum("nc,nchw->nhw", a.grad.mean(dim=(2, 3)), a.detach()).clamp(min=0).numpy()
        for name, a in outputs.items()
    }


@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_every_layer_of_every_backbone(name):
    model = classifier(name)
    x = images(1, model.size)
    layers = [f"backbone.{layer}" for layer in model.backbone.layers()]
    oracle = by_autograd(model, x, layers)
    assert sum(expected.max() > 0 for expected in oracle.values()) > len(layers) / 2
    for layer, expected in oracle.items():
        cam = grad_cam(model, x, layer, second)
        assert cam.dtype == np.float32
        assert cam.shape == expected.shape
        np.testing.assert_allclose(cam, expected, rtol=1e-3, atol=1e-4 * expected.max() + 1e-30, err_msg=layer)


@pytest.mark.parametrize("name", ["densenet121", "inceptionv3", "vgg16"])
def test_convolutions_inside_can_be_hooked(name):
    model = classifier(name)
    inside = [key for key, m in model.named_modules() if isinstance(m, nn.Conv2d)]
    for layer in (inside[0], inside[len(inside) // 2], inside[-1]):
        assert np.isfinite(grad_cam(model, images(1, model.size), layer, second)).all()


def test_equals_cam_for_average_pooling_and_a_linear_head():
    model, x = small().eval(), images()
    with torch.no_grad():
        maps = model[:5](x)
        cam = torch.einsum("c,nchw->nhw", model[-1].weight[1], maps).clamp(min=0) / (6 * 6)
    assert cam.max() > 0
    np.testing.assert_allclose(grad_cam(model, x, "4", second), cam.numpy(), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("layer", ["0", "1", "2", "3", "4"])
def test_in_place_operations_change_nothing(layer):
    plain, inplace = (grad_cam(small(inplace=i), images(), layer, second) for i in (False, True))
    assert plain.max() > 0
    np.testing.assert_array_equal(plain, inplace)


def test_images_of_a_batch_are_independent():
    model, x = small(), images(3)
    together = grad_cam(model, x, "3", second)
    alone = np.concatenate([grad_cam(model, x[i : i + 1], "3", second) for i in range(3)])
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-8)


def test_volumes():
    x = torch.rand(2, 1, 6, 8, 10, generator=torch.Generator().manual_seed(1))
    model = small(dims=3).eval()
    with torch.no_grad():
        maps = model[:5](x)
        cam = torch.einsum("c,nczyx->nzyx", model[-1].weight[1], maps).clamp(min=0) / maps[0, 0].numel()
    np.testing.assert_allclose(grad_cam(model, x, "4", second), cam.numpy(), rtol=1e-5, atol=1e-8)


def test_model_is_left_as_it_was():
    model = small().train()
    model[2].eval()
    model[0].requires_grad_(False)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    modes = [m.training for m in model.modules()]
    wanted = [p.requires_grad for p in model.parameters()]
    grad_cam(model, images(), "3", second)
    assert [m.training for m in model.modules()] == modes
    assert [p.requires_grad for p in model.parameters()] == wanted
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert not any(m._forward_hooks for m in model.modules())


def test_works_frozen_and_without_gradients():
    model, x = small(), images()
    expected = grad_cam(model, x, "3", second)
    model.requires_grad_(False)
    with torch.no_grad():
        np.testing.assert_array_equal(grad_cam(model, x, "3", second), expected)
    with torch.inference_mode():
        np.testing.assert_array_equal(grad_cam(model, x.clone(), "3", second), expected)


def test_errors_are_raised_and_leave_no_hook():
    model = small().train()

    def broken(_logits):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        grad_cam(model, images(), "3", broken)
    with pytest.raises(UsageError, match="expected an output"):
        grad_cam(model, images(), "8", second)
    with pytest.raises(ValueError, match="one number an image"):
        grad_cam(model, images(), "3", lambda logits: logits)
    with pytest.raises(UsageError, match="that the score depends on"):
        grad_cam(model, images(), "3", lambda logits: logits.detach()[:, 0])
    assert model.training
    assert not any(m._forward_hooks for m in model.modules())


def test_a_layer_beside_the_score_is_an_error():
    class Beside(nn.Module):
        def __init__(self):
            super().__init__()
            self.main, self.beside = small(), nn.Conv2d(1, 1, 1)

        def forward(self, x):
            self.beside(x)
            return self.main(x)

    with pytest.raises(UsageError, match="that the score depends on, found 'beside'"):
        grad_cam(Beside(), images(), "beside", second)


def test_a_layer_that_runs_twice_is_an_error():
    twice = nn.Conv2d(1, 1, 3, padding=1)
    with pytest.raises(UsageError, match="found '0' run 2 times"):
        grad_cam(nn.Sequential(twice, twice, nn.Flatten(), nn.LazyLinear(3)), images(), "0", second)


@pytest.mark.parametrize("layer", ["", "99", "backbone.net"])
def test_unknown_layers_are_errors(layer):
    with pytest.raises(UsageError, match="expected a module of the model"):
        grad_cam(small(), images(), layer, second)
