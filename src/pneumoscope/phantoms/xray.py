"""A synthetic frontal chest X-ray: the chest, posed, exposed and developed.

Attenuation adds up along the ray (Beer-Lambert), and a photographic curve turns it into brightness. Anatomy,
lesions and exposure draw from separate random streams: the label moves the lesions and nothing else, so that no
shortcut stands in the pictures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pneumoscope.errors import UsageError
from pneumoscope.phantoms.chest import Chest, make_chest
from pneumoscope.phantoms.draw import REACH_CM, stream
from pneumoscope.phantoms.lesions import make_lesions

XRAY_LABELS = ("normal", "pneumonia", "covid")
MIN_SIZE, MAX_SIZE = 64, 2048

_ANATOMY, _LESIONS, _EXPOSURE = 0, 1, 2  # random streams
_SEEN = 0.08  # share of air replaced from which a place counts as lesion


@dataclass(frozen=True, kw_only=True, eq=False)
class XrayPhantom:
    """A synthetic frontal chest X-ray.

    pixels: float32 `[H, W]` in 0..1, air dark and bone bright. label: one of `XRAY_LABELS`.
    lungs: bool `[H, W]`, the lung fields as a reader outlines them, without heart, mediastinum and diaphragm.
    lesions: bool `[H, W]`, opacities within the lung fields; none for "normal".
    spacing_mm: side of a pixel at the detector.
    """

    pixels: np.ndarray
    label: str
    lungs: np.ndarray
    lesions: np.ndarray
    spacing_mm: float


def make_xray(label: str, seed: int, *, size: int = 512, patient: int | None = None) -> XrayPhantom:
    """Make one synthetic chest X-ray; the same seeds give the same picture on every machine, up to rounding.

    label: one of `XRAY_LABELS`. seed: of pose, field, contrast and noise, 0 or more.
    patient: seed of anatomy and lesions; `seed` where None. size: pixels a side, 64..2048.

    Raises:
        UsageError: an unknown label, or a size or seed out of range.
    """
    who = seed if patient is None else patient
    _check(label, min(seed, who), size)
    chest = make_chest(stream(who, _ANATOMY), max(round(1.2 * size), 333))
    filled = make_lesions(label, stream(who, _LESIONS), chest)
    rng = stream(seed, _EXPOSURE)
    field_cm = float(rng.uniform(36, 42))
    pose = _pose(rng, chest, field_cm, size)
    # window and local mean are those of the chest without lesions, so that a lesion changes no pixel but its own
    clear = chest.attenuation()
    rays = _posed(clear if filled is None else chest.attenuation(filled), pose, size)
    mean, window = _local_mean(_posed(clear, pose, size), field_cm), _window(clear, chest.lungs)
    lungs = _posed(chest.lungs.astype(np.float32), pose, size) > 0.5
    lesions = np.zeros_like(lungs) if filled is None else lungs & (_posed(filled, pose, size) > _SEEN)
    pixels = _developed(rng, _exposed(rng, rays, field_cm), mean, window)
    return XrayPhantom(pixels=pixels, label=label, lungs=lungs, lesions=lesions, spacing_mm=10 * field_cm / size)


def _check(label: str, seed: int, size: int) -> None:
    if label not in XRAY_LABELS:
        raise UsageError(f"label: expected one of {', '.join(XRAY_LABELS)}, found '{label}'. Choose one of these.")
    if seed < 0:
        raise UsageError(f"seed: expected 0 or more, found {seed}. Choose another.")
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise UsageError(f"size: expected {MIN_SIZE} to {MAX_SIZE} pixels, found {size}. Choose another.")


def _pose(rng: np.random.Generator, chest: Chest, field_cm: float, size: int) -> np.ndarray:
    """The affine map `[2, 3]` from pixels of the chest's grid to pixels of the film."""
    n, turn = chest.air.shape[0], np.deg2rad(rng.uniform(-4, 4))
    shift = rng.uniform(-1.3, 1.3, 2)
    turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) * np.array(chest.stretch)
    scale = size / field_cm
    linear = turned * (scale * 2 * REACH_CM / n)
    middle = scale * shift + size / 2 - 0.5
    return np.concatenate([linear, (middle - linear @ np.full(2, n / 2 - 0.5))[:, None]], 1)


