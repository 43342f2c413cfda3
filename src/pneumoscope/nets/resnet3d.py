"""The 3D ResNets of Xue 2021 as MONAI builds them, cut after their last feature map, and what weights they start from.

Section 2.3: "generally similar to the 2D ResNet50 ... 3D modules". So the first convolution has stride 2, as the 2D
one has (MONAI's own default is 1: eight times the work), and each tensor has the name and, but for the depth of its
kernel, the shape of timm's 2D network, from whose weights `inflate.py` makes these.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from pneumoscope.core.registry import Registry
from pneumoscope.errors import MissingError, UsageError
from pneumoscope.nets import weights
from pneumoscope.nets.architectures import feature_net
from pneumoscope.nets.inflate import for_grey, grey, inflate
from pneumoscope.nets.weights import IMAGENET_MEAN, IMAGENET_STD, WeightsUsed

# the recipes' name -> MONAI's, which is timm's name of the 2D network, too
RESNETS_3D: Registry[str] = Registry("network of volumes")
RESNETS_3D.add("resnet50_3d", "resnet50")
RESNETS_3D.add("resnet18_3d", "resnet18")  # Table 2 prints 512 features, which are ResNet18's, and reference [9] is it


class ResNet3d(nn.Module):
    """A 3D ResNet without its classifier: grey 0..1 `[N, 1, D, H, W]` -> `[N, C, D/32, H/32, W/32]`, rounded up.

    mean, std: of grey pixels in 0..1, what the weights were trained with; saved with the weights.
    save_memory: compute what lies inside a block anew for its gradient instead of keeping it (Chen et al. 2016,
        "Training Deep Nets with Sublinear Memory Cost"): a third more work, a fraction of the memory, the same step.
    seed: of its random weights; None for a network of shapes only (device "meta"), which costs no time.
    """

    mean: Tensor
    std: Tensor
    net: Any  # a network of MONAI's

    def __init__(self, name: str, *, mean: float, std: float, save_memory: bool = False, seed: int | None = 0) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("std", torch.tensor(std))
        self.save_memory = save_memory
        self.net = _monai_resnet(RESNETS_3D.resolve(name), seed)
        self.channels: int = self.net.in_planes  # of what would follow its last block
        self.features = nn.Identity()  # gives the last feature map a name to hook

    def forward(self, x: Tensor) -> Tensor:
        """The last feature map, after its activation."""
        x = (x - self.mean) / self.std
        if self.save_memory and self.training and torch.is_grad_enabled():
            for part in (self._stem, *itertools.chain(*self._stages())):
                x = checkpoint(part, x, use_reentrant=False, preserve_rng_state=False, context_fn=self._first_and_again)
        else:
            for stage in (self._stem, *self._stages()):
                x = stage(x)
        return torch.as_tensor(self.features(x))

    def layers(self) -> tuple[str, ...]:
        """Names of the modules that Grad-CAM is meant for: the last feature map, then the stages before it."""
        return ("features", "net.layer3", "net.layer2", "net.layer1")

    def _stem(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.net.maxpool(self.net.act(self.net.bn1(self.net.conv1(x)))))

    def _stages(self) -> tuple[Any, ...]:
        return self.net.layer1, self.net.layer2, self.net.layer3, self.net.layer4

    def _first_and_again(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        """What a part runs in as it is computed, and as it is computed anew: BatchNorm must not count it twice."""
        return nullcontext(), _uncounted(self.net)


@contextmanager
def _uncounted(net: nn.Module) -> Iterator[None]:
    """Let BatchNorm normalise as before, and leave its running statistics as they are."""
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm3d)]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    try:
        for norm in norms:
            norm.momentum, norm.num_batches_tracked = 0.0, None
        yield
    finally:
        for norm, (momentum, counted) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, counted


def build_resnet3d(
    name: str, *, init: str, weights_dir: Path | None = None, seed: int = 0, save_memory: bool = False
) -> tuple[ResNet3d, WeightsUsed]:
    """The network `name` of `RESNETS_3D`, and the weights that it starts from.

    init: "imagenet", the 2D network's weights, inflated; "medicalnet", those of MedicalNet (Chen et al. 2019), from the
    user's file `medicalnet_<2D name>.safetensors`; or "random". seed: of the random weights. weights_dir: looked into
    first, see `weights.load`. save_memory: see `ResNet3d`.

    Raises:
        UsageError: an unknown name or init, or a `weights_dir` that is no folder.
        MissingError: the weights are nowhere; never random weights in their place.
        IntegrityError: a weights file that is damaged or of another network.
    """
    flat_name = RESNETS_3D.resolve(name)
    if init == "imagenet":
        tensors, used = _inflated(flat_name, weights_dir)
    elif init == "medicalnet":
        tensors, used = _medicalnet(flat_name, weights_dir)
    elif init == "random":
        tensors, used = None, weights.random_weights(flat_name, seed)
    else:
        raise UsageError(f"init: expected 'imagenet', 'medicalnet' or 'random', found '{init}'.")
    start = seed if tensors is None else None
    net = ResNet3d(name, mean=grey(used.mean), std=grey(used.std), save_memory=save_memory, seed=start)
    if tensors is not None:
        net.net.load_state_dict(weights.fitting(tensors, net.net.state_dict(), str(used.file)), assign=True)
    for norm in net.modules():
        if isinstance(norm, nn.BatchNorm3d):
            norm.eps = norm.eps if used.bn_eps is None else used.bn_eps
    return net, dataclasses.replace(used, bn_eps=net.net.bn1.eps)


def _inflated(name: str, weights_dir: Path | None) -> tuple[dict[str, Tensor], WeightsUsed]:
    flat, used = weights.load(name, weights_dir)
    flat = weights.fitting(flat, feature_net(name, seed=None).state_dict(), str(used.file))
    note = "; ".join(part for part in (used.note, "of the 2D network, inflated at the centre slice") if part)
    return inflate(for_grey(flat, used.mean, used.std)), dataclasses.replace(used, note=note)


def _medicalnet(name: str, weights_dir: Path | None) -> tuple[dict[str, Tensor], WeightsUsed]:
    known = f"medicalnet_{name}"
    found = weights.read_local(known, weights_dir)
    if found is None:
        what = f"pretrained weights: expected {known}.safetensors"
        step = (
            f"Convert MedicalNet's file (see docs/guide.md) and name its folder with --weights or "
            f"${weights.ENVIRONMENT}."
        )
        places = ", ".join(str(folder) for folder in weights.folders(weights_dir))
        raise MissingError(
            f"{what} in {places}, found none. {step}", lasting=f"{what} in a folder of weights, found none. {step}"
        )
    tensors, digest, file = found
    used = WeightsUsed(
        timm_name=known,
        digest=digest,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        bn_eps=None,
        input_size=448,  # in the plane of a slice (Chen et al. 2019, section 3.2)
        interpolation="nearest",
        licence="unknown",
        origin="taken for MedicalNet's (Chen et al. 2019, Med3D) by the name of the file",
        note="MedicalNet normalised each volume by itself; here all are normalised alike, with ImageNet's grey",
        file=file,
    )
    return tensors, used


def _monai_resnet(name: str, seed: int | None) -> nn.Module:
    """MONAI's network without pooling and classifier. The global random state of the CPU is left as it was."""
    resnet = _monai_resnets()
    with torch.random.fork_rng(devices=[]), torch.device("cpu" if seed is not None else "meta"):
        torch.manual_seed(seed or 0)
        net: nn.Module = getattr(resnet, name)(
            spatial_dims=3,
            n_input_channels=1,
            conv1_t_stride=2,
            shortcut_type="B",
            bias_downsample=False,
            feed_forward=False,
        )
    del net.avgpool
    return net


def _monai_resnets() -> Any:
    """MONAI's module of ResNets. It takes seconds to import, so only those who build one do."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # MONAI imports huggingface_hub, which reads this once
    with warnings.catch_warnings():  # MONAI puts a handler of its own in place of Python's for all warnings
        from monai.networks.nets import resnet

        return resnet
