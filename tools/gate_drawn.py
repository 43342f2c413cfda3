"""Pictures of no chest, drawn: noise, shapes, texts, charts, and what an X-ray or a slice of something else looks like.

Each function takes a generator and gives float32 `[160, 160]` in 0..1.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping

import cv2
import numpy as np

N = 160
Rng = np.random.Generator


def noise(rng: Rng) -> np.ndarray:
    """Grains of any size: white noise, or blurred, or with a spectrum of 1/f^k."""
    grain: np.ndarray = rng.normal(size=(N, N)).astype(np.float32)
    kind = rng.integers(3)
    if kind == 1:
        grain = cv2.GaussianBlur(grain, (0, 0), rng.uniform(0.5, 12))
    elif kind == 2:
        radius = np.hypot(*np.meshgrid(np.fft.fftfreq(N), np.fft.fftfreq(N))) + 1 / N
        grain = np.fft.ifft2(np.fft.fft2(grain) / radius ** rng.uniform(0.5, 2.5)).real.astype(np.float32)
    return _stretched(grain)


def gradient(rng: Rng) -> np.ndarray:
    """Brightness that falls along a line or from a point, in steps or not."""
    y, x = np.mgrid[0:N, 0:N] / N
    angle, at = rng.uniform(0, 2 * np.pi), rng.uniform(-0.3, 1.3, 2)
    value = np.hypot(x - at[0], y - at[1]) if rng.random() < 0.5 else x * np.cos(angle) + y * np.sin(angle)
    value = _stretched(value) ** rng.uniform(0.4, 2.5)
    steps = rng.integers(2, 20)
    return _grained(np.rint(value * steps) / steps if rng.random() < 0.3 else value, rng)


def stripes(rng: Rng) -> np.ndarray:
    """Waves, bars and boards."""
    y, x = np.mgrid[0:N, 0:N]
    angle, length = rng.uniform(0, np.pi), rng.uniform(4, 80)
    wave = np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / length + rng.uniform(0, 6))
    if rng.random() < 0.5:
        wave = wave * np.sin(2 * np.pi * (y * np.cos(angle) - x * np.sin(angle)) / rng.uniform(4, 80))
    return _grained(_stretched(np.sign(wave) if rng.random() < 0.4 else wave), rng)


def shapes(rng: Rng) -> np.ndarray:
    """Discs, boxes, lines and polygons on any ground."""
    picture = np.full((N, N), rng.random(), np.float32)
    for _ in range(rng.integers(1, 25)):
        grey, at, size = float(rng.random()), _point(rng), int(rng.integers(4, 70))
        thick = -1 if rng.random() < 0.7 else int(rng.integers(1, 6))
        kind = rng.integers(4)
        if kind == 0:
            cv2.circle(picture, at, size, grey, thick)
        elif kind == 1:
            cv2.rectangle(picture, at, _point(rng), grey, thick)
        elif kind == 2:
            cv2.line(picture, at, _point(rng), grey, int(rng.integers(1, 10)))
        else:
            corners = rng.integers(0, N, (int(rng.integers(3, 7)), 2)).astype(np.int32)
            cv2.fillPoly(picture, [corners], grey)
    return _grained(picture, rng)


def page(rng: Rng) -> np.ndarray:
    """A page of text, dark on light or light on dark, with a heading, a box, and a stain at times."""
    sheet = np.full((3 * N, 3 * N), 255, np.uint8)
    font, scale = int(rng.integers(0, 8)), float(rng.uniform(0.35, 1.1))
    left, step = int(rng.integers(5, 60)), int(rng.uniform(14, 20) * scale * 2)
    for row, top in enumerate(range(int(rng.integers(20, 80)), 3 * N - 10, step)):
        words = ["".join(rng.choice(list(string.ascii_letters), rng.integers(1, 10))) for _ in range(12)]
        if rng.random() < 0.88:
            big = 1.8 if row == 0 else 1.0
            cv2.putText(sheet, " ".join(words), (left, top), font, scale * big, int(rng.integers(0, 90)), 1)
    sheet[:, -int(rng.integers(1, 90)) :] = 255
    if rng.random() < 0.3:
        cv2.rectangle(sheet, (left, 200), (left + 200, 380), int(rng.integers(0, 200)), int(rng.choice([-1, 2])))
    light = cv2.resize(sheet, (N, N), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    return _grained(light if rng.random() < 0.75 else 1 - light, rng)


def chart(rng: Rng) -> np.ndarray:
    """Axes with curves, bars or points."""
    picture = np.full((N, N), 1.0, np.float32)
    cv2.line(picture, (20, 140), (150, 140), 0.0, 1)
    cv2.line(picture, (20, 10), (20, 140), 0.0, 1)
    for _ in range(rng.integers(1, 5)):
        grey, kind = float(rng.uniform(0, 0.7)), rng.integers(3)
        y = 130 - np.clip(np.cumsum(rng.normal(2, 6, 13)), -5, 115)
        points = np.stack([np.linspace(22, 148, 13), y], axis=1).astype(np.int32)
        if kind == 0:
            cv2.polylines(picture, [points], False, grey, 1)
        for x, top in points.tolist():
            if kind == 1:
                cv2.rectangle(picture, (x - 3, top), (x + 3, 140), grey, -1)
            elif kind == 2:
                cv2.circle(picture, (x, top), 2, grey, -1)
    return _grained(picture if rng.random() < 0.8 else 1 - picture, rng)


def bones(rng: Rng) -> np.ndarray:
    """A limb as an X-ray shows it: bright rods with a darker core in a soft glow, side by side or as a hand's rays."""
    picture = np.zeros((N, N), np.float32)
    rays, start = int(rng.integers(1, 6)), np.array([rng.uniform(50, 110), rng.uniform(110, 180)])
    for ray in range(rays):
        angle = -np.pi / 2 + (ray - rays / 2) * rng.uniform(0.1, 0.35) + rng.normal(0, 0.1)
        at, width = start.copy(), rng.uniform(4, 30 / np.sqrt(rays))
        for _ in range(int(rng.integers(1, 5))):
            end = at + rng.uniform(30, 120 / np.sqrt(rays)) * np.array([np.cos(angle), np.sin(angle)])
            a, b = at.astype(int).tolist(), end.astype(int).tolist()
            glow = np.zeros((N, N), np.float32)
            cv2.line(glow, a, b, 1.0, int(width * 2.6) + 1)
            picture += 0.35 * cv2.GaussianBlur(glow, (0, 0), 4)
            cv2.line(picture, a, b, float(rng.uniform(0.6, 0.9)), int(width) + 1)
            cv2.line(picture, a, b, float(rng.uniform(0.4, 0.6)), int(width * 0.5) + 1)
            cv2.circle(picture, tuple(b), int(width * 0.75) + 1, 0.8, -1)
            at = end + 2
    return _grained(_stretched(cv2.GaussianBlur(np.minimum(picture, 1.3), (0, 0), rng.uniform(0.6, 2))), rng)


