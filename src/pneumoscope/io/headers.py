"""What an image file says of itself before its pixels: format, size, depth and colour; nothing is decoded.

PNG by its IHDR chunk (ISO/IEC 15948, 11.2.1), JPEG by its frame header (ITU-T T.81 B.2.2) through Pillow, DICOM
through `io.dicom`. A file that looks well here may still be cut off: that shows only when it is read whole.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path

from pneumoscope.errors import InputError
from pneumoscope.io.dicom import read_facts
from pneumoscope.io.foreign import MAX_BYTES, check_size, named, quiet
from pneumoscope.io.sniff import HEAD, sniff

DICOM_HEAD = 2**18  # bytes that hold nearly every DICOM header; a longer one costs reading the whole file

_COLOURS = {0: "grey", 2: "colour", 3: "palette", 4: "grey with alpha", 6: "colour with alpha"}  # PNG colour types
_DEPTHS = (1, 2, 4, 8, 16)  # of a PNG
_JPEG_COLOURS = {"L": "grey", "RGB": "colour", "CMYK": "CMYK colour"}  # Pillow's modes


@dataclass(frozen=True, kw_only=True)
class Header:
    """What one file is.

    format: "png", "jpeg", "dicom", or what else it is, as `sniff` names it. width, height: pixels as stored, before
    an Exif orientation turns them; 0 where there is a problem. depth: bits and colour, "8-bit grey". problem: why it
    is not read, without the name of the file, "" where it is.
    """

    format: str
    width: int = 0
    height: int = 0
    depth: str = ""
    problem: str = ""


def read_header(path: Path, name: str) -> Header:
    """The header of the regular file `path`; `name` stands for it in what the parsers say.

    Raises nothing about the file itself: whatever is wrong with it is the header's `problem`.
    """
    kind = "an unreadable file"
    try:
        with named(name, "a readable file", "Check its rights."), path.open("rb") as file:
            head = file.read(HEAD)
            kind = sniff(head)
            file.seek(0)
            if kind == "png":
                return _png(head, name)
            if kind == "jpeg":
                return _jpeg(file, name)
            if kind in ("dicom", "maybe dicom"):
                return _dicom(file, name)
    except InputError as error:
        return Header(format=_shown(kind), problem=str(error).removeprefix(name).lstrip(":, "))
    return Header(format=_shown(kind), problem=f"expected PNG, JPEG or DICOM, found {_shown(kind)}.")


def _shown(kind: str) -> str:
    return "an unknown format" if kind == "maybe dicom" else kind


def _png(head: bytes, name: str) -> Header:
    width, height = int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
    if head[12:16] != b"IHDR" or len(head) < 33 or head[24] not in _DEPTHS or head[25] not in _COLOURS:
        raise InputError(f"{name}: expected a whole PNG, found no header of one. Export or copy the file again.")
    check_size(name, height, width)
    return Header(format="png", width=width, height=height, depth=f"{head[24]}-bit {_COLOURS[head[25]]}")


def _jpeg(file: io.BufferedReader, name: str) -> Header:
    # the plugin itself and not Image.open, as in `io.files`
    from PIL.JpegImagePlugin import JpegImageFile

    with named(name, "a whole JPEG image"), quiet():
        image = JpegImageFile(file)
    check_size(name, image.height, image.width)
    colour = _JPEG_COLOURS.get(image.mode, "colour")
    return Header(format="jpeg", width=image.width, height=image.height, depth=f"8-bit {colour}")


def _dicom(file: io.BufferedReader, name: str) -> Header:
    size = os.fstat(file.fileno()).st_size
    if size > MAX_BYTES:
        raise InputError(f"{name}: expected at most {MAX_BYTES // 2**20} MiB, found {size // 2**20:,}. Export again.")
    try:
        headers = read_facts(file.read(DICOM_HEAD), name).headers
    except InputError:
        if size <= DICOM_HEAD:
            raise
        file.seek(0)  # the pixels may begin further in, and a deflated file is whole or nothing
        headers = read_facts(file.read(MAX_BYTES), name).headers
    rows, columns = int(headers["Rows"]), int(headers["Columns"])
    depth = f"{headers.get('BitsStored', '?')}-bit {headers['PhotometricInterpretation']}"
    return Header(format="dicom", width=columns, height=rows, depth=depth)
