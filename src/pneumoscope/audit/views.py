"""What the small models are shown of a picture: all of it, a thumbnail, its edge, all but the lungs, the lungs.

"Lungs out" blacks the upright rectangle around both lung fields, enlarged by `MARGIN` on every side: of a mask nothing
is left that tells but where the lungs lie and how large they are. "Lungs only" keeps the fields, grown by `GROWN`, and
blacks the rest. After Maguolo & Nanni 2021 and DeGrave et al. 2021.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from pneumoscope.audit.slice_lungs import slice_lungs
from pneumoscope.core.image import Image2D, Modality
from pneumoscope.errors import InputError
from pneumoscope.io import load
from pneumoscope.prep.geometry import stretch
from pneumoscope.prep.intensity import window
from pneumoscope.runtime.lungs import doubt, find_lungs

SIDE = 128  # pixels of the views, stretched as networks of the field have it
THUMBNAIL = 24
FRAME = 0.1  # of a side: what "borders" keeps at each edge
MARGIN = 0.05  # of a side
GROWN = 0.02
# of a CT slice, from and up to which a mask may be both lungs; more is air around a patient, less a bronchus
PLAUSIBLE = (0.04, 0.75)
LUNG_WINDOW = {"center_hu": -600.0, "width_hu": 1500.0}

WHOLE, BORDERS, OUT, ONLY = "whole image", "borders", "lungs out", "lungs only"
SEEN: Mapping[str, str] = {
    WHOLE: "the whole picture",
    BORDERS: f"the outer {100 * FRAME:.0f} % at each edge; the middle is black",
    OUT: "the picture without the rectangle around both lungs, which is black",
    ONLY: "the lung fields; all else is black",
}


def picture(path: Path) -> Image2D:
    """The image of a sample in 0..1; of a series the slice halfway, in a lung window.

    Raises:
        InputError: a file that cannot be read, or a study of several images.
    """
    study = load.load_study(path)
    if study.volume is not None:
        return window(study.volume.image(len(study.volume.voxels) // 2), **LUNG_WINDOW)
    if len(study.images) != 1:
        raise InputError(f"{path.name}: expected one image, found {len(study.images)}. List each by itself.")
    image = study.images[0]
    return window(image, **LUNG_WINDOW) if image.unit == "HU" else image


def lungs_of(pixels: np.ndarray, modality: Modality | None) -> np.ndarray | None:
    """Both lungs in a picture in 0..1, bool `[H, W]`; None where none are found, or where the modality is unknown."""
    if modality is None:
        return None
    if modality == "xray":
        (fields,) = find_lungs([pixels])
        return fields.mask if doubt(fields) is None else None
    mask = slice_lungs(pixels)
    return mask if PLAUSIBLE[0] <= mask.mean() <= PLAUSIBLE[1] else None


def views(pixels: np.ndarray, lungs: np.ndarray | None) -> dict[str, np.ndarray]:
    """Name -> float32 `[SIDE, SIDE]` in 0..1; the two about lungs only where these were found."""
    found = {WHOLE: pixels, BORDERS: np.where(frame(pixels.shape), pixels, 0)}
    if lungs is not None:
        found[OUT] = np.where(around(lungs), 0, pixels)
        found[ONLY] = np.where(grown(lungs, GROWN), pixels, 0)
    return {name: stretch(view.astype(np.float32), SIDE, SIDE) for name, view in found.items()}


def coverage(lungs: np.ndarray) -> tuple[float, float]:
    """Share of the lungs that "borders" leaves visible, and share of the picture that "lungs out" blacks."""
    return float(lungs[frame(lungs.shape)].sum() / lungs.sum()), float(around(lungs).mean())


def thumbnail(pixels: np.ndarray) -> np.ndarray:
    """float32 `[THUMBNAIL, THUMBNAIL]` of a picture in 0..1."""
    return stretch(pixels, THUMBNAIL, THUMBNAIL)


def frame(shape: tuple[int, ...]) -> np.ndarray:
    """bool `[H, W]`, True at the edge: `FRAME` of the height and of the width."""
    found = np.ones(shape, dtype=bool)
    high, wide = (max(1, round(FRAME * side)) for side in shape)
    found[high:-high, wide:-wide] = False
    return found


def around(lungs: np.ndarray) -> np.ndarray:
    """bool `[H, W]`, True in the upright rectangle around the lungs, enlarged by `MARGIN` of a side on every side."""
    found = np.zeros(lungs.shape, dtype=bool)
    rows, columns = np.flatnonzero(lungs.any(axis=1)), np.flatnonzero(lungs.any(axis=0))
    high, wide = (round(MARGIN * side) for side in lungs.shape)
    found[max(0, rows[0] - high) : rows[-1] + high + 1, max(0, columns[0] - wide) : columns[-1] + wide + 1] = True
    return found


def grown(lungs: np.ndarray, share: float) -> np.ndarray:
    """bool `[H, W]`, the mask grown by a share of the longer side, so that its outline cuts nothing off."""
    radius = max(1, round(share * max(lungs.shape)))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return np.asarray(cv2.dilate(lungs.view(np.uint8), disc) > 0)
