"""CT series made in memory: a body with lungs in Hounsfield units, as DICOM slices that can be spoiled one by one."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
from dicom_making import CT, EXPLICIT, data_set, write

from pneumoscope.io.dicom import read_facts
from pneumoscope.io.studies import Member

STUDY, SERIES = "1.9", "1.9.9"


def body(slices: int = 10, size: int = 16) -> np.ndarray:
    """int16 [Z, size, size] in HU, no two slices and no two rows alike: air, soft tissue, lungs."""
    hu = np.full((slices, size, size), -1000, np.int16)
    hu[:, 3:-3, 2:-2] = 40
    hu[:, 5:-5, 3:7] = -850
    hu[:, 0, 0] = np.arange(slices) + 100
    hu[:, 0, -1] = 200
    return hu


def slice_set(hu: np.ndarray, number: int, z: float, **more: Any) -> Any:
    """One axial slice as a data set; an attribute of None is left out."""
    given = {
        "SOPClassUID": CT,
        "Modality": "CT",
        "SOPInstanceUID": f"1.9.9.{number + 1}",
        "StudyInstanceUID": STUDY,
        "SeriesInstanceUID": SERIES,
        "SeriesNumber": 3,
        "InstanceNumber": 1000 - number,
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "BitsStored": 12,
        "RescaleSlope": 1,
        "RescaleIntercept": -1024,
        "PixelSpacing": [0.75, 0.5],
        "ImagePositionPatient": [-10.0, -20.0, z],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "SliceThickness": 2,
        "BodyPartExamined": "CHEST",
        **more,
    }
    slope, intercept = given["RescaleSlope"] or 1, given["RescaleIntercept"] or 0
    stored = np.rint((hu.astype(np.float64) - intercept) / slope)
    kind = np.int16 if given.get("PixelRepresentation") else np.uint16
    return data_set(stored.astype(kind), **given)


def series(
    hu: np.ndarray | None = None,
    *,
    step: float = 2.0,
    z0: float = -100.0,
    syntax: str = EXPLICIT,
    spoil: dict[int, dict[str, Any]] | None = None,
    **more: Any,
) -> dict[str, bytes]:
    """Name -> bytes of a series whose names, like its instance numbers, run against the positions.

    spoil: slice -> attributes that it alone has; `pixels` replaces its HU, and None in place of a dict leaves it out.
    """
    hu = body() if hu is None else hu
    files = {}
    for i, plane in enumerate(hu):
        own = dict((spoil or {}).get(i, {}))
        if own.get("leave_out"):
            continue
        own_plane = own.pop("pixels", plane)
        name = f"{(len(hu) - i):03d}.dcm"
        files[name] = write(slice_set(own_plane, i, z0 + i * step, **{**more, **own}), syntax)
    return files


def members(files: dict[str, bytes]) -> list[Member]:
    return [Member(path=name, facts=read_facts(data, name), file=Path(name)) for name, data in files.items()]


def nifti(
    stored: np.ndarray,
    affine: np.ndarray,
    *,
    order: str = "<",
    slope: float = 1.0,
    inter: float = 0.0,
    sform: int = 1,
    qform: int = 0,
    quaternion: tuple[float, ...] = (0, 0, 0, 0, 0, 0),
    pixdim: tuple[float, ...] = (1, 1, 1, 1, 0, 0, 0, 0),
    units: int = 2,
    **put: Any,
) -> bytes:
    """A NIfTI-1 file of `stored` [I, J, K]; `put`: byte offset as "at_<n>" -> (struct format, value)."""
    codes = {"u1": 2, "i2": 4, "i4": 8, "f4": 16, "f8": 64, "u2": 512}
    kind = stored.dtype.str[1:]
    head = bytearray(352)
    dims = [stored.ndim, *stored.shape] + [1] * (7 - stored.ndim)
    struct.pack_into(f"{order}i", head, 0, 348)
    struct.pack_into(f"{order}8h", head, 40, *dims)
    struct.pack_into(f"{order}2h", head, 70, codes[kind], stored.dtype.itemsize * 8)
    struct.pack_into(f"{order}8f", head, 76, *pixdim)
    struct.pack_into(f"{order}3f", head, 108, 352, slope, inter)
    head[123] = units
    struct.pack_into(f"{order}2h", head, 252, qform, sform)
    struct.pack_into(f"{order}6f", head, 256, *quaternion)
    struct.pack_into(f"{order}12f", head, 280, *np.asarray(affine)[:3].ravel())
    head[344:348] = b"n+1\0"
    for key, (form, value) in put.items():
        struct.pack_into(order + form, head, int(key.removeprefix("at_")), value)
    return bytes(head) + stored.astype(stored.dtype.newbyteorder(order)).tobytes(order="F")
