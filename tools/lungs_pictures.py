"""What the network of lung fields learns from: outlined X-rays that may be learned from, synthetic ones, and others.

Which images may be learned from is decided here, by the licence that each image's own row states (SOURCES.md).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from pneumoscope import phantoms
from pneumoscope.runtime.lungs import SIZE, standardise

SEED = 20_261_201
CACHED = 192  # side at which pictures are kept; the network sees crops of it at `SIZE`
HELD_OUT = 0.25  # share of the patients whose images may be learned from that are kept for measuring
PHANTOMS, NEGATIVES = 36, 24
NO_LUNGS = 0.12  # share of training pictures that are turned or inverted, and then count as showing no lungs
ALLOWED = ("CC BY", "CC BY 3.0", "CC BY 4.0", "CC BY-SA", "CC BY-NC-SA", "CC BY-NC-SA 4.0")
LUNG, IGNORED = 255, 127


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """pixels, mask: uint8 `[CACHED, CACHED]`; mask: 0, `IGNORED` or `LUNG`.

    group: the patient. url: where the image was published.
    """

    name: str
    group: str
    licence: str
    url: str = ""
    pixels: np.ndarray
    mask: np.ndarray


def square(pixels: np.ndarray, how: int = cv2.INTER_AREA) -> np.ndarray:
    """Stretched to what is kept."""
    small: np.ndarray = cv2.resize(pixels, (CACHED, CACHED), interpolation=how)
    return small


def grey(path: Path) -> np.ndarray:
    """A picture file as uint8 `[H, W]`."""
    pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if pixels is None:
        raise SystemExit(f"{path}: expected a picture, found none that can be read. Check --data.")
    return pixels


def outlined(data: Path) -> list[Picture]:
    """All X-rays that V7 outlined, with the licence that each image's own row states."""
    with (data / "xray" / "ieee8023" / "labels.csv").open(encoding="utf-8") as file:
        notes = {Path(row["file"]).name: row["notes"] for row in csv.DictReader(file)}
    folder = data / "masks" / "xray-v7-lung"
    pictures = []
    with (folder / "labels.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            name = Path(row["image"]).name
            licence, url = (re.search(rf"{what}=([^;]*)", notes[name]) for what in ("image licence", "url"))
            pictures.append(
                Picture(
                    name=name,
                    group=row["group_id"],
                    licence=licence[1].strip() if licence else "not stated",
                    url=url[1].strip() if url else "",
                    pixels=square(grey(folder / row["image"])),
                    mask=square(grey(folder / row["file"]), cv2.INTER_NEAREST),
                )
            )
    return pictures


def parts(pictures: Sequence[Picture]) -> tuple[list[Picture], list[Picture], list[Picture]]:
    """(to learn from, held out of the same sources, of other sources): no patient is in two of them.

    The third part has images that are only looked at, since their licences do not let us build on them.
    """
    allowed = [p for p in pictures if p.licence in ALLOWED]
    groups = sorted({p.group for p in allowed})
    np.random.default_rng(SEED).shuffle(groups)
    held = set(groups[: round(HELD_OUT * len(groups))])
    learned = {p.group for p in allowed} - held
    return (
        [p for p in allowed if p.group in learned],
        [p for p in allowed if p.group in held],
        [p for p in pictures if p.licence not in ALLOWED and p.group not in learned],
    )


def without_heart(name: str, pixels: np.ndarray, lungs: np.ndarray, licence: str) -> Picture:
    """A picture whose outlines leave out the heart, which V7's include: what lies between them teaches nothing."""
    mask = square(np.where(lungs, LUNG, 0).astype(np.uint8), cv2.INTER_NEAREST)
    hull = cv2.convexHull(np.argwhere(mask == LUNG)[:, ::-1].astype(np.int32))
    between = cv2.fillConvexPoly(np.zeros_like(mask), hull, 1) > 0
    mask[between & (mask != LUNG)] = IGNORED
    return Picture(name=name, group=name, licence=licence, pixels=square(pixels), mask=mask)


def more_lungs(data: Path) -> list[Picture]:
    """Synthetic patients, and the three pictures of lung-segmentation-2d, each twice."""
    made = []
    for i in range(PHANTOMS):
        film = phantoms.make_xray(phantoms.XRAY_LABELS[i % 3], seed=SEED + i, size=CACHED)
        made.append(without_heart(f"phantom-{i}", bytes_of(film.pixels), film.lungs, "our own"))
    folder = data / "masks" / "xray-imlab2d"
    for i in (2, 3, 4):
        lungs = grey(folder / f"{i}-mask.png") > 127
        made += 2 * [without_heart(f"imlab2d-{i}", grey(folder / f"{i}.jpg"), lungs, "MIT")]
    return made


def bytes_of(pixels: np.ndarray) -> np.ndarray:
    """0..1 as uint8."""
    whole: np.ndarray = np.round(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    return whole


def no_lungs() -> list[Picture]:
    """Synthetic pictures without frontal lungs: CT slices, and chests X-rayed from the side."""
    made = []
    for i in range(NEGATIVES // 3):
        voxels = phantoms.phantom_ct(phantoms.XRAY_LABELS[i % 3], seed=SEED + i, size=128, slices=64).voxels
        water = np.clip(voxels.astype(np.float32) / 1000 + 1, 0, 3)  # density against water
        rays = water[::-1].sum(2)
        side = np.exp(-0.6 * (rays - rays.min()) / max(float(rays.std()), 1e-6))
        of_lungs, of_heart = (
            (np.clip(voxels[38], -1350, 150) + 1350) / 1500,
            (np.clip(voxels[26], -110, 190) + 110) / 300,
        )
        films = [of_lungs, of_heart, 1 - side / side.max()]
        made += [
            Picture(
                name=f"no-lungs-{i}-{j}",
                group=f"no-lungs-{i}",
                licence="our own",
                pixels=square(bytes_of(film.astype(np.float32))),
                mask=np.zeros((CACHED, CACHED), np.uint8),
            )
            for j, film in enumerate(films)
        ]
    return made


def varied(picture: Picture, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """One training example: what the network takes, and the mask, `[SIZE, SIZE]` each."""
    pose = _pose(rng)
    border = float(rng.choice([0, 0, 128, 255]))
    pixels = cv2.warpAffine(picture.pixels, pose, (SIZE, SIZE), flags=cv2.INTER_LINEAR, borderValue=border)
    mask = cv2.warpAffine(picture.mask, pose, (SIZE, SIZE), flags=cv2.INTER_NEAREST)
    light = pixels.astype(np.float32) / 255
    if rng.random() < 0.5:
        light = _opaque(light, mask, rng)
    light = _exposed(light, rng)
    if rng.random() < NO_LUNGS:
        light = 1 - light if rng.random() < 0.3 else np.rot90(light, int(rng.integers(1, 4)))
        mask = np.zeros_like(mask)
    return standardise(np.ascontiguousarray(light)), mask


def _pose(rng: np.random.Generator) -> np.ndarray:
    """A random affine map `[2, 3]` from the kept picture to the network's: mirror, turn, stretch, shear, shift."""
    turn, shear = np.deg2rad(rng.normal(0, 5)), rng.normal(0, 0.04)
    scale = SIZE / CACHED * np.exp(rng.normal(0, 0.1) + rng.normal(0, 0.05, 2))
    mirror = np.diag([rng.choice([-1.0, 1.0]), 1.0])
    turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    linear = np.diag(scale) @ turned @ np.array([[1, shear], [0, 1]]) @ mirror
    centre = SIZE / 2 + rng.normal(0, 0.05 * SIZE, 2)
    return np.concatenate([linear, (centre - linear @ np.full(2, CACHED / 2))[:, None]], 1)


def _opaque(light: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Consolidate some of the lung: its brightness moves towards that of the brightest tissue, in soft patches."""
    fine = int(rng.integers(2, 6))
    patches = cv2.resize(rng.random((fine, fine), dtype=np.float32), (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    strength = np.clip(3 * (patches - rng.uniform(0.3, 0.8)), 0, rng.uniform(0.3, 1))
    within = cv2.GaussianBlur((mask > 0).astype(np.float32), (0, 0), 3)
    moved: np.ndarray = light + within * strength * (np.float32(np.percentile(light, 85)) - light).clip(0)
    return moved


def _exposed(light: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another exposure, detector and file: gamma, contrast, uneven light, blur, noise, JPEG."""
    ramp = np.linspace(-0.5, 0.5, SIZE, dtype=np.float32)
    slope_x, slope_y = rng.normal(0, 0.12, 2).astype(np.float32)
    light = np.clip(light, 0, 1) ** np.float32(np.exp(rng.normal(0, 0.35)))
    light = np.float32(np.exp(rng.normal(0, 0.2))) * (light - 0.5) + np.float32(0.5 + rng.normal(0, 0.08))
    light = light + slope_x * ramp[None, :] + slope_y * ramp[:, None]
    if rng.random() < 0.3:
        light = cv2.GaussianBlur(light, (0, 0), rng.uniform(0.4, 1.5))
    light = light + rng.standard_normal(light.shape, dtype=np.float32) * np.float32(abs(rng.normal(0, 0.02)))
    jpeg = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 96))]
    coded = cv2.imencode(".jpg", bytes_of(light), jpeg)[1]
    decoded: np.ndarray = np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE), np.float32) / 255
    return decoded
