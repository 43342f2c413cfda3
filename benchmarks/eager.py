"""The baseline: the same network as everybody writes it, eager torch + timm + Pillow, one image at a time.

Run: python eager.py BUNDLE IMAGE...   It prints JSON as `pneumoscope predict --json` does. glibc's allocator as it
comes, fp32, inference_mode, torch's default threads.
"""

import json
import sys
from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

TIMM = {"vgg16": "vgg16", "mobilenetv2": "mobilenetv2_100", "densenet121": "densenet121"}


def load(folder: Path) -> tuple[nn.Module, nn.Module, torch.Tensor, torch.Tensor, int]:
    facts = json.loads((folder / "bundle.json").read_text())
    stage = facts["recipe"]["stages"][-1]
    state = load_file(folder / "weights.safetensors")
    net = timm.create_model(TIMM[stage["net"]], num_classes=0, global_pool="")
    own = {k.removeprefix("backbone.net."): v for k, v in state.items() if k.startswith("backbone.net.")}
    net.load_state_dict(own, strict=False)
    layers: list[nn.Module] = []
    count = len([k for k in state if k.startswith("head.linears") and k.endswith("weight")])
    for i in range(count):
        weight = state[f"head.linears.{i}.weight"]
        linear = nn.Linear(weight.shape[1], weight.shape[0])
        linear.load_state_dict({"weight": weight, "bias": state[f"head.linears.{i}.bias"]})
        layers += [linear, nn.ReLU()]
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), *layers[:-1])
    size = next(s["args"]["size"] for s in facts["recipe"]["prep"] if s["name"] == "resize")
    return net.eval(), head.eval(), state["backbone.mean"], state["backbone.std"], size


def main() -> None:
    net, head, mean, std, size = load(Path(sys.argv[1]))
    answers = []
    with torch.inference_mode():
        for path in sys.argv[2:]:
            grey = Image.open(path).convert("L").resize((size, size), Image.Resampling.BOX)
            x = torch.from_numpy(np.asarray(grey, dtype=np.float32) / 255).expand(1, 3, size, size)
            p = torch.sigmoid(head(net.forward_features((x - mean) / std)))[0, 0]
            answers.append({"path": path, "probabilities": {"non-covid": 1 - float(p), "covid": float(p)}})
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