def belly(rng: Rng) -> np.ndarray:
    """An abdomen or a pelvis as an X-ray shows it: a grey glow, a spine, gas, bowls of bone; no lung."""
    picture: np.ndarray = 0.55 * _blob(rng, 80, 80, rng.uniform(60, 90), rng.uniform(70, 110), 14)
    middle = int(rng.uniform(70, 90))
    for top in range(int(rng.integers(-10, 10)), int(rng.integers(90, 170)), 15):
        cv2.rectangle(picture, (middle - 9, top), (middle + 9, top + 11), float(rng.uniform(0.75, 0.95)), -1)
    for _ in range(rng.integers(0, 12)):
        at = _point(rng)
        picture -= rng.uniform(0.1, 0.35) * _blob(rng, *at, rng.uniform(3, 14), rng.uniform(3, 14), 2)
    if rng.random() < 0.5:
        for side in (-1, 1):
            cv2.ellipse(picture, (middle + side * 38, 125), (30, 34), side * 25, 0, 360, 0.85, int(rng.integers(2, 9)))
            cv2.circle(picture, (middle + side * 48, 150), 11, 0.9, -1)
    picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(1, 3))
    return _grained(_stretched(picture) ** rng.uniform(0.6, 1.5), rng)


def slice_of_head(rng: Rng) -> np.ndarray:
    """A slice of a head: a bright ring, or none, around something grey with darker and brighter places."""
    wide, high = rng.uniform(38, 62), rng.uniform(48, 74)
    inside = _blob(rng, 80, 80, wide, high, 1)
    picture: np.ndarray = inside * rng.uniform(0.25, 0.6)
    for _ in range(rng.integers(2, 9)):
        x, y = rng.normal(80, 16, 2).tolist()
        picture += rng.normal(0, 0.15) * _blob(rng, x, y, rng.uniform(3, 18), rng.uniform(3, 22), 2) * inside
    if rng.random() < 0.7:
        size = (int(wide), int(high))
        cv2.ellipse(picture, (80, 80), size, rng.uniform(-12, 12), 0, 360, 1.0, int(rng.integers(3, 9)))
    return _grained(np.clip(cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 1.6)), 0, 1), rng)


