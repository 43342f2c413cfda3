"""What a run ran on, for environment.json: enough to repeat it, nothing about who or where."""

from __future__ import annotations

import os
import platform
from importlib import metadata

import pneumoscope

PACKAGES = ("numpy", "opencv-python-headless", "pillow", "pydicom", "openvino", "torch", "torchvision", "timm", "onnx")


def environment(*, kept_memory: bool) -> dict[str, object]:
    """Versions, machine and settings as plain JSON values."""
    import torch

    installed = {d.metadata["Name"].lower(): d.version for d in metadata.distributions() if d.metadata["Name"]}
    return {
        "pneumoscope": pneumoscope.__version__,
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "allocator_keeps_memory": kept_memory,
        "packages": {name: installed[name] for name in PACKAGES if name in installed},
    }
