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
from importlib import metadata
from pathlib import Path

from pneumoscope import phantoms

CLI = [sys.executable, "-m", "pneumoscope.app.cli"]
MAPPING = {"normal": "non-covid", "pneumonia": "non-covid"}


def bundle(work: Path, net: str) -> Path:
    """A bundle of szalay2021 on the backbone `net` with random weights; only its speed means anything.

    Made in a process of its own: a child's peak memory starts at that of the process that makes it, so the one that
    measures must stay small.
    """
    out = work / f"run-{net}"
    if not (out / "bundle").exists():
        data = work / "data"
        if not data.exists():
            phantoms.write_xrays(data, patients=18, seed=1, size=128)
        settings = (f"net={net}", "init=random", "epochs=1")
        command = ["train", "szalay2021", "--data", str(data), "--out", str(out), "--set=protocols.honest.folds=2"]
        command += [f"--set=stages.head.{s}" for s in settings] + [f"--map={k}={v}" for k, v in MAPPING.items()]
        subprocess.run([*CLI, *command], check=True, capture_output=True)
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
    name = platform.processor() or platform.machine()
    cpu = Path("/proc/cpuinfo")
    if cpu.exists():
        name = next((x.split(":")[1].strip() for x in cpu.read_text().splitlines() if "model name" in x), name)
    versions = ", ".join(f"{p} {metadata.version(p)}" for p in ("torch", "timm", "openvino", "numpy"))
    return f"{os.cpu_count()} cores of {name}; Python {platform.python_version()}, {versions}"


# a user who only screens has the base install: name its Python in BASE_PYTHON
PNEUMOSCOPE = [os.environ.get("BASE_PYTHON", sys.executable), "-m", "pneumoscope.app.cli", "predict"]
EAGER = [sys.executable, str(Path(__file__).with_name("eager.py"))]
