"""One DICOM file into a grey image and the facts that say what it is (PS3.3, PS3.10).

CR, DX and RG become brightness in 0..1, CT becomes Hounsfield units; every other modality is refused. The file
meta header is walked here and not by pydicom, which would inflate a deflated data set without a bound.
"""

from __future__ import annotations

import io
import logging
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pneumoscope.core.image import AppliedStep, Geometry, Image2D, Modality
from pneumoscope.core.study import pseudonym
from pneumoscope.errors import InputError
from pneumoscope.io import dicom_pixels as px
from pneumoscope.io.dicom_grey import brightness
from pneumoscope.io.dicom_slice import (
    AIR,
    SliceFacts,
    check_rescale,
    on_the_way,
    slice_facts,
    stored_at,
    write_hounsfield,
)
from pneumoscope.io.dicom_values import numbers, printable, text
from pneumoscope.io.foreign import named, quiet
from pneumoscope.io.sniff import stray_bytes

if TYPE_CHECKING:
    from pydicom import Dataset

MAX_INFLATED = 256 * 2**20  # bytes of a deflated data set: twice 50 megapixels of 16 bits
PIXEL_DATA = 0x7FE00010
DICOM_HEAD = 2**16  # bytes that hold nearly every header; the pixels behind it are half a megabyte a slice
MAX_UID = 256  # characters, where 64 are allowed: two UIDs that are too long are still two

_WHOLE = "a whole DICOM image"
_XRAY = ("CR", "DX", "RG")
_BY_CLASS: Mapping[str, Modality] = {
    "1.2.840.10008.5.1.4.1.1.1": "xray",  # Computed Radiography
    "1.2.840.10008.5.1.4.1.1.1.1": "xray",  # Digital X-Ray, for presentation
    "1.2.840.10008.5.1.4.1.1.1.1.1": "xray",  # Digital X-Ray, for processing
    "1.2.840.10008.5.1.4.1.1.2": "ct",
}
_HEADERS = (
    "Modality",
    "SOPClassUID",
    "BodyPartExamined",
    "ViewPosition",
    "PhotometricInterpretation",
    "Rows",
    "Columns",
    "BitsStored",
    "Manufacturer",
    "ManufacturerModelName",
    "PatientSex",
    "PatientAge",
)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a DICOM file says about itself.

    study_uid, series_uid, sop_uid: "" where absent. patient: pseudonym of PatientID, None where that is empty.
    view: ViewPosition of an X-ray; "axial", "coronal" or "sagittal" for CT. position: ImagePositionPatient,
    mm, LPS. orientation: the six numbers of ImageOrientationPatient. series_number, instance: None where absent.
    image_type: values of ImageType. kernel: ConvolutionKernel. thickness: SliceThickness, mm, None where absent.
    slice: of a CT alone. headers: keyword -> text, nothing that names a patient.
    """

    modality: Modality
    study_uid: str = ""
    series_uid: str = ""
    sop_uid: str = ""
    patient: str | None = None
    view: str | None = None
    body_part: str | None = None
    position: tuple[float, ...] | None = None
    orientation: tuple[float, ...] | None = None
    series_number: int | None = None
    instance: int | None = None
    image_type: tuple[str, ...] = ()
    kernel: str = ""
    thickness: float | None = None
    slice: SliceFacts | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def is_dicom(data: bytes) -> bool:
    """Whether bytes without the DICM mark are DICOM all the same: a parse finds a SOPClassUID or a Modality."""
    try:
        with _reading("bytes"):
            _parse(data, "bytes", pixels=False)
    except InputError:
        return False
    return True


def read_facts(data: bytes, name: str) -> Facts:
    """The facts of a DICOM file, its pixels not decoded.

    Raises:
        InputError: no DICOM, damaged, another modality than CR, DX and CT, or no single grey image.
    """
    with _reading(name):
        parsed = _parse(data, name, pixels=False)
        facts = _facts(parsed.ds, name)
        layout = px.layout(parsed.ds, name)
        if parsed.pixels is None:
            raise InputError(f"{name}: expected pixel data, found none (or a file cut off before it). Copy it again.")
        if facts.modality == "ct":
            stored = stored_at(data, parsed.syntax, layout, *parsed.pixels)
            facts = replace(facts, slice=slice_facts(parsed.ds, layout, stored))
    return facts


def facts_of(read: Callable[[int | None], bytes], name: str) -> Facts:
    """The facts of a DICOM file, of which no more is read than is needed.

    read: its first n bytes, or with None all of them.

    Raises:
        InputError: as `read_facts`.
    """
    head = read(DICOM_HEAD)
    try:
        return read_facts(head, name)
    except InputError:
        if len(head) < DICOM_HEAD:
            raise
    # the header may go on, and a deflated file is whole or nothing: the whole file says what is wrong
    return read_facts(read(None), name)


def read_stored(data: bytes, name: str) -> np.ndarray:
    """The stored values of a DICOM file, integers [H, W].

    Raises:
        InputError: as `read_dicom`.
    """
    with _reading(name):
        ds, syntax, _ = _parse(data, name, pixels=True)
        return px.stored_values(ds, syntax, px.layout(ds, name), name)


def read_dicom(data: bytes, name: str) -> tuple[Image2D, Facts]:
    """A DICOM X-ray (float32 [H, W], brightness 0..1, air dark) or CT slice (float32 [H, W], HU).

    Raises:
        InputError: as `read_facts`, or pixel data that is short, damaged or in an unsupported transfer syntax.
    """
    with _reading(name):
        ds, syntax, _ = _parse(data, name, pixels=True)
        facts = _facts(ds, name)
        shape = px.layout(ds, name)
        stored = px.stored_values(ds, syntax, shape, name)
        if facts.modality == "ct":
            facts = replace(facts, slice=(own := slice_facts(ds, shape, None)))
            pixels, steps, warnings = _hounsfield(stored, own, name)
        else:
            pixels, steps, warnings = brightness(ds, stored, shape.padding, name)
        geometry, spacing_step = _geometry(ds, facts)
        if stray_bytes(data):
            warnings = (*warnings, "The file meta header is missing, but for one stray byte that was skipped.")
        image = Image2D(
            pixels=pixels,
            unit="HU" if facts.modality == "ct" else "unit",
            modality=facts.modality,
            view=facts.view,
            geometry=geometry,
            source=name,
            steps=(*steps, *spacing_step),
            warnings=warnings,
        )
    return image, facts


@contextmanager
def _reading(name: str) -> Iterator[None]:
    """Whatever is wrong inside becomes one `InputError` that begins with `name`."""
    try:
        with named(name, _WHOLE), _quiet():
            yield
    except InputError as error:
        if str(error).startswith(name):
            raise
        raise InputError(f"{name}, {error}") from error  # of a single value (`dicom_values.numbers`)


@contextmanager
def _quiet() -> Iterator[None]:
    """Python warnings and pydicom's log off: both quote values, and with them patients."""
    log = logging.getLogger("pydicom")
    with quiet():
        before = log.disabled
        log.disabled = True
        try:
            yield
        finally:
            log.disabled = before


