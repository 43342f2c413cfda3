"""From a recipe's stage to a network: backbone, head, and what of it is trained."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm  # what BatchNorms of one, two and three axes are

from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.stage import Stage
from pneumoscope.errors import RecipeError
from pneumoscope.nets import backbones
from pneumoscope.nets.cnn import OWN
from pneumoscope.nets.head import MlpHead
from pneumoscope.nets.weights import WeightsUsed


class Net(nn.Module):
    """A classifier of single images: grey 0..1 `[N, 1, H, W]` -> logits."""

    def __init__(self, backbone: nn.Module, head: MlpHead, classes: ClassSet) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.classes = classes

    def forward(self, x: Tensor) -> Tensor:
        """Logits: `[N, 1]` of the positive class (binary cross-entropy) or `[N, K]`."""
        return torch.as_tensor(self.head(self.features(x)))

    def features(self, x: Tensor) -> Tensor:
        """What a frozen backbone computes once: pooled `[N, F]`, or its maps where the head convolves them."""
        maps, earlier = self.maps(x)
        return self.head.fixed(maps, earlier)

    def maps(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The backbone's last map, and those of the stages before it that the head joins, in their order."""
        return _maps(self.backbone, x, self.head.scales)

    def penultimate(self, fixed: Tensor) -> Tensor:
        """What `features` gave -> what the output layer gets, `[N, last hidden]`: see `MlpHead.penultimate`."""
        return self.head.penultimate(fixed)


def _maps(backbone: nn.Module, x: Tensor, scales: int) -> tuple[Tensor, tuple[Tensor, ...]]:
    if isinstance(backbone, backbones.Backbone):
        *earlier, last = backbone.scales(x, scales)
        return last, tuple(earlier)
    return backbone(x), ()


def probabilities(logits: Tensor, classes: ClassSet) -> Tensor:
    """Logits `[N, 1]` or `[N, K]` -> probabilities `[N, K]` in the order of the classes, float32."""
    if logits.shape[1] > 1:
        return torch.softmax(logits.float(), dim=1)
    positive = torch.sigmoid(logits.float())
    both = [1 - positive, 1 - positive]
    both[classes.positive_index] = positive
    return torch.cat(both, dim=1)


def score_seeds(outputs: int, classes: ClassSet) -> Tensor:
    """Gradient of each class's score at the logits, `[K, outputs]`.

    A class's score is its logit; with a single logit the other class's score is minus it.
    """
    if outputs > 1:
        return torch.eye(outputs)
    seeds = -torch.ones(2, 1)
    seeds[classes.positive_index] = 1.0
    return seeds


class ScreeningNet(nn.Module):
    """What is exported: one forward pass gives probabilities `[N, K]` and Grad-CAM maps `[N, K, h, w]`."""

    seeds: Tensor

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("seeds", score_seeds(net.head.outputs, net.classes))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """`(probabilities, cam)` of grey 0..1 images `[N, 1, H, W]`."""
        maps, earlier = self.net.maps(x)
        logits, cam, _ = self.net.head.answer(maps, self.seeds, earlier)
        return probabilities(logits, self.net.classes), cam


class FamiliarNet(ScreeningNet):
    """The same with the means of the backbone's last map, `[N, C]`, by which unfamiliar pictures are found."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[override]
        """`(probabilities, cam, features)` of grey 0..1 images `[N, 1, H, W]`."""
        maps, earlier = self.net.maps(x)
        logits, cam, _ = self.net.head.answer(maps, self.seeds, earlier)
        return probabilities(logits, self.net.classes), cam, maps.mean(dim=(2, 3))


def build(
    stage: Stage, classes: ClassSet, *, input_size: tuple[int, int], weights_dir: Path | None, seed: int
) -> tuple[Net, WeightsUsed | None]:
    """The network of a stage, its new layers seeded, and the pretrained weights it starts from.

    Raises:
        RecipeError: a loss that does not fit the classes, more scales than the network has, or a network that has no
            ImageNet weights to start from.
        UsageError: a network that does not exist.
        MissingError: weights that are not here.
    """
    outputs = outputs_of(stage, classes)
    torch.manual_seed(seed)
    backbone, used = _backbone(stage, weights_dir, seed)
    _check_scales(stage, backbone)
    with torch.inference_mode():
        maps, earlier = _maps(backbone.eval(), torch.zeros(1, 1, *input_size), stage.head.scales)
    torch.manual_seed(seed)
    joined = sum(m.shape[1] for m in earlier)
    head = MlpHead(
        stage.head, channels=maps.shape[1], grid=(maps.shape[2], maps.shape[3]), outputs=outputs, joined=joined
    )
    return Net(backbone, head, classes), used


def _check_scales(stage: Stage, backbone: nn.Module) -> None:
    most = backbone.most_scales if isinstance(backbone, backbones.Backbone) else 1
    if stage.head.scales > most:
        raise RecipeError(
            f"stages.{stage.name}.head.scales: expected at most the {most} of {stage.net}, found {stage.head.scales}."
        )


def _backbone(stage: Stage, weights_dir: Path | None, seed: int) -> tuple[nn.Module, WeightsUsed | None]:
    if stage.net in OWN:
        if stage.init == "imagenet":
            raise RecipeError(
                f"stages.{stage.name}.init: expected 'random' for the net '{stage.net}', found 'imagenet'. "
                "It has no pretrained weights."
            )
        return OWN.resolve(stage.net)(), None
    # weights of a stage before are laid over the network later, so it starts from anything
    return backbones.build_backbone(
        stage.net, init="imagenet" if stage.init == "imagenet" else "random", weights_dir=weights_dir, seed=seed
    )


def outputs_of(stage: Stage, classes: ClassSet) -> int:
    """How many outputs the loss of a stage has; raises RecipeError where it does not fit the classes."""
    if stage.loss == "cross_entropy":
        return len(classes.names)
    if len(classes.names) != 2 or classes.positive is None:
        raise RecipeError(
            f"stages.{stage.name}.loss: expected 'cross_entropy' unless there are two classes, one of them positive, "
            f"found 'binary_cross_entropy' for {', '.join(classes.names)}."
        )
    return 1


def choose_trainable(net: Net, stage: Stage) -> list[nn.Module]:
    """Set `requires_grad` as the stage's `trainable` says; returns the frozen modules that must stay in eval mode.

    A frozen BatchNorm keeps its running statistics too, not only its weights.
    """
    kind, _, number = stage.trainable.partition(":")
    for parameter in net.backbone.parameters():
        parameter.requires_grad_(kind in ("all", "all_but_norm"))
    for parameter in net.head.parameters():
        parameter.requires_grad_(True)
    if kind == "all":
        return []
    if kind == "all_but_norm":
        return [norm.requires_grad_(False) for norm in net.modules() if isinstance(norm, _BatchNorm)]
    if kind == "upper":
        convolutions = backbones.conv_layers(net.backbone)
        if not 0 < int(number) <= len(convolutions):
            raise RecipeError(
                f"stages.{stage.name}.trainable: expected 1 to {len(convolutions)} convolutions of {stage.net}, "
                f"found {number}."
            )
        for convolution in convolutions[-int(number) :]:
            convolution.requires_grad_(True)
    return [net.backbone]
