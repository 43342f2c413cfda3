"""The check that a bundle carries: an input and the answer to it, from the machine where the bundle was made.

A single image, or, where volumes are judged, a small CT volume as one picture of its slices below each other.
"""

from __future__ import annotations

import cv2
import numpy as np

from pneumoscope import bundle as bundles
from pneumoscope.bundle import Bundle
from pneumoscope.core.image import Geometry, Image2D, Volume
from pneumoscope.core.study import Source, Study
from pneumoscope.errors import BundleError, IntegrityError
from pneumoscope.io import files
from pneumoscope.runtime import engine, studies, study_engine, volumes
from pneumoscope.runtime.engine import PrecisionName

# the stored check must come out on any machine: summation order differs, a wrong graph differs more
TOLERANCE = 1e-3
HU_STEP, LOWEST_HU = 8, -1024  # of a volume's grey levels
SPACING_MM = (12.0, 4.0, 4.0)  # of a volume: a chest in few voxels


def run_check(bundle: Bundle) -> float:
    """Run the check that the bundle carries; returns the largest difference of a probability.

    Raises:
        BundleError: a graph or a check that cannot be used.
        IntegrityError: another answer than the one stored.
    """
    expected = bundle.expected().probabilities
    data = bundle.read(bundles.CHECK_INPUT)
    if bundle.facts.recipe.of_volumes:
        found = volumes.judge(volumes.of_bundle(bundle), volume_of(data), bundle.facts.recipe).probabilities
    else:
        found = probabilities_of(bundle, files.read_image(data, bundles.CHECK_INPUT))
    names = bundle.facts.recipe.classes.names
    if set(expected) != set(names):
        raise IntegrityError(f"check: expected an answer for {', '.join(names)}, found one for {', '.join(expected)}.")
    difference = float(np.abs(found - [expected[name] for name in names]).max())
    if not difference <= TOLERANCE:  # a NaN is above nothing
        raise IntegrityError(
            f"check: expected the stored answer within {TOLERANCE}, found one {difference:.4f} away. "
            "Do not use this bundle on this machine; run: pneumoscope doctor"
        )
    return difference


def probabilities_of(bundle: Bundle, image: Image2D, *, precision: PrecisionName = "fp32") -> np.ndarray:
    """Class probabilities `[K]` of one image, without the gate; where studies are judged, as a study of one slice."""
    slices = engine.of_bundle(bundle, precision=precision)
    of_studies = study_engine.of_bundle(bundle, slices)
    study = Study(key="", source=Source(path="", format=""), images=(image,))
    recipe = bundle.facts.recipe
    return studies.judge(studies.describe(slices, study, recipe), recipe, of_studies).probabilities


def picture_of(voxels: np.ndarray) -> bytes:
    """A volume in HU `[Z, N, N]` as PNG `[Z * N, N]`, 8 bit."""
    levels = np.clip((voxels.astype(np.int32) - LOWEST_HU) // HU_STEP, 0, 255).astype(np.uint8)
    return cv2.imencode(".png", levels.reshape(-1, voxels.shape[2]))[1].tobytes()


def volume_of(data: bytes) -> Volume:
    """The volume that `picture_of` wrote.

    Raises:
        BundleError: another picture.
        InputError: no picture.
    """
    pixels = files.read_image(data, bundles.CHECK_INPUT).pixels
    height, side = pixels.shape
    if height % side or height < 2 * side:
        raise BundleError(
            f"{bundles.CHECK_INPUT}: expected square slices below each other, found {height} x {side}. Get the bundle "
            "again, or train it."
        )
    levels = np.rint(pixels * 255).astype(np.int16).reshape(-1, side, side)
    return Volume(
        voxels=levels * np.int16(HU_STEP) + np.int16(LOWEST_HU),
        geometry=Geometry(spacing_mm=SPACING_MM, origin_mm=(0, 0, 0), direction=(1, 0, 0, 0, 1, 0)),
        slices=tuple(str(z) for z in range(len(levels))),
    )
