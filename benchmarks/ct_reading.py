"""300 uncompressed slices of 512 x 512 into one int16 block in HU, in order: pneumoscope, pydicom and SimpleITK.

Run: python benchmarks/ct_reading.py WORK [ROUNDS]   The files are in the system's cache. One process for all but
pneumoscope, which runs as it is installed; rounds take turns. pneumoscope's "find" is looking through the folder:
every header, which series is read, in what order; its "read" takes what was found.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path


def once(what: Callable[[], object]) -> tuple[float, float]:
    start, cpu = time.perf_counter(), time.process_time()
    what()
    return time.perf_counter() - start, time.process_time() - cpu


def ours(folder: Path) -> dict[str, tuple[float, float]]:
    from pneumoscope.io import load

    load.discover(folder)  # imports
    found = []
    find = once(lambda: found.append(load.discover(folder).found[0]))
    read = once(lambda: load.read(found[0]))
    both = find[0] + read[0], find[1] + read[1]
    return {"pneumoscope, find": find, "pneumoscope, read": read, "pneumoscope, both": both}


def theirs(folder: Path) -> dict[str, tuple[float, float]]:
    import numpy as np
    import pydicom
    import SimpleITK

    def ordered():
        slices = [pydicom.dcmread(path) for path in folder.iterdir()]
        return sorted(slices, key=lambda ds: float(ds.ImagePositionPatient[2]))

    def one_by_one():
        """What is written where memory is thought of: int16, slice by slice into one block."""
        slices = ordered()
        block = np.empty((len(slices), slices[0].Rows, slices[0].Columns), np.int16)
        for out, ds in zip(block, slices, strict=True):
            np.add(ds.pixel_array, np.int16(ds.RescaleIntercept), out=out)
        return block

    def in_floats():
        """What most tutorials write."""
        scaled = [ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept) for ds in ordered()]
        return np.stack(scaled).astype(np.int16)

    def itk():
        reader = SimpleITK.ImageSeriesReader()
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
        return SimpleITK.GetArrayFromImage(reader.Execute())

    blocks = [one_by_one(), in_floats(), itk()]
    if not all(np.array_equal(block, blocks[0]) for block in blocks):
        raise RuntimeError("expected the same voxels of all readers, found others.")
    return {
        "pydicom, int16": once(one_by_one),
        "pydicom, floats": once(in_floats),
        "SimpleITK": once(itk),
    }


def main() -> None:
    from common import machine
    from ct_study import torch_side

    work, rounds = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 5
    subprocess.run([sys.executable, Path(__file__).with_name("ct_bundle.py"), work, "300"], check=True)
    found: dict[str, list[list[float]]] = {}
    for _ in range(rounds):
        for python in (os.environ.get("BASE_PYTHON", sys.executable), torch_side(work)):
            side = "ours" if python != torch_side(work) else "theirs"
            out = subprocess.check_output([python, __file__, side, work / "study-300"])
            for name, seconds in json.loads(out).items():
                found.setdefault(name, []).append(seconds)
    print(f"{machine()}; medians of {rounds}, one slice after the other\n\n| | s | CPU s |\n| --- | --- | --- |")
    for name, seconds in found.items():
        wall, cpu = (statistics.median(part) for part in zip(*seconds, strict=True))
        print(f"| {name} | {wall:.2f} | {cpu:.2f} |")


if __name__ == "__main__":
    if sys.argv[1] in ("ours", "theirs"):
        print(json.dumps({"ours": ours, "theirs": theirs}[sys.argv[1]](Path(sys.argv[2]))))
    else:
        main()
