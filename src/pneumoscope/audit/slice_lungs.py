"""The lungs of one CT slice that comes as a picture, whatever its window: for masking, not for measuring.

As `prep.lung` and Xue 2021 (section 2.2.3) have it, air by a threshold, what is outside the body cleared, holes filled;
but a published slice is often cropped so that its edge cuts a lung. As in `prep.body`, dark regions that are wider
inside than at the edge are within the body.
"""

from __future__ import annotations

import cv2
import numpy as np

from pneumoscope.prep.body import OPEN
from pneumoscope.prep.geometry import stretch
from pneumoscope.prep.lung import filled, limits

SIDE = 192  # pixels at which lungs are looked for
LEAST = 0.01  # of the picture: what is smaller is a bronchus, or bowel
CLOSE = 4  # pixels at `SIDE`: vessels at the outline


def slice_lungs(pixels: np.ndarray) -> np.ndarray:
    """Both lungs of an axial slice, float32 `[H, W]` in 0..1 -> bool `[H, W]`; none where nothing dark is enclosed."""
    small = stretch(pixels, SIDE, SIDE)
    low, high = limits(small)
    grey = np.asarray(cv2.convertScaleAbs(np.clip((small - low) / (high - low), 0, 1), alpha=255))
    threshold, _ = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    regions, of, stats, _ = cv2.connectedComponentsWithStats((grey <= threshold).view(np.uint8), connectivity=4)
    edge = np.bincount(np.concatenate([of[0], of[-1], of[1:-1, 0], of[1:-1, -1]]), minlength=regions)
    area = stats[:, cv2.CC_STAT_AREA].astype(np.float64)
    lung = (edge.astype(np.float64) ** 2 < OPEN * area) & (area >= LEAST * SIDE**2)
    lung[0] = False  # what is lit
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * CLOSE + 1, 2 * CLOSE + 1))
    closed = filled(np.asarray(cv2.morphologyEx(lung[of].astype(np.uint8), cv2.MORPH_CLOSE, disc)))
    height, width = pixels.shape
    return np.asarray(cv2.resize(closed, (width, height), interpolation=cv2.INTER_NEAREST) > 0)
