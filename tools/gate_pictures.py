"""What the gate's network learns from: chest images whose licence permits it, and pictures of other things.

Chest images come from ../shared/data (see its SOURCES.md), and only those whose licence lets a work that was made from
them be passed on: NIH, Kermany (CC BY 4.0), ieee8023's with CC BY, BY-SA or BY-NC-SA, SARS-CoV-2-CT (CC BY-NC-SA 4.0),
seg20, Lung-PET-CT-Dx and NY-SBU (CC BY); phantoms are ours. Other things are drawn (`gate_drawn`), or are photographs
and brains in a folder of the caller's (`--others`): no chest image is made of them.
"""

from __future__ import annotations

import csv
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import nibabel
import numpy as np
from gate_drawn import DRAWN

from pneumoscope import phantoms
from pneumoscope.core.image import Image2D
from pneumoscope.io import load
from pneumoscope.runtime.looks import KINDS, grey

SIDE = 160  # pixels that pictures are kept in, from which the network's smaller input is cropped
FRONTAL, LATERAL, CT, OTHER = range(len(KINDS))
PERMITTED = re.compile(r"image licence=CC BY(-SA|-NC-SA)?( \d\.\d)?(;|$)")
CROPS = 50  # of a photograph
DRAWINGS = 200  # of each kind that is drawn
PHANTOMS = 150  # of each modality


class Picture(NamedTuple):
    """One picture. pixels: uint8 `[SIDE, SIDE]`. whose: what must stay on one side of the split."""

    pixels: np.ndarray
    kind: int
    whose: str
    source: str


def chests(data: Path) -> Iterator[Picture]:
    """Chest images, real ones and phantoms."""
    for name, permitted in _SETS.items():
        folder = data / name
        for row in _rows(folder):
            if permitted(row):
                kind = FRONTAL if name.startswith("xray") else CT
                yield Picture(_read(folder / row["file"]), kind, row["group_id"], name)
    yield from _scans(data / "ct-series")
    yield from _phantoms()


def others(folder: Path, seed: int) -> Iterator[Picture]:
    """Pictures of no chest: drawn ones, crops of the photographs under `folder`, and brains in its NIfTI files."""
    for name, draw in DRAWN.items():
        for number in range(DRAWINGS):
            rng = np.random.default_rng([seed, zlib.crc32(name.encode()), number])
            yield Picture(_byte(draw(rng)), OTHER, f"drawn:{name}:{number}", "drawn")
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp")):
        photo = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        if photo is not None and min(photo.shape) >= SIDE:
            rng = np.random.default_rng([seed, zlib.crc32(path.name.encode())])
            for _ in range(CROPS):
                yield Picture(_crop(photo, rng), OTHER, path.name, "photographs")
    for path in sorted(folder.rglob("*.nii.gz")):
        for number, plane in enumerate(
            _planes(np.asarray(nibabel.Nifti1Image.from_filename(path).dataobj, np.float32))
        ):
            yield Picture(_byte(plane), OTHER, f"{path.name}:{number // 40}", "brains")


def _nih(row: dict[str, str]) -> bool:
    return row["patient_id"].startswith("nih:")


_SETS: dict[str, Callable[[dict[str, str]], bool]] = {
    "xray/nih-starter": _nih,
    "xray/darkcovidnet": _nih,
    "xray/kermany-pediatric": lambda row: True,
    "xray/ieee8023": lambda row: bool(PERMITTED.search(row["notes"])),
    "ct-slices/sars-cov-2-ct": lambda row: True,
    # Radiopaedia's slices are upside down (SOURCES.md, trap 9)
    "ct-slices/covid19-ct-seg20": lambda row: not Path(row["file"]).name.startswith("r"),
}


def _rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _read(path: Path) -> np.ndarray:
    return _byte(grey(load.load_study(path).images[0]))


