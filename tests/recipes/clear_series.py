"""Phantom CT series whose classes a tiny network tells apart: lungs filled on one side, hazy on both, or neither.

The phantoms' own lesions are too fine for 32 pixels and seconds of training; anatomy, scanner and files are theirs.
"""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import numpy as np

from pneumoscope.phantoms.ct import CT_LABELS, CtPhantom, phantom_ct
from pneumoscope.phantoms.ct_files import write_ct

HAZE, CORE = 350, 750  # HU, more than air


def write_clear(out: Path, *, patients: int, seed: int, labels: tuple[str, ...] = CT_LABELS, silent: int = 0) -> Path:
    """A dataset of series of 8 to 10 slices. silent: patients, from the last one, whose slices nobody looked at."""
    rows, cuts = [], []
    for i in range(patients):
        label, name = labels[i % len(labels)], f"clear-{seed}-{i:03d}"
        phantom = _sick(phantom_ct("normal", 1000 * seed + i, size=64, slices=8 + i % 3), label, seed=seed + i)
        files = write_ct(phantom, out / "series" / name, patient=name)
        rows.append([f"series/{name}", label, name])
        if i < patients - silent:
            cuts += [[f"series/{name}/{f}", int(sick.any())] for f, sick in zip(files, phantom.lesions, strict=True)]
    _write(out / "labels.csv", ["file", "label", "patient_id"], rows)
    _write(out / "slices.csv", ["file", "infection"], cuts)
    return out


def _sick(phantom: CtPhantom, label: str, *, seed: int) -> CtPhantom:
    """The phantom with the label's lesion in some slices on end, about half of them."""
    rng = np.random.default_rng(seed)
    z, _, x = phantom.voxels.shape
    first = int(rng.integers(1, z // 2))
    where = phantom.lungs & (np.arange(z) >= first)[:, None, None] & (np.arange(z) < first + z // 2)[:, None, None]
    if label == "pneumonia":
        where &= (np.arange(x) < x // 2) == bool(rng.integers(2))
    voxels = phantom.voxels + where * rng.normal(CORE if label == "pneumonia" else HAZE, 60, where.shape)
    if label == "normal":
        where, voxels = np.zeros_like(where), phantom.voxels
    return dataclasses.replace(phantom, label=label, voxels=voxels.astype(np.int16), lesions=where)


def _write(path: Path, head: list[str], rows: list[list[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(head)
        table.writerows(rows)
