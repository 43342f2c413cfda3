"""Lung fields of a frontal chest X-ray, by a small U-Net of our own that ships with the package.

A field is what a reader outlines: consolidations and what lies behind the heart belong to it, as in the outlines of
V7 Labs that the network learned from. How it was made, and how well it does: `assets/xray_lungs/card.json`.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from pneumoscope.core.result import Interval
from pneumoscope.core.serial import Mismatch, digest, from_json, parse_json
from pneumoscope.errors import IntegrityError, UsageError
from pneumoscope.runtime.engine import Graph

SIZE = 128  # side of what the network takes; pictures of other shapes are stretched to it
BATCH = 16
FOLDER = Path(__file__).resolve().parents[1] / "assets" / "xray_lungs"
GRAPH, CARD = "graph.onnx", "card.json"

MIN_CONTRAST = 0.02  # standard deviation of brightness (0..1) below which there is only noise to look at
MIN_PART = 0.01  # share of the picture below which a part is no lung
APART = (0.7, 0.8, 0.9, 0.95)  # probabilities at which fields that touch are told apart

# What `doubt` holds a picture to
MIN_SHARE, MAX_SHARE = 0.1, 0.75
MIN_BALANCE = 0.35
MAX_TILT = 30.0
MIN_CERTAINTY = 0.88


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Dice on pictures that were not learned from: the mean over patients, with its 95 % interval over patients."""

    what: str
    images: int
    patients: int
    dice: Interval


@dataclass(frozen=True, kw_only=True)
class Card:
    """How the network was made. files: name -> SHA-256. id: over all the rest of the card."""

    name: str
    created: str
    made_by: str
    learned_from: Mapping[str, int]
    licence: str
    settings: Mapping[str, str]
    measured: tuple[Measured, ...]
    limits: tuple[str, ...]
    files: Mapping[str, str]
    id: str


@dataclass(frozen=True, kw_only=True, eq=False)
class LungFields:
    """What was found in one picture.

    mask: bool `[H, W]`, in the picture's own pixels; at most two parts without holes. share: of the picture, 0..1.
    balance: area of the smaller field by that of the larger, 0 where there is but one. tilt: degrees between the line
    from one field to the other and the picture's rows, 0..90. certainty: mean probability within the mask, 0..1.
    """

    mask: np.ndarray
    share: float
    balance: float
    tilt: float
    certainty: float


def lung_fields(pixels: np.ndarray) -> np.ndarray:
    """The lung fields of a frontal chest X-ray, bool `[H, W]`, empty where there are none.

    pixels: float32 `[H, W]` in 0..1, bone bright.

    Raises:
        UsageError: anything but a picture of one channel of finite numbers.
        IntegrityError: the network's files are not those that were shipped.
    """
    return find_lungs([pixels])[0].mask


def find_lungs(pictures: Sequence[np.ndarray]) -> list[LungFields]:
    """The lung fields of many pictures, each as `lung_fields` takes it, with what tells whether to believe them.

    Raises:
        UsageError, IntegrityError: see `lung_fields`.
    """
    found: list[LungFields] = []
    for i in range(0, len(pictures), BATCH):
        some = pictures[i : i + BATCH]
        taken = np.stack([standardise(p) for p in some])[:, np.newaxis]
        (shares,) = _graph().infer([taken], 1, f"a graph that runs on {SIZE} x {SIZE} pixels")
        found += [_fields(share, p) for share, p in zip(shares, some, strict=True)]
    return found


def doubt(fields: LungFields) -> str | None:
    """Why this does not look like the lungs of an upright frontal chest X-ray, in words; None where it does."""
    if fields.share < MIN_SHARE:
        return f"lungs: expected lung fields on at least {MIN_SHARE:.0%} of the picture, found {fields.share:.0%}."
    if fields.share > MAX_SHARE:
        return f"lungs: expected lung fields on at most {MAX_SHARE:.0%} of the picture, found {fields.share:.0%}."
    if fields.balance < MIN_BALANCE:
        return f"lungs: expected two fields of like size, found the smaller at {fields.balance:.0%} of the larger."
    if fields.tilt > MAX_TILT:
        return f"lungs: expected two fields side by side, found a line between them at {fields.tilt:.0f} degrees."
    if fields.certainty < MIN_CERTAINTY:
        return f"lungs: expected fields that stand out, found a mean probability of {fields.certainty:.2f} in them."
    return None


