"""What a CT series, a zip of one or a NIfTI scan says of itself before its pixels: slices, spacing, kernel, scanner.

The same files are chosen and ordered as when it is read (`load`, `series`), by headers alone: nothing is decoded.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pneumoscope.errors import InputError
from pneumoscope.io.found import Found, some
from pneumoscope.io.load import discover
from pneumoscope.io.nifti import nifti_header
from pneumoscope.io.orient import nearest, spacing_of
from pneumoscope.io.series import order


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
    """The scan that the first 348 bytes of a NIfTI-1 file describe; its slices are the axis to the head.

    Raises:
        InputError: as `nifti.read_nifti` of the header.
    """
    header = nifti_header(head, name)
    axes = list(nearest(header.steps).axes)
    slices, height, width = (header.shape[::-1][axis] for axis in axes)
    return Scan(
        width=width,
        height=height,
        depth=f"{8 * header.kind.itemsize}-bit grey",
        slices=slices,
        spacing_mm=spacing_of(header.steps[axes]),
    )
