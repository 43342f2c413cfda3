"""Tiny CT slices as files, for the trees of layouts: 16 a patient, named from the head down."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

CT = UID("1.2.840.10008.5.1.4.1.1.2")
SLICES = 16


def patient(folder: Path, keep: Iterable[int] = range(SLICES), **more: Any) -> None:
    """A series in `folder`, InstanceNumber 1 the highest. keep: slices counted from 0, the feet. None: left out."""
    folder.mkdir(parents=True)
    for i in keep:
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = CT, ExplicitVRLittleEndian
        meta.MediaStorageSOPInstanceUID = UID(f"1.9.{i + 1}")
        ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        values: dict[str, Any] = {
            **{"SOPClassUID": CT, "SOPInstanceUID": f"1.9.{i + 1}", "StudyInstanceUID": "1.9", "Modality": "CT"},
            **{"SeriesInstanceUID": f"1.9.9.{len(folder.name)}", "InstanceNumber": SLICES - i},
            **{"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"], "PixelSpacing": [0.75, 0.75], "SliceThickness": 2},
            **{"ImagePositionPatient": [0, 0, -100 + 2 * i], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]},
            **{"SliceLocation": -100 + 2 * i, "RescaleSlope": 1, "RescaleIntercept": -1024},
            **{"Rows": 8, "Columns": 8, "SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2"},
            **{"BitsAllocated": 16, "BitsStored": 12, "HighBit": 11, "PixelRepresentation": 0},
            **{"PixelData": bytes([i, 1]) * 64, "PatientID": folder.name, **more},
        }
        for key, value in values.items():
            if value is not None:
                setattr(ds, key, value)
        ds.save_as(folder / f"IM{SLICES - i:04d}.dcm", enforce_file_format=True)