def slice_of_belly(rng: Rng) -> np.ndarray:
    """A slice below the lungs: a broad body with organs, a spine, and little gas."""
    wide, high = rng.uniform(58, 76), rng.uniform(38, 58)
    inside = _blob(rng, 80, 80, wide, high, 1)
    picture: np.ndarray = inside * rng.uniform(0.3, 0.75)
    for _ in range(rng.integers(3, 14)):
        at = (rng.uniform(80 - wide, 80 + wide), rng.uniform(80 - high, 80 + high))
        organ = _blob(rng, *at, rng.uniform(5, 28), rng.uniform(5, 24), 1)
        picture += rng.normal(0, 0.12) * organ * inside
    for _ in range(rng.integers(0, 4)):
        gas = _blob(rng, rng.uniform(50, 110), rng.uniform(45, 80), rng.uniform(2, 8), rng.uniform(2, 7), 1)
        picture *= 1 - gas * inside
    cv2.circle(picture, (80, int(80 + 0.55 * high)), int(rng.uniform(6, 11)), 1.0, -1)
    return _grained(np.clip(cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 1.6)), 0, 1), rng)


DRAWN: Mapping[str, Callable[[Rng], np.ndarray]] = {
    "noise": noise,
    "gradient": gradient,
    "stripes": stripes,
    "shapes": shapes,
    "page": page,
    "chart": chart,
    "bones": bones,
    "belly": belly,
    "slice_of_head": slice_of_head,
    "slice_of_belly": slice_of_belly,
}


def _point(rng: Rng) -> tuple[int, int]:
    x, y = rng.integers(0, N, 2).tolist()
    return x, y


def _blob(rng: Rng, x: float, y: float, wide: float, high: float, soft: float) -> np.ndarray:
    """1 inside an ellipse, 0 outside."""
    picture = np.zeros((N, N), np.float32)
    centre, axes = (int(x), int(y)), (max(1, int(wide)), max(1, int(high)))
    cv2.ellipse(picture, centre, axes, rng.uniform(-15, 15), 0, 360, 1.0, -1)
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), soft))


def _stretched(values: np.ndarray) -> np.ndarray:
    low, high = float(values.min()), float(values.max())
    return ((values - low) / max(high - low, 1e-6)).astype(np.float32)


def _grained(picture: np.ndarray, rng: Rng) -> np.ndarray:
    grain = rng.normal(0, rng.choice([0.0, 0.01, 0.04]), picture.shape)
    return np.clip(picture + grain, 0, 1).astype(np.float32)
