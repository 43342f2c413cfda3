"""The grey values of a DICOM X-ray: stored values to brightness in 0..1, air dark and bone bright.

The chain of PS3.3 C.11 and PS3.4 N.2: modality LUT or rescale, VOI LUT or window, then the polarity that
PhotometricInterpretation or PresentationLUTShape states. Every stage that changes a value is a recorded step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pneumoscope.core.image import AppliedStep
from pneumoscope.errors import InputError
from pneumoscope.io.dicom_pixels import is_padding
from pneumoscope.io.dicom_values import numbers, text

if TYPE_CHECKING:
    from pydicom import Dataset

Grey = tuple[np.ndarray, tuple[AppliedStep, ...], tuple[str, ...]]


def brightness(ds: Dataset, stored: np.ndarray, padding: tuple[int, int] | None, name: str) -> Grey:
    """Stored values [H, W] as float32 [H, W] in 0..1, with the steps and warnings on the way.

    padding: the first and the last stored value that is no image.

    Raises:
        InputError: a lookup table or a rescale that cannot be applied, or nothing but padding.
    """
    pad = None if padding is None else is_padding(stored, padding)
    if pad is not None and not pad.any():
        pad = None
    if pad is not None and pad.all():
        raise InputError(f"{name}: expected an image, found nothing but padding. Export the image again.")
    values, steps = _modality(ds, stored, name)
    grey, step, warnings = _of_interest(ds, values, pad, name)
    steps = (*steps, step)
    inverse = [w for w in (text(ds, "PhotometricInterpretation"), text(ds, "PresentationLUTShape")) if w in _INVERSE]
    if inverse:
        grey = 1 - grey
        steps = (*steps, AppliedStep(name="invert", args={"because": inverse[0]}))
    if pad is not None:
        grey[pad] = 0
        steps = (*steps, AppliedStep(name="padding", args={"pixels": int(pad.sum()), "to": 0.0}))
    return grey, steps, warnings


_INVERSE = ("MONOCHROME1", "INVERSE")


def _modality(ds: Dataset, stored: np.ndarray, name: str) -> tuple[np.ndarray, tuple[AppliedStep, ...]]:
    if ds.get("ModalityLUTSequence"):
        return _lut(ds.ModalityLUTSequence[0], stored, ds, name), (AppliedStep(name="lut", args={"of": "modality"}),)
    slope, intercept = numbers(ds, "RescaleSlope"), numbers(ds, "RescaleIntercept")
    if not slope or not intercept or (slope[0], intercept[0]) == (1, 0):
        return stored, ()
    if slope[0] == 0:
        raise InputError(f"{name}, RescaleSlope: expected a number other than 0, found 0. Export the image again.")
    values = stored.astype(np.float32) * np.float32(slope[0]) + np.float32(intercept[0])
    return values, (AppliedStep(name="rescale", args={"slope": slope[0], "intercept": intercept[0]}),)


def _of_interest(
    ds: Dataset, values: np.ndarray, pad: np.ndarray | None, name: str
) -> tuple[np.ndarray, AppliedStep, tuple[str, ...]]:
    """Values as brightness in 0..1: by VOI LUT, else by window, else from least to greatest."""
    if ds.get("VOILUTSequence"):
        item = ds.VOILUTSequence[0]
        table = _lut(item, np.rint(values).astype(np.int64), ds, name).astype(np.float32)
        # to the table's own range: its stated depth is often larger than what it uses
        low, high = _range(_table(item, ds, name), None)
        return _stretch(table, low, high), AppliedStep(name="lut", args={"of": "voi"}), ()
    centre, width = numbers(ds, "WindowCenter"), numbers(ds, "WindowWidth")
    function = text(ds, "VOILUTFunction") or "LINEAR"
    least = 1 if function == "LINEAR" else 0
    if centre and width and width[0] > 0 and width[0] >= least and function in _WINDOWS:
        args = {"centre": centre[0], "width": width[0], "function": function}
        return _window(values, centre[0], width[0], function), AppliedStep(name="window", args=args), ()
    low, high = _range(values, pad)
    state = "a window that cannot be used" if centre or width else "no window"
    warning = (
        f"The file has {state}: grey values were stretched from their least ({low:g}) to their greatest ({high:g})."
    )
    return _stretch(values, low, high), AppliedStep(name="stretch", args={"low": low, "high": high}), (warning,)


_WINDOWS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


def _window(values: np.ndarray, centre: float, width: float, function: str) -> np.ndarray:
    """PS3.3 C.11.2.1.2 and C.11.2.1.3, with an output of 0..1."""
    x = values.astype(np.float32)
    if function == "SIGMOID":
        power = np.clip(np.float32(-4 / width) * (x - np.float32(centre)), -80, 80)  # exp stays in float32
        return np.asarray(1 / (1 + np.exp(power)), dtype=np.float32)
    if function == "LINEAR":  # a width of 1 is a threshold
        centre, width = centre - 0.5, max(width - 1, 1e-6)
    return np.asarray(np.clip((x - np.float32(centre)) / np.float32(width) + np.float32(0.5), 0, 1), dtype=np.float32)


def _range(values: np.ndarray, pad: np.ndarray | None) -> tuple[float, float]:
    inside = values if pad is None else values[~pad]
    return float(inside.min()), float(inside.max())


def _stretch(values: np.ndarray, low: float, high: float) -> np.ndarray:
    scaled = (values.astype(np.float32) - np.float32(low)) / np.float32(high - low if high > low else 1)
    return np.asarray(np.clip(scaled, 0, 1), dtype=np.float32)


def _lut(item: Dataset, values: np.ndarray, ds: Dataset, name: str) -> np.ndarray:
    """Integers [H, W] through one item of a LUT sequence (PS3.3 C.11.1.1); below and above it, its ends."""
    table = _table(item, ds, name)
    first = int(item.LUTDescriptor[1])
    if first > 32767 and int(ds.get("PixelRepresentation") or 0) == 1:
        first -= 65536
    return table[np.clip(values.astype(np.int64) - first, 0, len(table) - 1)]


def _table(item: Dataset, ds: Dataset, name: str) -> np.ndarray:
    count = int(item.LUTDescriptor[0]) & 0xFFFF or 65536
    data = item.LUTData
    if isinstance(data, bytes):
        order = "<" if ds.original_encoding[1] else ">"
        data = np.frombuffer(data, "u1") if len(data) == count + count % 2 else np.frombuffer(data, f"{order}u2")
    table = np.atleast_1d(np.asarray(data, dtype=np.int64))[:count]
    if len(table) < count:
        raise InputError(f"{name}, LUTData: expected {count} entries, found {len(table)}. Export the image again.")
    return table
