"""What bytes are, by what stands in them and not by the name of the file.

Magic numbers as each format's own specification gives them; DICOM by its preamble (PS3.10 7.1) or, where that is
missing, by a first element of group 0002 or 0008, which a parse must then confirm.
"""

from __future__ import annotations

import zlib

HEAD = 4096  # bytes that are enough to tell

GZIP = b"\x1f\x8b"

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"GIF8", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"\0\0\0\x0cjP", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"NRRD0", "NRRD"),
    (b"%PDF", "PDF"),
    (GZIP, "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ", "xz"),
    (b"7z\xbc\xaf", "7-Zip"),
    (b"Rar!", "RAR"),
    (b"\x89HDF", "HDF5"),
    (b"\x93NUMPY", "NumPy"),
    (b"RIFF", "RIFF (WebP, AVI)"),
    (b"BM", "BMP"),
)


def sniff(head: bytes) -> str:
    """The format of a file that begins with `head` (its first `HEAD` bytes).

    "png", "jpeg", "dicom", "maybe dicom", "nifti" and "zip" are read further; anything else is a name to show.
    """
    if head[128:132] == b"DICM":
        return "dicom"
    if not head:
        return "an empty file"
    if nifti_head(head):
        return "nifti"
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    if _first_group(head) in (0x0002, 0x0008):
        return "maybe dicom"
    if head[344:348] == b"ni1\0":
        return "a NIfTI header without its image"
    if head[4:8] in (b"n+2\0", b"ni2\0"):
        return "NIfTI-2"
    return _text(head)


def nifti_head(head: bytes) -> bytes:
    """The header of a NIfTI-1 file that begins with `head`, packed with gzip or not; empty where it is none."""
    if head.startswith(GZIP):
        try:
            head = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(head, 352)
        except zlib.error:
            return b""
    return head[:352] if head[344:348] == b"n+1\0" else b""


def stray_bytes(data: bytes) -> int:
    """1 where one padding byte of a lost meta header precedes the first DICOM element, else 0."""
    vr = data[5:7]
    return int(data[:1] in (b" ", b"\0") and data[1:3] == b"\x08\0" and vr.isalpha() and vr.isupper())


def _first_group(head: bytes) -> int:
    if len(head) < 8:
        return -1
    at = stray_bytes(head)
    little, big = int.from_bytes(head[at : at + 2], "little"), int.from_bytes(head[at : at + 2], "big")
    return big if big in (0x0002, 0x0008) else little


def _text(head: bytes) -> str:
    if b"\0" in head:
        start = head.split(b"\0")[0]
        return "MetaImage" if _is_metaimage(start) else "an unknown format"
    if _is_metaimage(head):
        return "MetaImage"
    printable = sum((b >= 32 and b != 127) or b in b"\t\r\n" for b in head)  # UTF-8 has any byte above 127
    return "text" if printable >= 0.95 * len(head) else "an unknown format"


def _is_metaimage(start: bytes) -> bool:
    return b"NDims =" in start and b"DimSize =" in start
