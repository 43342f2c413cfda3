"""Tubes of the chest as strings of beads: pulmonary vessels, airways and bones, and their cross-sections.

A bead is a ball; a string of them close together is a tube, and a slice cuts each ball into a disc. Trees grow as the
minimum spanning tree with a cost on length from the root that Cuntz et al. (2010, 10.1371/journal.pcbi.1000877)
describe; radii follow Murray's law.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pneumoscope.phantoms.thorax import VERTEBRA_MM, cage_point, spine_y

_DETOUR = 0.45  # cost of a mm from the root, against a mm of new branch
_MURRAY = 1 / 2.8
_FINEST = 0.45  # mm, radius of a last branch
_ROOTS = {-1: (-34.0, 6.0, 10.0), 1: (34.0, 6.0, 20.0)}  # where the vessels enter the lungs
_CARINA = (0.0, 14.0, 40.0)


class Beads(NamedTuple):
    """Balls of one tissue: `[N, 3]` centres x, y, z and `[N]` radii, in mm of the standard thorax; by z in `Tubes`."""

    centres: np.ndarray
    radii: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class Tubes:
    """All tubes of a patient: vessels, walls and lumen of the airways, bones and the marrow in them."""

    vessels: Beads
    walls: Beads
    lumen: Beads
    bones: Beads
    marrow: Beads


def make_tubes(rng: np.random.Generator, goals: dict[int, np.ndarray], detail: float = 1.0) -> Tubes:
    """Grow the tubes; goals: places `[N, 3]` in the lung of each side (-1 right, 1 left) that vessels reach.

    detail: share of all vessels that these are: with fewer, the last are larger, and the first are as ever.
    """
    finest = _FINEST * detail**-_MURRAY
    vessels, lumen, walls = [], [], []
    bones, marrow = _skeleton(rng.uniform(0.85, 1.15))
    for side, places in goals.items():
        half = len(places) // 2
        root = np.array(_ROOTS[side])
        arteries = _tree(rng, root, places[:half], finest)
        veins = _tree(rng, root - (0, 0, 12), places[half:], finest)
        vessels += [arteries.beads(), veins.beads()]
        if detail == 1:
            vessels += [arteries.twigs(rng), veins.twigs(rng)]
        bronchi = arteries.thick(1.0)
        # beside the artery; from the carina to the hilum a main bronchus leads
        aside = Beads(bronchi.centres + (2.2 + 1.2 * bronchi.radii[:, None]) * (0, 0.75, 0.65), 0.85 * bronchi.radii)
        for tube in (aside, _string([_CARINA, (side * 18, 16, 26), (side * 36, 14, 14)], (6.5, 5.5, 5.0))):
            lumen.append(tube)
            walls.append(Beads(tube.centres, 1.12 * tube.radii + 0.6))
    windpipe = _string([(2, 4, 210), (1, 8, 120), (0, 12, 70), _CARINA], (8.2, 8.2, 8.4, 8.6))
    return Tubes(
        vessels=_joined(vessels),
        walls=_joined([*walls, Beads(windpipe.centres, windpipe.radii + 1.6)]),
        lumen=_joined([*lumen, windpipe]),
        bones=bones,
        marrow=marrow,
    )


def draw(canvas: np.ndarray, beads: Beads, z: float, grid: Grid) -> None:
    """Draw the cross-section at height z of the beads on the uint8 canvas, 255 inside; faint where under a pixel."""
    import cv2

    reach = beads.radii.max()
    first, last = np.searchsorted(beads.centres[:, 2], (z - reach, z + reach))
    centres, radii = beads.centres[first:last], beads.radii[first:last]
    hit = np.flatnonzero(np.abs(centres[:, 2] - z) < radii)
    discs = np.sqrt(radii[hit] ** 2 - (centres[hit, 2] - z) ** 2) * grid.per_mm
    strength = np.round(255 * np.minimum(discs / 0.55, 1) ** 2).astype(np.int32)
    order = np.argsort(strength, kind="stable")
    pixels = np.round(grid.pixels(centres[hit, :2], z)[order] * 16).astype(np.int32)
    sizes = np.round(np.maximum(discs[order], 0.55) * 16).astype(np.int32)
    for (px, py), size, value in zip(pixels.tolist(), sizes.tolist(), strength[order].tolist(), strict=True):
        cv2.circle(canvas, (px, py), size, value, -1, cv2.LINE_AA, 4)


class Grid(NamedTuple):
    """Where the standard thorax lies in the picture: `turn` `[2, 2]` and `shift` `[2]` to pixels, `lean` of its axis.

    lean: millimetres in x and y a millimetre of z. per_mm: pixels a millimetre, on average.
    """

    turn: np.ndarray
    shift: np.ndarray
    lean: np.ndarray
    per_mm: float

    def pixels(self, places: np.ndarray, z: float) -> np.ndarray:
        """Places `[N, 2]` in mm at height z as pixels x, y, `[N, 2]`."""
        seen: np.ndarray = (places + self.lean * z) @ self.turn.T + self.shift
        return seen

    def places(self, n: int, cell: float, z: float) -> tuple[np.ndarray, np.ndarray]:
        """x and y in mm, float32 `[n, n]`, of the centres of cells of `cell` pixels, at height z."""
        axis = (np.arange(n) + 0.5) * cell - 0.5
        back = np.linalg.inv(self.turn)
        u, v = axis[None, :] - self.shift[0], axis[:, None] - self.shift[1]
        x, y = (back[i, 0] * u + back[i, 1] * v - self.lean[i] * z for i in (0, 1))
        return x.astype(np.float32), y.astype(np.float32)


class _Tree(NamedTuple):
    """A tree of places: `[N, 3]`, each with its parent before it, the root first; `[N]` radii."""

    places: np.ndarray
    parents: np.ndarray
    radii: np.ndarray

    def beads(self, spacing: float = 0.9) -> Beads:
        """Beads along all branches, at most `spacing` mm apart."""
        start, end = self.places[self.parents[1:]], self.places[1:]
        count = np.ceil(np.linalg.norm(end - start, axis=1) / spacing).astype(int)
        which = np.repeat(np.arange(count.size), count)
        step = (np.arange(which.size) - np.repeat(np.cumsum(count) - count, count) + 1) / count[which]
        return Beads(start[which] + step[:, None] * (end - start)[which], self.radii[1:][which])

    def twigs(self, rng: np.random.Generator) -> Beads:
        """Beads of the last branches that are seen, short and straight, from all along the tree."""
        thin = np.flatnonzero(self.radii < 2.2 * _FINEST)
        start = self.places[thin]
        aim = rng.standard_normal((thin.size, 3), dtype=np.float32)
        aim *= rng.uniform(4, 9, (thin.size, 1)) / np.linalg.norm(aim, axis=1, keepdims=True)
        steps = np.linspace(0, 1, 8)[None, :, None]
        beads = start[:, None] + aim[:, None] * steps
        return Beads(beads.reshape(-1, 3), np.full(8 * thin.size, 0.7 * _FINEST))

    def thick(self, radius: float) -> Beads:
        """Beads along the branches of at least this radius."""
        beads = self.beads()
        kept = beads.radii > radius
        return Beads(beads.centres[kept], beads.radii[kept])


def _tree(rng: np.random.Generator, root: np.ndarray, goals: np.ndarray, finest: float) -> _Tree:
    """A tree from the root to each of the goals, nearest first; finest: radius of a last branch."""
    goals = goals[np.argsort(np.linalg.norm(goals - root, axis=1))]
    steps = 4  # nodes a branch
    places = np.empty((1 + steps * len(goals), 3), np.float32)
    lengths = np.zeros(len(places), np.float32)
    parents = np.zeros(len(places), np.int64)
    places[0], n = root, 1
    bends = rng.normal(0, 0.06, (len(goals), steps, 3)).astype(np.float32)
    bends[:, -1] = 0
    along = np.linspace(1 / steps, 1, steps, dtype=np.float32)[:, None]
    for goal, bend in zip(goals.astype(np.float32), bends, strict=True):
        away = goal - places[:n]
        distance = np.sqrt(np.einsum("ij,ij->i", away, away))
        at = int(np.argmin(distance + _DETOUR * lengths[:n]))
        reach = float(distance[at])
        places[n : n + steps] = places[at] + away[at] * along + bend * reach
        lengths[n : n + steps] = lengths[at] + reach * along[:, 0]
        parents[n], parents[n + 1 : n + steps] = at, np.arange(n, n + steps - 1)
        n += steps
    served = np.zeros(n)
    served[steps::steps] = 1
    for i in range(n - 1, 0, -1):
        served[parents[i]] += served[i]
    radii = finest * np.maximum(served, 1) ** _MURRAY
    return _Tree(places, parents, radii)


def _string(path: Sequence[tuple[float, ...]], radii: Sequence[float], spacing: float = 1.0) -> Beads:
    """Beads along a path of points x, y, z."""
    points = np.array(path, np.float64)
    where = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    read = np.linspace(0, where[-1], max(int(where[-1] / spacing), 2))
    centres = np.stack([np.interp(read, where, points[:, i]) for i in range(3)], 1)
    return Beads(centres, np.interp(read, where, radii))


def _joined(parts: Sequence[Beads]) -> Beads:
    centres, radii = np.concatenate([p.centres for p in parts]), np.concatenate([p.radii for p in parts])
    order = np.argsort(centres[:, 2], kind="stable")
    return Beads(centres[order], radii[order])


def _skeleton(slope: float) -> tuple[Beads, Beads]:
    """Ribs, clavicles, shoulder blades, spine and sternum; the marrow is what is left inside the cortex."""
    ribs = [_rib(k, side, slope) for k in range(12) for side in (-1, 1)]
    limbs = []
    for side in (-1, 1):
        collar = ((24, -62, 82), (70, -62, 104), (120, -30, 132), (150, -5, 148))
        limbs.append(_string([(side * x, y, z) for x, y, z in collar], (10, 6, 6, 7)))
        arm = ((150, 8, 128), (168, 4, 150), (176, 0, 200))
        limbs.append(_string([(side * x, y, z) for x, y, z in arm], (19, 22, 13)))
        limbs += [_blade(side, z) for z in np.arange(-10.0, 125.0, 2.5)]
    breast = [_string([(x, -70, 80), (x, -78, 40), (0.6 * x, -84, 0), (0.5 * x, -84, -62)], (6, 5.2, 5, 4.5), 1.8)
              for x in np.arange(-20, 21, 5.0)]  # fmt: skip
    cortical = _joined([*ribs, *limbs, *breast, *_vertebrae()])
    return cortical, Beads(cortical.centres, np.maximum(0.88 * cortical.radii - 1.2, 0))


def _rib(k: int, side: int, slope: float) -> Beads:
    """The k-th rib from the top, down from the spine to the front."""
    turn = np.linspace(0.24, (2.72, 2.1)[k > 7] if k < 10 else 1.6, 130)
    z = 152 - 26.5 * k - slope * (26 + 4.2 * min(k, 8)) * (1 - np.cos(turn)) - 6 * np.sin(turn)
    thick = np.full(turn.size, 5.4) - 0.7 * np.cos(turn)
    centres = cage_point(side * turn, z, 5.6)
    return Beads(centres, thick)


def _blade(side: int, z: float) -> Beads:
    """A shoulder blade at height z: a thin plate behind the ribs, its spine and neck higher up."""
    turn = np.linspace(0.55, 1.05 + 0.25 * z / 120, 36)
    centres = cage_point(side * turn, np.full(turn.size, z), 0.0)
    centres[:, :2] *= 1 + (17 + 0.16 * max(z - 30, 0)) / np.linalg.norm(centres[:, :2], axis=1, keepdims=True)
    return Beads(centres, np.full(turn.size, 2.4 + (2.6 if z > 90 else 0.0)))


def _vertebrae() -> list[Beads]:
    """Arches and processes; the bodies are solids of their own."""
    parts = []
    for level in np.arange(-7, 9) * VERTEBRA_MM:
        y = float(spine_y(level))
        for side in (-1, 1):
            arch = [(side * 11, y + 12, level + 4), (side * 12, y + 24, level), (side * 3, y + 34, level - 5)]
            parts.append(_string(arch, (4.2, 4.6, 3.6)))
            parts.append(_string([(side * 13, y + 24, level + 2), (side * 34, y + 30, level + 5)], (4.6, 4.0)))
        parts.append(
            _string([(0, y + 34, level - 4), (0, y + 40, level - 12), (0, y + 44, level - 20)], (3.4, 2.8, 2.8))
        )
    return parts
