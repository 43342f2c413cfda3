"""A volume prepared as Xue 2021 does, 300 slices of 512 x 512 to 224^3: pneumoscope beside SciPy + scikit-image.

Run: python benchmarks/volume.py WORK [ROUNDS [SLICES]]   Goal: 10 times. Where the machine is shared, set
OMP_NUM_THREADS=1 and compare the CPU seconds. The naive side interpolates with SciPy's spline, ours with Keys' cubic as
the paper's MATLAB does: how far the cubes are apart is told. tests/prep hold ours to oracles of its own kind.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
from common import machine
from ct_study import torch_side

from pneumoscope import phantoms

HERE = Path(__file__).parent


def phantom(work: Path, slices: int) -> Path:
    """The voxels of a phantom study."""
    file = work / f"voxels-{slices}.npy"
    if not file.exists():
        work.mkdir(parents=True, exist_ok=True)
        np.save(file, phantoms.phantom_ct("covid", 1, size=512, slices=slices).voxels)
    return file


def main() -> None:
    work, rounds = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 3
    voxels = phantom(work, int(sys.argv[3]) if len(sys.argv) > 3 else 300)
    python, cubes = torch_side(work), {name: work / f"cube-{name}.npy" for name in ("ours", "naive", "filled")}
    base = os.environ.get("BASE_PYTHON", sys.executable)
    sides = {
        "pneumoscope": [base, HERE / "volume_ours.py", voxels, cubes["ours"]],
        "pneumoscope, method ours": [base, HERE / "volume_ours.py", voxels, cubes["filled"], "ours"],
        "SciPy + scikit-image": [python, HERE / "volume_naive.py", voxels, cubes["naive"]],
    }
    found: dict[str, list[dict]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, command in sides.items():
            found[name].append(json.loads(subprocess.check_output(command)))
    print(f"{machine()}; load {os.getloadavg()[0]:.1f}, medians of {rounds}\n")
    print("| | s | CPU s | times ours | CPU | MB | slices |\n| --- | --- | --- | --- | --- | --- | --- |")

    def median(name: str, key: str) -> float:
        return statistics.median(answer[key] for answer in found[name])

    for name, answers in found.items():
        wall, cpu = (median(name, key) / median("pneumoscope", key) for key in ("seconds", "cpu"))
        print(
            f"| {name} | {median(name, 'seconds'):.2f} | {median(name, 'cpu'):.2f} | {wall:.1f} | {cpu:.1f} "
            f"| {median(name, 'memory'):.0f} | {answers[0]['kept'][0]} to {answers[0]['kept'][1]} |"
        )
    for name, answers in found.items():
        parts = {part: statistics.median(a["parts"][part] for a in answers) for part in answers[0]["parts"]}
        print(f"\n{name}, CPU s: " + ", ".join(f"{part} {seconds:.2f}" for part, seconds in parts.items()))
    ours, naive = (np.load(cubes[name]) for name in ("ours", "naive"))
    apart, lung = np.abs(ours - naive), (ours > 0) & (naive > 0)
    print(
        f"\nmemory added to the volume: {median('pneumoscope', 'added'):.0f} MB; cubes apart by {apart.mean():.4f} on "
        f"average, in lung of both {apart[lung].mean():.4f}, 95 % below {np.percentile(apart[lung], 95):.4f}"
    )


if __name__ == "__main__":
    main()
