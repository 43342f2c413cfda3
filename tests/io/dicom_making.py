"""DICOM files made in memory, in every transfer syntax that is read: by pydicom, GDCM and Pillow."""

from __future__ import annotations

import io
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID

from pneumoscope.errors import InputError
from pneumoscope.io.dicom import read_dicom

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
RLE = "1.2.840.10008.1.2.5"
BASELINE = "1.2.840.10008.1.2.4.50"

DX = "1.2.840.10008.5.1.4.1.1.1.1"
CT = "1.2.840.10008.5.1.4.1.1.2"

LOSSLESS = ["1.2.840.10008.1.2.4." + n for n in ("57", "70", "80", "90")]
GREY = np.add.outer(np.arange(40), np.arange(30)).astype(np.uint8) * 3
WINDOW = {"WindowCenter": 128, "WindowWidth": 256, "VOILUTFunction": "LINEAR_EXACT"}


def data_set(pixels: np.ndarray, **attributes: Any) -> Dataset:
    """A DX image that holds `pixels` (integers [H, W]) as they are; an attribute of None is left out."""
    bits = pixels.dtype.itemsize * 8
    ds = Dataset()
    values: dict[str, Any] = {
        "SOPClassUID": DX,
        "SOPInstanceUID": "1.2.3.4.5",
        "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": "1.2.3.4",
        "Modality": "DX",
        "PatientID": "MRN-4711",
        "PatientName": "Doe^Jane",
        "PhotometricInterpretation": "MONOCHROME2",
        "SamplesPerPixel": 1,
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "BitsAllocated": bits,
        "BitsStored": bits,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
    }
    values |= attributes
    values.setdefault("HighBit", values["BitsStored"] - 1 if values["BitsStored"] else None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns of values that are invalid on purpose
        for keyword, value in values.items():
            if value is not None:
                setattr(ds, keyword, value)
    ds.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    ds["PixelData"].VR = "OW" if bits == 16 else "OB"
    return ds


def make(pixels: np.ndarray, syntax: str = EXPLICIT, **attributes: Any) -> bytes:
    """`data_set` as the bytes of a DICOM file."""
    return write(data_set(pixels, **attributes), syntax)


def write(ds: Dataset, syntax: str = EXPLICIT) -> bytes:
    """The bytes of a DICOM file with a preamble and a meta header."""
    if syntax == RLE:
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = UID(EXPLICIT)
        ds.compress(RLE, encoding_plugin="pydicom", generate_instance_uid=False)
    elif syntax.startswith("1.2.840.10008.1.2.4.") and not ds.PixelData.startswith(b"\xfe\xff\x00\xe0"):
        return _by_gdcm(write(ds), syntax)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = ds.get("SOPClassUID", DX)
    ds.file_meta.MediaStorageSOPInstanceUID = ds.get("SOPInstanceUID", "1.2.3.4.5")
    ds.file_meta.TransferSyntaxUID = UID(syntax)
    if syntax == BIG_ENDIAN:
        ds.PixelData = np.frombuffer(ds.PixelData, "<u2").astype(">u2").tobytes()
    out = io.BytesIO()
    dcmwrite(out, ds, enforce_file_format=True)
    return out.getvalue()


def by_pillow(pixels: np.ndarray, syntax: str = BASELINE, **attributes: Any) -> bytes:
    """8-bit grey as a JPEG, or, for a JPEG 2000 syntax, as lossy JPEG 2000."""
    out = io.BytesIO()
    if syntax.endswith((".90", ".91")):
        Image.fromarray(pixels).save(out, "JPEG2000", no_jp2=True, irreversible=True, quality_layers=[4])
    else:
        Image.fromarray(pixels).save(out, "jpeg", quality=98)
    ds = data_set(pixels, **attributes)
    ds.PixelData = encapsulate([out.getvalue()])
    ds["PixelData"].VR = "OB"
    return write(ds, syntax)


def slice_of(pixels: np.ndarray, **more: Any) -> bytes:
    """A CT slice."""
    given = {"Modality": "CT", "SOPClassUID": CT, "RescaleSlope": 1, "RescaleIntercept": -1024, **more}
    return make(pixels, more.pop("syntax", EXPLICIT), **{k: v for k, v in given.items() if k != "syntax"})


def pixels_of(data: bytes) -> np.ndarray:
    """What is read of a file."""
    return read_dicom(data, "x.dcm")[0].pixels


def refusal(data: bytes) -> str:
    """The one line that a file is refused with, which names no patient."""
    with pytest.raises(InputError) as caught:
        read_dicom(data, "x.dcm")
    text = str(caught.value)
    assert "\n" not in text
    assert "expected" in text
    assert "found" in text
    assert "Doe" not in text
    assert "4711" not in text
    return text


def with_syntax(data: bytes, syntax: str) -> bytes:
    """The file with another transfer syntax written over JPEG Baseline's, no byte moved."""
    old = b"1.2.840.10008.1.2.4.50"
    return data.replace(old, syntax.encode()[: len(old)].ljust(len(old), b"\0"), 1)


def without_meta(data: bytes) -> bytes:
    """The data set alone, as old archives keep it: no preamble, no meta header."""
    length = int.from_bytes(data[140:144], "little")
    return data[144 + length :]


def _by_gdcm(data: bytes, syntax: str) -> bytes:
    import gdcm

    with tempfile.TemporaryDirectory() as folder:
        plain, packed = Path(folder) / "plain.dcm", Path(folder) / "packed.dcm"
        plain.write_bytes(data)
        reader = gdcm.ImageReader()
        reader.SetFileName(str(plain))
        assert reader.Read()
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(syntax)))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer = gdcm.ImageWriter()
        writer.SetFileName(str(packed))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
        return packed.read_bytes()
