"""Training a head on cached features against computing the frozen backbone's features anew each epoch.

Run: python benchmarks/head.py WORK [NET]   Both sides: our trainer, the allocator setting and channels_last; the
slow side differs only in an augmentation that does nothing, which forbids the cache.
"""

from __future__ import annotations

import dataclasses
import shutil
import sys
import time
from pathlib import Path

from pneumoscope.train.allocator import keep_memory

kept = keep_memory()  # before torch

from common import MAPPING, machine  # noqa: E402

from pneumoscope import phantoms  # noqa: E402
from pneumoscope.core.progress import silent  # noqa: E402
from pneumoscope.core.recipe import Step  # noqa: E402
from pneumoscope.core.resolve import resolve  # noqa: E402
from pneumoscope.io.manifest import read_dataset  # noqa: E402
from pneumoscope.recipes import find  # noqa: E402
from pneumoscope.train.bench import Bench  # noqa: E402
from pneumoscope.train.data import prepare  # noqa: E402
from pneumoscope.train.environment import Clock  # noqa: E402
from pneumoscope.train.stages import fit_stages  # noqa: E402

EPOCHS = 5
NOTHING = Step(name="flip", args={"probability": 0.0})

work, net = Path(sys.argv[1]) / "head", sys.argv[2] if len(sys.argv) > 2 else "vgg16"
shutil.rmtree(work, ignore_errors=True)
data = phantoms.write_xrays(work / "data", patients=90, seed=1, size=256)
overrides = {"stages.head.net": net, "stages.head.init": "random", "stages.head.epochs": str(EPOCHS)}
cached = resolve(find("szalay2021")[0], overrides=overrides)
anew = dataclasses.replace(cached, stages=(dataclasses.replace(cached.stages[0], augment=(NOTHING,)),))
dataset = read_dataset(data, cached.classes, mapping=MAPPING)
prepared = prepare(dataset, cached, work / "prepared", silent)
train, val = list(range(96)), list(range(96, len(dataset)))
print(f"{machine()}; {net}, {len(train)} + {len(val)} images, {EPOCHS} epochs, allocator kept: {kept}\n")

seconds = {}
for name, recipe in (("cached, first time", cached), ("cached, found again", cached), ("computed each epoch", anew)):
    bench = Bench(
        recipe=recipe,
        data={"main": prepared},
        parts={},
        out=work,
        cache=work / "cache",
        weights_dir=None,
        progress=silent,
        clock=Clock(work / "environment.json", {}),
    )
    start = time.perf_counter()
    fit_stages(bench, train, val, work / name.replace(" ", "-"), fold=0, what=name)
    seconds[name] = time.perf_counter() - start
print("| features | seconds | times faster |\n| --- | --- | --- |")
for name, taken in seconds.items():
    print(f"| {name} | {taken:.2f} | {seconds['computed each epoch'] / taken:.1f} |")
