"""Phantoms as files: a dataset folder of PNGs with labels.csv, and DICOM (PS3.3 A.26, Digital X-Ray for presentation).

Every file says that it is a phantom: the `source` column, the DICOM patient, manufacturer and derivation.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pneumoscope.core.files import new_folder, write_bytes
from pneumoscope.errors import UsageError
from pneumoscope.phantoms.draw import stream
from pneumoscope.phantoms.xray import XRAY_LABELS, XrayPhantom, make_xray

if TYPE_CHECKING:
    from pydicom import Dataset

SOURCE = "pneumoscope phantom"
COLUMNS = ("file", "label", "patient_id", "group_id", "view", "source")

_DX_FOR_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.1"


def write_xrays(out: Path, *, patients: int, seed: int, size: int = 512) -> Path:
    """Write a dataset of phantoms: `images/*.png` (8-bit grey) and `labels.csv`. Returns `out`.

    Labels take turns, so that no class has over one patient more than another. Every third patient of a class has
    two images: the same chest and lesions, exposed anew. The folder appears whole or not at all.

    Raises:
        UsageError: `out` is a file or a folder that is not empty, or a number is out of range.
    """
    if patients < 1 or seed < 0:
        raise UsageError(f"patients, seed: expected at least 1 and 0, found {patients} and {seed}. Choose others.")
    with new_folder(Path(out)) as folder:
        # turns are shuffled, so that a file's number does not tell its label
        turns = stream(seed, 0).permutation(patients).tolist()
        rows = [row for k, turn in enumerate(turns) for row in _write_patient(folder, k, turn, seed, size)]
        with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            table.writeheader()
            table.writerows(rows)
    return Path(out)


def _write_patient(folder: Path, k: int, turn: int, seed: int, size: int) -> list[dict[str, str]]:
    label = XRAY_LABELS[turn % len(XRAY_LABELS)]
    who, *takes = (int(s) for s in np.random.SeedSequence([seed, k]).generate_state(3, np.uint64))
    name = f"phantom-{seed}-{k + 1:04d}"
    rows = []
    for i, take in enumerate(takes[: 2 if turn // len(XRAY_LABELS) % 3 == 0 else 1]):
        file = f"images/{name}-{i + 1}.png"
        write_png(make_xray(label, take, size=size, patient=who), folder / file)
        rows.append(dict(zip(COLUMNS, (file, label, name, name, "PA", SOURCE), strict=True)))
    return rows


def write_png(phantom: XrayPhantom, path: Path) -> None:
    """Write a phantom as an 8-bit grey PNG."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.round(phantom.pixels * 255).astype(np.uint8)).save(buffer, "png")
    write_bytes(path, buffer.getvalue())


def write_dicom(phantom: XrayPhantom, path: Path, *, seed: int = 0, photometric: str = "MONOCHROME2") -> None:
    """Write a phantom as a Digital X-Ray image for presentation: 12 bits, Explicit VR Little Endian.

    seed: names the synthetic patient, and with the picture's label, size and spacing makes the UIDs.
    photometric: "MONOCHROME2", or "MONOCHROME1" with the stored values inverted.

    Raises:
        UsageError: another photometric interpretation.
    """
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

    if photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise UsageError(
            f"photometric: expected MONOCHROME1 or MONOCHROME2, found '{photometric}'. Choose one of these."
        )
    about = [SOURCE, str(seed), phantom.label, photometric, str(phantom.pixels.shape), repr(phantom.spacing_mm)]
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(_DX_FOR_PRESENTATION)
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[*about, "image"])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = io.BytesIO()
    ds = FileDataset(buffer, {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    ds.StudyInstanceUID = generate_uid(entropy_srcs=[*about, "study"])
    ds.SeriesInstanceUID = generate_uid(entropy_srcs=[*about, "series"])
    _describe_patient(ds, seed)
    _describe_acquisition(ds, phantom)
    _put_pixels(ds, phantom, photometric)
    ds.save_as(buffer, enforce_file_format=True)
    write_bytes(path, buffer.getvalue())


def _describe_patient(ds: Dataset, seed: int) -> None:
    """Patient, study, series and equipment: all synthetic, and no date, since nothing happened."""
    ds.PatientName, ds.PatientID = "PHANTOM^SYNTHETIC", f"PHANTOM-{seed}"
    ds.PatientBirthDate = ds.PatientSex = ""
    ds.PatientComments = "Synthetic image, not a patient"
    ds.StudyDate = ds.StudyTime = ds.AccessionNumber = ds.ReferringPhysicianName = ""
    ds.StudyID, ds.StudyDescription = "1", "Synthetic chest radiograph"
    ds.Modality, ds.SeriesNumber, ds.InstanceNumber = "DX", 1, 1
    ds.PresentationIntentType = "FOR PRESENTATION"
    ds.Manufacturer, ds.ManufacturerModelName = SOURCE, SOURCE


def _describe_acquisition(ds: Dataset, phantom: XrayPhantom) -> None:
    """DX image, anatomy, positioning and detector (PS3.3 C.8.11.2 to C.8.11.5)."""
    spacing = f"{phantom.spacing_mm:.5f}"
    ds.ImageType = ["DERIVED", "PRIMARY"]
    ds.DerivationDescription = f"Computed by the {SOURCE}; not an image of a patient"
    ds.BurnedInAnnotation, ds.LossyImageCompression = "NO", "00"
    ds.BodyPartExamined, ds.ImageLaterality = "CHEST", "U"
    ds.AnatomicRegionSequence = [_code("816094009", "Chest")]
    ds.ViewPosition, ds.PatientOrientation = "PA", ["L", "F"]
    ds.ViewCodeSequence = [_code("272479007", "postero-anterior")]
    ds.ViewCodeSequence[0].ViewModifierCodeSequence = []
    ds.AcquisitionContextSequence = []
    ds.DetectorType = ds.PositionerType = ""
    ds.ImagerPixelSpacing = [spacing, spacing]


def _code(value: str, meaning: str) -> Dataset:
    from pydicom import Dataset

    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "SCT", meaning
    return code


def _put_pixels(ds: Dataset, phantom: XrayPhantom, photometric: str) -> None:
    """Pixels of 12 bits in 16, logarithmic, shown over their whole range."""
    stored = np.round(phantom.pixels * 4095).astype("<u2")
    inverted = photometric == "MONOCHROME1"
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, photometric
    ds.Rows, ds.Columns = stored.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PixelIntensityRelationship = "LOG"
    ds.PixelIntensityRelationshipSign = 1 if inverted else -1  # -1: more X-rays, lower value
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = 0, 1, "US"
    ds.PresentationLUTShape = "INVERSE" if inverted else "IDENTITY"
    ds.WindowCenter, ds.WindowWidth = 2048, 4096
    ds.PixelData = (4095 - stored if inverted else stored).tobytes()
