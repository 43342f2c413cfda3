"""The body of the patient, cut out of a CT slice: what lies around it (table, clothes, letters) becomes black.

Source: Garg 2021, section III-A1, after Gunraj et al. 2020 (COVIDNet-CT): Gaussian smoothing, a threshold, the contour
of the largest area as mask, multiplied with the image. Kernel and threshold are unstated in the paper; assumed, as in
COVIDNet-CT's public code: 5 x 5 pixels, and Otsu's threshold of the smoothed pixels above 0, in 8 bits.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from pneumoscope.core.image import AppliedStep, Image2D
from pneumoscope.errors import RecipeError

LARGEST_KERNEL = 99  # pixels a side: far more than a slice's skin is thick

NOTHING_FOUND = "No body stands out from what is around it, so that the whole slice is kept."


def body(image: Image2D, *, kernel: int = 5) -> Image2D:
    """The image with 0 outside the body; what lies inside, air too, is as it was.

    kernel: side of the Gaussian in pixels, odd; its spread is OpenCV's for that side. An image in which nothing stands
    out is kept whole, with a warning.

    Raises:
        RecipeError: an even or absurd kernel, or an image in HU.
    """
    if type(kernel) is not int or not 1 <= kernel <= LARGEST_KERNEL or kernel % 2 == 0:
        raise RecipeError(f"prep.body.kernel: expected an odd number from 1 to {LARGEST_KERNEL}, found {kernel!r}.")
    if image.unit == "HU":
        raise RecipeError("prep.body: expected an image in 0..1, found HU. Put the step range or window before it.")
    mask = _mask(image.pixels, kernel)
    if mask is None:
        step = AppliedStep(name="body", args={"kernel": kernel, "kept": 1.0})
        return dataclasses.replace(image.after(image.pixels, step), warnings=(*image.warnings, NOTHING_FOUND))
    step = AppliedStep(name="body", args={"kernel": kernel, "kept": round(float(mask.mean()), 4)})
    return image.after(image.pixels * mask, step)


def _mask(pixels: np.ndarray, kernel: int) -> np.ndarray | None:
    """uint8 `[H, W]`, 1 within the largest contour, holes filled; None where there is no contour."""
    grey = np.round(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    smooth = np.asarray(cv2.GaussianBlur(grey, (kernel, kernel), 0))
    lit = smooth[smooth > 0]
    if not lit.size:
        return None
    threshold, _ = cv2.threshold(lit.reshape(1, -1), 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    binary = (smooth > threshold).astype(np.uint8)
    contours, _ = cv2.findContours(binary, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        return None
    mask: np.ndarray = np.zeros_like(grey)
    cv2.drawContours(mask, [max(contours, key=cv2.contourArea)], 0, 1, cv2.FILLED)
    return mask