class _Parsed(NamedTuple):
    """A data set, its transfer syntax, and its pixel data's first byte and length; None where it has none."""

    ds: Dataset
    syntax: str
    pixels: tuple[int, int] | None


def _parse(data: bytes, name: str, *, pixels: bool) -> _Parsed:
    """The data set; its pixel data is found, but read only if `pixels`."""
    from pydicom.filereader import read_dataset

    syntax, at = _meta(data)
    if syntax == px.DEFLATED:
        data, at = _inflate(data[at:], name), 0
    found: tuple[int, int] | None = None

    def stop(tag: int, vr: str | None, length: int) -> bool:
        nonlocal found
        number = int(tag)  # pydicom's own comparison of tags is slow
        if number == PIXEL_DATA:
            found = file.tell(), length
        return not pixels and number >= PIXEL_DATA

    file = io.BytesIO(data)
    file.seek(at)
    ds = read_dataset(file, syntax == px.IMPLICIT, syntax != px.BIG_ENDIAN, stop_when=stop)
    if not text(ds, "SOPClassUID") and not text(ds, "Modality"):
        raise InputError(
            f"{name}: expected DICOM with a SOPClassUID or a Modality, found neither. Copy the file again."
        )
    return _Parsed(ds, syntax, found)


def _meta(data: bytes) -> tuple[str, int]:
    """The transfer syntax, and where the data set begins (PS3.10 7.1); guessed where the file does not say."""
    at = 132 if data[128:132] == b"DICM" else stray_bytes(data)
    syntax = ""
    while data[at : at + 2] == b"\2\0" and at + 8 <= len(data):
        element, vr = data[at + 2 : at + 4], data[at + 4 : at + 6]
        wide = vr in (b"OB", b"OW", b"UN", b"UT", b"SQ")
        explicit = vr.isalpha() and vr.isupper()
        start = at + (12 if wide else 8)
        if wide:
            length = int.from_bytes(data[at + 8 : at + 12], "little")
        else:
            length = int.from_bytes(data[at + 6 : at + 8] if explicit else data[at + 4 : at + 8], "little")
        if element == b"\x10\0":
            syntax = data[start : start + length].rstrip(b"\0 ").decode("ascii", "replace")
        at = start + length
    return syntax or _guess(data[at : at + 8]), at


