"""What every step of a method of volumes makes of a slice, and of the scan: Xue 2021, Figs. 2 and 3.

The steps are done again, up to the lungs, since screening keeps no volume that it does not need.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pneumoscope.core.image import Volume
from pneumoscope.core.result import Picture
from pneumoscope.core.stage import Step
from pneumoscope.core.voxels import Voxels
from pneumoscope.prep import lung
from pneumoscope.prep.volume_steps import STEPS, prepare_volume
from pneumoscope.report import figures, planes

TILE = 224  # pixels
CAPTION = 26  # pixels under a tile
COLUMNS = 4
# pictures of the paper's mask, as `lung.stages` names them -> what is said of them
PAPER = {
    "contrast": f"contrast, {100 * lung.SATURATED:g} % lost at each end",
    "binary": f"binary, from {lung.THRESHOLD:g} up",
    "inverted": "inverted",
    "border cleared": "border cleared",
    "holes filled": "holes filled",
}


class Made(NamedTuple):
    """pictures: of one slice, step by step. number: of the slice, from 0, in the scan.

    area: of the lung in each slice of the resampled scan, by the largest, and mm_above: how high each lies, from the
    first slice of the scan; both empty where no step finds lungs.
    """

    pictures: tuple[Picture, ...]
    number: int
    area: np.ndarray
    mm_above: np.ndarray


def made(volume: Volume, steps: Sequence[Step], number: int) -> Made:
    """The steps of a method done on a scan, shown in one slice of it, counted from the feet.

    Raises:
        RecipeError, InputError: as `prepare_volume`.
    """
    names = [step.name for step in steps]
    until = names.index("lung") if "lung" in names else len(names)
    before = prepare_volume(volume, steps[:until])
    (scale, offset), last = before.to_source[0], len(before.values) - 1
    at = min(max(round((number - offset) / scale), 0), last)
    resampled = before.values[at].copy()  # the lung step writes over what it is given
    pictures = [
        Picture(pixels=_grey(volume.voxels[number], before), caption=f"original, {_size(volume.voxels)}"),
        Picture(pixels=resampled, caption=f"resampled, {_size(before.values)}"),
    ]
    if until == len(names):
        return Made(tuple(pictures), number, np.empty(0), np.empty(0))
    after: Voxels = STEPS.resolve("lung")(before, **steps[until].args)
    if after.mask is None:
        raise ValueError("lung: expected a mask, found none.")
    pictures += _masking(resampled, after.mask[at], paper=after.steps[-1].args["method"] == "paper")
    pictures.append(Picture(pixels=after.values[at].copy(), caption="times the resampled slice"))
    area = np.count_nonzero(after.mask, axis=(1, 2))
    above = (scale * np.arange(last + 1) + offset) * volume.geometry.spacing_mm[0]
    return Made(tuple(pictures), number, area / max(1, area.max()), above)


def _grey(pixels: np.ndarray, prepared: Voxels) -> np.ndarray:
    """HU as the method's grey values, 0..1."""
    grey = prepared.steps[0].args
    low, high = grey["low_hu"], grey["high_hu"]
    return np.asarray(np.clip((pixels.astype(np.float32) - low) / (high - low), 0, 1))


def _size(block: np.ndarray) -> str:
    return f"{block.shape[2]} x {block.shape[1]}"


def _masking(pixels: np.ndarray, mask: np.ndarray, *, paper: bool) -> list[Picture]:
    if not paper:
        return [Picture(pixels=mask.astype(np.float32), caption="lungs")]
    found = lung.stages(pixels)
    return [Picture(pixels=found[name], caption=caption) for name, caption in PAPER.items()]


def steps_png(pictures: Sequence[Picture]) -> bytes:
    """Pictures with their captions in rows of `COLUMNS`, as a PNG."""
    tiles = [_tile(picture) for picture in pictures]
    tiles += [np.full_like(tiles[0], planes.BACKGROUND)] * (-len(tiles) % COLUMNS)
    rows = [np.concatenate(tiles[n : n + COLUMNS], axis=1) for n in range(0, len(tiles), COLUMNS)]
    return figures.encoded(".png", np.concatenate(rows))


def _tile(picture: Picture) -> np.ndarray:
    """uint8 RGB `[TILE + CAPTION, TILE, 3]`, and a margin."""
    import cv2

    h, w = picture.pixels.shape
    scale = TILE / max(h, w)
    size = max(1, round(w * scale)), max(1, round(h * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    pixels = np.asarray(cv2.resize(picture.pixels, size, interpolation=how))
    tile = np.full((TILE + CAPTION + planes.MARGIN, TILE + planes.MARGIN, 3), planes.BACKGROUND, np.uint8)
    grey = np.round(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    tile[: size[1], : size[0]] = grey[..., np.newaxis]
    cv2.putText(tile, picture.caption, (2, TILE + 17), cv2.FONT_HERSHEY_SIMPLEX, 0.38, (200, 210, 218), 1, cv2.LINE_AA)
    return tile
