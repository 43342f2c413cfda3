"""Text burned into a picture: a row of small, sharp, evenly tall strokes, as letters and digits are.

Classical: a top-hat transform (strokes thinner than a letter is tall), connected components, and components of one
height side by side. It finds lines of text, not single letters ("R"), arrows or devices; it is an estimate.
"""

from __future__ import annotations

import numpy as np

_SIDE = 448  # longest side that is looked at
_TALL = (5, 26)  # pixels that a letter is tall
_FEWEST = 4  # letters side by side


def has_text(grey: np.ndarray) -> bool:
    """Whether a line of text seems to be burned into a picture, uint8 `[H, W]`."""
    import cv2

    scale = _SIDE / max(grey.shape)
    if scale < 1:
        size = max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale))
        grey = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA))
    return any(_line(_letters(picture)) for picture in (grey, 255 - grey))


def _letters(grey: np.ndarray) -> np.ndarray:
    """Boxes `[n, 4]` (x, y, w, h) of bright strokes that are as large as letters."""
    import cv2

    strokes = cv2.morphologyEx(grey, cv2.MORPH_TOPHAT, np.ones((9, 9), np.uint8))
    sharp = (strokes > 60).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(sharp, connectivity=8)
    boxes = stats[1:]
    w, h, area = boxes[:, 2], boxes[:, 3], boxes[:, 4]
    low, high = _TALL
    fits = (h >= low) & (h <= high) & (w <= 1.5 * h) & (w >= 0.1 * h) & (area >= 0.15 * w * h) & (area >= 6)
    return np.asarray(boxes[fits, :4])


def _line(boxes: np.ndarray) -> bool:
    """Whether `_FEWEST` boxes of one height stand side by side."""
    for x, y, _, h in boxes:
        beside = (np.abs(boxes[:, 1] - y) <= 0.2 * h) & (np.abs(boxes[:, 3] - h) <= 0.25 * h)
        at = np.sort(boxes[beside & (boxes[:, 0] >= x), 0])
        run = 1
        for gap in np.diff(at):
            run = run + 1 if 0.2 * h <= gap <= 1.8 * h else 1
            if run >= _FEWEST:
                return True
    return False
