"""A run: split, folds, out-of-fold evaluation, final fit, bundle. Every part is a file; what lies there is not redone.

OUT/{recipe.json, split.json, environment.json, fold_<k>/, final/, predictions.csv, evaluation.json, bundle/}
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pneumoscope import bundle as bundles
from pneumoscope.bundle import Facts
from pneumoscope.core.dataset import Dataset, Sample, Split
from pneumoscope.core.files import unfinished, write_json, write_text
from pneumoscope.core.progress import Progress
from pneumoscope.core.recipe import Decision, Recipe
from pneumoscope.core.result import Before, Evaluation, Gallery
from pneumoscope.core.role import MAIN
from pneumoscope.core.serial import Mismatch, digest, from_json
from pneumoscope.errors import DataError, IntegrityError, UsageError
from pneumoscope.evaluate import benefit, metrics, thresholds
from pneumoscope.evaluate.paired import Answers
from pneumoscope.evaluate.parts import by_part
from pneumoscope.evaluate.split import final_split, make_split, split_of
from pneumoscope.train import familiar, levels
from pneumoscope.train.bench import Bench, bench_of
from pneumoscope.train.checkpoint import Progression, load_tensors
from pneumoscope.train.data import Prepared, prepare
from pneumoscope.train.environment import Clock, environment
from pneumoscope.train.export import write_bundle
from pneumoscope.train.folds import OutOfFold, answer_folds, fit_fold
from pneumoscope.train.learned import learned
from pneumoscope.train.pictures import galleries
from pneumoscope.train.stages import pretrained
from pneumoscope.train.trust import Trusted, learned_from, measured, shipped, trusted
from pneumoscope.train.units import UNKNOWN, truths


@dataclass(frozen=True, kw_only=True, eq=False)
class Ran:
    """What came out of a run. galleries: pictures for the report. dataset: what was judged of main, see `units`.

    answers: calibrated, where the protocol does it.

    seconds: what was done -> wall seconds, of all calls of this run together.
    """

    evaluation: Evaluation
    galleries: tuple[Gallery, ...]
    answers: OutOfFold
    dataset: Dataset
    seconds: Mapping[str, float]


# images of the training data on which the exported graph is compared with torch
CHECKED_IMAGES = 64
CHECKED_STUDIES = 8
CHECKED_VOLUMES = 4
CHECKED_SLICES = 40  # of a study, at most


def run(
    recipe: Recipe,
    datasets: Mapping[str, Dataset],
    out: Path,
    *,
    weights_dir: Path | None,
    cache: Path,
    card: Callable[[Facts], str],
    kept_memory: bool,
    progress: Progress,
    prepared: Path,
    warnings: tuple[str, ...] = (),
    at: Sequence[Decision] = (),
    export: bool = True,
) -> Ran:
    """Train, evaluate and export a resolved recipe; the same call resumes a run that was stopped.

    datasets: by role. prepared: folder for prepared images, which several runs may share. at: thresholds to study, too;
    they change nothing but the evaluation. export: fit on all data and write the bundle, too.

    Raises:
        UsageError: `out` holds a run of another recipe or other settings.
        DataError: data that cannot be read or parted, or another dataset than the run's.
        MissingError: pretrained weights that are not here.
    """
    for role, dataset in datasets.items():
        if dataset.classes != recipe.classes_of(role):
            raise DataError(f"classes of {role}: expected the recipe's, found {', '.join(dataset.classes.names)}.")
    claim(out, recipe, pretrained(recipe, weights_dir))
    clock = Clock(out / "environment.json", environment(kept_memory=kept_memory))
    with clock.of("reading"):
        data = {role: prepare(dataset, recipe, prepared, progress) for role, dataset in datasets.items()}
    bench = bench_of(recipe, data, out, cache=cache, weights_dir=weights_dir, progress=progress, clock=clock)
    split = _split(out, bench.units.dataset, recipe)
    found = trusted(bench, answer_folds(bench, split, out))
    answers = found.answers
    evaluation = _evaluate(bench, split, found, (*warnings, *_noticed(data)), at)
    _write_predictions(out / "predictions.csv", bench, answers)
    write_json(out / "evaluation.json", evaluation)
    if export and not (out / "bundle" / bundles.FACTS).exists():
        _final(bench, found, evaluation, out, card, fold=len(split.folds), at=at)
    clock.save()
    return Ran(
        evaluation=evaluation,
        galleries=galleries(bench, answers),
        answers=answers,
        dataset=bench.units.dataset,
        seconds=clock.seconds,
    )


def _noticed(data: Mapping[str, Prepared]) -> list[str]:
    return [note if role == MAIN else f"role {role}: {note}" for role, read in data.items() for note in read.notes]


def claim(out: Path, recipe: Recipe, weights: Mapping[str, str]) -> None:
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
    if out.exists() and not all(unfinished(path) for path in out.iterdir()):
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


def _evaluate(
    bench: Bench, split: Split, trust: Trusted, warnings: tuple[str, ...], at: Sequence[Decision]
) -> Evaluation:
    answers = trust.answers
    samples = [bench.units.dataset.samples[i] for i in answers.positions]
    labels, classes, seed = bench.labels, bench.units.dataset.classes, bench.recipe.protocol.seed
    truth, groups, p = labels[answers.positions], [s.group for s in samples], answers.probabilities
    own = Answers(probabilities=p, decisions=answers.decisions)
    evaluation = metrics.evaluate(p, truth, answers.decisions, groups, classes, seed=seed)
    chosen = [(c.probabilities, labels[c.positions]) for c in answers.chosen]
    found, lacking = thresholds.fit(bench.recipe.decision, at, chosen, classes)
    return dataclasses.replace(
        measured(bench, trust, found, evaluation),
        thresholds=answers.thresholds,
        before=_before(bench),
        folds=_by_fold(bench, answers),
        learned=learned(bench, len(split.folds)),
        sizes=bench.main.sizes(),
        parts=by_part(samples, p, truth, answers.decisions, classes, seed=seed),
        judged=bench.recipe.judges,
        n_slices=len(bench.units.rows(answers.positions.tolist())) if bench.recipe.members else 0,
        levels=levels.figures(bench, answers.levels, answers.positions, own),
        studied=thresholds.study(found, p, truth, groups, classes, folds=answers.folds, seed=seed),
        histogram=thresholds.histogram(p, truth, classes),
        benefit=benefit.study(p, truth, groups, classes, seed=seed),
        protocol=bench.recipe.protocol.name,
        grouped=bench.units.dataset.grouped,
        shared_patients=split.shared_groups(bench.units.dataset),
        split=digest(split),
        dataset=bench.units.dataset.digest,
        left_out=bench.units.dataset.left_out,
        reported=bench.recipe.comparable,
        warnings=(*evaluation.warnings, *warnings, *lacking, *_chosen_on_test(bench.recipe)),
    )


def _before(bench: Bench) -> tuple[Before, ...]:
    found = []
    for stage in bench.recipe.stages:
        if stage.role != MAIN:
            data, part = bench.data[stage.role], bench.parts[stage.role]
            _, about = load_tensors(bench.folder(stage, bench.out) / f"{stage.name}.safetensors")
            how_far = from_json(Progression, about)
            truth, clean = truths(data)
            known = (truth != UNKNOWN) & clean & ~data.between
            names = data.dataset.classes.names
            found.append(
                Before(
                    role=stage.role,
                    stage=stage.name,
                    counts={name: int((truth[known] == k).sum()) for k, name in enumerate(names)},
                    n_patients=len(data.dataset.groups),
                    n_validation=int(known[data.positions(part.val or part.train)].sum()),
                    val_accuracy=how_far.history[how_far.best_epoch].val_accuracy,
                    best_epoch=how_far.best_epoch + 1,
                    epochs=len(how_far.history),
                )
            )
    return tuple(found)


def _by_fold(bench: Bench, answers: OutOfFold) -> tuple[Mapping[str, float], ...]:
    truth = bench.labels[answers.positions]
    parts = [answers.folds == k for k in np.unique(answers.folds)]
    classes = bench.units.dataset.classes
    return tuple(metrics.plain(answers.decisions[part], truth[part], classes) for part in parts)


def _chosen_on_test(recipe: Recipe) -> tuple[str, ...]:
    if recipe.protocol.val_share:
        return ()
    fitted = "" if recipe.decision.rule in ("argmax", "fixed") else " and the threshold"
    return (f"The part that is reported on also chose the weights{fitted}: the figures are too good.",)


def _write_predictions(path: Path, bench: Bench, answers: OutOfFold) -> None:
    names = bench.units.dataset.classes.names
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "patient", "fold", "label", "prediction", *(f"p_{name}" for name in names)])
    rows = zip(answers.positions, answers.folds, answers.probabilities, answers.decisions, strict=True)
    for position, fold, p, k in sorted(rows, key=lambda row: int(row[0])):
        sample = bench.units.dataset.samples[position]
        writer.writerow([sample.file, sample.group, fold, sample.label, names[k], *(f"{v:.6f}" for v in p)])
    write_text(path, text.getvalue())


def _learned(bench: Bench, units: list[int]) -> dict[str, Dataset]:
    """By role, the images that the final fit learned from and chose on, none made from others; of main some units'."""
    rows = {role: np.flatnonzero(~data.between).tolist() for role, data in bench.data.items()}
    rows[MAIN] = bench.units.rows(units)
    return {
        role: dataclasses.replace(data.dataset, samples=tuple(data.dataset.samples[row] for row in rows[role]))
        for role, data in bench.data.items()
    }