def _guess(element: bytes) -> str:
    if not (element[4:6].isalpha() and element[4:6].isupper()):
        return px.IMPLICIT
    return px.EXPLICIT if element[1:2] == b"\0" else px.BIG_ENDIAN


def _inflate(data: bytes, name: str) -> bytes:
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    whole = engine.decompress(data, MAX_INFLATED)
    if engine.unconsumed_tail:
        raise InputError(
            f"{name}: expected a deflated data set of at most {MAX_INFLATED // 2**20} MiB, found more. "
            "Export the image uncompressed."
        )
    if not engine.eof:
        raise InputError(f"{name}: expected a whole deflated data set, found one cut off. Copy the file again.")
    return whole


def _facts(ds: Dataset, name: str) -> Facts:
    modality = _modality(ds, name)
    position, orientation = numbers(ds, "ImagePositionPatient"), numbers(ds, "ImageOrientationPatient")
    plane = _plane(orientation) if len(orientation) == 6 else None
    identifier = str(ds.get("PatientID") or "").strip()
    return Facts(
        modality=modality,
        study_uid=text(ds, "StudyInstanceUID", MAX_UID),
        series_uid=text(ds, "SeriesInstanceUID", MAX_UID),
        sop_uid=text(ds, "SOPInstanceUID", MAX_UID),
        patient=pseudonym(identifier) if identifier else None,
        view=plane if modality == "ct" else text(ds, "ViewPosition").upper() or None,
        body_part=text(ds, "BodyPartExamined").upper() or None,
        position=position if len(position) == 3 else None,
        orientation=orientation if len(orientation) == 6 else None,
        series_number=_whole(ds, "SeriesNumber"),
        instance=_whole(ds, "InstanceNumber"),
        image_type=_image_type(ds),
        kernel=text(ds, "ConvolutionKernel"),
        thickness=(numbers(ds, "SliceThickness") or (None,))[0],
        headers={key: value for key in _HEADERS if (value := text(ds, key))},
    )


def _image_type(ds: Dataset) -> tuple[str, ...]:
    value = ds.get("ImageType") or ()
    values = [value] if isinstance(value, str) else value
    return tuple(printable(str(v)).upper()[:64] for v in values)


def _modality(ds: Dataset, name: str) -> Modality:
    stated, kind = text(ds, "Modality").upper(), text(ds, "SOPClassUID")
    if stated in _XRAY:
        return "xray"
    if stated == "CT":
        return "ct"
    if not stated and kind in _BY_CLASS:
        return _BY_CLASS[kind]
    found = stated[:16] or f"none, of SOP class {kind or 'none'}"
    raise InputError(f"{name}, Modality: expected CR, DX or CT, found {found}. Give a chest X-ray or a chest CT.")


def _whole(ds: Dataset, keyword: str) -> int | None:
    value = numbers(ds, keyword)
    return int(value[0]) if value else None


def _plane(orientation: tuple[float, ...]) -> str:
    a, b, c, d, e, f = orientation
    normal = (abs(b * f - c * e), abs(c * d - a * f), abs(a * e - b * d))  # the cross product
    return ("sagittal", "coronal", "axial")[normal.index(max(normal))]


def _hounsfield(
    stored: np.ndarray, facts: SliceFacts, name: str
) -> tuple[np.ndarray, tuple[AppliedStep, ...], tuple[str, ...]]:
    """Stored values [H, W] as HU, float32 [H, W]; padding becomes air."""
    slope, intercept = check_rescale(facts, name)
    hu = np.empty(stored.shape, np.float32)
    written = write_hounsfield(stored, facts, hu)
    steps = [AppliedStep(name="rescale", args={"slope": slope, "intercept": intercept})]
    if written.padded:
        steps.append(AppliedStep(name="padding", args={"pixels": written.padded, "to": float(AIR)}))
    return hu, tuple(steps), on_the_way([facts], [written])


def _geometry(ds: Dataset, facts: Facts) -> tuple[Geometry | None, tuple[AppliedStep, ...]]:
    """Spacing and place; None where the file has no usable spacing. `ImagerPixelSpacing` is recorded as a step."""
    for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
        spacing = numbers(ds, keyword)
        if len(spacing) == 2 and min(spacing) > 0:
            break
    else:
        return None, ()
    place = facts.position if facts.modality == "ct" and facts.orientation else None
    geometry = Geometry(
        spacing_mm=spacing,
        origin_mm=(place[0], place[1], place[2]) if place else None,
        direction=facts.orientation if place else None,
        frame_of_reference=text(ds, "FrameOfReferenceUID") or None,
    )
    return geometry, (AppliedStep(name="spacing", args={"from": keyword}),) if keyword != "PixelSpacing" else ()
