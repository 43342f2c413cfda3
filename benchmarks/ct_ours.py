"""Our side of ct_study.py: `Screener` from a folder to a screened study with maps, as the base install runs it.

Run: python ct_ours.py BUNDLE FOLDER [parts]   It prints JSON as the baselines do. Reading, preparing and the network
overlap; with `parts` each is done by itself instead, one after the other, to see where the time goes.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path

import numpy as np

from pneumoscope import bundle as bundles
from pneumoscope.io import load
from pneumoscope.prep import pipeline
from pneumoscope.runtime import engine, studies
from pneumoscope.runtime.screen import Screener

THREADS = int(os.environ.get("OMP_NUM_THREADS", "0"))  # which OpenVINO does not read


def parts(screener: Screener, folder: Path) -> dict[str, dict[str, float]]:
    """Wall and CPU seconds of each part by itself; what takes turns in `Screener` is done with nothing beside it."""
    told, last = {}, (time.perf_counter(), time.process_time())

    def lap(part: str) -> None:
        nonlocal last
        now = time.perf_counter(), time.process_time()
        told[part], last = {"wall": now[0] - last[0], "cpu": now[1] - last[1]}, now

    (found,) = load.discover(folder).found
    lap("discover")
    study = load.read(found)
    lap("read")
    count = studies.slice_count(study)
    prepared = [pipeline.run(studies.slice_image(study, i), screener.recipe.prep).pixels for i in range(count)]
    lap("prepare, one thread")
    runner = engine.of_bundle(screener.bundle, threads=THREADS)
    lap("load the graph again")
    answers = [runner.describe(np.stack(prepared[i : i + studies.BATCH])) for i in range(0, count, studies.BATCH)]
    lap("network")
    p, cams, features = (np.concatenate(part) for part in zip(*answers, strict=True))
    judged = studies.judge(studies.Described(p, cams, features), screener.recipe, screener.answerer.study_engine)
    lap("patient")
    chosen = studies.that_matter(p[:, int(judged.probabilities.argmax())], study.volume.geometry.spacing_mm[0])
    for number in chosen:
        prepared_slice = pipeline.run(study.volume.image(number), screener.recipe.prep)
        screener.answerer._explained(prepared_slice, cams[number], "covid")
    lap("maps")
    return told


def main() -> None:
    made, folder = Path(sys.argv[1]), Path(sys.argv[2])
    screener = Screener(bundles.load(str(made)), threads=THREADS)
    if sys.argv[3:] == ["parts"]:
        print(json.dumps(parts(screener, folder)))
        return
    height, width = pipeline.input_size(screener.recipe)
    screener.answerer.engine.describe(np.zeros((studies.BATCH, height, width), np.float32))
    start, cpu = time.perf_counter(), time.process_time()
    (screened,) = screener.screen([folder])
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    prediction = screened.prediction
    threads = f"{THREADS or 'all'} threads"
    told = {
        "seconds": seconds,
        "cpu": cpu,
        "whole_cpu": sum(resource.getrusage(resource.RUSAGE_SELF)[:2]),
        "study": list(prediction.probabilities.values()),
        "slices": [list(one.probabilities.values()) for one in prediction.slices],
        "maps": {one.number: one.explanation.map[::32, ::32].tolist() for one in screened.shown},
        "about": f"OpenVINO {engine.version()}, {screener.precision}, {threads}, batches of {studies.BATCH}",
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
