"""The pictures of a run that judges volumes: three planes of prepared test volumes, and where the network looked.

Xue 2021, Fig 4, shows such volumes. All of the first fold, whose network did not learn from them.
"""

from __future__ import annotations

import numpy as np
import torch

from pneumoscope.core.result import Gallery, Picture
from pneumoscope.nets.build import Net
from pneumoscope.nets.volume import ScreeningVolume, VolumeNet
from pneumoscope.train.bench import Bench
from pneumoscope.train.folds import OutOfFold

OF_EACH_CLASS = 2
PLANES = ("axial", "coronal", "sagittal")


def volume_galleries(bench: Bench, net: Net, answers: OutOfFold) -> tuple[Gallery, ...]:
    """Of each class the test volumes that were most surely and rightly decided for it, with Grad-CAM."""
    names = bench.main.dataset.classes.names
    truth = bench.labels[answers.positions]
    pictures, none = [], []
    for k, name in enumerate(names):
        right = np.flatnonzero((answers.folds == 0) & (truth == k) & (answers.decisions == k))
        none += [] if len(right) else [name]
        for i in right[np.argsort(-answers.probabilities[right, k])][:OF_EACH_CLASS]:
            row = bench.units.members[int(answers.positions[i])][0]
            said = f"{name}, {100 * answers.probabilities[i, k]:.0f} %"
            pictures += planes(net, np.array(bench.main.images[row]), k, said)
    note = (
        "Three planes of what the network sees, the lungs cut out and stretched to a cube, through the place that "
        "speaks most for the class: the surest right answers of the first fold. Red is where the most speaks for the "
        "class; it shows what was looked at, not that it is disease."
    )
    note += f" None was decided rightly for {', '.join(none)}." if none else ""
    return (Gallery(title="Where the network looked, by class", note=note, pictures=tuple(pictures)),)


def planes(net: Net, voxels: np.ndarray, of_class: int, said: str) -> list[Picture]:
    """Axial, coronal and sagittal planes of prepared voxels `[D, H, W]` through the strongest place of the map."""
    if not isinstance(net, VolumeNet):
        raise TypeError(f"net: expected one of volumes, found {type(net).__name__}.")
    with torch.inference_mode():
        _, cams = ScreeningVolume(net).eval()(torch.from_numpy(voxels[np.newaxis, np.newaxis]))
    cam = np.clip(cams[0, of_class].numpy(), 0, None)
    cell = np.unravel_index(int(cam.argmax()), cam.shape)
    found = []
    for axis, name in enumerate(PLANES):
        at = int((cell[axis] + 0.5) * voxels.shape[axis] / cam.shape[axis])
        pixels, heat = np.take(voxels, at, axis), np.take(cam, int(cell[axis]), axis)
        if axis:  # the head is up
            pixels, heat = pixels[::-1], heat[::-1]
        caption = f"{said}; {name}"
        found.append(
            Picture(pixels=np.ascontiguousarray(pixels), caption=caption, heat=np.ascontiguousarray(heat), right=True)
        )
    return found
