"""2D weights as weights of a 3D network that answers a volume of equal slices as the 2D network answers one of them.

Source: Carreira & Zisserman, Quo Vadis, CVPR 2017, section 2.4 ("inflating"), with the kernel in the middle plane and
zeros elsewhere instead of repeated and divided: what zero padding adds at either end of the volume then meets a zero,
so that the answer is the 2D network's in every slice and not in the inner ones alone.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

Rgb = tuple[float, float, float]


def inflate(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Each 2D kernel `[O, I, k, k]` as `[O, I, k, k, k]`; what is no kernel (BatchNorm's) stays as it is."""
    return {name: _at_the_centre(tensor) if tensor.ndim == 4 else tensor for name, tensor in tensors.items()}


def _at_the_centre(kernel: Tensor) -> Tensor:
    size = kernel.shape[2]
    cube = torch.zeros(*kernel.shape[:2], size, *kernel.shape[2:], dtype=kernel.dtype)
    cube[:, :, size // 2] = kernel
    return cube


def for_grey(tensors: Mapping[str, Tensor], mean: Rgb, std: Rgb) -> dict[str, Tensor]:
    """Weights of a ResNet for one grey channel, `(x - mean of means) / (mean of stds)`, instead of three colours.

    The first convolution gets the sum of its kernels over the channels, each by its own std, and the BatchNorm behind
    it what the channels' own means leave over. That is exact for grey pixels, but for where the kernel reaches over the
    border: zero padding stands for each channel's own mean there. Where the means are equal it is exact there, too.

    Args:
        tensors: of a ResNet, with `conv1.weight` `[O, 3, k, k]` and `bn1.running_mean` `[O]`.
        mean: of each channel, for pixels in 0..1, as the weights were trained with.
        std: likewise.
    """
    grey_mean, grey_std = grey(mean), grey(std)
    by_channel = tensors["conv1.weight"] / torch.tensor(std).reshape(1, 3, 1, 1)
    over = (by_channel.sum(dim=(2, 3)) * (torch.tensor(mean) - grey_mean)).sum(dim=1)
    return {
        **tensors,
        "conv1.weight": by_channel.sum(dim=1, keepdim=True) * grey_std,
        "bn1.running_mean": tensors["bn1.running_mean"] + over,
    }


def grey(values: Rgb) -> float:
    """The mean over the channels."""
    return sum(values) / len(values)
