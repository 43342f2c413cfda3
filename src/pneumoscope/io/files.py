"""PNG and JPEG into grey images, through Pillow (the two decoders themselves, no guessing of formats).

A still image says little about itself, so every change on the way to grey is a recorded step: composition on
black, orientation (Exif 2.32, tag 0x0112), colour to luminance (ITU-R BT.601), 16 bits stretched to their range.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.core.image import AppliedStep, Image2D
from pneumoscope.errors import InputError
from pneumoscope.io.foreign import check_size, named, quiet
from pneumoscope.io.png import check_png
from pneumoscope.io.sniff import HEAD, sniff

if TYPE_CHECKING:
    from PIL.Image import Image

_ORIENTATION = 0x0112
_WHOLE = "a whole PNG or JPEG image"

# Exif orientation -> (rows and columns swapped, then rows reversed, then columns reversed)
_TURNS = {
    1: (False, False, False),
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}


def read_image(data: bytes, name: str) -> Image2D:
    """A PNG or JPEG as a grey image.

    Returns float32 [H, W] in 0..1, unit "unit", modality None. 8 bits are divided by 255. 16 bits of grey are
    stretched from their least to their greatest value, with a warning: cameras and detectors use a part of the
    16 bits that the file does not name.

    Raises:
        InputError: another format, damaged or truncated, animated, more than `MAX_PIXELS`.
    """
    kind = sniff(data[:HEAD])
    if kind not in ("png", "jpeg"):
        raise InputError(f"{name}: expected PNG or JPEG, found {kind}. Give an image file.")
    with named(name, _WHOLE):
        if kind == "png":
            check_png(data, name)
        image = _open(data, kind)
    check_size(name, image.height, image.width)
    if getattr(image, "n_frames", 1) > 1 and kind == "png":
        raise InputError(f"{name}: expected one image, found an animation. Save the frame that is meant.")
    with named(name, _WHOLE):
        deep = kind == "png" and data[24] == 16  # IHDR: bit depth
        grey, steps, warnings = _deep(image, data) if deep else _shallow(image, data)
        grey, turn = _upright(image, grey)
    return Image2D(pixels=grey, unit="unit", source=name, steps=(*steps, *turn), warnings=warnings)


def _open(data: bytes, kind: str) -> Image:
    """The image with its header read, nothing decoded."""
    # the plugins themselves and not Image.open, which warns by itself about sizes that we refuse anyway
    if kind == "jpeg":
        from PIL.JpegImagePlugin import JpegImageFile

        with quiet():
            return JpegImageFile(io.BytesIO(data))
    from PIL.PngImagePlugin import PngImageFile

    with quiet():
        return PngImageFile(io.BytesIO(data))


Grey = tuple[np.ndarray, tuple[AppliedStep, ...], tuple[str, ...]]


def _shallow(image: Image, data: bytes) -> Grey:
    """1 to 8 bits a channel, any mode, as float32 in 0..1."""
    image.load()
    if image.mode in ("1", "L") and "transparency" in image.info:
        grey, steps = _keyed(np.asarray(image.convert("L")), _key_8bit(image, data))
    elif image.mode in ("1", "L"):
        grey, steps = np.asarray(image.convert("L")), ()
    elif image.mode in ("LA", "RGBA", "PA") or "transparency" in image.info:
        grey, steps = _flatten(np.asarray(image.convert("RGBA")))
    else:
        grey, steps = _luminance(np.asarray(image.convert("RGB")))
    return grey.astype(np.float32) / np.float32(255), steps, ()


def _key_8bit(image: Image, data: bytes) -> int:
    """The grey value that stands for "transparent", in 8 bits; Pillow gives it in the file's own bits."""
    scale = 255 // (2 ** data[24] - 1) if image.mode == "L" else 1
    return int(image.info["transparency"]) * scale


