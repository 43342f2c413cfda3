"""Lung fields of a frontal chest X-ray, by a small U-Net of our own that ships with the package.

A field is what a reader outlines: consolidations and what lies behind the heart belong to it, as in the outlines of
V7 Labs that it was trained on (`tools/make_lungs.py`; figures and licences in assets/xray_lungs/card.json).
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from pneumoscope.core.serial import Mismatch, from_json, parse_json
from pneumoscope.errors import IntegrityError, UsageError
from pneumoscope.runtime.engine import Graph

SIZE = 160  # side of what the network takes; pictures of other shapes are stretched to it
BATCH = 16
GRAPH, CARD = "graph.onnx", "card.json"
FOLDER = Path(__file__).resolve().parents[1] / "assets" / "xray_lungs"

# standard deviation of brightness (0..1) below which a picture is even, and noise must not be stretched
MIN_CONTRAST = 0.02


def standardise(pixels: np.ndarray) -> np.ndarray:
    """What the network takes: `[H, W]` in 0..1, stretched to `[SIZE, SIZE]`, mean 0 and standard deviation 1."""
    height, width = pixels.shape
    how = cv2.INTER_AREA if min(height, width) > SIZE else cv2.INTER_LINEAR
    small = cv2.resize(pixels.astype(np.float32, copy=False), (SIZE, SIZE), interpolation=how)
    standard: np.ndarray = (small - small.mean()) / max(float(small.std()), MIN_CONTRAST)
    return standard.astype(np.float32, copy=False)
