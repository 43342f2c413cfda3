"""The lungs of a CT slice as the paper finds them.

Source: Xue 2021, section 2.2.3 and Fig 2: the contrast stretched until 1 % of the pixels are saturated at both ends,
binarised at 0.502, inverted, what touches the border cleared, holes filled, times the original. Details as in MATLAB,
which the paper used: `stretchlim` on 256 levels, `imclearborder` over 8 neighbours, `imfill` over 4. Dense lesions at
the pleura fall out of this mask: `lung_ours` has the other.
"""

from __future__ import annotations

import cv2
import numpy as np

SATURATED = 0.01  # share of the pixels, at each end
THRESHOLD = 0.502
LEVELS = 256


def paper_mask(values: np.ndarray) -> np.ndarray:
    """float32 `[Z, Y, X]` in 0..1 -> uint8, 1 in what each slice's steps leave."""
    mask = np.empty(values.shape, np.uint8)
    for pixels, out in zip(values, mask, strict=True):
        low, high = limits(pixels)
        out[:] = filled(cleared((pixels < low + THRESHOLD * (high - low)).view(np.uint8)))
    return mask


def stages(pixels: np.ndarray) -> dict[str, np.ndarray]:
    """Every picture of the paper's Fig 2 from a slice, float32 `[H, W]` in 0..1, in its order and under its names."""
    low, high = limits(pixels)
    stretched = np.clip((pixels - low) / (high - low), 0, 1)
    inverted = (pixels < low + THRESHOLD * (high - low)).view(np.uint8)
    clear = cleared(inverted)
    mask = filled(clear)
    pictures = {
        "original": pixels,
        "contrast": stretched,
        "binary": 1 - inverted,
        "inverted": inverted,
        "border cleared": clear,
        "holes filled": mask,
        "masked": pixels * mask,
    }
    return {name: np.asarray(picture, dtype=np.float32) for name, picture in pictures.items()}


def limits(pixels: np.ndarray) -> tuple[float, float]:
    """The levels between which the contrast is stretched, of a slice in 0..1: MATLAB's `stretchlim`."""
    levels = np.asarray(cv2.convertScaleAbs(pixels, alpha=LEVELS - 1))
    below = np.cumsum(np.bincount(levels.ravel(), minlength=LEVELS))
    low = int(np.searchsorted(below, SATURATED * levels.size, side="right"))
    high = int(np.searchsorted(below, (1 - SATURATED) * levels.size, side="left"))
    return (low / (LEVELS - 1), high / (LEVELS - 1)) if low < high else (0.0, 1.0)


def cleared(mask: np.ndarray) -> np.ndarray:
    """uint8 `[H, W]` without what is joined to the border over 8 neighbours."""
    framed = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    cv2.floodFill(framed, None, (0, 0), 0, flags=8)
    return np.asarray(framed)[1:-1, 1:-1]


def filled(mask: np.ndarray) -> np.ndarray:
    """uint8 `[H, W]` with 1 also in holes: what is not joined to the border over 4 neighbours."""
    framed = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    cv2.floodFill(framed, None, (0, 0), 2, flags=4)
    return np.asarray(framed[1:-1, 1:-1] != 2, dtype=np.uint8)
