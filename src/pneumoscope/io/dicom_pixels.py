"""The stored values of one DICOM image, whatever its transfer syntax (PS3.5 8 and annexes A, G).

Uncompressed and RLE data are read here, JPEG, JPEG-LS and JPEG 2000 by GDCM through pydicom. Every size in the
header, and in the compressed stream itself, is checked before memory is taken for it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pneumoscope.errors import InputError
from pneumoscope.io.dicom_values import numbers
from pneumoscope.io.foreign import check_size

if TYPE_CHECKING:
    from pydicom import Dataset

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
RLE = "1.2.840.10008.1.2.5"
JPEG = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 57, 70, 80, 81, 90, 91))
NATIVE = frozenset((IMPLICIT, EXPLICIT, DEFLATED, BIG_ENDIAN))

_SOF = {0xF7, *range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # frame headers; F7 is that of JPEG-LS
_TABLES = {0xC4, 0xCC, 0xDB, 0xDD, 0xF8}  # Huffman, arithmetic, quantisation, restarts, JPEG-LS parameters
_AGAIN = "Export the image again."


class Layout(NamedTuple):
    """How stored values lie in their bytes (PS3.3 C.7.6.3); padding: the first and the last that is no image."""

    rows: int
    columns: int
    allocated: int
    stored: int
    high: int
    signed: bool
    padding: tuple[int, int] | None = None


def layout(ds: Dataset, name: str) -> Layout:
    """The layout of one grey image.

    Raises:
        InputError: colour, several frames, or sizes and bits that no grey image has.
    """

    def number(keyword: str, default: int | None = None) -> int:
        value = ds.get(keyword)
        if value in (None, ""):
            value = default
        if not isinstance(value, int):
            raise InputError(
                f"{name}, {keyword}: expected a number, found {'none' if value is None else 'no number'}. {_AGAIN}"
            )
        return int(value)

    if number("NumberOfFrames", 1) != 1:
        raise InputError(f"{name}, NumberOfFrames: expected 1, found {ds.NumberOfFrames}. Export single images.")
    grey = str(ds.get("PhotometricInterpretation") or "none").strip()
    if grey not in ("MONOCHROME1", "MONOCHROME2") or number("SamplesPerPixel", 1) != 1:
        raise InputError(
            f"{name}, PhotometricInterpretation: expected MONOCHROME1 or MONOCHROME2, found {grey[:16]}. "
            "Give the original image, not a screenshot of it."
        )
    rows, columns = number("Rows"), number("Columns")
    check_size(name, rows, columns)
    allocated = number("BitsAllocated")
    stored = number("BitsStored", allocated)
    high = number("HighBit", stored - 1)
    if allocated not in (8, 16) or not 1 <= stored <= high + 1 <= allocated:
        raise InputError(
            f"{name}, BitsAllocated/BitsStored/HighBit: expected 8 or 16 bits that hold those stored, "
            f"found {allocated}/{stored}/{high}. {_AGAIN}"
        )
    signed = number("PixelRepresentation", 0) == 1
    return Layout(rows, columns, allocated, stored, high, signed, padding_range(ds, signed))


def padding_range(ds: Dataset, signed: bool) -> tuple[int, int] | None:
    """The least and the greatest stored value that is padding and no image (PS3.3 C.7.5.1.1.2), None without any.

    Raises:
        InputError: a value that is no number.
    """
    value = numbers(ds, "PixelPaddingValue")
    if not value:
        return None
    limits = int(value[0]), int((numbers(ds, "PixelPaddingRangeLimit") or value)[0])
    # often written as if it were unsigned where values are signed, or the reverse
    first, last = (v - 65536 if signed and v > 32767 else v + 65536 if not signed and v < 0 else v for v in limits)
    return min(first, last), max(first, last)


def is_padding(stored: np.ndarray, limits: tuple[int, int]) -> np.ndarray:
    """Where stored values [H, W] lie in a range of padding, bool [H, W]."""
    first, last = limits
    return np.asarray(stored == first if first == last else (stored >= first) & (stored <= last))


def padding_fits(shape: Layout) -> bool:
    """Whether the bits that are stored can hold the padding value."""
    low = -(1 << (shape.stored - 1)) if shape.signed else 0
    return shape.padding is None or (low <= shape.padding[0] and shape.padding[1] < low + (1 << shape.stored))


def stored_values(ds: Dataset, syntax: str, shape: Layout, name: str) -> np.ndarray:
    """Stored values as integers [H, W], sign and unused bits cleared up, but for padding that needs more bits.

    Raises:
        InputError: an unsupported transfer syntax, or pixel data that is short or damaged.
    """
    value = ds.get("PixelData")
    if not value:
        raise InputError(f"{name}: expected pixel data, found none (or a file cut off before it). {_AGAIN}")
    if syntax in NATIVE:
        return native(value, syntax, shape, name, words=ds["PixelData"].VR == "OW")
    if syntax == RLE:
        return _bits(_rle(_frame(value), shape, name), shape)
    if syntax in JPEG:
        return _jpeg(ds, _frame(value), syntax, shape, name)
    raise InputError(
        f"{name}, transfer syntax: expected uncompressed, RLE, JPEG, JPEG-LS or JPEG 2000, found {syntax[:64]}. "
        "Export the image uncompressed."
    )


def native(value: bytes | memoryview, syntax: str, shape: Layout, name: str, *, words: bool) -> np.ndarray:
    """The same of uncompressed pixel data; `words`: its VR is OW.

    Raises:
        InputError: pixel data that is short.
    """
    size = shape.rows * shape.columns * shape.allocated // 8
    if len(value) < size:
        raise InputError(f"{name}, pixel data: expected {size:,} bytes, found {len(value):,}. Copy the file again.")
    big = syntax == BIG_ENDIAN
    if big and shape.allocated == 8 and words:  # bytes are swapped within words (PS3.5 8.1.2)
        value = np.frombuffer(value[: len(value) // 2 * 2], ">u2").astype("<u2").tobytes()
    kind = np.dtype("u1" if shape.allocated == 8 else ">u2" if big else "<u2")
    flat = np.frombuffer(value, kind, count=shape.rows * shape.columns)
    return _bits(flat.astype(kind.newbyteorder("="), copy=False).reshape(shape.rows, shape.columns), shape)


def _bits(values: np.ndarray, shape: Layout) -> np.ndarray:
    """The stored bits alone, as numbers; padding that they cannot hold stays as it is.

    A padding of 63536 in 12 bits would else become 2096, which is bone.
    """
    cut = _cut(values, shape)
    if shape.padding is None or shape.high + 1 != shape.stored or padding_fits(shape):
        return cut
    whole = values.view(cut.dtype)
    return np.where(is_padding(whole, shape.padding), whole, cut)


def _cut(values: np.ndarray, shape: Layout) -> np.ndarray:
    """The stored bits alone, as numbers: what lies above (overlays) and below them is shifted out."""
    if not shape.signed and shape.high + 1 == shape.stored < shape.allocated:
        return np.asarray(np.bitwise_and(values, (1 << shape.stored) - 1))
    if shape.stored < shape.allocated:
        values = values << (shape.allocated - 1 - shape.high)
    if shape.signed:
        values = values.view(np.dtype(f"i{shape.allocated // 8}"))
    return values >> (shape.allocated - shape.stored) if shape.stored < shape.allocated else values


def _frame(value: bytes) -> bytes:
    from pydicom.encaps import get_frame

    return get_frame(value, 0, number_of_frames=1)


def _rle(frame: bytes, shape: Layout, name: str) -> np.ndarray:
    """PackBits segments, most significant byte first (PS3.5 annex G), unpacked by Pillow, which stops at the size."""
    from PIL import Image

    count, size = shape.allocated // 8, shape.rows * shape.columns
    header = struct.unpack("<16I", frame[:64])
    if header[0] != count:
        raise InputError(f"{name}, RLE pixel data: expected {count} segments, found {header[0]}. {_AGAIN}")
    edges = (*header[1 : count + 1], len(frame))
    values = np.zeros(size, np.dtype(f"u{count}"))
    for start, end in pairwise(edges):
        plane = Image.frombytes("L", (size, 1), frame[start:end], "packbits", "L")
        values = (values << 8) | np.asarray(plane).ravel() if count == 2 else np.asarray(plane).ravel()
    return values.reshape(shape.rows, shape.columns)


def _jpeg(ds: Dataset, frame: bytes, syntax: str, shape: Layout, name: str) -> np.ndarray:
    """JPEG, JPEG-LS and JPEG 2000, by GDCM, which would take memory for the size that the stream states."""
    from pydicom.encaps import encapsulate
    from pydicom.pixels.decoders.base import get_decoder

    stream, frame = _jpeg_2000(frame) if syntax.endswith((".90", ".91")) else _jpeg_frame(frame)
    if (stream.rows, stream.columns, stream.channels) != (
        shape.rows,
        shape.columns,
        1,
    ) or stream.bits > shape.allocated:
        raise InputError(
            f"{name}, compressed pixel data: expected {shape.columns} x {shape.rows} x 1 in {shape.allocated} bits as "
            f"in the header, found {stream.columns} x {stream.rows} x {stream.channels} in {stream.bits} bits. {_AGAIN}"
        )
    if not frame.rstrip(b"\0").endswith(b"\xff\xd9"):
        raise InputError(f"{name}, compressed pixel data: expected an end marker, found none. Copy the file again.")
    if syntax.endswith(".51") and stream.bits > 8:
        raise InputError(
            f"{name}, transfer syntax: expected JPEG Extended of 8 bits, found {stream.bits} bits, which the free "
            "decoders lack. Export the image uncompressed."
        )
    ds.PixelData = encapsulate([frame])
    with _gdcm_quiet():
        return np.asarray(get_decoder(syntax).as_array(ds, index=0, raw=True, decoding_plugin="gdcm")[0])


class Stream(NamedTuple):
    """What a compressed stream states of itself; zeros where it states nothing."""

    rows: int = 0
    columns: int = 0
    channels: int = 0
    bits: int = 0


def _jpeg_2000(frame: bytes) -> tuple[Stream, bytes]:
    """What the SIZ marker segment states (ITU-T T.800 A.5.1), and the frame as it is."""
    at = frame[:512].find(b"\xff\x4f\xff\x51")
    if at < 0 or len(frame) < at + 43:
        return Stream(), frame
    x, y, x0, y0 = struct.unpack_from(">4I", frame, at + 8)
    channels = int.from_bytes(frame[at + 40 : at + 42], "big")
    return Stream(y - y0, x - x0, channels, (frame[at + 42] & 0x7F) + 1), frame


def _jpeg_frame(frame: bytes) -> tuple[Stream, bytes]:
    """What the frame header states (ITU-T T.81 B.2.2, T.87 C.2.2), and the frame without comments and APP segments.

    Grey values need neither, and GDCM ends the whole process at any header that libjpeg so much as warns of: so
    only a gapless chain of known segments is passed on.
    """
    stream, kept, at = Stream(), [frame[:2]], 2
    while frame[:2] == b"\xff\xd8" and at + 10 <= len(frame) and frame[at] == 0xFF:
        marker, end = frame[at + 1], at + 2 + int.from_bytes(frame[at + 2 : at + 4], "big")
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker == 0xDA:  # the scan: pixels from here on
            return stream, b"".join((*kept, frame[at:]))
        if marker in _SOF:
            bits, rows, columns, channels = struct.unpack_from(">BHHB", frame, at + 4)
            stream = Stream(rows, columns, channels, bits)
        if marker in _SOF or marker in _TABLES:
            kept.append(frame[at:end])
        elif not (0xE0 <= marker <= 0xEF or marker == 0xFE):
            break
        at = end
    return Stream(), frame


@contextmanager
def _gdcm_quiet() -> Iterator[None]:
    """GDCM's own messages off, which would go to stderr, and on again as they were."""
    import gdcm

    warned, failed = gdcm.Trace.GetWarningFlag(), gdcm.Trace.GetErrorFlag()
    gdcm.Trace.SetWarning(False)
    gdcm.Trace.SetError(False)
    try:
        yield
    finally:
        gdcm.Trace.SetWarning(warned)
        gdcm.Trace.SetError(failed)
