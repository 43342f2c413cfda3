"""NIfTI-1 (.nii, .nii.gz) into a volume: the 348 bytes of the header, read here, and the block behind it.

Own reading, since every size must be checked before anything is unpacked, and the format is small. Only scans in
one file with a stated orientation are read; NIfTI's axes run to the right, front and head (RAS), a volume's are LPS.
Source: nifti1.h, https://nifti.nimh.nih.gov/nifti-1.
"""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass

import numpy as np

from pneumoscope.core.image import AppliedStep, Volume
from pneumoscope.errors import InputError
from pneumoscope.io.archive import MAX_RATIO, RATIO_FROM
from pneumoscope.io.dicom_slice import HIGHEST, LOWEST, write_scaled
from pneumoscope.io.foreign import named
from pneumoscope.io.orient import LEAST_SKEW, nearest, turn
from pneumoscope.io.series import check_bounds
from pneumoscope.io.sniff import GZIP, nifti_head
from pneumoscope.io.studies import MIN_SLICES
from pneumoscope.io.volume import implausible

HEADER = 348  # bytes
MAX_STORED = 2**31 - 1  # bytes of the block as it is stored, unpacked
MOST_APART = 1.0  # mm between where sform and qform place a corner

_AGAIN = "Convert the scan again."
_TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
_MILLIMETRES = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}  # of xyzt_units' low three bits: unknown, m, mm, um
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, kw_only=True)
class NiftiHeader:
    """What the header says of the block behind it.

    shape: (I, J, K), the first axis fastest. affine: voxel to mm, RAS, [4, 4]. offset: first byte of the block.
    """

    shape: tuple[int, int, int]
    kind: np.dtype[np.generic]
    offset: int
    slope: float
    inter: float
    affine: np.ndarray
    warnings: tuple[str, ...]

    @property
    def end(self) -> int:
        """The byte after the last one of the block."""
        return self.offset + math.prod(self.shape) * self.kind.itemsize

    @property
    def origin(self) -> np.ndarray:
        """Centre of the first voxel, mm, LPS, [3]."""
        return np.asarray((_RAS_TO_LPS @ self.affine)[:3, 3])

    @property
    def steps(self) -> np.ndarray:
        """The ways to the next voxel along K, J and I in the rows, mm, LPS, [3, 3]."""
        return np.asarray((_RAS_TO_LPS @ self.affine)[:3, [2, 1, 0]].T)


def read_nifti(data: bytes, name: str) -> Volume:
    """A CT scan in one NIfTI-1 file, packed with gzip or not.

    Raises:
        InputError: another format, damaged, of no or unknown orientation, not of three axes, fewer than `MIN_SLICES`
            slices, or more than a volume may have.
    """
    header = nifti_header(nifti_head(data[: 2**20]), name)
    with named(name, "a whole NIfTI file"):
        block = _block(data, header, name)
        voxels, said = _hounsfield(block.reshape(header.shape[::-1]), header)
        turned = turn(voxels, header.origin, header.steps)
    z = len(turned.voxels)
    numbers = range(z - 1, -1, -1) if turned.flipped[0] else range(z)
    axis = "kji"[turned.axes[0]]
    skew = (
        f"The axes of the scan are {turned.skew:.1f} degrees off the right angle; the volume has its slices "
        "straight above each other, at their distance along the normal.",
    )
    args = {"slope": header.slope, "inter": header.inter}
    return Volume(
        voxels=turned.voxels,
        geometry=turned.geometry,
        slices=tuple(f"{name} {axis}={n}" for n in numbers),
        source=name,
        steps=(
            AppliedStep(name="rescale", args=args),
            AppliedStep(name="orient", args={"axes": list(turned.axes), "flipped": list(turned.flipped)}),
        ),
        warnings=(
            *header.warnings,
            *said,
            *(skew if turned.skew >= LEAST_SKEW else ()),
            *implausible(turned.voxels),
        ),
    )


