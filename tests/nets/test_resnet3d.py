"""The 3D ResNets are the paper's, take the weights they are given, and learn the same with less memory."""

from __future__ import annotations

import copy
import functools
import warnings

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from pneumoscope.errors import IntegrityError, MissingError, UsageError
from pneumoscope.nets.architectures import feature_net
from pneumoscope.nets.resnet3d import ResNet3d, build_resnet3d

SIZE = (33, 32, 40)


def volumes(n: int = 2) -> Tensor:
    return torch.rand(n, 1, *SIZE, generator=torch.Generator().manual_seed(1))


@functools.cache
def small() -> ResNet3d:
    return build_resnet3d("resnet18_3d", init="random", seed=2)[0]


def test_resnet50_is_the_papers_46_million_parameters_and_434_gflop_at_224() -> None:
    net = ResNet3d("resnet50_3d", mean=0.45, std=0.22, seed=None).eval()
    assert sum(p.numel() for p in net.parameters()) == 46_155_072
    assert net.channels == 2048
    with FlopCounterMode(display=False) as counted, torch.device("meta"):
        maps = net.to("meta")(torch.zeros(1, 1, 224, 224, 224))
    assert maps.shape == (1, 2048, 7, 7, 7)
    assert counted.get_total_flops() / 1e9 == pytest.approx(434, abs=1)


@pytest.mark.parametrize(("name", "flat"), [("resnet50_3d", "resnet50"), ("resnet18_3d", "resnet18")])
def test_layer_by_layer_it_is_the_2d_network_with_one_axis_more(name: str, flat: str) -> None:
    ours, theirs = ResNet3d(name, mean=0, std=1, seed=None).net, feature_net(flat, seed=None)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    modules = dict(ours.named_modules())
    for path, module in theirs.named_modules():
        if isinstance(module, nn.Conv2d):
            conv = modules[path]
            for field in ("kernel_size", "stride", "padding", "dilation"):
                assert getattr(conv, field)[1:] == getattr(module, field), (path, field)
                assert len(set(getattr(conv, field))) == 1, (path, field)
            assert (conv.out_channels, conv.bias) == (module.out_channels, module.bias)
        if isinstance(module, nn.BatchNorm2d):
            assert (modules[path].eps, modules[path].momentum) == (module.eps, module.momentum)


def test_the_same_seed_draws_the_same_network_and_the_global_state_stays() -> None:
    before = torch.get_rng_state()
    one, same = (build_resnet3d("resnet18_3d", init="random", seed=2)[0] for _ in range(2))
    other = build_resnet3d("resnet18_3d", init="random", seed=3)[0]
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(one.net.conv1.weight, other.net.conv1.weight)


def test_a_step_that_saves_memory_is_the_same_step() -> None:
    """The same gradients, and BatchNorm counts each volume once, though its block is computed twice."""
    kept, saved = copy.deepcopy(small()).double().train(), copy.deepcopy(small()).double().train()
    saved.save_memory = True
    x = volumes().double()
    for net in (kept, saved):
        net(x).square().mean().backward()
    for (name, a), b in zip(kept.named_parameters(), saved.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, msg=name)
    assert all(torch.equal(a, b) for a, b in zip(kept.buffers(), saved.buffers(), strict=True))
    assert int(saved.net.bn1.num_batches_tracked) == 1
    assert {m.momentum for m in saved.modules() if isinstance(m, nn.BatchNorm3d)} == {0.1}


def test_less_is_kept_for_the_gradient_where_memory_is_saved() -> None:
    def kept_bytes(save_memory: bool) -> int:
        net = copy.deepcopy(small()).train()
        net.save_memory = save_memory
        sizes: dict[int, int] = {}

        def pack(tensor: Tensor) -> Tensor:
            sizes[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            net(volumes())
        return sum(sizes.values()) - sum(p.numel() * 4 for p in net.parameters() if p.data_ptr() in sizes)

    assert kept_bytes(save_memory=True) < 0.4 * kept_bytes(save_memory=False)


def test_in_evaluation_the_whole_stages_run_so_that_they_can_be_hooked() -> None:
    net, seen = copy.deepcopy(small()).eval(), []
    net.save_memory = True
    for layer in net.layers():
        net.get_submodule(layer).register_forward_hook(lambda _m, _i, output: seen.append(tuple(output.shape[1:])))
    net(volumes())
    assert seen == [(64, 9, 8, 10), (128, 5, 4, 5), (256, 3, 2, 3), (512, 2, 1, 2)]


def test_medicalnets_weights_are_taken_as_they_are_and_named(tmp_path) -> None:
    state = {k: v.clone() for k, v in small().net.state_dict().items() if not k.endswith("num_batches_tracked")}
    save_file(state, tmp_path / "medicalnet_resnet18.safetensors")
    net, used = build_resnet3d("resnet18_3d", init="medicalnet", weights_dir=tmp_path)
    assert (used.file, used.licence) == ("medicalnet_resnet18.safetensors", "unknown")
    assert all(torch.equal(net.net.state_dict()[name], tensor) for name, tensor in state.items())


def test_medicalnets_weights_of_another_network_are_refused(tmp_path) -> None:
    save_file({"module.conv1.weight": torch.zeros(64, 1, 7, 7, 7)}, tmp_path / "medicalnet_resnet18.safetensors")
    with pytest.raises(IntegrityError, match=r"expected tensor 'module\.conv1\.weight' to be one of the network's"):
        build_resnet3d("resnet18_3d", init="medicalnet", weights_dir=tmp_path)


def test_weights_that_are_nowhere_are_never_random(tmp_path) -> None:
    with pytest.raises(MissingError, match=r"expected medicalnet_resnet50\.safetensors in .*, found none\. Convert"):
        build_resnet3d("resnet50_3d", init="medicalnet", weights_dir=tmp_path)
    with pytest.raises(MissingError, match=r"expected resnet50\.safetensors"):
        build_resnet3d("resnet50_3d", init="imagenet", weights_dir=tmp_path)


def test_unknown_names_are_said_to_be_unknown() -> None:
    with pytest.raises(UsageError, match="Did you mean 'resnet50_3d'"):
        build_resnet3d("resnet50-3d", init="random")
    with pytest.raises(UsageError, match="expected 'imagenet', 'medicalnet' or 'random', found 'kinetics'"):
        build_resnet3d("resnet50_3d", init="kinetics")


def test_pythons_own_way_of_showing_warnings_stays() -> None:
    before = warnings.showwarning
    assert small().channels == 512
    assert warnings.showwarning is before
    assert before.__module__ in ("warnings", "_pytest.recwarn")
