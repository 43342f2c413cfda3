"""Phantom CT series as DICOM (PS3.3 A.3, CT Image Storage), and a dataset of them with labels.csv and slices.csv.

Files are named by digest, so that no order of names is the order of slices. Every file says that it is a phantom:
patient, manufacturer and comment. ImageType says ORIGINAL, since readers leave derived series out.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pneumoscope.core.files import new_folder, write_bytes
from pneumoscope.errors import UsageError
from pneumoscope.phantoms.ct import CT_LABELS, CtPhantom, phantom_ct
from pneumoscope.phantoms.ct_scan import AIR, MAX_SLICES, MIN_SLICES
from pneumoscope.phantoms.draw import stream

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

SOURCE = "pneumoscope phantom"
COLUMNS = ("file", "label", "patient_id", "group_id", "modality", "view", "source")
PADDING = -2000  # stored value outside the circle of reconstruction, as one large maker of scanners writes it

_CT = "1.2.840.10008.5.1.4.1.1.2"
_WINDOWS = {False: (-600, 1500), True: (40, 400)}  # centre and width for lung and for soft tissue


def write_cts(
    out: Path, *, patients: int, seed: int, size: int = 512, slices: int | None = None, extras: bool = False
) -> Path:
    """Write a dataset of phantom studies: a folder of DICOM files each, `labels.csv` and `slices.csv`. Returns `out`.

    Labels take turns, so that no class has over one patient more than another. labels.csv has a row a study, its
    `file` the folder; slices.csv `file,infection` for each slice, 1 where a lesion is seen in it. slices: about how
    many a series has (15 % more or less); None for 1 to 5 mm thick ones. extras: each study also has a localizer and
    a soft-tissue series, in the same folder, without slice labels. The folder appears whole or not at all.

    Raises:
        UsageError: `out` is a file or a folder that is not empty, or a number is out of range.
    """
    if patients < 1 or seed < 0:
        raise UsageError(f"patients, seed: expected at least 1 and 0, found {patients} and {seed}. Choose others.")
    studies, cuts = [], []
    with new_folder(Path(out)) as folder:
        # turns are shuffled, so that a folder's number does not tell its label
        for k, turn in enumerate(stream(seed, 0).permutation(patients).tolist()):
            label, name = CT_LABELS[turn % len(CT_LABELS)], f"phantom-{seed}-{k + 1:04d}"
            file = f"series/{name}"
            for phantom in _series(label, seed, k, size, slices, extras):
                written = write_ct(phantom, folder / file, patient=name)
                if phantom.soft:  # a study is read by its lung series, and slice labels are of what is read
                    continue
                seen = [str(int(mask.any())) for mask in phantom.lesions]
                cuts += [{"file": f"{file}/{n}", "infection": s} for n, s in zip(written, seen, strict=True)]
                if extras:
                    write_localizer(phantom, folder / file, patient=name)
            studies.append(dict(zip(COLUMNS, (file, label, name, name, "ct", "axial", SOURCE), strict=True)))
        _write_table(folder / "labels.csv", COLUMNS, studies)
        # by name: the order of rows is not to be the order of slices
        _write_table(folder / "slices.csv", ("file", "infection"), sorted(cuts, key=lambda row: row["file"]))
    return Path(out)


def _series(label: str, seed: int, k: int, size: int, slices: int | None, extras: bool) -> list[CtPhantom]:
    """The k-th patient's series."""
    who, many = (int(s) for s in np.random.SeedSequence([seed, k]).generate_state(2, np.uint64))
    if slices is not None:
        varied = round(slices * np.random.default_rng(many).uniform(0.85, 1.15))
        slices = min(max(varied, MIN_SLICES), MAX_SLICES) if MIN_SLICES <= slices <= MAX_SLICES else slices
    phantoms = [phantom_ct(label, who, size=size, slices=slices)]
    if extras:
        fewer = None if slices is None else max(slices // 2, MIN_SLICES)
        phantoms.append(phantom_ct(label, who, size=size, slices=fewer, soft=True))
    return phantoms


def _write_table(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, columns, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def write_ct(phantom: CtPhantom, folder: Path, *, patient: str | None = None) -> list[str]:
    """Write a series, a file a slice; returns the files' names from the lowest slice to the highest.

    patient: PatientID; None for one made of the seed. Stored values are HU + 1024, and -2000 outside the circle of
    reconstruction.

    Raises:
        PneumoscopeError: a place that cannot be written.
    """
    scan, count = phantom.scan, len(phantom.voxels)
    ds = _dataset(phantom, patient, "series", ["ORIGINAL", "PRIMARY", "AXIAL"], 3 if not phantom.soft else 2)
    ds.SeriesDescription = f"CHEST {scan.thickness_mm:g} mm {scan.kernel}"
    ds.ConvolutionKernel = scan.kernel
    ds.SliceThickness, ds.SpacingBetweenSlices = f"{scan.thickness_mm:.4f}", f"{scan.spacing_mm[0]:.4f}"
    ds.PixelSpacing = [f"{s:.6f}" for s in scan.spacing_mm[1:]]
    ds.ReconstructionDiameter = f"{scan.spacing_mm[2] * scan.size:.2f}"
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.add_new(0x00280120, "SS", PADDING)
    ds.WindowCenter, ds.WindowWidth = _WINDOWS[phantom.soft]
    x, y, z = scan.first
    names = []
    for k, slice_ in enumerate(phantom.voxels):
        height = f"{z + k * scan.spacing_mm[0]:.4f}"
        ds.InstanceNumber = count - k if scan.head_first else k + 1
        ds.ImagePositionPatient, ds.SliceLocation = [f"{x:.4f}", f"{y:.4f}", height], height
        stored = slice_ - np.int16(AIR)
        stored[~scan.scanned] = PADDING
        names.append(_save(ds, stored, folder))
    return names


def write_localizer(phantom: CtPhantom, folder: Path, *, patient: str | None = None) -> str:
    """Write the frontal localizer of a series, as a CT image that is none to judge; returns the file's name."""
    import cv2

    scan = phantom.scan
    dz, _, dx = scan.spacing_mm
    height = max(round(len(phantom.voxels) * dz / dx), 1)
    through = (phantom.voxels.mean(1, dtype=np.float32)[::-1] + 1000) * 2 - 1000
    stored = cv2.resize(np.clip(through, AIR, 2000), (scan.size, height), interpolation=cv2.INTER_LINEAR)
    ds = _dataset(phantom, patient, "localizer", ["ORIGINAL", "PRIMARY", "LOCALIZER"], 1)
    x, y, z = scan.first
    top = z + (len(phantom.voxels) - 0.5) * dz - 0.5 * dx
    ds.SeriesDescription, ds.ConvolutionKernel, ds.InstanceNumber = "LOCALIZER", "T20f", 1
    ds.SliceThickness, ds.PixelSpacing = f"{dx:.4f}", [f"{dx:.6f}"] * 2
    ds.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
    ds.ImagePositionPatient = [f"{x:.4f}", f"{y + 0.5 * dx * scan.size:.4f}", f"{top:.4f}"]
    ds.WindowCenter, ds.WindowWidth = 0, 2000
    return _save(ds, (np.rint(stored) - AIR).astype(np.int16), folder)


def _dataset(phantom: CtPhantom, patient: str | None, what: str, kind: list[str], number: int) -> FileDataset:
    """What all images of a series say alike (PS3.3 A.3.3): all synthetic, and no date, since nothing happened."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

    study = [SOURCE, str(phantom.seed), phantom.label, str(phantom.severity), str(phantom.scan.size)]
    series = [*study, what, str(phantom.soft), str(phantom.voxels.shape)]
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = UID(_CT), ExplicitVRLittleEndian
    ds = FileDataset(io.BytesIO(), {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.Modality, ds.ImageType = meta.MediaStorageSOPClassUID, "CT", kind
    ds.StudyInstanceUID = generate_uid(entropy_srcs=[*study, "study"])
    ds.SeriesInstanceUID = generate_uid(entropy_srcs=series)
    ds.FrameOfReferenceUID = generate_uid(entropy_srcs=[*study, "frame"])
    ds.PositionReferenceIndicator = ds.PatientBirthDate = ds.AccessionNumber = ds.ReferringPhysicianName = ""
    ds.StudyDate = ds.StudyTime = ""
    ds.PatientName, ds.PatientID = "PHANTOM^SYNTHETIC", patient or f"PHANTOM-{phantom.seed}"
    ds.PatientSex = "F" if phantom.female else "M"
    ds.PatientComments = ds.ImageComments = "Synthetic image, not a patient"
    ds.StudyID, ds.StudyDescription, ds.SeriesNumber, ds.AcquisitionNumber = "1", "Synthetic chest CT", number, 1
    ds.Manufacturer, ds.ManufacturerModelName = SOURCE, SOURCE
    ds.BodyPartExamined, ds.PatientPosition, ds.KVP, ds.GantryDetectorTilt = "CHEST", "HFS", "120", "0"
    ds.BurnedInAnnotation, ds.LossyImageCompression = "NO", "00"
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = AIR, 1, "HU"
    return ds


def _save(ds: FileDataset, stored: np.ndarray, folder: Path) -> str:
    """Write one image of the series, its UID made of the series' UID and the instance number."""
    from pydicom.uid import generate_uid

    ds.SOPInstanceUID = generate_uid(entropy_srcs=[str(ds.SeriesInstanceUID), str(ds.InstanceNumber)])
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.Rows, ds.Columns = stored.shape
    ds.PixelData = stored.astype("<i2").tobytes()
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    name = hashlib.sha256(str(ds.SOPInstanceUID).encode()).hexdigest()[:12] + ".dcm"
    write_bytes(folder / name, buffer.getvalue())
    return name