def nifti_header(head: bytes, name: str) -> NiftiHeader:
    """The header in the first 348 bytes of a NIfTI-1 file, all checked before anything behind it is unpacked.

    Raises:
        InputError: damaged, of no or unknown orientation, not of three axes, fewer than `MIN_SLICES` slices, or more
            than a volume may have.
    """
    with named(name, "a whole NIfTI file"), np.errstate(all="ignore"):  # a stranger's numbers, judged as they come
        header = _header(head, name)
        z, y, x = (header.shape[::-1][axis] for axis in nearest(header.steps).axes)
    check_bounds(z, y, x, name)
    if header.end > MAX_STORED:
        raise InputError(f"{name}: expected less than 2 GiB of voxels, found {x} x {y} x {z}. Give a smaller scan.")
    if z < MIN_SLICES:
        raise InputError(
            f"{name}: expected at least {MIN_SLICES} slices from feet to head, found {z}. Give the whole series."
        )
    return header


def _header(head: bytes, name: str) -> NiftiHeader:
    order = "<" if 1 <= struct.unpack_from("<h", head, 40)[0] <= 7 else ">"
    dims = struct.unpack_from(f"{order}8h", head, 40)
    if struct.unpack_from(f"{order}i", head)[0] != HEADER or not 1 <= dims[0] <= 7:
        raise InputError(f"{name}: expected a NIfTI-1 header, found another. {_AGAIN}")
    used = dims[1 : dims[0] + 1]
    if dims[0] < 3 or min(used) < 1 or any(n > 1 for n in used[3:]):
        shown = " x ".join(map(str, used))
        raise InputError(f"{name}, dim: expected three axes, found {shown}. Give one scan, not a set of them.")
    code = struct.unpack_from(f"{order}h", head, 70)[0]
    if code not in _TYPES:
        raise InputError(f"{name}, datatype: expected integers or real numbers, found code {code}. {_AGAIN}")
    start, slope, inter = struct.unpack_from(f"{order}3f", head, 108)
    if not HEADER <= start <= 2**20:
        raise InputError(f"{name}, vox_offset: expected {HEADER} to {2**20}, found {start:g}. {_AGAIN}")
    if not math.isfinite(slope) or slope == 0:  # not stated
        slope, inter = 1.0, 0.0
    if not math.isfinite(inter):
        raise InputError(f"{name}, scl_inter: expected a number, found {inter}. {_AGAIN}")
    shape = (used[0], used[1], used[2])
    affine, said = _affine(head, order, shape, name)
    scale, units = _unit(head[123], name)
    return NiftiHeader(
        shape=shape,
        kind=np.dtype(order + _TYPES[code]),
        offset=int(start),
        slope=slope,
        inter=inter,
        affine=np.diag([scale, scale, scale, 1.0]) @ affine,
        warnings=(*said, *units),
    )


def _unit(code: int, name: str) -> tuple[float, tuple[str, ...]]:
    """Millimetres a unit, and a warning where it is not stated."""
    unit = code & 7
    if unit not in _MILLIMETRES:
        raise InputError(f"{name}, xyzt_units: expected metre, millimetre or micrometre, found code {unit}. {_AGAIN}")
    said = () if unit else ("The file does not state the unit of its spacing; millimetres were assumed.",)
    return _MILLIMETRES[unit], said


