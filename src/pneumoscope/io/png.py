"""Whether a PNG is whole: every check sum, the end mark, and as much image data as its header states.

Pillow fills what is missing with black and says nothing. PNG specification (ISO/IEC 15948), clauses 5, 7 and 8.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from pneumoscope.errors import InputError
from pneumoscope.io.foreign import check_size

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_AGAIN = "Export or copy the file again."


def check_png(data: bytes, name: str) -> None:
    """Refuse a PNG that is not whole; its size is checked first.

    Raises:
        InputError: cut off, damaged, too large, or with less data than its header states.
    """
    width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    if data[12:16] != b"IHDR" or len(data) < 33 or data[25] not in _CHANNELS:
        raise InputError(f"{name}: expected a whole PNG, found no header of one. {_AGAIN}")
    check_size(name, height, width)
    missing = _expected(width, height, data[24] * _CHANNELS[data[25]], interlaced=data[28] == 1)
    engine = zlib.decompressobj()
    for kind, content in _chunks(data, name):
        while kind == b"IDAT" and content and missing > 0 and not engine.eof:
            missing -= len(engine.decompress(content, min(missing, 2**20)))
            content = engine.unconsumed_tail
    if missing > 0:
        raise InputError(f"{name}: expected a whole PNG, found {missing:,} bytes of image data missing. {_AGAIN}")


def _chunks(data: bytes, name: str) -> Iterator[tuple[bytes, bytes]]:
    """(kind, content) of each chunk up to the end mark, check sums verified."""
    at, kind = 8, b""
    while kind != b"IEND":
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        end = at + 8 + length
        if end + 4 > len(data):
            raise InputError(f"{name}: expected a whole PNG, found one cut off. {_AGAIN}")
        if zlib.crc32(memoryview(data)[at + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            raise InputError(f"{name}: expected check sums that fit, found one that does not. {_AGAIN}")
        yield kind, data[at + 8 : end]
        at = end + 4


def _expected(width: int, height: int, bits: int, *, interlaced: bool) -> int:
    """Bytes of filtered image data: a filter byte and the packed pixels of each row of each pass."""
    total = 0
    for x, y, dx, dy in _ADAM7 if interlaced else ((0, 0, 1, 1),):
        columns, rows = -((x - width) // dx), -((y - height) // dy)
        if columns > 0 and rows > 0:
            total += rows * (1 + (columns * bits + 7) // 8)
    return total
