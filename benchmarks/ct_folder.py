"""What both baselines of ct_study.py share: a folder of slices read and prepared as everybody writes it.

pydicom, slice by slice, sorted by position, in float64; scikit-image for the body mask. Garg 2021's preparation as
`pneumoscope` has it, and its resize (OpenCV's area average), so that all sides judge the same pixels.
"""

import json
import resource
import time
from pathlib import Path

import cv2
import numpy as np
import pydicom
from scipy import ndimage
from skimage import filters, measure

SIZE, CLASSES = 224, ("normal", "pneumonia", "covid")
GAUSSIAN = np.array([1, 4, 6, 4, 1]) / 16
MOST, APART_MM, LEAST = 6, 10.0, 0.5  # slices that matter, as pneumoscope chooses them


def read(folder: str) -> tuple[list[np.ndarray], float]:
    """Slices in HU from the feet, and millimetres from one to the next."""
    slices = [pydicom.dcmread(path) for path in Path(folder).iterdir()]
    slices.sort(key=lambda ds: float(ds.ImagePositionPatient[2]))
    volume = []
    for ds in slices:
        stored = ds.pixel_array.astype(np.float64)
        stored[stored == ds.PixelPaddingValue] = 0
        volume.append(stored * float(ds.RescaleSlope) + float(ds.RescaleIntercept))
    apart = float(slices[1].ImagePositionPatient[2]) - float(slices[0].ImagePositionPatient[2])
    return volume, apart


def prepare(hu: np.ndarray) -> np.ndarray:
    """A slice as the network takes it, float32 `[224, 224]` in 0..1."""
    # in float32 and by one factor, as pneumoscope rounds: a level more or less is a thousandth in an answer
    scale = np.float32(255 / (hu.max() - hu.min()))
    grey = ((hu - hu.min()).astype(np.float32) * scale).astype(np.uint8)
    # what skimage.filters.gaussian does inside, with OpenCV's five weights: another sigma moves the mask's edge
    rows = ndimage.correlate1d(grey.astype(np.float64), GAUSSIAN, 0, mode="mirror")
    smooth = (ndimage.correlate1d(rows, GAUSSIAN, 1, mode="mirror") + 0.5).astype(np.uint8)
    lit = smooth > filters.threshold_otsu(smooth[smooth > 0])
    labels = measure.label(lit)
    largest = max(measure.regionprops(labels), key=lambda region: region.area)
    body = ndimage.binary_fill_holes(labels == largest.label)
    bright = np.minimum(grey / 255 * body * 2, 1)
    return cv2.resize(bright, (SIZE, SIZE), interpolation=cv2.INTER_AREA).astype(np.float32)


def focus_of(slices: np.ndarray, study: np.ndarray) -> int:
    """The class that slices are looked through for, of their probabilities `[S, K]` and the study's `[K]`."""
    decided = int(study.argmax())
    return decided if decided else 1 + int(slices[:, 1:].max(axis=0).argmax())


def that_matter(values: np.ndarray, apart: float) -> list[int]:
    """The slices with the highest values, not too near to each other."""
    found: list[int] = []
    for number in np.argsort(-values, kind="stable").tolist():
        if len(found) == MOST or (found and values[number] < LEAST * values[found[0]]):
            break
        if all(abs(number - other) * apart >= APART_MM for other in found):
            found.append(number)
    return found


def over_slice(cam: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A Grad-CAM grid as a map in 0..1 over a slice as it was read."""
    values = cv2.resize(cv2.resize(cam, (SIZE, SIZE)), (shape[1], shape[0]))
    return values / max(values.max(), 1e-12)


class Clock:
    """Wall seconds of each part of the way, in turn, and CPU seconds of all of them."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = {}
        self.began = self.last = time.perf_counter()
        self.cpu = time.process_time()

    def lap(self, part: str) -> None:
        now = time.perf_counter()
        self.parts[part], self.last = now - self.last, now

    def answer(self, study: np.ndarray, slices: np.ndarray, maps: dict[int, np.ndarray], about: str) -> str:
        """What a side prints; of the maps every 32nd pixel."""
        seconds, cpu = time.perf_counter() - self.began, time.process_time() - self.cpu
        told = {
            "seconds": seconds,
            "cpu": cpu,
            "parts": self.parts,
            "whole_cpu": sum(resource.getrusage(resource.RUSAGE_SELF)[:2]),
            "study": study.tolist(),
            "slices": slices.tolist(),
            "maps": {number: map_[::32, ::32].tolist() for number, map_ in maps.items()},
            "about": about,
        }
        return json.dumps(told)