def standardise(pixels: np.ndarray) -> np.ndarray:
    """What the network takes: `[H, W]` in 0..1, stretched to `[SIZE, SIZE]`, mean 0 and standard deviation 1.

    Raises:
        UsageError: anything but a picture of one channel of finite numbers.
    """
    if pixels.ndim != 2 or 0 in pixels.shape:
        raise UsageError(f"pixels: expected [H, W], found {list(pixels.shape)}. Give one grey picture.")
    height, width = pixels.shape
    how = cv2.INTER_AREA if min(height, width) > SIZE else cv2.INTER_LINEAR
    small = cv2.resize(pixels.astype(np.float32, copy=False), (SIZE, SIZE), interpolation=how)
    if not np.isfinite(small).all():
        raise UsageError("pixels: expected finite numbers, found others. Replace them first.")
    standard: np.ndarray = (small - small.mean()) / max(float(small.std()), MIN_CONTRAST)
    return standard.astype(np.float32, copy=False)


@functools.cache
def card() -> Card:
    """How the network was made, and how well it does.

    Raises:
        IntegrityError: a card that was changed.
    """
    try:
        plain = parse_json((FOLDER / CARD).read_bytes(), CARD)
        read = from_json(Card, plain)
    except (Mismatch, OSError) as error:
        raise _damaged(f"{CARD}: expected the card that was shipped, found {error}".rstrip(".")) from error
    if card_id(plain) != read.id:
        raise _damaged(f"{CARD}: expected the content that its id was made from, found it changed")
    return read


def card_id(plain: Mapping[str, object]) -> str:
    """The id of a card that stands as JSON."""
    return digest({k: v for k, v in plain.items() if k != "id"})[:32]


def make_ready() -> None:
    """Compile the network now, before several threads ask for it.

    Raises:
        IntegrityError: a network or a card that was changed.
    """
    _graph()


@functools.cache
def _graph() -> Graph:
    """The network, read, verified and compiled once; one thread, since many pictures are what it is run over."""
    try:
        data = (FOLDER / GRAPH).read_bytes()
    except OSError as error:
        raise _damaged(f"{GRAPH}: expected a file that can be read, found {error.strerror}") from error
    found, shipped = hashlib.sha256(data).hexdigest(), card().files.get(GRAPH, "none")
    if found != shipped:
        raise _damaged(f"{GRAPH}: expected SHA-256 {shipped[:16]}, found {found[:16]}")
    graph = Graph(data, name=f"{FOLDER.name}/{GRAPH}", threads=1)
    graph.require_ports(((-1, 1, SIZE, SIZE),), ((-1, SIZE, SIZE),))
    return graph


def _damaged(what: str) -> IntegrityError:
    return IntegrityError(f"{FOLDER.name}: {what}. Install pneumoscope again; do not use this copy.")


def _fields(share: np.ndarray, pixels: np.ndarray) -> LungFields:
    """From probabilities `[SIZE, SIZE]` to the fields in the picture's own pixels."""
    height, width = pixels.shape
    parts = [] if float(pixels.std()) < MIN_CONTRAST else _largest_two(share > 0.5)
    kept = np.zeros(share.shape, np.uint8)
    for part in parts:  # holes are filled by drawing the outline alone
        outlines, _ = cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(kept, outlines, -1, 1, cv2.FILLED)
    # probabilities rather than the mask are enlarged, for an outline without steps
    sure = np.where((share > 0.5) == (kept > 0), share, kept.astype(np.float32))
    mask = cv2.resize(sure, (width, height), interpolation=cv2.INTER_LINEAR) > 0.5
    pair = _apart(share, parts)
    return LungFields(
        mask=mask,
        share=float(mask.mean()),
        balance=float(pair[1].sum() / pair[0].sum()) if len(pair) == 2 else 0.0,
        tilt=_tilt(pair, height, width),
        certainty=float(share[kept > 0].mean()) if parts else 0.0,
    )


def _apart(share: np.ndarray, parts: list[np.ndarray]) -> list[np.ndarray]:
    """Two parts also where the fields touch, as in narrow chests: there they part at a higher probability."""
    if len(parts) != 1:
        return parts
    tried = (_largest_two((share > least) & (parts[0] > 0)) for least in APART)
    return next((pair for pair in tried if len(pair) == 2), parts)


def _largest_two(lung: np.ndarray) -> list[np.ndarray]:
    """The two largest connected parts, the largest first, uint8 `[SIZE, SIZE]` each; fewer where there are fewer."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(lung.astype(np.uint8), connectivity=4)
    areas = stats[1:count, cv2.CC_STAT_AREA]
    largest = [int(k) for k in np.argsort(-areas, kind="stable")[:2] if areas[k] >= MIN_PART * lung.size]
    return [(labels == k + 1).astype(np.uint8) for k in largest]


def _tilt(parts: Sequence[np.ndarray], height: int, width: int) -> float:
    if len(parts) < 2:
        return 0.0
    (y0, x0), (y1, x1) = (np.argwhere(part).mean(0) for part in parts)
    return float(np.degrees(np.arctan2(abs(y1 - y0) * height, abs(x1 - x0) * width)))