def _posed(picture: np.ndarray, pose: np.ndarray, size: int) -> np.ndarray:
    import cv2

    return cv2.warpAffine(picture, pose, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _window(rays: np.ndarray, lungs: np.ndarray) -> tuple[float, float]:
    """Attenuation of lung and of the mediastinum."""
    middle = rays.shape[0] // 2
    core = rays[middle // 2 : middle + middle // 2 : 4, middle - middle // 16 : middle + middle // 16 : 4]
    return float(np.percentile(rays[::4, ::4][lungs[::4, ::4]], 10)), float(np.median(core))


def _local_mean(rays: np.ndarray, field_cm: float) -> np.ndarray:
    import cv2

    size = rays.shape[0]
    small = cv2.resize(rays, (size // 4, size // 4), interpolation=cv2.INTER_AREA)
    smooth = cv2.GaussianBlur(small, (0, 0), 2.0 * small.shape[0] / field_cm)
    return cv2.resize(smooth, (size, size), interpolation=cv2.INTER_LINEAR)


def _exposed(rng: np.random.Generator, rays: np.ndarray, field_cm: float) -> np.ndarray:
    """Attenuation as the detector measures it: uneven beam, quantum noise, blur."""
    import cv2

    size = rays.shape[0]
    ramp = np.linspace(-0.5, 0.5, size, dtype=np.float32)
    slope_x, slope_y = rng.uniform(-0.35, 0.35, 2).astype(np.float32)
    rays = rays + slope_x * ramp[None, :] + slope_y * ramp[:, None]
    quanta = 10 ** rng.uniform(6.2, 7.3) * (field_cm / size) ** 2  # a pixel, in air
    noise = rng.standard_normal(rays.shape, dtype=np.float32)
    # the logarithm of n counts spreads by 1 / sqrt(n)
    rays = rays + noise * np.exp(0.5 * rays) * np.float32(quanta**-0.5)
    return cv2.GaussianBlur(rays, (0, 0), 0.6)


def _developed(rng: np.random.Generator, rays: np.ndarray, mean: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    """Brightness 0..1: local contrast, the film's curve, grain, the side marker, the collimator's border."""
    import cv2

    low, high = window
    detail, contrast, level = rng.uniform(0, 0.7), rng.uniform(3.4, 5.6), rng.uniform(0.2, 0.5)
    rays = rays + np.float32(detail) * (rays - mean)
    film = 1 / (1 + np.exp(-np.float32(contrast) * ((rays - low) / (high - low) - np.float32(level))))
    film = np.float32(rng.uniform(0, 0.06)) + np.float32(rng.uniform(0.88, 0.94)) * film
    grain = cv2.GaussianBlur(rng.standard_normal(film.shape, dtype=np.float32), (0, 0), 0.8)
    film = film + np.float32(rng.uniform(0.004, 0.02)) * grain
    _mark(rng, film)
    _collimate(rng, film)
    pixels: np.ndarray = np.clip(film, 0, 1, dtype=np.float32)
    return pixels


def _mark(rng: np.random.Generator, film: np.ndarray) -> None:
    """A lead letter L at the patient's left, on most films."""
    size = film.shape[0]
    shown, x, y, height = rng.random() < 0.6, rng.uniform(0.86, 0.93), rng.uniform(0.06, 0.16), rng.uniform(0.03, 0.045)
    if shown:
        left, top, tall = round(x * size), round(y * size), round(height * size)
        thick = max(tall // 6, 1)
        film[top : top + tall, left : left + thick] = 0.95
        film[top + tall - thick : top + tall, left : left + round(0.6 * tall)] = 0.95


def _collimate(rng: np.random.Generator, film: np.ndarray) -> None:
    """A dark border where the beam was shut off, on some films."""
    size = film.shape[0]
    shown, margins = rng.random() < 0.35, rng.uniform(0, 0.06, 4)
    if shown:
        left, right, top, bottom = (round(m * size) for m in margins)
        dark = float(rng.uniform(0, 0.05))
        film[:top], film[size - bottom :], film[:, :left], film[:, size - right :] = dark, dark, dark, dark
