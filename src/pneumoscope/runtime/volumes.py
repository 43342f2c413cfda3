"""A CT volume judged as a whole by a 3D network: what it answers, and where in the scan it looked (Xue 2021)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pneumoscope import bundle as bundles
from pneumoscope.bundle import Bundle
from pneumoscope.core.image import Volume
from pneumoscope.core.recipe import Recipe
from pneumoscope.core.result import Explanation
from pneumoscope.core.voxels import Voxels
from pneumoscope.prep.sizes import input_size
from pneumoscope.prep.volume_steps import prepare_volume, to_source_volume
from pneumoscope.runtime.engine import PrecisionName
from pneumoscope.runtime.volume_engine import VolumeEngine


class Judged(NamedTuple):
    """The answer for a volume. probabilities: `[K]`. cam: `[K, d, h, w]` over `prepared`."""

    probabilities: np.ndarray
    cam: np.ndarray
    prepared: Voxels


def of_bundle(bundle: Bundle, *, precision: PrecisionName = "fp32", threads: int = 0) -> VolumeEngine:
    """A bundle's graph of volumes, compiled, once it is seen to fit the bundle's recipe.

    Raises:
        BundleError: a graph that does not run, or that does not fit.
        IntegrityError: a graph whose bytes changed.
    """
    recipe = bundle.facts.recipe
    engine = VolumeEngine(bundle.read(bundles.GRAPH), precision=precision, threads=threads)
    depth, height, width = input_size(recipe)
    engine.require((depth, height, width), len(recipe.classes.names))
    return engine


def judge(engine: VolumeEngine, volume: Volume, recipe: Recipe) -> Judged:
    """What the network says of a volume.

    Raises:
        InputError: a volume without lungs, or with too little of them.
    """
    prepared = prepare_volume(volume, recipe.prep)
    probabilities, cam = engine.run(prepared.values)
    return Judged(probabilities, cam, prepared)


def explain(judged: Judged, of_class: int, shape: tuple[int, int, int], *, layer: str, target: str) -> Explanation:
    """Where the network looked for a class, over the scan of `shape`."""
    values = np.clip(to_source_volume(judged.cam[of_class], judged.prepared, shape), 0, None)
    highest = float(values.max())
    if highest > 0:
        values /= np.float32(highest)
    return Explanation(method="grad-cam", layer=layer, target=target, map=values)
