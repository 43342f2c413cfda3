"""The body of the patient, cut out of a CT slice: what lies around it (table, clothes, letters) becomes black.

Source: Garg 2021, section III-A1, after Gunraj et al. 2020 (COVIDNet-CT): Gaussian smoothing, a threshold, the contour
of the largest area as mask, multiplied with the image. Kernel and threshold are unstated in the paper; assumed, as in
COVIDNet-CT's public code: 5 x 5 pixels, and Otsu's threshold of the smoothed pixels above 0, in 8 bits.
"""

from __future__ import annotations

import cv2
import numpy as np

from pneumoscope.core.image import AppliedStep, Image2D
from pneumoscope.errors import RecipeError

LARGEST_KERNEL = 99  # pixels a side: far more than a slice's skin is thick

# lit share of a picture's edge from which it is a crop within the body: 0.24 is the most on whole slices of shared/data
CROPPED = 0.5
# of a dark region that opens to the picture's edge, the square of its length there over its area. Air around a body has
# more: 4 in a square corner, 8 as a strip; a lung that the edge cut open has less
OPEN = 2.0


def body(image: Image2D, *, kernel: int = 5) -> Image2D:
    """The image with 0 outside the body; what lies inside, air too, is as it was.

    kernel: side of the Gaussian in pixels, odd; its spread is OpenCV's for that side. The step's record says which
    share of the image was kept.

    A picture cropped so tightly that its edge cuts the chest wall would lose its lungs: a contour around the rest goes
    along their inside. Where most of the edge is lit, dark regions that are wider inside than at the edge are taken to
    be within the body. This is ours; whole slices are masked as in the paper.

    Raises:
        RecipeError: an even or absurd kernel, or an image in HU.
    """
    if type(kernel) is not int or not 1 <= kernel <= LARGEST_KERNEL or kernel % 2 == 0:
        raise RecipeError(f"prep.body.kernel: expected an odd number from 1 to {LARGEST_KERNEL}, found {kernel!r}.")
    if image.unit == "HU":
        raise RecipeError("prep.body: expected an image in 0..1, found HU. Put the step range or window before it.")
    lit = _lit(image.pixels, kernel)
    mask = _largest(lit if _edge(lit).mean() < CROPPED else _closed(lit))
    step = AppliedStep(name="body", args={"kernel": kernel, "kept": round(cv2.countNonZero(mask) / mask.size, 4)})
    return image.after(np.asarray(cv2.copyTo(image.pixels, mask)), step)


def _lit(pixels: np.ndarray, kernel: int) -> np.ndarray:
    """uint8 `[H, W]`, 1 where the smoothed image is above the threshold."""
    smooth = np.asarray(cv2.GaussianBlur(cv2.convertScaleAbs(pixels, alpha=255), (kernel, kernel), 0))
    above = smooth[smooth > 0]
    if not above.size:
        return np.zeros_like(smooth)
    threshold, _ = cv2.threshold(above.reshape(1, -1), 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    return np.asarray(cv2.threshold(smooth, threshold, 1, cv2.THRESH_BINARY)[1])


def _largest(lit: np.ndarray) -> np.ndarray:
    """uint8 `[H, W]`, 1 within the contour of the largest area, its holes filled; 0 where there is none."""
    mask: np.ndarray = np.zeros_like(lit)
    contours, _ = cv2.findContours(lit, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if contours:
        cv2.drawContours(mask, [max(contours, key=cv2.contourArea)], 0, 1, cv2.FILLED)
    return mask


def _closed(lit: np.ndarray) -> np.ndarray:
    """`lit` with 1 in the dark regions that the picture's edge cut open."""
    regions, of, stats, _ = cv2.connectedComponentsWithStats(1 - lit, connectivity=4)
    length = np.bincount(_edge(of), minlength=regions)
    cut_open = (length > 0) & (length.astype(np.float64) ** 2 < OPEN * stats[:, cv2.CC_STAT_AREA])
    cut_open[0] = False  # what is lit
    return np.asarray((lit > 0) | cut_open[of], dtype=np.uint8)


def _edge(values: np.ndarray) -> np.ndarray:
    """The values along the picture's edge, each pixel once."""
    return np.concatenate([values[0], values[-1], values[1:-1, 0], values[1:-1, -1]])
