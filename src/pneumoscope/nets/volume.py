"""A classifier of CT volumes: a 3D backbone, global average pooling, and the head of the 2D networks.

Source: Xue 2021, section 2.3 and Table 2: pooling, 512 units, clipped ReLU, dropout 0.5, one output a class. The head
takes maps `[N, C, h, w]`; a map of a volume is given to it as `[N, C, d, h * w]`, which is pooled the same, and its
Grad-CAM is folded back.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor, nn

from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.stage import Stage
from pneumoscope.errors import RecipeError
from pneumoscope.nets.build import Net, outputs_of, probabilities, score_seeds
from pneumoscope.nets.head import MlpHead
from pneumoscope.nets.resnet3d import build_resnet3d
from pneumoscope.nets.weights import WeightsUsed

# voxels of a batch from which on training keeps only what lies between the blocks (see `ResNet3d`): below, the
# weights and their optimiser take most of the memory, and it would be a quarter more time for little
SAVE_MEMORY_FROM = 192**3
SHRINKS = 32  # the last map has one cell for so many voxels along each axis
BF16_FROM = 96  # voxels a side, from which on the last map has 3; see `bf16_is_right`


def bf16_is_right(input_size: tuple[int, ...]) -> bool:
    """Whether torch trains a network of images `(H, W)` or volumes `(D, H, W)` of this size rightly in bf16.

    Where a 3D convolution of kernel 3 sees 2 voxels a side, torch 2.15 (oneDNN) reads memory that nobody wrote into
    its weights' gradient in bf16: now and then it is NaN. In fp32, in 2D and on maps of 1 or from 3 voxels it does not.
    """
    return len(input_size) == 2 or min(input_size) >= BF16_FROM


class VolumeNet(Net):
    """A classifier of volumes: grey 0..1 `[N, 1, D, H, W]` -> logits."""

    def maps(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The backbone's last map as the head takes it, `[N, C, d, h * w]`."""
        return self.backbone(x).flatten(3), ()


class ScreeningVolume(nn.Module):
    """What is exported: one forward pass gives probabilities `[N, K]` and Grad-CAM maps `[N, K, d, h, w]`."""

    seeds: Tensor

    def __init__(self, net: VolumeNet) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("seeds", score_seeds(net.head.outputs, net.classes))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """`(probabilities, cam)` of grey 0..1 volumes `[N, 1, D, H, W]`."""
        maps = self.net.backbone(x)
        logits, cam, _ = self.net.head.answer(maps.flatten(3), self.seeds)
        return probabilities(logits, self.net.classes), cam.reshape(*cam.shape[:3], *maps.shape[3:])


def build_volume(
    stage: Stage, classes: ClassSet, *, input_size: tuple[int, int, int], weights_dir: Path | None, seed: int
) -> tuple[VolumeNet, WeightsUsed]:
    """The network of a stage of volumes, its new layers seeded, and the weights it starts from; see `build.build`.

    input_size: (D, H, W). From `SAVE_MEMORY_FROM` voxels a batch on it is trained with less memory in more time.

    Raises:
        RecipeError: a loss that does not fit the classes, a head that takes maps of images only, or single volumes
            too small to be normalised.
        UsageError: a network that does not exist.
        MissingError: weights that are not here.
    """
    head = stage.head
    if head.pooling != "average" or head.convolution or head.scales > 1:
        raise RecipeError(
            f"stages.{stage.name}.head: expected pooling 'average', no convolution and 1 scale for a network of "
            f"volumes, found '{head.pooling}', {head.convolution} and {head.scales}."
        )
    if stage.batch == 1 and max(input_size) <= SHRINKS:
        raise RecipeError(
            f"stages.{stage.name}.batch: expected at least 2 for volumes of at most {SHRINKS} voxels a side, whose "
            f"last map is one cell (BatchNorm needs two), found 1. Add: --set stages.{stage.name}.batch=2"
        )
    outputs = outputs_of(stage, classes)
    # weights of a stage before are laid over the network later, so it starts from anything
    init = "random" if stage.init.startswith("stage:") else stage.init
    backbone, used = build_resnet3d(
        stage.net,
        init=init,
        weights_dir=weights_dir,
        seed=seed,
        save_memory=math.prod(input_size) * stage.batch >= SAVE_MEMORY_FROM,
    )
    torch.manual_seed(seed)
    return VolumeNet(backbone, MlpHead(head, channels=backbone.channels, grid=(1, 1), outputs=outputs), classes), used
