"""Pictures of a study: the grey image, where the network looked, and both together; OpenCV and numpy only.

The heat map is turbo (Mikhailov 2019) with an opacity that rises with the map, so that what does not count stays
plain grey. A CT image in HU is shown through the lung window: centre -600 HU, width 1500 HU. Pictures of a gallery
are prepared images, in 0..1 already.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from pneumoscope.core.image import Image2D
from pneumoscope.core.result import Explanation, Picture
from pneumoscope.prep import intensity

LONG_SIDE = 1024
# a map has some 7 x 7 to 19 x 19 cells of its own: more pixels than this show nothing more
HEAT_SIDE = 224
GALLERY_SIDE = 224
LARGE_SIDE = 448  # of pictures that hold small parts
OPACITY = 0.45
JPEG_QUALITY = 88


def grey(image: Image2D, *, long_side: int = LONG_SIDE) -> np.ndarray:
    """The image as it is shown: uint8 `[h, w]`, shrunk (never enlarged) to `long_side` pixels at most."""
    pixels = intensity.window(image, center_hu=-600.0, width_hu=1500.0).pixels
    shown: np.ndarray = np.round(np.clip(_shrunk(pixels, long_side), 0, 1) * 255).astype(np.uint8)
    return shown


def heat(values: np.ndarray) -> np.ndarray:
    """A map in 0..1 `[h, w]` -> uint8 RGBA `[h, w, 4]`, fully transparent at 0 and opaque from 0.6 up."""
    import cv2

    level = np.clip(values, 0, 1)
    colours = cv2.applyColorMap(np.round(level * 255).astype(np.uint8), cv2.COLORMAP_TURBO)
    alpha = np.round(np.clip(level / 0.6, 0, 1) * 255).astype(np.uint8)
    return np.dstack([colours[..., ::-1], alpha])


def image_png(image: Image2D) -> bytes:
    """The grey image as an 8-bit PNG, `LONG_SIDE` pixels at most."""
    return encoded(".png", grey(image))


def image_jpeg(image: Image2D, *, long_side: int = LONG_SIDE) -> bytes:
    """The grey image as a JPEG, for a report that must stay small."""
    return encoded(".jpg", grey(image, long_side=long_side))


def heat_png(explanation: Explanation) -> bytes:
    """The map alone as an RGBA PNG of the image's aspect, `HEAT_SIDE` pixels at most, to lay over the image."""
    return encoded(".png", heat(_shrunk(explanation.map, HEAT_SIDE)))


def map_png(explanation: Explanation) -> bytes:
    """The map itself in the pixels of the source image: 16-bit grey PNG `[H, W]`, 65535 for 1."""
    return encoded(".png", np.round(np.clip(explanation.map, 0, 1) * 65535).astype(np.uint16))


def scale_png() -> bytes:
    """The colour scale of the map, low at the left: RGBA PNG, 1 x 128 pixels."""
    return encoded(".png", heat(np.linspace(0, 1, 128, dtype=np.float32)[np.newaxis]))


def overlay_png(image: Image2D, explanation: Explanation | None) -> bytes:
    """Image and map together as an RGB PNG, `LONG_SIDE` pixels at most; the plain image where the map is 0 or None.

    Raises:
        ValueError: a map that is not in the pixels of the image.
    """
    if explanation is None:
        return encoded(".png", np.repeat(grey(image)[..., np.newaxis], 3, axis=2))
    return encoded(".png", _overlaid(image, _fitting(explanation, image), LONG_SIDE))


def overlay_jpeg(image: Image2D, explanation: Explanation, *, long_side: int = LONG_SIDE) -> bytes:
    """Image and map together as a JPEG, for a report that must stay small; raises as `overlay_png`."""
    return encoded(".jpg", _overlaid(image, _fitting(explanation, image), long_side))


def _fitting(explanation: Explanation, image: Image2D) -> np.ndarray:
    if explanation.map.shape != image.shape:
        raise ValueError(f"map: expected the image's shape {image.shape}, found {explanation.map.shape}.")
    return explanation.map


def picture_png(picture: Picture) -> bytes:
    """A picture's own pixels, as many as they are, as an 8-bit grey PNG; without its heat."""
    return encoded(".png", np.round(np.clip(picture.pixels, 0, 1) * 255).astype(np.uint8))


def picture_jpeg(picture: Picture, *, long_side: int = GALLERY_SIDE) -> bytes:
    """A picture as a JPEG, `long_side` pixels at most; its heat, scaled to its own maximum, lies over it."""
    image = Image2D(pixels=picture.pixels.astype(np.float32, copy=False), unit="unit")
    if picture.heat is None or not picture.heat.any():
        return image_jpeg(image, long_side=long_side)
    from pneumoscope.prep import pipeline

    values = pipeline.to_source(picture.heat, image)
    return encoded(".jpg", _overlaid(image, values / values.max(), long_side))


def _overlaid(image: Image2D, values: np.ndarray, long_side: int) -> np.ndarray:
    """The image with a map in 0..1 of its shape over it: uint8 RGB `[h, w, 3]`."""
    return laid_over(grey(image, long_side=long_side), _shrunk(values, long_side))


def laid_over(shown: np.ndarray, values: np.ndarray) -> np.ndarray:
    """A map in 0..1 `[h, w]` over a grey picture, uint8 `[h, w]` -> uint8 RGB `[h, w, 3]`."""
    over = heat(values)
    alpha = over[..., 3:] / 255 * OPACITY
    colour: np.ndarray = np.round(shown[..., np.newaxis] * (1 - alpha) + over[..., :3] * alpha).astype(np.uint8)
    return colour


def _shrunk(pixels: np.ndarray, long_side: int) -> np.ndarray:
    import cv2

    h, w = pixels.shape
    scale = long_side / max(h, w)
    if scale >= 1:
        return pixels
    size = max(1, round(w * scale)), max(1, round(h * scale))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))


def encoded(suffix: Literal[".png", ".jpg"], pixels: np.ndarray) -> bytes:
    """A picture as a file: uint8 or uint16 `[h, w]`, or uint8 RGB or RGBA."""
    import cv2

    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGBA2BGRA if pixels.shape[2] == 4 else cv2.COLOR_RGB2BGR)
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if suffix == ".jpg" else []
    _, data = cv2.imencode(suffix, pixels, options)
    return data.tobytes()