def _keyed(grey: np.ndarray, key: int) -> tuple[np.ndarray, tuple[AppliedStep, ...]]:
    """Pixels of the value `key` made black."""
    hit = grey == key
    return np.where(hit, 0, grey), (AppliedStep(name="composite", args={"on": "black"}),) if hit.any() else ()


def _flatten(rgba: np.ndarray) -> tuple[np.ndarray, tuple[AppliedStep, ...]]:
    """[H, W, 4] of 8 or 16 bits composed on black, as grey of the same scale."""
    top = np.iinfo(rgba.dtype).max
    alpha = rgba[..., 3]
    if alpha.min() == top:
        return _luminance(rgba[..., :3])
    rgb = np.empty((*rgba.shape[:2], 3), rgba.dtype)
    for c in range(3):  # one channel at a time holds the memory down
        rgb[..., c] = np.rint(rgba[..., c].astype(np.float32) * alpha / top)
    grey, steps = _luminance(rgb)
    return grey, (AppliedStep(name="composite", args={"on": "black"}), *steps)


def _luminance(rgb: np.ndarray) -> tuple[np.ndarray, tuple[AppliedStep, ...]]:
    """[H, W, 3] as luminance of the same scale, and how coloured it was: mean chroma, 0..1."""
    grey = np.empty(rgb.shape[:2], np.float32)
    chroma = 0.0
    for top in range(0, len(rgb), 256):  # in bands: intermediate results of 50 megapixels would fill the memory
        band = rgb[top : top + 256]
        r, g, b = band[..., 0], band[..., 1], band[..., 2]
        spread = np.maximum(np.maximum(r, g), b) - np.minimum(np.minimum(r, g), b)
        chroma += float(spread.sum(dtype=np.float64))
        grey[top : top + 256] = np.rint(np.float32(0.299) * r + np.float32(0.587) * g + np.float32(0.114) * b)
    colour = chroma / grey.size / np.iinfo(rgb.dtype).max
    return grey, (AppliedStep(name="grey", args={"colour": round(colour, 6)}),)


def _deep(image: Image, data: bytes) -> Grey:
    """16 bits a channel as float32 in 0..1, from the least to the greatest value."""
    steps: tuple[AppliedStep, ...] = ()
    if image.mode == "I;16":
        grey = np.asarray(image)
        if "transparency" in image.info:
            grey, steps = _keyed(grey, int(image.info["transparency"]))
    else:
        grey, steps = _deep_colour(data)
    low, high = float(grey.min()), float(grey.max())
    steps = (*steps, AppliedStep(name="stretch", args={"low": low, "high": high}))
    warning = f"16 bits a pixel, stretched from their least ({low:.0f}) to their greatest value ({high:.0f})."
    grey = (grey.astype(np.float32) - np.float32(low)) / np.float32(max(high - low, 1.0))
    return grey, steps, (warning,)


def _deep_colour(data: bytes) -> tuple[np.ndarray, tuple[AppliedStep, ...]]:
    """Colour or alpha of 16 bits: OpenCV keeps them, where Pillow drops the lower eight."""
    import cv2

    bgr: Any = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if bgr is None or bgr.dtype != np.uint16 or bgr.ndim != 3 or bgr.shape[2] not in (3, 4):
        raise ValueError("OpenCV reads no 16-bit colour")
    if bgr.shape[2] == 4:
        return _flatten(bgr[..., [2, 1, 0, 3]])
    return _luminance(bgr[..., ::-1])


def _upright(image: Image, grey: np.ndarray) -> tuple[np.ndarray, tuple[AppliedStep, ...]]:
    """The image as the camera was held, if the file says how."""
    with quiet():
        turn = image.getexif().get(_ORIENTATION, 1)
    if turn == 1 or turn not in _TURNS:
        return grey, ()
    swap, rows, columns = _TURNS[turn]
    grey = grey.T if swap else grey
    grey = grey[:: -1 if rows else 1, :: -1 if columns else 1]
    return np.ascontiguousarray(grey), (AppliedStep(name="orient", args={"exif": int(turn)}),)
