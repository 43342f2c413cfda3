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
from pneumoscope.core.comparison import REST
from pneumoscope.core.files import write_json
from pneumoscope.core.progress import Progress

PACKAGES = ("numpy", "opencv-python-headless", "pillow", "pydicom", "openvino", "torch", "torchvision", "timm", "onnx")

EVERY = 10.0  # seconds after which the time of a run that may be killed is kept


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
        self._seconds: Counter[str] = Counter(_seconds(path))

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


@contextlib.contextmanager
def whole(path: Path, progress: Progress) -> Iterator[Progress]:
    """Count all of the block's wall time in a run's environment.json: what its clock does not count is REST.

    path: environment.json. Yields `progress`; at times when it is told something the time is kept, too, so that a run
    which is killed loses little of it.
    """
    before = sum(_seconds(path).values())
    start = kept = time.monotonic()

    def keep() -> None:
        if not (path.parent / "recipe.json").exists():  # not a run yet, and a file here would not let it be one
            return
        facts = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        counted = {what: spent for what, spent in _seconds(path).items() if what != REST}
        rest = before + time.monotonic() - start - sum(counted.values())
        write_json(path, {**facts, "seconds": {**counted, REST: round(max(0.0, rest), 2)}})

    def report(what: str, done: int, total: int) -> None:
        nonlocal kept
        progress(what, done, total)
        if time.monotonic() - kept > EVERY:
            keep()
            kept = time.monotonic()

    try:
        yield report
    finally:
        keep()


def _seconds(path: Path) -> dict[str, float]:
    """What a run was spent on so far -> wall seconds."""
    return dict(json.loads(path.read_text(encoding="utf-8"))["seconds"]) if path.exists() else {}
