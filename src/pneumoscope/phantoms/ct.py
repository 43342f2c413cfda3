"""A synthetic chest CT series: the patient, cut into slices and scanned.

Anatomy, lesions, scanner and noise draw from separate random streams: the label moves the lesions and nothing else,
so that no shortcut stands in the voxels, the geometry or the headers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pneumoscope.core.image import Geometry
from pneumoscope.errors import UsageError
from pneumoscope.phantoms.ct_lesions import Patch, make_patches
from pneumoscope.phantoms.ct_scan import Scan, magnified, measured, plan_scan
from pneumoscope.phantoms.ct_slice import Patient, cut
from pneumoscope.phantoms.draw import stream
from pneumoscope.phantoms.thorax import BOTTOM, TOP, Thorax, blood_pool, cage, lungs, make_thorax
from pneumoscope.phantoms.tubes import make_tubes

CT_LABELS = ("normal", "pneumonia", "covid")

_ANATOMY, _LESIONS, _SCAN, _NOISE, _SOFT_NOISE = 10, 11, 12, 13, 14  # random streams
_SEEN = 0.08  # share of air replaced from which a voxel counts as lesion
_FINE_ENOUGH = 128  # pixels a side below which cuts are drawn larger and averaged
_LAYER_MM = 2.5  # thicker slices are averages of several cuts
_VESSEL_MM = 1.6  # pixels larger than this do not show the smallest vessels
_GOAL_MM = 15.0  # distance between the ends of pulmonary vessels


@dataclass(frozen=True, kw_only=True, eq=False)
class CtPhantom:
    """A synthetic chest CT series.

    voxels: int16 `[Z, Y, X]` in HU, -1024..3071: Z from feet to head, Y from front to back, X from the patient's
    right to the left; -1024 outside the circle of reconstruction.
    label: one of `CT_LABELS`. severity: 0..1, 0 for "normal".
    lungs: bool `[Z, Y, X]`, the lungs with their vessels, without trachea and mediastinum; no lesion changes them.
    lesions: bool `[Z, Y, X]`, opacities within the lungs; none for "normal".
    geometry: spacing z, y, x and place of voxel [0, 0, 0] in LPS, mm.
    scan: how it was taken: thickness, kernel, circle of reconstruction. female: the shape of the body.
    seed, soft: what it was made from.
    """

    voxels: np.ndarray
    label: str
    severity: float
    lungs: np.ndarray
    lesions: np.ndarray
    geometry: Geometry
    scan: Scan
    female: bool
    seed: int
    soft: bool


def phantom_ct(
    label: str,
    seed: int,
    *,
    size: int = 512,
    slices: int | None = None,
    severity: float | None = None,
    soft: bool = False,
) -> CtPhantom:
    """Make one synthetic chest CT series; the same arguments give the same voxels on every machine, up to rounding.

    label: one of `CT_LABELS`. seed: of the patient and the scan, 0 or more. size: pixels a side, 64..1024.
    slices: 8..600; None for as many as cover the chest at the drawn thickness of 1 to 5 mm. Where they are fewer than
    cover it at 5 mm, there are gaps between them. severity: 0..1 of the lesions; None draws it. soft: the series with
    soft-tissue kernel and thicker slices that a study has beside the one for the lungs; the same patient, lying alike.

    Raises:
        UsageError: an unknown label, or a number out of range.
    """
    _check(label, seed, severity)
    rng = stream(seed, _ANATOMY)
    thorax = make_thorax(rng)
    places = _places(rng, thorax)
    scan = plan_scan(stream(seed, _SCAN), thorax, size=size, slices=slices, soft=soft)
    grave, patches = make_patches(label, stream(seed, _LESIONS), places, severity)
    patient = _patient(rng, thorax, places, patches, min(_VESSEL_MM / scan.spacing_mm[1], 1.0))
    voxels, inside, sick = _scanned(patient, scan, stream(seed, _SOFT_NOISE if soft else _NOISE))
    geometry = Geometry(spacing_mm=scan.spacing_mm, origin_mm=scan.first, direction=(1, 0, 0, 0, 1, 0))
    return CtPhantom(
        voxels=voxels,
        label=label,
        severity=grave,
        lungs=inside,
        lesions=sick,
        geometry=geometry,
        scan=scan,
        female=thorax.female,
        seed=seed,
        soft=soft,
    )


def _check(label: str, seed: int, severity: float | None) -> None:
    if label not in CT_LABELS:
        raise UsageError(f"label: expected one of {', '.join(CT_LABELS)}, found '{label}'. Choose one of these.")
    if seed < 0:
        raise UsageError(f"seed: expected 0 or more, found {seed}. Choose another.")
    if severity is not None and not 0 <= severity <= 1:
        raise UsageError(f"severity: expected 0 to 1, found {severity}. Choose another.")


def _places(rng: np.random.Generator, thorax: Thorax) -> np.ndarray:
    """Points spread evenly over the lungs, in random order: `[N, 4]` x, y, z and depth in mm."""
    axes = (np.arange(-130, 131, _GOAL_MM), np.arange(-90, 91, _GOAL_MM), np.arange(BOTTOM, TOP, _GOAL_MM))
    points = np.stack([g.ravel() for g in np.meshgrid(*axes, indexing="ij")], 1)
    points = (points + rng.uniform(-0.5, 0.5, points.shape) * _GOAL_MM).astype(np.float32)
    x, y, z = points.T
    depth = lungs(thorax, x, y, z, ribs=cage(x, y, z), blood=blood_pool(thorax, x, y, z))
    kept = rng.permutation(np.flatnonzero(depth > 2.5))
    return np.concatenate([points[kept], depth[kept, None]], 1)


def _patient(
    rng: np.random.Generator, thorax: Thorax, places: np.ndarray, patches: list[Patch], detail: float
) -> Patient:
    """detail: share of the places that vessels reach."""
    grain, ragged, fine = (rng.standard_normal((k, n, n), dtype=np.float32) for k, n in ((48, 52), (24, 26), (72, 78)))
    reached = places[: round(detail * len(places)), :3]
    tubes = make_tubes(rng, {side: reached[side * reached[:, 0] > 0] for side in (-1, 1)}, detail)
    return Patient(thorax=thorax, tubes=tubes, patches=patches, grain=grain, ragged=ragged, fine=fine)


def _scanned(patient: Patient, scan: Scan, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Voxels int16, lungs and lesions bool, `[Z, Y, X]` each."""
    shape = (scan.slices, scan.size, scan.size)
    voxels, inside, sick = np.empty(shape, np.int16), np.empty(shape, bool), np.empty(shape, bool)
    for k, z in enumerate(scan.heights.tolist()):
        hu, lung, filled = _thick(patient, scan, z)
        voxels[k] = measured(rng, hu, scan)
        inside[k] = (lung > 0.5) & scan.scanned
        sick[k] = inside[k] & (filled > _SEEN)
    return voxels, inside, sick


def _thick(patient: Patient, scan: Scan, z: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A slice of the scan's thickness: the mean of thin cuts, each drawn finer where pixels are large."""
    import cv2

    factor, px = -(-_FINE_ENOUGH // scan.size), scan.spacing_mm[1]
    grid = magnified(scan.grid, factor)
    tall = patient.thorax.scale[2]
    count = max(round(scan.thickness_mm / max(_LAYER_MM, px)), 1)
    offsets = ((np.arange(count) + 0.5) / count - 0.5) * scan.thickness_mm / tall
    cuts = (cut(patient, grid, factor * scan.size, z + dz, scan.table, px) for dz in offsets.tolist())
    total: list[np.ndarray] = []
    for parts in cuts:
        total = [np.add(t, p, out=t) for t, p in zip(total, parts, strict=True)] if total else list(parts)
    means = [np.divide(t, count, out=t) for t in total] if count > 1 else total
    if factor > 1:
        means = [cv2.resize(m, (scan.size, scan.size), interpolation=cv2.INTER_AREA) for m in means]
    return means[0], means[1], means[2]
