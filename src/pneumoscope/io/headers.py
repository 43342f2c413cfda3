"""What an image or a scan says of itself before its pixels: format, size, depth and colour; nothing is decoded.

PNG by its IHDR chunk (ISO/IEC 15948, 11.2.1), JPEG by its frame header (ITU-T T.81 B.2.2) through Pillow, DICOM
through `io.dicom`, a folder, a zip and NIfTI through `io.scans`. A file that looks well here may still be cut off: that
shows only when it is read whole.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from pneumoscope.errors import InputError
from pneumoscope.io.archive import open_archive, read_member
from pneumoscope.io.dicom import facts_of
from pneumoscope.io.foreign import MAX_BYTES, beginning, check_size, named, quiet
from pneumoscope.io.scans import Scan, find, nifti_scan, series_scan
from pneumoscope.io.sniff import HEAD, nifti_head, sniff

_COLOURS = {0: "grey", 2: "colour", 3: "palette", 4: "grey with alpha", 6: "colour with alpha"}  # PNG colour types
_DEPTHS = (1, 2, 4, 8, 16)  # of a PNG
_JPEG_COLOURS = {"L": "grey", "RGB": "colour", "CMYK": "CMYK colour"}  # Pillow's modes


@dataclass(frozen=True, kw_only=True)
class Header:
    """What one file or folder is.

    format: "png", "jpeg", "dicom", "nifti", "dicom series", "zip with a dicom series", or what else it is, as `sniff`
    names it. width, height: pixels as stored, before an Exif orientation turns them; 0 where there is a problem.
    depth: bits and colour, "8-bit grey". problem: why it is not read, without the name of the file, "" where it is.
    scan: of several slices.
    """

    format: str
    width: int = 0
    height: int = 0
    depth: str = ""
    problem: str = ""
    scan: Scan | None = None


def read_header(path: Path, name: str) -> Header:
    """The header of the regular file or the folder `path`; `name` stands for it in what the parsers say.

    Raises nothing about the file itself: whatever is wrong with it is the header's `problem`.
    """
    kind = "a folder" if path.is_dir() else "an unreadable file"
    try:
        if path.is_dir():
            return _study(path, name, "")
        with named(name, "a readable file", "Check its rights."), path.open("rb") as file:
            kind = sniff(file.read(HEAD))
            return _study(path, name, "zip with a ") if kind == "zip" else _stream(file, name)
    except InputError as error:
        # of several files each is named with its path
        said = str(error).removeprefix(name).removeprefix(str(path)).lstrip(f":, {os.sep}")
        said = said.replace(f"{path.parent}{os.sep}", "")
        return Header(format=_shown(kind), problem=said)


def _study(path: Path, name: str, packed: str) -> Header:
    """The header of the one study in a folder or a zip."""
    found = find(path, name)
    if found.slices:
        return _of_scan(series_scan(found, name), f"{packed}dicom series")
    if found.member is None:
        with named(name, "a readable file", "Check its rights."), found.file.open("rb") as file:
            return _stream(file, name)
    with open_archive(path) as archive:
        return _stream(io.BytesIO(read_member(archive, found.member)), name)


def _of_scan(scan: Scan, kind: str) -> Header:
    return Header(format=kind, width=scan.width, height=scan.height, depth=scan.depth, scan=scan)


def _stream(file: BinaryIO, name: str) -> Header:
    """The header of one image or scan in one file."""
    file.seek(0)
    head = file.read(HEAD)
    kind = sniff(head)
    file.seek(0)
    if kind == "png":
        return _png(head, name)
    if kind == "jpeg":
        return _jpeg(file, name)
    if kind == "nifti":
        return _of_scan(nifti_scan(nifti_head(head), name), kind)
    if kind in ("dicom", "maybe dicom"):
        return _dicom(file, name)
    return Header(format=_shown(kind), problem=f"expected PNG, JPEG, DICOM, NIfTI or a series, found {_shown(kind)}.")


def _shown(kind: str) -> str:
    return "an unknown format" if kind == "maybe dicom" else kind


def _png(head: bytes, name: str) -> Header:
    width, height = int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
    if head[12:16] != b"IHDR" or len(head) < 33 or head[24] not in _DEPTHS or head[25] not in _COLOURS:
        raise InputError(f"{name}: expected a whole PNG, found no header of one. Export or copy the file again.")
    check_size(name, height, width)
    return Header(format="png", width=width, height=height, depth=f"{head[24]}-bit {_COLOURS[head[25]]}")


def _jpeg(file: BinaryIO, name: str) -> Header:
    # the plugin itself and not Image.open, as in `io.files`
    from PIL.JpegImagePlugin import JpegImageFile

    with named(name, "a whole JPEG image"), quiet():
        image = JpegImageFile(file)
    check_size(name, image.height, image.width)
    colour = _JPEG_COLOURS.get(image.mode, "colour")
    return Header(format="jpeg", width=image.width, height=image.height, depth=f"8-bit {colour}")


def _dicom(file: BinaryIO, name: str) -> Header:
    size = file.seek(0, os.SEEK_END)
    if size > MAX_BYTES:
        raise InputError(f"{name}: expected at most {MAX_BYTES // 2**20} MiB, found {size // 2**20:,}. Export again.")
    headers = facts_of(partial(beginning, file), name).headers
    rows, columns = int(headers["Rows"]), int(headers["Columns"])
    depth = f"{headers.get('BitsStored', '?')}-bit {headers['PhotometricInterpretation']}"
    return Header(format="dicom", width=columns, height=rows, depth=depth)
