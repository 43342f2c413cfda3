"""A volume in the place of a study as NIfTI-1, packed with gzip: maps and masks that any viewer lays over the scan.

Volumes lie in LPS, NIfTI in RAS. Place and turn are written twice, as sform and as qform, since readers differ in the
one they take; the sform is the finer one. The same values give the same bytes: no time, no file name. Source: nifti1.h.
"""

from __future__ import annotations

import gzip
import io
import math
import struct
from pathlib import Path

import numpy as np

from pneumoscope.core.files import write_bytes
from pneumoscope.core.image import Geometry

LEVEL = 4  # of gzip, 1..9: of maps, what more would gain is little, and slow
_CODES = {"uint8": 2, "float32": 16}
_OFFSET = 352  # of the voxels: the header of 348 bytes, and four that say that no extension follows
_MILLIMETRES = 2
_SCANNER = 1  # the coordinates are the scanner's, NIFTI_XFORM_SCANNER_ANAT


def write_nifti(path: Path, values: np.ndarray, geometry: Geometry, *, slope: float = 1.0) -> None:
    """Write `nifti_bytes` to `path`, a name in .nii.gz, whole or not at all.

    Raises:
        ValueError: see `nifti_bytes`.
        PneumoscopeError: a place that cannot be written.
    """
    write_bytes(path, nifti_bytes(values, geometry, slope=slope))


def nifti_bytes(values: np.ndarray, geometry: Geometry, *, slope: float = 1.0) -> bytes:
    """A packed NIfTI-1 file.

    Args:
        values: uint8 or float32 `[Z, Y, X]`, with the axes of a `Volume`.
        geometry: of the volume, with its place and direction.
        slope: what a stored number is multiplied by when it is read, as 1 / 255 where uint8 stands for 0..1.

    Raises:
        ValueError: values of another type or shape, or a geometry without a place.
    """
    if values.ndim != 3 or values.dtype.name not in _CODES:
        raise ValueError(f"values: expected uint8 or float32 [Z, Y, X], found {values.dtype} {values.shape}.")
    if len(geometry.spacing_mm) != 3 or geometry.origin_mm is None or geometry.direction is None:
        raise ValueError(f"geometry: expected that of a volume, with place and direction, found {geometry}.")
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=LEVEL, fileobj=packed, mtime=0) as file:
        file.write(_header(values, affine(geometry), slope))
        for plane in values:  # one at a time: no second copy of the whole
            file.write(np.ascontiguousarray(plane, plane.dtype.newbyteorder("<")).data)
    return packed.getvalue()


def affine(geometry: Geometry) -> np.ndarray:
    """From the index (x, y, z, 1) of a voxel to its millimetres in RAS, float64 [4, 4]."""
    if geometry.origin_mm is None or geometry.direction is None:
        raise ValueError(f"geometry: expected one with place and direction, found {geometry}.")
    x, y = np.array(geometry.direction, dtype=np.float64).reshape(2, 3)
    x /= np.linalg.norm(x)
    y -= (x @ y) * x  # headers are rounded: a quaternion holds right angles alone
    y /= np.linalg.norm(y)
    lps = np.eye(4)
    lps[:3, :3] = np.column_stack([x, y, np.cross(x, y)]) * geometry.spacing_mm[::-1]
    lps[:3, 3] = geometry.origin_mm
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps + 0.0  # no -0.0


def _header(values: np.ndarray, to_mm: np.ndarray, slope: float) -> bytes:
    head = bytearray(_OFFSET)
    lengths = np.linalg.norm(to_mm[:3, :3], axis=0)
    struct.pack_into("<i", head, 0, 348)
    struct.pack_into("<8h", head, 40, 3, *values.shape[::-1], 1, 1, 1, 1)
    struct.pack_into("<2h", head, 70, _CODES[values.dtype.name], 8 * values.dtype.itemsize)
    struct.pack_into("<8f", head, 76, 1, *lengths, 0, 0, 0, 0)  # the first one: no axis is reversed
    struct.pack_into("<3f", head, 108, _OFFSET, slope, 0)
    head[123] = _MILLIMETRES
    head[148:159] = b"pneumoscope"
    struct.pack_into("<2h", head, 252, _SCANNER, _SCANNER)
    struct.pack_into("<6f", head, 256, *_quaternion(to_mm[:3, :3] / lengths), *to_mm[:3, 3])
    struct.pack_into("<12f", head, 280, *to_mm[:3].ravel())
    head[344:348] = b"n+1\0"
    return bytes(head)


def _quaternion(turn: np.ndarray) -> tuple[float, float, float]:
    """b, c, d of the unit quaternion (a, b, c, d), a at least 0, of a rotation [3, 3]."""
    squares = 1 + np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) @ np.diag(turn)
    largest = int(squares.argmax())
    minus, plus = turn - turn.T, turn + turn.T
    products = [  # of the largest of a, b, c, d with all four, times 4
        (squares[0], minus[2, 1], minus[0, 2], minus[1, 0]),
        (minus[2, 1], squares[1], plus[0, 1], plus[0, 2]),
        (minus[0, 2], plus[0, 1], squares[2], plus[1, 2]),
        (minus[1, 0], plus[0, 2], plus[1, 2], squares[3]),
    ][largest]
    a, b, c, d = (float(p) / (2 * math.sqrt(squares[largest])) for p in products)
    return (-b, -c, -d) if a < 0 else (b, c, d)
