"""A bundle against labelled images: every image screened as a user's would be, then measured."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pneumoscope.bundle import Bundle
from pneumoscope.core.dataset import Dataset
from pneumoscope.core.files import write_text
from pneumoscope.core.progress import Progress
from pneumoscope.core.recipe import Decision
from pneumoscope.core.result import Evaluation
from pneumoscope.errors import DataError
from pneumoscope.evaluate import metrics, thresholds
from pneumoscope.evaluate.parts import by_part
from pneumoscope.runtime.screen import Screened, Screener


def assess(
    bundle: Bundle,
    dataset: Dataset,
    folder: Path,
    *,
    warnings: tuple[str, ...],
    progress: Progress,
    at: Sequence[Decision] = (),
) -> Evaluation:
    """Screen the dataset, write predictions.csv into `folder`, and measure.

    Images that are refused count in no figure; how many were refused, and why, is a warning. at: fixed thresholds to
    study, too.

    Raises:
        DataError: every image refused.
    """
    results: list[Screened] = []
    paths = (Path(dataset.root) / s.file for s in dataset.samples)
    for i, result in enumerate(Screener(bundle).screen(paths, one_each=True, maps=False)):
        results.append(Screened(prediction=result.prediction, modality=result.modality))
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
    evaluation = _measured(bundle, dataset, results, answered, at)
    return dataclasses.replace(
        evaluation,
        grouped=dataset.grouped,
        dataset=dataset.digest,
        left_out=dataset.left_out,
        warnings=(*evaluation.warnings, *warnings),
    )


def _measured(
    bundle: Bundle, dataset: Dataset, results: Sequence[Screened], answered: Sequence[int], at: Sequence[Decision]
) -> Evaluation:
    """Figures of the images at these positions, all of which have answers."""
    names, classes, threshold = dataset.classes.names, dataset.classes, bundle.facts.threshold
    # what a file says of itself comes before what labels.csv says of it
    samples = [
        dataclasses.replace(dataset.samples[i], modality=results[i].modality or dataset.samples[i].modality)
        for i in answered
    ]
    predictions = [results[i].prediction for i in answered]
    p = np.array([[one.probabilities[name] for name in names] for one in predictions])
    truth = np.array([names.index(s.label) for s in samples])
    decisions = np.array([names.index(str(one.decision)) for one in predictions])
    groups = [s.group for s in samples]
    found = thresholds.of_bundle(bundle.facts.recipe.decision, threshold, at)
    return dataclasses.replace(
        metrics.evaluate(p, truth, decisions, groups, classes),
        thresholds=() if threshold is None else (threshold,),
        parts=by_part(samples, p, truth, decisions, classes),
        studied=thresholds.study(found, p, truth, groups, classes, folds=np.zeros(len(samples), dtype=np.int64)),
        histogram=thresholds.histogram(p, truth, classes),
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
