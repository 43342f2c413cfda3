"""What a run ran on, for environment.json: enough to repeat it, nothing about who or where."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path

import pneumoscope
from pneumoscope.core.files import write_json

PACKAGES = ("numpy", "opencv-python-headless", "pillow", "pydicom", "openvino", "torch", "torchvision", "timm", "onnx")


def environment(*, kept_memory: bool) -> dict[str, object]:
    """Versions, machine and settings as plain JSON values."""
    import torch

    from pneumoscope.train.loop import bf16_is_fast

    installed = {d.metadata["Name"].lower(): d.version for d in metadata.distributions() if d.metadata["Name"]}
    return {
        "pneumoscope": pneumoscope.__version__,
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "allocator_keeps_memory": kept_memory,
        "training_precision": "bf16 autocast; heads on cached features in fp32" if bf16_is_fast() else "fp32",
        "packages": {name: installed[name] for name in PACKAGES if name in installed},
    }


class Clock:
    """Wall seconds of a run by what they were spent on, added up over the calls that resumed it.

    path: environment.json, written by `save`; what a killed call spent since its last fold is not in it.
    """

    def __init__(self, path: Path, facts: Mapping[str, object]) -> None:
        self._path, self._facts = path, facts
        before = json.loads(path.read_text(encoding="utf-8"))["seconds"] if path.exists() else {}
        self._seconds: Counter[str] = Counter(before)

    @contextlib.contextmanager
    def of(self, what: str) -> Iterator[None]:
        """Count the block's time as spent on `what`."""
        start = time.monotonic()
        try:
            yield
        finally:
            self._seconds[what] += time.monotonic() - start  # type: ignore[assignment]

    @property
    def seconds(self) -> dict[str, float]:
        """What was done -> wall seconds, of all calls together."""
        return {what: round(spent, 2) for what, spent in sorted(self._seconds.items())}

    def save(self) -> None:
        """Write environment.json."""
        write_json(self._path, {**self._facts, "seconds": self.seconds})
