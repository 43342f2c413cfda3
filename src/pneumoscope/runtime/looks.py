"""What a picture itself looks like: a chest X-ray, a slice of a chest CT, or neither; and how it is turned.

A small network of ours, in the package and verified by its hash; tools/make_gate.py trains it, and gate.json beside it
says on what. It looks at 96 x 96 pixels: enough for what a picture is of, too few for what a chest has.
"""

from __future__ import annotations

import functools
import hashlib
import json
import threading
from importlib import resources
from importlib.resources.abc import Traversable
from typing import NamedTuple

import cv2
import numpy as np

from pneumoscope.core.image import Image2D
from pneumoscope.errors import IntegrityError
from pneumoscope.runtime.engine import Graph

SIDE = 96
KINDS = ("frontal", "lateral", "ct", "other")
TURNS = (0, 90, 180, 270)  # degrees that a picture was turned by, counter-clockwise
LOW_HU, HIGH_HU = -1000.0, 400.0  # of a slice in HU: from air to bone
TAILS = (1.0, 99.0)  # percentiles of brightness that are black and white
_ONE_AT_A_TIME = threading.Lock()


class Look(NamedTuple):
    """What one picture looks like.

    kinds: kind -> probability. turns: degrees -> probability. negative: probability that black and white are swapped;
    the last two mean something for chest images alone.
    """

    kinds: dict[str, float]
    turns: dict[int, float]
    negative: float


def make_ready() -> None:
    """Compile the network now, before several threads ask for it.

    Raises:
        IntegrityError: a network whose bytes changed.
    """
    with _ONE_AT_A_TIME:
        _graph()


def look(image: Image2D) -> Look:
    """What an image looks like.

    Raises:
        IntegrityError: a network whose bytes changed.
    """
    x = np.ascontiguousarray(shrunk(grey(image))[np.newaxis, np.newaxis])
    with _ONE_AT_A_TIME:  # images are read in several threads, and two must not compile the graph at once
        kinds, turns, negative = _graph().infer([x], 3, f"a graph that runs on {SIDE} x {SIDE} pixels")
    return Look(
        dict(zip(KINDS, kinds[0].tolist(), strict=True)),
        dict(zip(TURNS, turns[0].tolist(), strict=True)),
        float(negative[0, 0]),
    )


def grey(image: Image2D) -> np.ndarray:
    """The pixels as brightness 0..1, float32 `[H, W]`."""
    if image.unit == "unit":
        return image.pixels
    return np.asarray(np.clip((image.pixels - LOW_HU) / (HIGH_HU - LOW_HU), 0, 1), dtype=np.float32)


def shrunk(pixels: np.ndarray) -> np.ndarray:
    """What the network takes: the picture, whatever its form, as a square, and its brightness stretched over 0..1."""
    small = np.asarray(cv2.resize(pixels, (SIDE, SIDE), interpolation=cv2.INTER_AREA), dtype=np.float32)
    low, high = np.percentile(small, TAILS)
    return np.asarray(np.clip((small - low) / max(float(high - low), 1e-3), 0, 1), dtype=np.float32)


def digest() -> str:
    """SHA-256 of the network: another one may answer otherwise."""
    return str(json.loads((_folder() / "gate.json").read_text(encoding="utf-8"))["sha256"])


def _folder() -> Traversable:
    return resources.files("pneumoscope") / "assets" / "gate"


@functools.cache
def _graph() -> Graph:
    data = (_folder() / "gate.onnx").read_bytes()
    wanted, found = digest(), hashlib.sha256(data).hexdigest()
    if found != wanted:
        raise IntegrityError(
            f"gate.onnx: expected SHA-256 {wanted[:16]}, found {found[:16]}. Install pneumoscope again."
        )
    return Graph(data, name="gate.onnx", threads=1)