def _byte(pixels: np.ndarray) -> np.ndarray:
    small = cv2.resize(pixels.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return np.clip(np.rint(small * 255), 0, 255).astype(np.uint8)


def _scans(folder: Path) -> Iterator[Picture]:
    """Slices in HU as they are, and, as no slices across the patient, what ny-sbu has of other planes."""
    lung = load.load_study(folder / "lung-pet-ct-dx" / "Lung_Dx-A0002_B40f")
    if lung.volume is not None:
        for image in lung.volume.images():
            yield from (Picture(_byte(_windowed(image, k)), CT, "lungdx", "lung-pet-ct-dx") for k in range(4))
        yield from _projected(lung.volume.voxels, lung.volume.geometry.spacing_mm, "lungdx", "lung-pet-ct-dx")
    for row in _rows(folder / "ny-sbu-single"):
        (image,) = load.load_study(folder / "ny-sbu-single" / row["file"]).images
        kind = CT if row["view"] == "axial" else OTHER
        whose = f"nysbu:{row['patient_id']}"
        yield from (Picture(_byte(_windowed(image, k)), kind, whose, "ny-sbu-single") for k in range(4))


def _windowed(image: Image2D, number: int) -> np.ndarray:
    """A slice as the gate sees it, and as others export it: lung, wide, soft tissue."""
    if number == 0:
        return grey(image)
    center, width = ((-600, 1600), (-200, 2000), (40, 450))[number - 1]
    return np.asarray(np.clip((image.pixels - center) / width + 0.5, 0, 1))


def _projected(voxels: np.ndarray, spacing_mm: tuple[float, ...], whose: str, source: str) -> Iterator[Picture]:
    """A volume as two X-rays, from the side and from the front: lines through what weakens them."""
    weakens = np.clip((voxels.astype(np.float32) + 1000) / 1000, 0, 3)
    height = round(voxels.shape[0] * spacing_mm[0] / spacing_mm[1])
    for axis, kind in ((2, LATERAL), (1, FRONTAL)):
        lines = weakens.sum(axis=axis)[::-1] * spacing_mm[1] / 10
        film = cv2.resize(lines, (lines.shape[1], height), interpolation=cv2.INTER_CUBIC)
        used = film[:, film.mean(axis=0) > 1]
        for gamma in (0.5, 0.7, 1.0):
            light = np.clip(used / np.percentile(used, 99.5), 0, 1) ** gamma
            turned = light[:, ::-1] if gamma == 0.7 else light
            yield Picture(_byte(turned), kind, whose, source)


def _phantoms() -> Iterator[Picture]:
    for k in range(PHANTOMS):
        label, size = phantoms.XRAY_LABELS[k % len(phantoms.XRAY_LABELS)], (64, 96, 128, 256, 512)[k % 5]
        xray = phantoms.make_xray(label, seed=10_000 + k, size=size)
        yield Picture(_byte(xray.pixels), FRONTAL, f"phantom:{k}", "phantoms")
    for k in range(PHANTOMS // 6):
        label = phantoms.CT_LABELS[k % len(phantoms.CT_LABELS)]
        scan = phantoms.phantom_ct(label, seed=10_000 + k, size=(64, 96, 160)[k % 3], slices=30)
        yield from _projected(scan.voxels, scan.geometry.spacing_mm, f"phantom-ct:{k}", "phantoms")
        for z in range(2, 28, 3):
            image = Image2D(pixels=scan.voxels[z].astype(np.float32), unit="HU")
            yield Picture(_byte(_windowed(image, z % 4)), CT, f"phantom-ct:{k}", "phantoms")


def _crop(photo: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    height, width = photo.shape
    side = int(max(SIDE, min(photo.shape) * rng.uniform(0.15, 1.0)))
    top, left = int(rng.integers(0, height - side + 1)), int(rng.integers(0, width - side + 1))
    return _byte(photo[top : top + side, left : left + side] / np.float32(255))


def _planes(block: np.ndarray) -> Iterator[np.ndarray]:
    """A brain in slices of the three planes, and as X-rays from three sides, as bright as they come."""
    block = np.nan_to_num(block.squeeze())
    for axis in range(3):
        for share in np.linspace(0.15, 0.85, 12):
            plane = np.take(block, int(share * block.shape[axis]), axis=axis)
            yield np.rot90(plane) / max(float(np.percentile(plane, 99.5)), 1e-6)
        through = np.rot90(block.sum(axis=axis))
        yield through / max(float(through.max()), 1e-6)