def _affine(head: bytes, order: str, shape: tuple[int, int, int], name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Voxel to RAS, [4, 4], in the file's unit: the sform if it is set, else the qform, as nifti1.h advises."""
    qform_code, sform_code = struct.unpack_from(f"{order}2h", head, 252)
    if qform_code <= 0 and sform_code <= 0:
        raise InputError(
            f"{name}: expected an orientation (sform or qform), found none: left and right cannot be told. {_AGAIN}"
        )
    qform = _qform(head, order) if qform_code > 0 else None
    affine = _sform(head, order) if sform_code > 0 else qform
    lengths = struct.unpack_from(f"{order}3f", head, 80)
    if sform_code <= 0 and not all(
        0 < v < math.inf for v in lengths
    ):  # a length below 0 is a flip to some readers, and none to others
        raise InputError(f"{name}, pixdim: expected lengths above 0, found {', '.join(map(str, lengths))}. {_AGAIN}")
    if affine is None or not np.isfinite(affine).all() or not _is_regular(affine):
        raise InputError(f"{name}, sform or qform: expected three axes in space, found other. {_AGAIN}")
    if qform is None or sform_code <= 0 or not np.isfinite(qform).all():
        return affine, ()
    corners = np.array([[a, b, c, 1] for a in (0, shape[0] - 1) for b in (0, shape[1] - 1) for c in (0, shape[2] - 1)])
    apart = float(np.linalg.norm((corners @ (affine - qform).T)[:, :3], axis=1).max())
    if apart <= MOST_APART:
        return affine, ()
    return affine, (f"sform and qform place the scan up to {apart:.0f} mm apart; the sform was taken.",)


def _is_regular(affine: np.ndarray) -> bool:
    """Whether the three axes are of bearable length and span space."""
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if lengths.min() < 1e-6 or lengths.max() > 1e6:
        return False
    return abs(float(np.linalg.det(affine[:3, :3] / lengths))) > 0.1


def _sform(head: bytes, order: str) -> np.ndarray:
    rows = np.array(struct.unpack_from(f"{order}12f", head, 280), dtype=np.float64).reshape(3, 4)
    return np.vstack([rows, [0, 0, 0, 1]])


def _qform(head: bytes, order: str) -> np.ndarray:
    """From the quaternion (nifti1.h, METHOD 2); the first one of pixdim says whether the third axis is reversed.

    No numbers where the quaternion is none: longer than 1 by more than rounding.
    """
    pixdim = struct.unpack_from(f"{order}4f", head, 76)
    b, c, d, *shift = struct.unpack_from(f"{order}6f", head, 256)
    square = b * b + c * c + d * d
    if not square <= 1.001:
        return np.full((4, 4), np.nan)
    b, c, d = (v / math.sqrt(max(square, 1.0)) for v in (b, c, d))
    a = math.sqrt(max(0.0, 1.0 - square))
    turn_ = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - c * c - b * b],
        ]
    )
    affine = np.eye(4)
    affine[:3, :3] = turn_ * np.array([pixdim[1], pixdim[2], pixdim[3] * (-1.0 if pixdim[0] < 0 else 1.0)])
    affine[:3, 3] = shift
    return affine


def _block(data: bytes, header: NiftiHeader, name: str) -> np.ndarray:
    """The stored numbers in one row, unpacked no further than the header says that they reach."""
    if data.startswith(GZIP):
        if header.end > RATIO_FROM and header.end > MAX_RATIO * len(data):
            raise InputError(
                f"{name}: expected compression up to {MAX_RATIO} times, found {header.end / len(data):,.0f}. {_AGAIN}"
            )
        engine = zlib.decompressobj(zlib.MAX_WBITS | 16)
        data = engine.decompress(data, header.end)
        # the check sum stands behind the last byte
        if not engine.eof and not engine.decompress(engine.unconsumed_tail, 1) and not engine.eof:
            raise InputError(f"{name}: expected a whole gzip file, found one cut off. Copy the file again.")
        if len(data) < header.end and engine.unused_data.startswith(GZIP):
            raise InputError(f"{name}: expected one gzip stream, found several. Pack the file again, with gzip.")
    if len(data) < header.end:
        raise InputError(f"{name}: expected {header.end:,} bytes, found {len(data):,}. Copy the file again.")
    return np.frombuffer(data, header.kind, count=math.prod(header.shape), offset=header.offset)


def _hounsfield(block: np.ndarray, header: NiftiHeader) -> tuple[np.ndarray, tuple[str, ...]]:
    """Stored numbers [K, J, I] as int16 HU, slice by slice, and what was lost."""
    voxels = np.empty(block.shape, np.int16)
    written = []
    for stored, out in zip(block, voxels, strict=True):
        nowhere = np.isnan(stored) if stored.dtype.kind == "f" else None
        written.append(write_scaled(stored, header.slope, header.inter, out, nowhere))
    lost, clipped = sum(w.padded for w in written), sum(w.clipped for w in written)
    said = (
        (lost, f"{lost:,} voxels were no number and were set to air."),
        (any(w.rounded for w in written), "Values were rounded to whole HU."),
        (clipped, f"{clipped:,} voxels were beyond {LOWEST} to {HIGHEST} HU and were set to these."),
    )
    return voxels, tuple(text for is_so, text in said if is_so)
