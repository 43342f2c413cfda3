"""The demo: synthetic patients through the real software. Nothing it shows says anything about real patients."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from pneumoscope import api, phantoms
from pneumoscope.core.files import new_folder
from pneumoscope.core.progress import Progress
from pneumoscope.core.result import Prediction
from pneumoscope.core.serial import from_json

BUILT_IN = "phantom"
# seeds of the patients that are screened; training draws its own from other seeds
SCREENED_SEED = 9_000_000
LABELS = ("normal", "pneumonia", "covid")
TRAINING_SEED = 1
TESTING_SEED = 2
# a CNN small enough to learn the phantoms in a few minutes on two cores
OVERRIDES = {
    "prep.resize.size": "96",
    "stages.head.epochs": "24",
    "stages.head.optim.lr": "0.002",
    "protocols.honest.folds": "3",
}
MAPPING = {"normal": "non-covid", "pneumonia": "non-covid"}
RECIPE = "szalay2021:cnn"


def screening(out: Path, *, progress: Progress, bundle: str = BUILT_IN) -> list[Prediction]:
    """Make six synthetic patients under `out`, screen them, and write `out`/screening/report.html.

    What is there already is not made again.

    Raises:
        UsageError: `out` is in use by something else.
    """
    if not (out / "patients").exists():
        with new_folder(out / "patients") as folder:
            _patients(folder, progress)
    done = out / "screening" / "predictions.json"
    if done.exists():
        return [from_json(Prediction, p) for p in json.loads(done.read_text(encoding="utf-8"))]
    paths = sorted((out / "patients").iterdir())
    return api.predict(bundle, paths, out=out / "screening", explain=True, progress=progress)


def _patients(folder: Path, progress: Progress) -> None:
    for i in range(2 * len(LABELS)):
        label = LABELS[i % len(LABELS)]
        phantom = phantoms.make_xray(label, seed=SCREENED_SEED + i)
        name = f"patient{i + 1}-{label}." + ("dcm" if i >= len(LABELS) else "png")
        if name.endswith("png"):
            phantoms.write_png(phantom, folder / name)
        else:
            phantoms.write_dicom(phantom, folder / name, seed=i)
        progress("making patients", i + 1, 2 * len(LABELS))


def with_training(
    out: Path, *, progress: Progress, say: Callable[[str], None], patients: int = 500
) -> list[Prediction]:
    """The whole way: make patients, check the split, train, evaluate, export, measure on new patients, screen.

    Raises:
        UsageError: `out` is in use by something else.
        MissingError: the extra [train] is not installed.
    """
    say("making synthetic patients")
    for name, seed, count in (("training", TRAINING_SEED, patients), ("testing", TESTING_SEED, patients // 3)):
        if not (out / name).exists():
            phantoms.write_xrays(out / name, patients=count, seed=seed, size=256)
    say(f"training {RECIPE}")
    api.train(
        RECIPE,
        [out / "training"],
        out=out / "run",
        mapping=MAPPING,
        overrides=OVERRIDES,
        progress=progress,
        say=say,
    )
    bundle = str(out / "run" / "bundle")
    say("measuring the bundle on patients that it has not seen")
    if not (out / "evaluation").exists():
        api.evaluate(bundle, [out / "testing"], out=out / "evaluation", mapping=MAPPING, progress=progress)
    say(f"run: {out / 'run' / 'report.html'}  new patients: {out / 'evaluation' / 'report.html'}")
    return screening(out, progress=progress, bundle=bundle)
