"""What one CT slice says that a volume needs, and its stored values as Hounsfield units.

The header is parsed once, when files are looked through: what is kept here finds and converts the pixels later.
CT Image module, PS3.3 C.8.2.1; padding, C.7.5.1.1.2.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pneumoscope.errors import InputError
from pneumoscope.io import dicom_pixels as px
from pneumoscope.io.dicom_values import if_number, numbers, text

if TYPE_CHECKING:
    from pydicom import Dataset

AIR = -1024  # HU, what padding becomes
LOWEST, HIGHEST = -32768, 32767  # of int16
TISSUE = (-900, 3071)  # HU that a chest has, up to the most that 12 bits hold: padding of such a value may be image
UNDEFINED = 0xFFFFFFFF  # the length of encapsulated pixel data (PS3.5 A.4)


class Stored(NamedTuple):
    """Where stored values stand, so that the header need not be parsed again.

    at: first byte of PixelData's value in the file. length: its bytes. before: CRC-32 of all bytes before it, by
    which a file that was changed since is told.
    """

    syntax: str
    at: int
    length: int
    before: int


@dataclass(frozen=True, kw_only=True)
class SliceFacts:
    """One CT slice, as its header describes it.

    stored: None where the bytes of the file must be unpacked before they can be read by position. spacing: (y, x) mm.
    location: SliceLocation, mm. tilt: GantryDetectorTilt, degrees. rescale: (slope, intercept), None where absent.
    lies: PatientPosition. phase: TemporalPositionIdentifier. acquisition: AcquisitionNumber.
    """

    layout: px.Layout
    stored: Stored | None = None
    spacing: tuple[float, float] | None = None
    location: float | None = None
    tilt: float = 0.0
    rescale: tuple[float, float] | None = None
    rescale_type: str = ""
    frame_of_reference: str = ""
    lies: str = ""
    phase: str = ""
    acquisition: str = ""


def stored_at(data: bytes, syntax: str, layout: px.Layout, at: int, length: int) -> Stored | None:
    """Where the pixels are, found in `data`, the beginning of the file; None where a parser must unpack them."""
    plain = syntax in (px.IMPLICIT, px.EXPLICIT) or (syntax == px.BIG_ENDIAN and layout.allocated == 16)
    if not plain or length == UNDEFINED:
        return None
    return Stored(syntax, at, length, zlib.crc32(memoryview(data)[:at]))


def slice_facts(ds: Dataset, layout: px.Layout, stored: Stored | None) -> SliceFacts:
    """The facts of a CT slice.

    Raises:
        InputError: a number that is none.
    """
    spacing, slope, intercept = (numbers(ds, k) for k in ("PixelSpacing", "RescaleSlope", "RescaleIntercept"))
    return SliceFacts(
        layout=layout,
        stored=stored,
        spacing=(spacing[0], spacing[1]) if len(spacing) == 2 and min(spacing) > 0 else None,
        location=if_number(ds, "SliceLocation"),
        tilt=if_number(ds, "GantryDetectorTilt") or 0.0,
        rescale=(slope[0], intercept[0]) if slope and intercept and slope[0] != 0 else None,
        rescale_type=text(ds, "RescaleType").upper(),
        frame_of_reference=text(ds, "FrameOfReferenceUID"),
        lies=text(ds, "PatientPosition").upper(),
        phase=text(ds, "TemporalPositionIdentifier"),
        acquisition=text(ds, "AcquisitionNumber"),
    )


def check_rescale(facts: SliceFacts, name: str) -> tuple[float, float]:
    """Slope and intercept.

    Raises:
        InputError: the slice has none.
    """
    if facts.rescale is None:
        raise InputError(
            f"{name}, RescaleSlope and RescaleIntercept: expected numbers that give Hounsfield units, found none. "
            "Export the original series."
        )
    return facts.rescale


class Written(NamedTuple):
    """How many pixels were padding and became air, how many were beyond int16, and whether any was rounded.

    kept: how many have the padding value, but stay as they are since it is one of tissue.
    """

    padded: int
    clipped: int
    rounded: bool
    kept: int = 0


def write_hounsfield(stored: np.ndarray, facts: SliceFacts, out: np.ndarray) -> Written:
    """Stored integers [H, W] as HU into `out`, int16 or float32 [H, W] (PS3.3 C.8.2.1).

    Padding becomes air, unless its value is one that tissue has: a padding of 0 without an intercept is 0 HU, which
    is water.
    """
    slope, intercept = facts.rescale or (1.0, 0.0)
    padding = facts.layout.padding
    pad = None if padding is None else px.is_padding(stored, padding)
    if pad is None or not _is_tissue(facts):
        return write_scaled(stored, slope, intercept, out, pad)
    return write_scaled(stored, slope, intercept, out, None)._replace(kept=int(np.count_nonzero(pad)))


def _is_tissue(facts: SliceFacts) -> bool:
    """Whether padding values stand for Hounsfield units in `TISSUE`."""
    slope, intercept = facts.rescale or (1.0, 0.0)
    low, high = sorted(value * slope + intercept for value in facts.layout.padding or ())
    return low <= TISSUE[1] and high >= TISSUE[0]


def write_scaled(
    stored: np.ndarray, slope: float, intercept: float, out: np.ndarray, pad: np.ndarray | None
) -> Written:
    """`stored * slope + intercept` into `out`, `pad` to air; int16 is exact where it can be, else rounded, clipped."""
    clipped, rounded = 0, False
    if out.dtype.kind == "i" and slope == 1 and intercept == int(intercept) and _fits(stored, intercept):
        np.add(stored.astype(np.int16, copy=False), np.int16(intercept), out=out)
    else:
        with np.errstate(over="ignore", invalid="ignore"):  # a slope of 1e300 is clipped as any other is
            exact = stored * np.float64(slope) + np.float64(intercept)
            if pad is not None:
                exact[pad] = AIR
            if out.dtype.kind == "f":
                out[...] = exact
            else:
                whole = np.rint(exact)
                rounded = bool((whole != exact).any())
                clipped = int(np.count_nonzero((whole < LOWEST) | (whole > HIGHEST)))
                out[...] = np.clip(whole, LOWEST, HIGHEST)
    if pad is not None:
        out[pad] = AIR
    return Written(0 if pad is None else int(np.count_nonzero(pad)), clipped, rounded)


def _fits(stored: np.ndarray, intercept: float) -> bool:
    """Whether integers and their sums with `intercept` are int16 numbers."""
    if stored.dtype.kind not in "iu":
        return False
    low, high = int(stored.min()), int(stored.max())
    return min(low, intercept, low + intercept) >= LOWEST and max(high, intercept, high + intercept) <= HIGHEST


def on_the_way(slices: Sequence[SliceFacts], written: Sequence[Written]) -> tuple[str, ...]:
    """What a reader must know of the way from stored values to HU, of a whole series or of one slice."""
    found = []
    if any(w.rounded for w in written):
        found.append("RescaleSlope or RescaleIntercept is no whole number: values were rounded to whole HU.")
    clipped = sum(w.clipped for w in written)
    if clipped:
        found.append(f"{clipped:,} voxels were beyond {LOWEST} to {HIGHEST} HU and were set to these.")
    found += _on_padding(slices, written)
    odd = sorted({u for f in slices if not (u := f.rescale_type).startswith(("HU", "HOUN")) and u not in ("", "US")})
    if odd:
        found.append(f"RescaleType is {odd[0][:16]}; values were taken as Hounsfield units.")
    return tuple(found)


def _on_padding(slices: Sequence[SliceFacts], written: Sequence[Written]) -> list[str]:
    found = []
    kept = [f for f, w in zip(slices, written, strict=True) if w.kept]
    if kept:
        slope, intercept = kept[0].rescale or (1.0, 0.0)
        value = (kept[0].layout.padding or (0,))[0]
        found.append(
            f"PixelPaddingValue {value} stands for {value * slope + intercept:g} HU, which tissue has as well: "
            f"{sum(w.kept for w in written):,} voxels of it were kept, and what was not imaged may look like tissue."
        )
    unlike = [f.layout for f in slices if not px.padding_fits(f.layout)]
    if unlike and not any(w.padded for w in written):
        found.append(
            f"PixelPaddingValue {(unlike[0].padding or (0,))[0]} does not fit BitsStored {unlike[0].stored}, and no "
            "voxel has it: what was not imaged may look like tissue."
        )
    return found
