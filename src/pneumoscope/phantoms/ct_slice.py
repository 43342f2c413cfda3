"""One cut through a phantom patient: every tissue in Hounsfield units, with soft edges where a pixel holds two.

HU are round textbook values: fat -100, muscle 55, liver 58, marrow 200, cortex 700, full lung about -850. Tissues are
laid over each other from the skin inwards, so that a lesion, which fills the air of the lung alone, moves no other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pneumoscope.phantoms import thorax as body
from pneumoscope.phantoms.ct_lesions import Patch, filled
from pneumoscope.phantoms.thorax import Thorax
from pneumoscope.phantoms.tubes import Beads, Grid, Tubes, draw

FAT, MUSCLE, LIVER, DISC, CORD, CORTEX, MARROW, GAS = -102.0, 55.0, 58.0, 85.0, 30.0, 720.0, 230.0, -990.0
CONSOLIDATED = 38.0
_CELL_MM = 3.0  # of the grid on which depths are worked out


@dataclass(frozen=True, kw_only=True, eq=False)
class Patient:
    """What lies on the table: anatomy, lesions, and the grain of lung and lesion as noise `[K, N, N]` over the scan."""

    thorax: Thorax
    tubes: Tubes
    patches: list[Patch]
    grain: np.ndarray
    ragged: np.ndarray
    fine: np.ndarray


class Cut(NamedTuple):
    """float32 `[n, n]` each: HU; share of each pixel that is lung; share of it whose air a lesion replaced."""

    hu: np.ndarray
    lung: np.ndarray
    filled: np.ndarray


class _Area(NamedTuple):
    """The cells that a layer touches: `rows` and `columns` of cells, each `step` pixels wide."""

    rows: slice
    columns: slice
    step: int

    def fine(self, cells: np.ndarray) -> np.ndarray:
        """What is known by cells, by pixels."""
        import cv2

        part = cells[self.rows, self.columns]
        size = (part.shape[1] * self.step, part.shape[0] * self.step)
        return cv2.resize(part, size, interpolation=cv2.INTER_LINEAR) if self.step > 1 else part

    def of(self, pixels: np.ndarray) -> np.ndarray:
        """The same area of a picture, as a view."""
        (top, bottom), (left, right) = ((s.start * self.step, s.stop * self.step) for s in (self.rows, self.columns))
        return pixels[top:bottom, left:right]


class _Layer(NamedTuple):
    """A tissue on the grid of cells, float32 `[m, m]`: depth in it in mm, and its HU, there or everywhere."""

    depth: np.ndarray
    hu: np.ndarray | float

    def fine(self, area: _Area) -> np.ndarray | np.float32:
        """HU by pixels of an area, or the one number."""
        return area.fine(self.hu) if isinstance(self.hu, np.ndarray) else np.float32(self.hu)


def cut(patient: Patient, grid: Grid, n: int, z: float, table: float, seen_mm: float) -> Cut:
    """The patient at height z of the standard thorax in n x n pixels.

    table: y of its top at the patient's middle. seen_mm: size of what need not be told apart.
    """
    step = max(round(max(_CELL_MM, seen_mm) * grid.per_mm), 1)
    cells = -(-n // step)
    x, y = grid.places(cells, step, z)
    hu = np.full((cells * step, cells * step), -1000, np.float32)
    lung, sick = np.zeros((2, *hu.shape), np.float32)
    *layers, lungs = _layers(patient, x, y, z, table)
    for layer in layers:
        _lay(hu, layer, step, grid.per_mm)
    area = _area(lungs.depth, step)
    if area is not None:
        share = _share(area, lungs.depth, grid.per_mm)
        hidden = area.fine(_filled(patient, x, y, z)) * share
        area.of(lung)[:], area.of(sick)[:] = share, hidden
        part, full = area.of(hu), lungs.fine(area)
        part += share * (full - part) + hidden * (np.float32(CONSOLIDATED) - full)
    canvas = np.zeros(hu.shape, np.uint8)
    for beads, value in _tubes(patient):
        draw(canvas, beads, z, grid)
        hit = np.flatnonzero(canvas > 0)
        under = hu.ravel()[hit]
        hu.ravel()[hit] = under + canvas.ravel()[hit] * (np.float32(value) - under) / np.float32(255)
        canvas.ravel()[hit] = 0
    return Cut(hu[:n, :n], lung[:n, :n], sick[:n, :n])


def _tubes(patient: Patient) -> tuple[tuple[Beads, float], ...]:
    tubes, blood = patient.tubes, patient.thorax.blood
    return (
        (tubes.vessels, blood),
        (tubes.walls, 10.0),
        (tubes.lumen, GAS),
        (tubes.bones, CORTEX),
        (tubes.marrow, MARROW),
    )


def _area(depth: np.ndarray, step: int) -> _Area | None:
    """The cells in and beside a tissue; None where there is none of it."""
    near = depth > -2 * _CELL_MM
    rows, columns = np.flatnonzero(near.any(1)), np.flatnonzero(near.any(0))
    if not rows.size:
        return None
    return _Area(slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1), step)


def _share(area: _Area, depth: np.ndarray, per_mm: float) -> np.ndarray:
    """Share of each pixel that a tissue fills."""
    inside: np.ndarray = area.fine(depth) * np.float32(per_mm) + np.float32(0.5)
    return np.clip(inside, 0, 1, out=inside)


def _lay(hu: np.ndarray, layer: _Layer, step: int, per_mm: float) -> None:
    """Lay a tissue over what is there."""
    area = _area(layer.depth, step)
    if area is not None:
        part = area.of(hu)
        part += _share(area, layer.depth, per_mm) * (layer.fine(area) - part)


def _layers(patient: Patient, x: np.ndarray, y: np.ndarray, z: float, table: float) -> list[_Layer]:
    """The tissues from outside inwards, the lungs last."""
    t = patient.thorax
    ribs, skin, blood = body.cage(x, y, z), body.trunk(t, x, y, z), body.blood_pool(t, x, y, z)
    lung = body.lungs(t, x, y, z, ribs=ribs, blood=blood)
    solid, gas = body.abdomen(t, x, y, z, ribs)
    flesh = body.muscle(t, x, y, z, skin, ribs)
    # by cells, what is soft has one value each: the border between two kinds of it need not be sharp
    soft, shade = np.maximum(flesh, solid), np.where(solid > flesh, np.float32(LIVER), np.float32(MUSCLE))
    shade = np.where(blood > soft, np.float32(t.blood), shade)
    under = y - np.float32(table) + x * x / 1500
    bed = np.minimum(np.minimum(under, 22 - under), 205 - np.abs(x))
    return [
        _Layer(bed, -350.0),
        _Layer(bed - 2.2, -890.0),
        _Layer(skin, FAT),
        _Layer(np.maximum(soft, blood), shade),
        *_spine(x, y, z),
        _Layer(gas, GAS),
        _Layer(lung, _parenchyma(patient, x, y, z)),
    ]


def _spine(x: np.ndarray, y: np.ndarray, z: float) -> list[_Layer]:
    """The vertebral body, or the disc below it, and the cord in its canal."""
    back = y - np.float32(body.spine_y(z))
    column, canal = 17 - np.hypot(x, 1.2 * back), 8 - np.hypot(x, back - 22)
    if abs((z + body.VERTEBRA_MM * 10) % body.VERTEBRA_MM - body.VERTEBRA_MM / 2) < 2.2:
        return [_Layer(column - 0.5, DISC), _Layer(canal, CORD)]
    return [_Layer(column, 0.6 * CORTEX), _Layer(column - 1.6, MARROW - 30), _Layer(canal, CORD)]


def _parenchyma(patient: Patient, x: np.ndarray, y: np.ndarray, z: float) -> np.ndarray:
    """HU of the lung between its vessels: denser behind, where it lies, uneven, with the fissures as lines."""
    fissure = np.clip(1 - body.fissures(x, y, z) / 2.2, 0, 1)
    hu: np.ndarray = patient.thorax.lung + 0.38 * y + 14 * _noise(patient.grain, z, x.shape[0]) + 110 * fissure
    return hu


def _filled(patient: Patient, x: np.ndarray, y: np.ndarray, z: float) -> np.ndarray:
    if not patient.patches:
        return np.zeros_like(x)
    n = x.shape[0]
    return filled(patient.patches, x, y, z, _noise(patient.ragged, z, n), _noise(patient.fine, z, n))


def _noise(block: np.ndarray, z: float, n: int) -> np.ndarray:
    """The block of noise `[K, N, N]` at height z, float32 `[n, n]`."""
    import cv2

    low, high = body.BOTTOM - 40, body.TOP + 40
    where = min(max((z - low) / (high - low), 0), 1) * (len(block) - 1.001)
    k, part = int(where), np.float32(where % 1)
    plane: np.ndarray = block[k] * (1 - part) + block[k + 1] * part
    return cv2.resize(plane, (n, n), interpolation=cv2.INTER_CUBIC)
