"""A bundle against labelled images or studies: each screened as a user's would be, then measured.

A study is a series, or, where a set holds single slices, all slices of one patient, as it is in training.
"""

from __future__ import annotations

import csv
import dataclasses
import io
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from pneumoscope.bundle import Bundle
from pneumoscope.core.dataset import ClassSet, Dataset, Sample
from pneumoscope.core.files import write_text
from pneumoscope.core.progress import Progress
from pneumoscope.core.recipe import Decision
from pneumoscope.core.result import Evaluation
from pneumoscope.errors import DataError, PneumoscopeError
from pneumoscope.evaluate import benefit, metrics, thresholds
from pneumoscope.evaluate.crossfit import Known
from pneumoscope.evaluate.parts import by_part
from pneumoscope.io import load
from pneumoscope.runtime import trusting
from pneumoscope.runtime.screen import Screener
from pneumoscope.runtime.screened import Screened


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

    What is refused counts in no figure; how many were, and why, is a warning. at: fixed thresholds to
    study, too.

    Raises:
        DataError: every image refused.
    """
    screener = Screener(bundle)
    screened = _studies if bundle.facts.recipe.members else _images
    samples, results = [], []
    for i, (sample, result) in enumerate(screened(screener, dataset)):
        samples.append(sample)
        results.append(Screened(prediction=result.prediction, modality=result.modality))
        progress("screening", i + 1, 0 if bundle.facts.recipe.members else len(dataset))
    _write(folder / "predictions.csv", samples, dataset.classes.names, results)
    answered = [i for i, r in enumerate(results) if r.prediction.accepted]
    refused = [r.prediction for r in results if not r.prediction.accepted]
    # without the path: a file's name may be a patient's
    why = refused[0].reasons[0].removeprefix(refused[0].path).lstrip(" :,") if refused else ""
    if not answered:
        raise DataError(f"--data: expected images that the bundle accepts, found none. {why}")
    if refused:
        what = "studies" if bundle.facts.recipe.members else "images"
        warnings = (*warnings, f"{len(refused)} of {len(results)} {what} were refused, the first one for: {why}")
    judged = [(samples[i], results[i]) for i in answered]
    evaluation = _measured(bundle, judged, dataset.classes, at)
    return dataclasses.replace(
        evaluation,
        grouped=dataset.grouped,
        dataset=dataset.digest,
        left_out=dataset.left_out,
        warnings=(*evaluation.warnings, *warnings),
    )


def _images(screener: Screener, dataset: Dataset) -> Iterator[tuple[Sample, Screened]]:
    paths = (Path(dataset.root) / s.file for s in dataset.samples)
    return zip(dataset.samples, screener.screen(paths, one_each=True, maps=False), strict=True)


def _studies(screener: Screener, dataset: Dataset) -> Iterator[tuple[Sample, Screened]]:
    """A sample and its answer for each series, then for each patient with single slices, in the order of their names.

    Raises:
        DataError: slices of one patient with several classes.
    """
    slices: dict[str, list[Sample]] = defaultdict(list)
    for sample in dataset.samples:
        path = Path(dataset.root) / sample.file
        try:
            study = load.load_study(path)
        except PneumoscopeError as error:
            yield sample, screener.refused(str(path), str(error))
            continue
        if study.volume is not None:
            yield sample, screener.answer(str(path), [study])
        else:
            slices[sample.group].append(sample)
    for group, samples in slices.items():
        labels = sorted({sample.label for sample in samples})
        if len(labels) > 1:
            raise DataError(
                f"{samples[0].file}: expected slices of one class under one patient, found {' and '.join(labels)}. "
                "Give each study a group_id of its own."
            )
        parts = [load.load_study(Path(dataset.root) / sample.file) for sample in samples]
        yield dataclasses.replace(samples[0], file=group), screener.answer(group, parts)


def _measured(
    bundle: Bundle, judged: Sequence[tuple[Sample, Screened]], classes: ClassSet, at: Sequence[Decision]
) -> Evaluation:
    """Figures of images or studies, all of which have answers."""
    names, threshold = classes.names, bundle.facts.threshold
    # what a file says of itself comes before what labels.csv says of it
    samples = [dataclasses.replace(s, modality=result.modality or s.modality) for s, result in judged]
    predictions = [result.prediction for _, result in judged]
    p = np.array([[one.probabilities[name] for name in names] for one in predictions])
    raw = np.array([[one.raw[name] for name in names] for one in predictions])
    truth = np.array([names.index(s.label) for s in samples])
    decisions = np.array([names.index(str(one.decision)) for one in predictions])
    groups = [s.group for s in samples]
    trust = bundle.facts.trust
    found = thresholds.of_bundle(bundle.facts.recipe.decision, threshold, at, () if trust is None else trust.points)
    known = Known(p, truth, groups)
    evaluation = metrics.evaluate(p, truth, decisions, groups, classes)
    return dataclasses.replace(
        trusting.trusted(evaluation, bundle.facts, known, raw, decisions, predictions, found),
        judged="study" if bundle.facts.recipe.judges == "study" or any(one.slices for one in predictions) else "image",
        n_slices=sum(len(one.slices) for one in predictions),
        thresholds=() if threshold is None else (threshold,),
        parts=by_part(samples, p, truth, decisions, classes),
        studied=thresholds.study(found, p, truth, groups, classes, folds=np.zeros(len(samples), dtype=np.int64)),
        histogram=thresholds.histogram(p, truth, classes),
        benefit=benefit.study(p, truth, groups, classes),
    )


def _write(path: Path, samples: Sequence[Sample], names: Sequence[str], results: Sequence[Screened]) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "patient", "fold", "label", "prediction", *(f"p_{name}" for name in names)])
    for sample, result in zip(samples, results, strict=True):
        p = result.prediction
        values = [f"{p.probabilities[name]:.6f}" for name in names] if p.accepted else [""] * len(names)
        writer.writerow([sample.file, sample.group, "", sample.label, p.decision or "refused", *values])
    write_text(path, text.getvalue())
