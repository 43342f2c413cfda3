"""A run: split, folds, out-of-fold evaluation, final fit, bundle. Every part is a file; what lies there is not redone.

OUT/{recipe.json, split.json, environment.json, fold_<k>/, final/, predictions.csv, evaluation.json, bundle/}
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from pneumoscope import bundle as bundles
from pneumoscope.bundle import Facts
from pneumoscope.core.dataset import Dataset, Split
from pneumoscope.core.files import write_json, write_text
from pneumoscope.core.progress import Progress
from pneumoscope.core.recipe import Recipe
from pneumoscope.core.result import Evaluation
from pneumoscope.core.serial import Mismatch, digest, from_json, to_json
from pneumoscope.errors import DataError, IntegrityError, UsageError
from pneumoscope.evaluate import metrics
from pneumoscope.evaluate.decide import decide, fit_threshold
from pneumoscope.evaluate.split import final_split, make_split
from pneumoscope.train.data import prepare
from pneumoscope.train.environment import Clock, environment
from pneumoscope.train.export import write_bundle
from pneumoscope.train.stages import Bench, fit_stages, predict, pretrained

# images of the training data on which the exported graph is compared with torch
CHECKED_IMAGES = 64


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class OutOfFold:
    """Answers for samples by networks that did not learn from them. positions: of the samples, `[n]`."""

    positions: np.ndarray
    folds: np.ndarray
    probabilities: np.ndarray
    decisions: np.ndarray
    thresholds: tuple[float, ...]


def run(
    recipe: Recipe,
    dataset: Dataset,
    out: Path,
    *,
    weights_dir: Path | None,
    cache: Path,
    card: Callable[[Facts], str],
    kept_memory: bool,
    progress: Progress,
    warnings: tuple[str, ...] = (),
) -> Evaluation:
    """Train, evaluate and export a resolved recipe; the same call resumes a run that was stopped.

    Raises:
        UsageError: `out` holds a run of another recipe or other settings.
        DataError: data that cannot be read or parted, or another dataset than the run's.
        MissingError: pretrained weights that are not here.
    """
    if dataset.classes != recipe.classes:
        raise DataError(f"classes: expected those of the recipe, found {', '.join(dataset.classes.names)}.")
    _claim(out, recipe, pretrained(recipe, weights_dir))
    clock = Clock(out / "environment.json", environment(kept_memory=kept_memory))
    split = _split(out, dataset, recipe)
    with clock.of("reading"):
        images, noticed = prepare(dataset, recipe, out / "cache", progress)
    bench = Bench(
        recipe=recipe,
        dataset=dataset,
        images=images,
        cache=cache,
        weights_dir=weights_dir,
        progress=progress,
        clock=clock,
    )
    answers = _folds(bench, split, out)
    evaluation = _evaluate(bench, split, answers, (*warnings, *noticed))
    _write_predictions(out / "predictions.csv", bench, answers)
    if not (out / "bundle" / bundles.FACTS).exists():
        _final(bench, answers, evaluation, out, card, fold=len(split.folds))
    write_json(out / "evaluation.json", evaluation)
    clock.save()
    return evaluation


def _claim(out: Path, recipe: Recipe, weights: Mapping[str, str]) -> None:
    """Make `out` the folder of this recipe's run from these pretrained weights, or find that it is."""
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out: expected a folder, found the file '{out}'. Name another.")
    path = out / "recipe.json"
    if path.exists():
        kept = json.loads(path.read_text(encoding="utf-8"))
        found = kept["digest"]
        if found == recipe.digest and kept["pretrained"] != weights:
            raise UsageError(
                f"pretrained weights: expected those that the run in '{out}' began with, found others. "
                "Give it the same --weights, or name another --out."
            )
        if found != recipe.digest:
            raise UsageError(
                f"--out: expected a new folder or one of recipe digest {recipe.digest[:12]}, "
                f"found a run of {found[:12]} in '{out}'. Name another --out."
            )
        return
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"--out: expected a new or empty folder or a run to resume, found other files in '{out}'.")
    write_json(path, {"digest": recipe.digest, "pretrained": weights, "recipe": recipe})


def _split(out: Path, dataset: Dataset, recipe: Recipe) -> Split:
    path = out / "split.json"
    if path.exists():
        try:
            split = from_json(Split, json.loads(path.read_text(encoding="utf-8")))
        except (Mismatch, json.JSONDecodeError) as error:
            raise IntegrityError(
                f"split.json: expected a split, found something else. {error} Name another --out."
            ) from error
    else:
        split = make_split(dataset, recipe.protocol)
        write_json(path, split)
    split.part(dataset, 0, "test")  # refuses another dataset
    return split


