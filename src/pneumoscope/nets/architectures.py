"""The 2D networks that the papers name, as timm builds them, cut after their last feature map.

The papers took theirs from keras.applications. Where timm's InceptionV3 and Xception are not Keras's (borders in
pooling, Xception's BatchNorm epsilon), Keras's way is taken: the public weights of both come from TensorFlow, and
timm's way moves the last feature map by 39 and 26 % (relative norm, 299 x 299). The other networks are timm's.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from pneumoscope.core.registry import Registry


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """One network, by the name that recipes use.

    timm_name: what timm calls it; its weights are the file `<timm_name>.safetensors`.
    channels: of the last feature map. input_size: side, in pixels, that its ImageNet weights were trained at.
    stages: modules whose output ends a stage before the last feature map, the last first.
    own: how many of `stages`, from the first on, are of the last feature map's own stage: their maps show nothing of
        another size.
    substitute: None, or what the paper's name stands for and why another network is taken.
    """

    timm_name: str
    channels: int
    input_size: int
    stages: tuple[str, ...]
    own: int = 1
    substitute: str | None = None

    @property
    def earlier(self) -> tuple[str, ...]:
        """Of `stages`, those before the last feature map's own: one for each coarser scale, the last first."""
        return self.stages[self.own :]


KERAS_BN_EPS = 1e-3  # keras.applications, InceptionV3 (where it is timm's too) and Xception

ARCHITECTURES: Registry[Architecture] = Registry("backbone")


def _add(
    name: str, timm_name: str, channels: int, size: int, stages: str, substitute: str | None = None, own: int = 1
) -> None:
    ARCHITECTURES.add(
        name,
        Architecture(
            timm_name=timm_name,
            channels=channels,
            input_size=size,
            stages=tuple(stages.split()),
            own=own,
            substitute=substitute,
        ),
    )


_add("vgg16", "vgg16", 512, 224, "features.29 features.22 features.15 features.8 features.3")
_add("vgg19", "vgg19", 512, 224, "features.35 features.26 features.17 features.8 features.3")
_add(
    "densenet121",
    "densenet121",
    1024,
    224,
    "features.denseblock4 features.denseblock3 features.denseblock2 features.denseblock1 features.norm0",
)
_add(
    "resnet152v2",
    "resnetv2_101",
    2048,
    224,
    "stages.3 stages.2 stages.1 stages.0",
    "for ResNet152V2: timm has no ImageNet weights for it; ResNetV2-101 is its nearest pre-activation "
    "BatchNorm network that has them (the wider and deeper ones, BiT, use GroupNorm)",
)
_add("resnet50v2", "resnetv2_50", 2048, 224, "stages.3 stages.2 stages.1 stages.0")
_add("mobilenetv2", "mobilenetv2_100", 1280, 224, "blocks.6 blocks.4 blocks.2 blocks.1 blocks.0")
_add("inceptionv3", "inception_v3", 2048, 299, "Mixed_7b Mixed_6e Mixed_5d Conv2d_4a_3x3 Conv2d_2b_3x3")
_add("inceptionresnetv2", "inception_resnet_v2", 1536, 299, "block8 repeat_1 repeat conv2d_4a conv2d_2b")
_add("xception", "legacy_xception", 2048, 299, "block12 block11 block2 block1 act2")
_add("resnet50", "resnet50", 2048, 224, "layer3 layer2 layer1", own=0)  # its last feature map is layer4's output
_add("efficientnet_lite0", "tf_efficientnet_lite0", 1280, 224, "blocks.6 blocks.4 blocks.2 blocks.1 blocks.0")


def architecture(name: str) -> Architecture:
    """The network that recipes, or timm, call `name`.

    Raises:
        UsageError: there is none.
    """
    for known in ARCHITECTURES:
        if ARCHITECTURES.resolve(known).timm_name == name and name not in ARCHITECTURES:
            return ARCHITECTURES.resolve(known)
    return ARCHITECTURES.resolve(name)


def timm_library() -> Any:
    """The module timm. It takes seconds to import, so only those who build a network do."""
    # huggingface_hub, which timm imports, reads this once: its requests then do not say what machine asks
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    import timm

    return timm


def feature_net(timm_name: str, *, seed: int | None) -> nn.Module:
    """timm's network with nothing behind `forward_features` (Keras's `include_top=False`).

    seed: of its random weights; None for a network of shapes only (device "meta"), which costs no time.
    No operation works in place, so that the output of every layer can be hooked. The global random state of
    the CPU is left as it was.
    """
    # VGG's two hidden layers belong to its classifier; made narrow, they cost no 120 million random numbers
    narrow = {"mlp_ratio": 1 / 4096} if timm_name.startswith("vgg") else {}
    with torch.random.fork_rng(devices=[]), torch.device("cpu" if seed is not None else "meta"):
        torch.manual_seed(seed or 0)
        net: nn.Module = timm_library().create_model(timm_name, pretrained=False, num_classes=0, **narrow)
    if hasattr(net, "pre_logits"):
        del net.pre_logits
    for module in net.modules():
        if hasattr(module, "inplace"):
            module.inplace = False  # type: ignore[assignment]
    if timm_name == "inception_v3":
        _average_without_padding(net)
    if timm_name == "legacy_xception":
        _pool_as_tensorflow(net)
        set_bn_eps(net, KERAS_BN_EPS)
    return net


def set_bn_eps(net: nn.Module, eps: float) -> None:
    """Set the epsilon of every BatchNorm."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = eps


class BorderMean(nn.Module):
    """Makes of a 3x3 mean that counted the padding as zeros (`[N, C, H, W]`) one over the pixels inside."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`x` at the border divided by the share of the window that lies inside."""
        return x / F.avg_pool2d(torch.ones_like(x[:1, :1]), kernel_size=3, stride=1, padding=1)


def _average_without_padding(net: nn.Module) -> None:
    """Keras's AveragePooling2D(padding="same") leaves the padding out; timm's Inception blocks count it."""
    for block in net.children():
        pool = getattr(block, "branch_pool", None)
        if pool is not None:
            parts = OrderedDict([("border", BorderMean()), *pool.named_children()])
            block.branch_pool = nn.Sequential(parts)  # the parts keep their names, so that weights fit


def _pool_as_tensorflow(net: nn.Module) -> None:
    """TensorFlow pads an even image at its far border only; timm's Xception pads both, and shifts by a pixel."""
    from timm.layers.pool2d_same import MaxPool2dSame

    for block in net.children():
        rep = getattr(block, "rep", None)
        if rep is not None and isinstance(rep[-1], nn.MaxPool2d):
            rep[-1] = MaxPool2dSame(kernel_size=3, stride=2)
