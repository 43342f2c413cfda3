"""The exported graph of a 3D network on OpenVINO: one prepared volume -> probabilities and Grad-CAM (Xue 2021)."""

from __future__ import annotations

import numpy as np

from pneumoscope import bundle as bundles
from pneumoscope.runtime.engine import Graph, PrecisionName


class VolumeEngine(Graph):
    """A compiled screening graph of volumes; see `engine.Graph`."""

    def __init__(self, graph: bytes, *, precision: PrecisionName = "fp32", threads: int = 0) -> None:
        super().__init__(graph, name=bundles.GRAPH, precision=precision, threads=threads)

    def run(self, volume: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`(probabilities [K], Grad-CAM [K, d, h, w])`, float32, of one float32 volume `[D, H, W]` in 0..1.

        Raises:
            BundleError: a graph that fails on the volume, or answers in another form.
        """
        x = np.ascontiguousarray(volume[np.newaxis, np.newaxis], dtype=np.float32)
        depth, height, width = volume.shape
        probabilities, cam = self.infer([x], 2, f"a graph that runs on {depth} x {height} x {width} voxels")
        if probabilities.ndim != 2 or len(probabilities) != 1:
            raise self.unfit("probabilities [1, K]", f"{probabilities.shape}")
        if cam.ndim != 5 or cam.shape[:2] != probabilities.shape or 0 in cam.shape:
            raise self.unfit("answers [1, K] and [1, K, d, h, w]", f"{probabilities.shape} and {cam.shape}")
        return probabilities[0], cam[0]

    def require(self, shape: tuple[int, int, int], classes: int) -> None:
        """Check that the graph takes volumes `[D, H, W]` of this shape and answers for so many classes.

        Raises:
            BundleError: another input or other outputs.
        """
        self.require_ports(((-1, 1, *shape),), ((-1, classes), (-1, classes, -1, -1, -1)))
