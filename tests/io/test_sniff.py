from __future__ import annotations

import gzip
import struct

import pytest

from pneumoscope.io.sniff import sniff, stray_bytes

NIFTI = struct.pack("<i", 348) + bytes(340) + b"n+1\0"


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"", "an empty file"),
        (b"\x89PNG\r\n\x1a\n....", "png"),
        (b"\xff\xd8\xff\xe0....", "jpeg"),
        (bytes(128) + b"DICM", "dicom"),
        (b"\x08\0\x05\0CS\x0a\0ISO_IR 100", "maybe dicom"),
        (b" \x08\0\x05\0CS\x0a\0ISO_IR 100", "maybe dicom"),
        (b"\0\x08\0\x05CS\0\x0aISO_IR 100", "maybe dicom"),
        (b"PK\x03\x04", "zip"),
        (b"PK\x05\x06" + bytes(18), "zip"),
        (b"GIF89a", "GIF"),
        (b"BM....", "BMP"),
        (b"II*\0....", "TIFF"),
        (b"MM\0*....", "TIFF"),
        (b"%PDF-1.7", "PDF"),
        (b"\x1f\x8b\x08", "gzip"),
        (NIFTI, "nifti"),
        (gzip.compress(NIFTI), "nifti"),
        (gzip.compress(NIFTI)[:20], "gzip"),
        (gzip.compress(b"x" * 4000), "gzip"),
        (b"\x1f\x8b\x08" + b"\xff" * 400, "gzip"),
        (NIFTI.replace(b"n+1", b"ni1"), "a NIfTI header without its image"),
        (struct.pack("<i", 540) + b"n+2\0\r\n\x1a\n" + bytes(530), "NIfTI-2"),
        (b"ObjectType = Image\nNDims = 2\nDimSize = 2 2\nElementDataFile = LOCAL\n\0\1\2", "MetaImage"),
        (b"NRRD0004\n", "NRRD"),
        (b"file,label\na.png,normal\n", "text"),
        ("naïve, größer\n".encode(), "text"),
        (bytes(range(256)), "an unknown format"),
        (b"\0" * 200, "an unknown format"),
    ],
)
def test_content_decides(head: bytes, name: str) -> None:
    assert sniff(head) == name


def test_a_stray_byte_is_not_seen_in_big_endian_files() -> None:
    assert stray_bytes(b" \x08\0\x05\0CS\x0a\0") == 1
    assert stray_bytes(b"\0\x08\0\x16UI\0\x1a1.2") == 0
    assert stray_bytes(b"") == 0
