"""What a CT series, a zip of one or a NIfTI scan says of itself before its pixels: slices, spacing, kernel, scanner.

The same files are chosen and ordered as when it is read (`load`, `series`), by headers alone: nothing is decoded.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pneumoscope.errors import InputError
from pneumoscope.io.found import Found, some
from pneumoscope.io.load import discover
from pneumoscope.io.series import check_bounds, order
from pneumoscope.io.studies import MIN_SLICES

_AGAIN = "Convert the scan again."
_MILLIMETRES = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}  # nifti1.h, xyzt_units
_BITS = {2: 8, 4: 16, 8: 32, 16: 32, 64: 64, 256: 8, 512: 16, 768: 32, 1024: 64, 1280: 64}  # nifti1.h, datatype


@dataclass(frozen=True, kw_only=True)
class Scan:
    """A CT scan of several slices.

    width, height, depth: of a slice, as in `headers.Header`. slices: places along the body. spacing_mm: from slice to
    slice, from row to row and from column to column. thickness_mm: SliceThickness, None where it is not stated.
    kernel, manufacturer: "" where they are not stated. files: of the slices from feet to head; none of an archive or a
    NIfTI file.
    """

    width: int
    height: int
    depth: str
    slices: int
    spacing_mm: tuple[float, float, float]
    thickness_mm: float | None = None
    kernel: str = ""
    manufacturer: str = ""
    files: tuple[Path, ...] = ()


def find(path: Path, name: str) -> Found:
    """The one study in the folder or the zip `path`; `name` stands for it in messages.

    Raises:
        InputError: none, several, or one that is refused when it is read.
    """
    found = discover(path).found
    if len(found) > 1:
        raise InputError(
            f"{name}: expected one study, found {len(found)}: {some([f.format for f in found])}. Give each its own row."
        )
    if found[0].problem:
        raise InputError(found[0].problem)
    return found[0]


def series_scan(found: Found, name: str) -> Scan:
    """The scan that the slices of a study make.

    Raises:
        InputError: slices that make no volume (`series.order`).
    """
    stack = order(found.slices, name)
    first = stack.places[0][0].facts
    step, down, across = (float(np.linalg.norm(way)) for way in stack.steps)
    places = stack.places if stack.steps[0][2] >= 0 else stack.places[::-1]
    headers = first.headers
    return Scan(
        width=int(headers["Columns"]),
        height=int(headers["Rows"]),
        depth=f"{headers.get('BitsStored', '?')}-bit {headers['PhotometricInterpretation']}",
        slices=len(places),
        spacing_mm=(step, down, across),
        thickness_mm=first.thickness,
        kernel=first.kernel,
        manufacturer=headers.get("Manufacturer", ""),
        files=() if found.member is not None else tuple(place[0].file for place in places),
    )


def nifti_scan(head: bytes, name: str) -> Scan:
    """The scan that the first 352 bytes of a NIfTI-1 file describe (nifti1.h); its slices are the axis to the head.

    Raises:
        InputError: no scan on three axes, or numbers that are none.
    """
    byteorder = "<" if 1 <= struct.unpack_from("<h", head, 40)[0] <= 7 else ">"
    rank, *shape = struct.unpack_from(f"{byteorder}8h", head, 40)
    if not 3 <= rank <= 7 or min(shape[:3]) < 1 or any(n > 1 for n in shape[3:rank]):
        raise InputError(f"{name}, dim: expected three axes, found another number. Give one scan, not a set of them.")
    check_bounds(shape[2], shape[1], shape[0], name)
    code = struct.unpack_from(f"{byteorder}h", head, 70)[0]
    with np.errstate(all="ignore"):  # a stranger's numbers, judged below
        ways = _ways(head, byteorder) * _MILLIMETRES.get(head[123] & 7, np.nan)
        lengths = np.linalg.norm(ways, axis=0)
    if code not in _BITS or not np.all((lengths > 1e-6) & (lengths < 1e6)):
        raise InputError(f"{name}: expected numbers on three axes in space, found other. {_AGAIN}")
    upright = int(np.argmax(np.abs(ways[2] / lengths)))
    if shape[upright] < MIN_SLICES:
        raise InputError(f"{name}: expected at least {MIN_SLICES} slices from feet to head, found {shape[upright]}.")
    rows, columns = sorted((axis for axis in range(3) if axis != upright), reverse=True)
    return Scan(
        width=shape[columns],
        height=shape[rows],
        depth=f"{_BITS[code]}-bit grey",
        slices=shape[upright],
        spacing_mm=(float(lengths[upright]), float(lengths[rows]), float(lengths[columns])),
    )


def _ways(head: bytes, byteorder: str) -> np.ndarray:
    """The ways to the next voxel along each axis in the columns, RAS, [3, 3]: of the sform if it is set, else qform."""
    qform_code, sform_code = struct.unpack_from(f"{byteorder}2h", head, 252)
    if sform_code > 0:
        return np.array(struct.unpack_from(f"{byteorder}12f", head, 280), dtype=np.float64).reshape(3, 4)[:, :3]
    if qform_code <= 0:
        return np.zeros((3, 3))
    b, c, d = struct.unpack_from(f"{byteorder}3f", head, 256)
    a = max(0.0, 1.0 - (b * b + c * c + d * d)) ** 0.5
    turn = [
        [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
        [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
        [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - c * c - b * b],
    ]
    spacing = np.array(struct.unpack_from(f"{byteorder}3f", head, 80), dtype=np.float64)
    return np.array(turn, dtype=np.float64) * spacing
