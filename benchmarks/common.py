"""What the benchmarks share: bundles of a given network, and commands measured side by side.

Machines are noisy: variants take turns in one run and medians are compared; trust ratios, not seconds. Weights are
random, since speed does not depend on them; the answers of both sides are compared all the same.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from pneumoscope import api, phantoms

MAPPING = {"normal": "non-covid", "pneumonia": "non-covid"}


def bundle(work: Path, net: str) -> Path:
    """A bundle of szalay2021 on the backbone `net` with random weights; only its speed means anything."""
    out = work / f"run-{net}"
    if not (out / "bundle").exists():
        data = work / "data"
        if not data.exists():
            phantoms.write_xrays(data, patients=18, seed=1, size=128)
        overrides = {
            "stages.head.net": net,
            "stages.head.init": "random",
            "stages.head.epochs": "1",
            "protocols.honest.folds": "2",
        }
        api.train("szalay2021", [data], out=out, mapping=MAPPING, overrides=overrides)
    return out / "bundle"


def xrays(work: Path, count: int) -> list[Path]:
    """Synthetic X-rays as 1024 x 1024 PNG files, the size of the public sets."""
    folder = work / "xrays"
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{i:03d}.png" for i in range(count)]
    for i, path in enumerate(paths):
        if not path.exists():
            phantoms.write_png(phantoms.make_xray(phantoms.XRAY_LABELS[i % 3], seed=i, size=1024), path)
    return paths


def measured(command: Sequence[str]) -> tuple[float, float, str]:
    """Wall seconds, peak memory in MB and stdout of a command in a fresh process."""
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        out = process.stdout.read() if process.stdout else ""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: exit {process.returncode}")
    return time.perf_counter() - start, usage.ru_maxrss / 1024, out


def side_by_side(commands: Mapping[str, Sequence[str]], rounds: int) -> dict[str, tuple[float, float, str]]:
    """Median wall seconds and memory of each command, run in turns, and its last output. The first round is dropped."""
    found: dict[str, list[tuple[float, float, str]]] = {name: [] for name in commands}
    for i in range(rounds + 1):
        for name, command in commands.items():
            result = measured(command)
            if i:
                found[name].append(result)
    return {
        name: (statistics.median(r[0] for r in rs), statistics.median(r[1] for r in rs), rs[-1][2])
        for name, rs in found.items()
    }


def covid(out: str) -> list[float]:
    """The covid probabilities in the JSON that either side prints."""
    return [p["probabilities"]["covid"] for p in json.loads(out)]


def machine() -> str:
    """What it ran on, in words."""
    import numpy as np
    import openvino
    import torch

    name = platform.processor() or platform.machine()
    cpu = Path("/proc/cpuinfo")
    if cpu.exists():
        name = next((x.split(":")[1].strip() for x in cpu.read_text().splitlines() if "model name" in x), name)
    versions = f"torch {torch.__version__}, OpenVINO {openvino.__version__.split('-')[0]}, NumPy {np.__version__}"
    return f"{os.cpu_count()} cores of {name}; Python {platform.python_version()}, {versions}"


PNEUMOSCOPE = [sys.executable, "-m", "pneumoscope.app.cli", "predict"]
EAGER = [sys.executable, str(Path(__file__).with_name("eager.py"))]
