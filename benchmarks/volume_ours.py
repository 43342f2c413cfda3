"""Our side of volume.py: xue2021's preparation of a volume, for a network.

Run: python volume_ours.py VOXELS OUT [METHOD]   As volume_naive.py. It prints JSON. The CPU time of a step is what
the preparation takes longer with it than without; the volume is in memory before the clock starts.
"""

import json
import resource
import sys
import time

import numpy as np

from pneumoscope.core.image import Geometry, Volume
from pneumoscope.core.stage import Step
from pneumoscope.prep.volume_steps import prepare_volume

SIZE = 224


def steps(method: str) -> tuple[Step, ...]:
    return (
        Step(name="grey"),
        Step(name="resample", args={"in_plane": 2.3, "slices": 0.5}),
        Step(name="fit", args={"size": SIZE}),
        Step(name="lung", args={"method": method}),
        Step(name="select", args={"share": 0.7}),
        Step(name="cube", args={"size": SIZE}),
    )


def main() -> None:
    voxels, wanted = np.load(sys.argv[1]), steps(sys.argv[3] if len(sys.argv) > 3 else "paper")
    volume = Volume(
        voxels=voxels,
        geometry=Geometry(spacing_mm=(300 / len(voxels), 0.7, 0.7)),
        slices=tuple(str(n) for n in range(len(voxels))),
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start, cpu = time.perf_counter(), time.process_time()
    cube = prepare_volume(volume, wanted)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    np.save(sys.argv[2], cube.values)
    parts, last = {}, 0.0
    for n in range(3, len(wanted) + 1):  # the resizes before are one
        start = time.process_time()
        prepare_volume(volume, wanted[:n])
        took = time.process_time() - start
        parts["grey, resample, fit" if n == 3 else wanted[n - 1].name], last = took - last, took
    kept = next(step.args for step in cube.steps if step.name == "select")
    found = [kept["first"], kept["first"] + kept["slices"] - 1]
    answer = {"seconds": seconds, "cpu": cpu, "parts": parts, "memory": memory, "added": memory - before, "kept": found}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
