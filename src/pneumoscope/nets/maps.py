"""What a layer answers to one image: its feature maps, and the brightest of them side by side.

Szalay 2021, section 4 and Fig. 5: "in the feature map is where are lot of light pixels, those kernels are the most
important". How channels are chosen, scaled and laid out is ours, since the paper does not say.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from torch import nn

from pneumoscope.core.result import Picture
from pneumoscope.errors import UsageError
from pneumoscope.nets.build import Net

MOST = 36  # tiles of a grid that can still be told apart in a report
TILE = 64  # pixels that the longer side of a tile has at least
BORDER = 0.4  # brightness between the tiles: neither a channel's black nor its white
WHITE = 99.0  # percentile of the outputs above 0 that is drawn white: one place of one channel may be far above all

LIGHT = (
    "Each tile is one channel of the layer. Light is a high output, black an output of 0 or less. The channels with "
    "the most light stand first; the tiles of one grid share one scale, so its tiles can be compared, and two grids "
    "cannot. Light says where a channel answers, not that disease is there."
)


def feature_maps(net: Net, pixels: np.ndarray, layers: Sequence[str]) -> dict[str, np.ndarray]:
    """What each of `layers` answers to one image, from one pass in evaluation mode; the network is left as it was.

    Args:
        net: any network of a recipe.
        pixels: a prepared image in 0..1, `[H, W]`.
        layers: names of modules of the backbone ("features", "net.layer1"), or "head.maps" where the head convolves.

    Returns:
        Layer -> float32 `[C, h, w]`, in the order asked for.

    Raises:
        UsageError: no such layer, one without a spatial output, or one that does not run exactly once.
    """
    x = torch.from_numpy(np.array(pixels, dtype=np.float32))[None, None]
    found: dict[str, list[torch.Tensor]] = {layer: [] for layer in layers}
    with ExitStack() as hooks, torch.inference_mode(), _evaluating(net):
        for layer, outputs in found.items():
            hooks.callback(_listen(net, layer, outputs).remove)
        net(x)
    for layer, outputs in found.items():
        if len(outputs) != 1:
            raise UsageError(
                f"layer: expected one that runs once, found '{layer}' run {len(outputs)} times. Take another."
            )
    return {layer: outputs[0][0].float().numpy() for layer, outputs in found.items()}


def default_layers(net: Net) -> tuple[str, ...]:
    """An early, a middle and the last layer with maps; the last one is what the exported graph's Grad-CAM is of."""
    backbone = net.backbone
    listed: tuple[str, ...] = getattr(backbone, "layers", tuple)()
    # of a network of ours, which lists none: where each convolution's answer has its ReLU
    stages = listed[:0:-1] or [name for name, module in backbone.named_modules() if isinstance(module, nn.ReLU)]
    names = [*stages, "features", *(["head.maps"] if net.head.convolution is not None else [])]
    return names[0], names[(len(names) - 1) // 2], names[-1]


def grid(maps: np.ndarray, *, most: int = MOST) -> np.ndarray:
    """The channels with the most light, the brightest first, in a near-square grid with thin borders.

    All share one scale: a scale of its own would draw a channel that hardly answers as bright as the one that answers
    most, and its light would then say nothing of how important it is.

    Args:
        maps: a layer's output, `[C, h, w]`.
        most: channels that are shown, at least 1.

    Returns:
        float32 `[H, W]` in 0..1. Small maps are enlarged by a whole number, pixel by pixel.
    """
    light = np.maximum(maps, 0, dtype=np.float64)  # of any two floats the ratio is one
    shown = light[np.argsort(-light.mean(axis=(1, 2)), kind="stable")[:most]]
    white = float(np.percentile(shown[shown > 0], WHITE)) if (shown > 0).any() else 1.0
    scale = math.ceil(TILE / max(shown.shape[1:]))
    tiles = np.minimum(shown / white, 1).repeat(scale, axis=1).repeat(scale, axis=2)
    n, height, width = tiles.shape
    columns = math.ceil(math.sqrt(n))
    gap = 2 * max(height, width) // TILE
    rows = math.ceil(n / columns)
    sheet = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap), BORDER, dtype=np.float32)
    for k, tile in enumerate(tiles):
        top, left = gap + k // columns * (height + gap), gap + k % columns * (width + gap)
        sheet[top : top + height, left : left + width] = tile
    return sheet


def picture(layer: str, maps: np.ndarray) -> Picture:
    """The grid of a layer's output `[C, h, w]` for a report, with the layer, its channels and their size in words."""
    channels, height, width = maps.shape
    shown = f"{MOST} brightest of {channels}" if channels > MOST else f"{channels}"
    return Picture(pixels=grid(maps), caption=f"{layer}: {shown} channels of {height} x {width}")


@contextmanager
def _evaluating(net: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in net.modules()]
    net.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _listen(net: Net, layer: str, outputs: list[torch.Tensor]) -> torch.utils.hooks.RemovableHandle:
    """Have `layer` add its output to the list each time it runs."""
    modules = dict(net.backbone.named_modules()) | {"head.maps": net.head.maps}
    if not layer or layer not in modules:
        raise UsageError(f"layer: expected one of the network, found '{layer}'. Take another.")

    def keep(_module: nn.Module, _inputs: object, output: object) -> None:
        if not isinstance(output, torch.Tensor) or output.ndim != 4:
            found = list(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
            raise UsageError(
                f"layer: expected an output [N, C, h, w], found {found} at '{layer}'. Take an earlier one."
            )
        outputs.append(output.clone())  # what follows may change it in place

    handle: torch.utils.hooks.RemovableHandle = modules[layer].register_forward_hook(keep)
    return handle
