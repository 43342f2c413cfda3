"""A bundle against labelled images: every image screened as a user's would be, then measured."""

from __future__ import annotations

import csv
import dataclasses
import io
from pathlib import Path

import numpy as np

from pneumoscope.bundle import Bundle
from pneumoscope.core.dataset import Dataset
from pneumoscope.core.files import write_text
from pneumoscope.core.progress import Progress
from pneumoscope.core.result import Evaluation
from pneumoscope.errors import DataError
from pneumoscope.evaluate import metrics
from pneumoscope.runtime.screen import Screened, Screener


def assess(
    bundle: Bundle, dataset: Dataset, folder: Path, *, warnings: tuple[str, ...], progress: Progress
) -> Evaluation:
    """Screen the dataset, write predictions.csv into `folder`, and measure.

    Images that are refused count in no figure; how many were refused, and why, is a warning.

    Raises:
        DataError: every image refused.
    """
    names = dataset.classes.names
    results: list[Screened] = []
    paths = (Path(dataset.root) / s.file for s in dataset.samples)
    for i, result in enumerate(Screener(bundle).screen(paths, one_each=True, maps=False)):
        results.append(Screened(prediction=result.prediction))
        progress("screening", i + 1, len(dataset))
    _write(folder / "predictions.csv", dataset, results)
    answered = [i for i, r in enumerate(results) if r.prediction.accepted]
    refused = [r.prediction for r in results if not r.prediction.accepted]
    if not answered:
        raise DataError(f"--data: expected images that the bundle accepts, found none. {refused[0].reasons[0]}")
    if refused:
        # without the path: a file's name may be a patient's
        why = refused[0].reasons[0].removeprefix(refused[0].path).lstrip(" :,")
        warnings = (*warnings, f"{len(refused)} of {len(dataset)} images were refused, the first one for: {why}")
    samples = [dataset.samples[i] for i in answered]
    predictions = [results[i].prediction for i in answered]
    evaluation = metrics.evaluate(
        np.array([[p.probabilities[name] for name in names] for p in predictions]),
        np.array([names.index(s.label) for s in samples]),
        np.array([names.index(str(p.decision)) for p in predictions]),
        [s.group for s in samples],
        dataset.classes,
    )
    threshold = bundle.facts.threshold
    return dataclasses.replace(
        evaluation,
        thresholds=() if threshold is None else (threshold,),
        grouped=dataset.grouped,
        dataset=dataset.digest,
        left_out=dataset.left_out,
        warnings=(*evaluation.warnings, *warnings),
    )


def _write(path: Path, dataset: Dataset, results: list[Screened]) -> None:
    names = dataset.classes.names
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "patient", "fold", "label", "prediction", *(f"p_{name}" for name in names)])
    for sample, result in zip(dataset.samples, results, strict=True):
        p = result.prediction
        values = [f"{p.probabilities[name]:.6f}" for name in names] if p.accepted else [""] * len(names)
        writer.writerow([sample.file, sample.group, "", sample.label, p.decision or "refused", *values])
    write_text(path, text.getvalue())
