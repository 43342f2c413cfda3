"""The naive side of ct_study.py: pydicom + scikit-image + eager torch, slice by slice, with a bundle's weights.

Run: python ct_eager.py BUNDLE FOLDER   It prints JSON. fp32, inference_mode, torch's default threads, glibc's allocator
as it comes; Grad-CAM by autograd for the slices that are shown.
"""

import sys
from pathlib import Path

import numpy as np
import timm
import torch
from ct_folder import Clock, focus_of, over_slice, prepare, read, that_matter
from safetensors.torch import load_file
from torch import nn


def linear(state: dict[str, torch.Tensor], name: str) -> nn.Linear:
    weight = state[f"{name}.weight"]
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.load_state_dict({"weight": weight, "bias": state[f"{name}.bias"]})
    return layer


def mlp(state: dict[str, torch.Tensor], name: str) -> nn.Sequential:
    return nn.Sequential(linear(state, f"{name}.linears.0"), nn.ReLU(), linear(state, f"{name}.linears.1"))


class SliceNet(nn.Module):
    def __init__(self, state: dict[str, torch.Tensor]) -> None:
        super().__init__()
        self.net = timm.create_model("resnet50", num_classes=0)
        prefix = "backbone.net."
        own = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        self.net.load_state_dict(own)
        self.mean, self.std = state["backbone.mean"], state["backbone.std"]
        self.head = mlp(state, "head")

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Logits, features and the last map."""
        net = self.net
        x = net.maxpool(net.act1(net.bn1(net.conv1((x - self.mean) / self.std))))
        third = net.layer2(net.layer1(x))
        fourth = net.layer3(third)
        fifth = net.layer4(fourth)
        joined = torch.cat([stage.mean(dim=(2, 3)) for stage in (third, fourth, fifth)], dim=1)
        features = self.head[1](self.head[0](joined))
        return self.head[2](features), features, fifth


class MaxPool(nn.Module):
    def __init__(self, state: dict[str, torch.Tensor], name: str) -> None:
        super().__init__()
        self.head = mlp(state, f"{name}.head")

    def forward(self, slices: torch.Tensor) -> torch.Tensor:
        return self.head(slices.amax(dim=0))


class BiLstm(nn.Module):
    def __init__(self, state: dict[str, torch.Tensor], name: str) -> None:
        super().__init__()
        gates, inputs = state[f"{name}.lstm.weights.there"].shape
        self.lstm = nn.LSTM(inputs, gates // 4, bidirectional=True)
        own = {}
        for way, end in (("there", "_l0"), ("back", "_l0_reverse")):
            own[f"weight_ih{end}"] = state[f"{name}.lstm.weights.{way}"]
            own[f"weight_hh{end}"] = state[f"{name}.lstm.recurrent.{way}"]
            own[f"bias_ih{end}"] = state[f"{name}.lstm.biases.{way}"]
            own[f"bias_hh{end}"] = torch.zeros(gates)
        self.lstm.load_state_dict(own)
        self.head = mlp(state, f"{name}.head")

    def forward(self, slices: torch.Tensor) -> torch.Tensor:
        return self.head(self.lstm(slices)[0].mean(dim=0))


class StudyNet(nn.Module):
    def __init__(self, state: dict[str, torch.Tensor]) -> None:
        super().__init__()
        kinds = (MaxPool, MaxPool, BiLstm, BiLstm)
        self.members = nn.ModuleList(kind(state, f"members.{i}") for i, kind in enumerate(kinds))
        self.ensemble = mlp(state, "ensemble.head")

    def forward(self, features: torch.Tensor, slices: torch.Tensor) -> torch.Tensor:
        weighted = (slices.unsqueeze(2) * features.unsqueeze(1)).flatten(1)
        known = (features, weighted, features, weighted)
        scores = [torch.softmax(net(x), dim=0) for net, x in zip(self.members, known, strict=True)]
        return torch.softmax(self.ensemble(torch.cat(scores)), dim=0)


def grad_cam(net: SliceNet, image: np.ndarray, target: int) -> np.ndarray:
    with torch.enable_grad():
        logits, _, maps = net(torch.from_numpy(image)[None, None])
        gradient = torch.autograd.grad(logits[0, target], maps)[0]
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    return torch.relu((weights * maps).sum(dim=1))[0].detach().numpy()


def main() -> None:
    bundle, folder = Path(sys.argv[1]), sys.argv[2]
    net = SliceNet(load_file(bundle / "weights.safetensors")).eval()
    judge = StudyNet(load_file(bundle / "weights_study.safetensors")).eval()
    with torch.inference_mode():
        net(torch.zeros(1, 1, 224, 224))
    clock = Clock()
    volume, apart = read(folder)
    clock.lap("read")
    images = [prepare(hu) for hu in volume]
    clock.lap("prepare")
    answers = []
    with torch.inference_mode():
        for image in images:
            logits, features, _ = net(torch.from_numpy(image)[None, None])
            answers.append((torch.softmax(logits, dim=1)[0], features[0]))
        slices, features = (torch.stack(part) for part in zip(*answers, strict=True))
        clock.lap("network")
        study = judge(features, slices).numpy()
    clock.lap("patient")
    target = focus_of(slices.numpy(), study)
    shown = that_matter(slices[:, target].numpy(), apart)
    maps = {n: over_slice(grad_cam(net, images[n], target), volume[n].shape) for n in shown}
    clock.lap("maps")
    about = f"torch {torch.__version__}, {torch.get_num_threads()} threads, fp32, slice by slice"
    print(clock.answer(study, slices.numpy(), maps, about))


if __name__ == "__main__":
    main()
