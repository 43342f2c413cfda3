"""The exported graph on OpenVINO: precision set, threads set, telemetry off.

`import openvino` sends an event unless its telemetry package is absent (shared reference speed.md), and OpenVINO
chooses bf16 by itself on CPUs that have it; both are prevented here, and openvino is imported nowhere else.
"""

from __future__ import annotations

import sys
from typing import Any, Literal

import numpy as np

from pneumoscope.errors import UsageError

PrecisionName = Literal["fp32", "bf16"]
_TYPES = {"fp32": "f32", "bf16": "bf16"}


def _openvino() -> Any:
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


class Engine:
    """A compiled screening graph: grey 0..1 images in, probabilities and Grad-CAM maps out.

    threads: CPU threads, 0 for all cores.

    Raises:
        UsageError: a precision that this CPU does not compute in.
    """

    def __init__(self, graph: bytes, *, precision: PrecisionName = "fp32", threads: int = 0) -> None:
        if precision not in supported_precisions():
            raise UsageError(f"--precision: expected one that this CPU has, found '{precision}'. Use fp32.")
        openvino = _openvino()
        core = openvino.Core()
        settings = {
            "INFERENCE_PRECISION_HINT": _TYPES[precision],
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
        }
        self._compiled = core.compile_model(core.read_model(graph), "CPU", settings)
        self._request = self._compiled.create_infer_request()

    def run(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`(probabilities [N, K], Grad-CAM [N, K, h, w])`, float32, of float32 images `[N, H, W]` in 0..1."""
        x = np.ascontiguousarray(images[:, np.newaxis], dtype=np.float32)
        self._request.infer([x], share_inputs=True)
        probabilities, cam = (self._request.get_output_tensor(i).data.copy() for i in (0, 1))
        return probabilities, cam


def supported_precisions() -> tuple[PrecisionName, ...]:
    """What this CPU computes in: always fp32, and bf16 where the hardware has it (elsewhere it would be ignored)."""
    capabilities = _openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return ("fp32", "bf16") if "BF16" in capabilities else ("fp32",)


def version() -> str:
    """OpenVINO's version."""
    return str(_openvino().__version__)