def _folds(bench: Bench, split: Split, out: Path) -> OutOfFold:
    parts = []
    for k in range(len(split.folds)):
        test = split.part(bench.dataset, k, "test")
        path = out / f"fold_{k}" / "answers.json"
        if not path.exists():
            write_json(path, _fold(bench, split, k, out / f"fold_{k}"))
            bench.clock.save()
        found = json.loads(path.read_text(encoding="utf-8"))
        probabilities = np.asarray(found["probabilities"], dtype=np.float64)
        parts.append((test, k, probabilities, found["threshold"]))
    classes = bench.dataset.classes
    return OutOfFold(
        positions=np.concatenate([np.asarray(p[0], dtype=np.int64) for p in parts]),
        folds=np.concatenate([np.full(len(p[0]), p[1]) for p in parts]),
        probabilities=np.concatenate([p[2] for p in parts]),
        decisions=np.concatenate([decide(p[3], p[2], classes) for p in parts]),
        thresholds=tuple(p[3] for p in parts if p[3] is not None),
    )


def _fold(bench: Bench, split: Split, k: int, folder: Path) -> dict[str, object]:
    train, test = split.part(bench.dataset, k, "train"), split.part(bench.dataset, k, "test")
    val = split.part(bench.dataset, k, "val") or test  # none: the protocol lets the test part choose
    folder.mkdir(parents=True, exist_ok=True)
    net, _ = fit_stages(bench, train, val, folder, fold=k, what=f"fold {k + 1} of {len(split.folds)}")
    threshold = _threshold(bench, val, predict(bench, net, val))
    return {"threshold": threshold, "probabilities": predict(bench, net, test).tolist()}


def _threshold(bench: Bench, positions: list[int], probabilities: np.ndarray) -> float | None:
    classes = bench.dataset.classes
    if classes.positive is None:
        return None
    truth = bench.labels.numpy()[positions] == classes.positive_index
    return fit_threshold(bench.recipe.decision, probabilities[:, classes.positive_index], truth)


def _evaluate(bench: Bench, split: Split, answers: OutOfFold, warnings: tuple[str, ...]) -> Evaluation:
    samples = [bench.dataset.samples[i] for i in answers.positions]
    evaluation = metrics.evaluate(
        answers.probabilities,
        bench.labels.numpy()[answers.positions],
        answers.decisions,
        [s.group for s in samples],
        bench.dataset.classes,
        seed=bench.recipe.protocol.seed,
    )
    return dataclasses.replace(
        evaluation,
        thresholds=answers.thresholds,
        protocol=bench.recipe.protocol.name,
        grouped=bench.dataset.grouped,
        shared_patients=split.shared_groups(bench.dataset),
        split=digest(split),
        dataset=bench.dataset.digest,
        left_out=bench.dataset.left_out,
        reported=tuple(to_json(r) for r in bench.recipe.reported),
        warnings=(*evaluation.warnings, *warnings, *_chosen_on_test(bench.recipe)),
    )


def _chosen_on_test(recipe: Recipe) -> tuple[str, ...]:
    if recipe.protocol.val_share:
        return ()
    return ("The part that is reported on also chose the weights and the threshold: the figures are too good.",)


def _write_predictions(path: Path, bench: Bench, answers: OutOfFold) -> None:
    names = bench.dataset.classes.names
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "patient", "fold", "label", "prediction", *(f"p_{name}" for name in names)])
    rows = zip(answers.positions, answers.folds, answers.probabilities, answers.decisions, strict=True)
    for position, fold, p, k in sorted(rows, key=lambda row: int(row[0])):
        sample = bench.dataset.samples[position]
        writer.writerow([sample.file, sample.group, fold, sample.label, names[k], *(f"{v:.6f}" for v in p)])
    write_text(path, text.getvalue())


def _final(
    bench: Bench, answers: OutOfFold, evaluation: Evaluation, out: Path, card: Callable[[Facts], str], *, fold: int
) -> None:
    """Fit on all data, with a part of it choosing the weights, and export. fold: number of the fit, for its seed."""
    parting = final_split(bench.dataset, bench.recipe.protocol)
    split = Split(
        unit=bench.recipe.protocol.unit, folds=(parting,), dataset=bench.dataset.digest, seed=bench.recipe.protocol.seed
    )
    train, val = split.part(bench.dataset, 0, "train"), split.part(bench.dataset, 0, "val")
    (out / "final").mkdir(exist_ok=True)
    net, used = fit_stages(bench, train, val or train, out / "final", fold=fold, what="final fit")
    rng = np.random.default_rng(0)
    checked = rng.permutation(len(bench.dataset))[:CHECKED_IMAGES]
    bench.progress("exporting", 0, 1)
    with bench.clock.of("exporting"):
        write_bundle(
            net,
            bench.recipe,
            bench.dataset,
            images=np.ascontiguousarray(bench.images[np.sort(checked)]),
            threshold=_threshold(bench, answers.positions.tolist(), answers.probabilities),
            evaluation=evaluation,
            used=used,
            card=card,
            path=out / "bundle",
        )
    bench.progress("exporting", 1, 1)