def _seen(bench: Bench, units: list[int]) -> list[Sample]:
    """The files that the bundle has seen: those of some units, and of every other role."""
    of_main = {int(bench.main.origin[row]) for row in bench.units.rows(units)}
    others = [sample for role, data in bench.data.items() if role != MAIN for sample in data.given.samples]
    return [*(bench.main.given.samples[i] for i in sorted(of_main)), *others]


def _final(
    bench: Bench,
    found: Trusted,
    evaluation: Evaluation,
    out: Path,
    card: Callable[[Facts], str],
    *,
    fold: int,
    at: Sequence[Decision],
) -> None:
    """Fit on all data, with a part of it choosing the weights, and export. fold: number of the fit, for its seed."""
    parting = final_split(bench.units.dataset, bench.recipe.protocol)
    split = split_of([parting], bench.units.dataset, bench.recipe.protocol)
    train, val = split.part(bench.units.dataset, 0, "train"), split.part(bench.units.dataset, 0, "val")
    (out / "final").mkdir(exist_ok=True)
    fitted = fit_fold(bench, train, val or train, out / "final", fold=fold, what="final fit")
    bench.progress("exporting", 0, 1)
    with bench.clock.of("exporting"):
        write_bundle(
            fitted.net,
            bench.recipe,
            _learned(bench, [*train, *val]),
            # the final fit's, and those that calibration and thresholds were fitted on
            seen=_seen(bench, sorted({*train, *val, *found.raw.positions[learned_from(bench, found.raw)].tolist()})),
            patients=fitted.patients,
            checked=_checked(bench),
            **shipped(bench, found, evaluation, at)._asdict(),
            likeness=familiar.pictures(bench, train, val),
            evaluation=evaluation,
            used=fitted.used,
            card=card,
            path=out / "bundle",
        )
    bench.progress("exporting", 1, 1)


def _checked(bench: Bench) -> list[np.ndarray]:
    """Prepared images on which exported graphs are compared with torch: of some studies, or one block of images."""
    order = np.random.default_rng(0).permutation(len(bench.units.dataset))
    if not bench.recipe.members:
        most = CHECKED_VOLUMES if bench.recipe.of_volumes else CHECKED_IMAGES
        rows = bench.units.rows(np.sort(order[:most]).tolist())
        return [np.ascontiguousarray(bench.main.images[rows])]
    found = []
    for unit in order[:CHECKED_STUDIES]:
        rows = bench.units.members[unit]
        thinned = rows[:: -(-len(rows) // CHECKED_SLICES)]
        found.append(np.ascontiguousarray(bench.main.images[thinned]))
    return found
