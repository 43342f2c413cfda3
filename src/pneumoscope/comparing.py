"""Several methods, or one with varied fields, on the same folds: `pneumoscope compare` (Szalay 2021, Fig. 2).

Belongs to the api's layer. Each part is an ordinary run under OUT/parts; what lies there is not redone.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pneumoscope import reading
from pneumoscope.core.comparison import Compared, Comparison, LeftOut, Planned
from pneumoscope.core.dataset import Dataset, Split
from pneumoscope.core.files import unfinished, write_json, write_text
from pneumoscope.core.progress import Progress, silent
from pneumoscope.core.recipe import Recipe
from pneumoscope.core.role import MAIN
from pneumoscope.core.serial import digest, from_json, to_json
from pneumoscope.errors import MissingError, UsageError
from pneumoscope.evaluate import paired
from pneumoscope.evaluate.ranking import Result, Tested, common, ranked
from pneumoscope.evaluate.split import make_split
from pneumoscope.planning import plan
from pneumoscope.recipes import find
from pneumoscope.running import needs_training_extra, run_one

if TYPE_CHECKING:
    from pneumoscope.train.run import Ran

OWN = frozenset({"parts", "cache", "comparison.json", "comparison.csv", "report.html"})


def compare(
    recipes: Sequence[str],
    data: Sequence[str | Path],
    *,
    out: Path,
    vary: Mapping[str, Sequence[str]] | None = None,
    protocol: str = "honest",
    mapping: Mapping[str, str] | None = None,
    overrides: Mapping[str, str] | None = None,
    weights_dir: Path | None = None,
    ungrouped: bool = False,
    join_duplicates: bool = False,
    progress: Progress = silent,
    say: Callable[[str], None] = lambda text: None,
) -> Comparison:
    """Run every recipe with every combination of varied values, or find the run, and rank them on the same images.

    recipes: NAME, NAME:VARIANT, or NAME:all for every variant. vary: dotted field -> values as text. Other parameters
    are those of `api.train`; an override goes to the parts that have its field. Every part has the first one's
    protocol, but for what is varied. `out` gets parts/<name>, comparison.json, comparison.csv and report.html; the same
    call resumes, and one with more parts reuses these.

    Raises:
        UsageError, RecipeError: names, values or an `out` that do not fit, parts that cannot be compared, or fewer
            than two of them; before anything is trained.
        DataError, LeakError: data that cannot be used or parted, or test parts that are not the same.
        MissingError: the extra [train] is not here, or no part's pretrained weights are.
    """
    vary, overrides, mapping = vary or {}, overrides or {}, mapping or {}
    parts, partial = plan(recipes, vary=vary, protocol=protocol, overrides=overrides)
    needs_training_extra("comparing")
    _check_out(out, parts)
    for text in partial:
        say(text)
    kept, bare, left_out = _with_weights(parts, out, weights_dir, progress, say)
    read = _read(
        kept, data, out, mapping=mapping, ungrouped=ungrouped, join=join_duplicates, progress=progress, say=say
    )
    common([_to_be_tested(part, read[part.name][0][MAIN]) for part in kept])  # found before anything trains
    results = []
    for i, part in enumerate(kept):
        say(f"part {i + 1} of {len(kept)}: {part.name}")
        telling = _of(part.name, progress)
        results.append(_run(part, read[part.name], out, weights_dir, telling, bare=part.name in bare))
    from pneumoscope.report import words

    found = ranked(results)
    comparison = dataclasses.replace(
        found,
        left_out=left_out,
        notes=(*found.notes, *partial),
        grave=tuple(dict.fromkeys(text for r in results for text in words.grave(r.evaluation))),
        vary={field: tuple(values) for field, values in vary.items()},
        mapping=dict(mapping),
        ungrouped=ungrouped,
        join_duplicates=join_duplicates,
    )
    _write(comparison, out)
    return comparison


def train_command(
    comparison: Comparison, part: Compared, data: Sequence[str | Path], out: Path | str, weights_dir: Path | None = None
) -> list[str]:
    """The words of the command that goes on with a part's run until its bundle is made, for the same data."""
    known = {part.recipe: find(part.recipe)[0] for part in comparison.parts}
    return [
        *("pneumoscope", "train", part.recipe),
        *(word for given in _data_of(known[part.recipe], data, known.values()) for word in ("--data", str(given))),
        *("--out", str(Path(out) / part.folder), "--protocol", comparison.protocol),
        *(word for label, name in comparison.mapping.items() for word in ("--map", f"{label}={name}")),
        *(word for field, value in part.overrides.items() for word in ("--set", f"{field}={value}")),
        *(("--weights", str(weights_dir)) if weights_dir is not None else ()),
        *(("--ungrouped",) if comparison.ungrouped else ()),
        *(("--join-duplicates",) if comparison.join_duplicates else ()),
    ]


# --- which parts can run -------------------------------------------------------------------------------------------


def _check_out(out: Path, parts: Sequence[Planned]) -> None:
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out: expected a folder, found the file '{out}'. Name another.")
    if out.is_dir() and {path.name for path in out.iterdir() if not unfinished(path)} - OWN:
        raise UsageError(
            f"--out: expected a new or empty folder or a comparison to resume, found other files in '{out}'."
        )
    for part in parts:
        path = out / part.folder / "recipe.json"
        if path.exists() and _digest_in(path) != part.recipe.digest:
            raise UsageError(
                f"--out: expected in '{out / part.folder}' a run of '{part.name}' as it is asked for now, found one "
                "by other settings. Name another --out."
            )


def _digest_in(path: Path) -> str:
    """The digest of a run's recipe, "" where the file does not hold one."""
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["digest"])
    except (ValueError, KeyError, TypeError):
        return ""


def _with_weights(
    parts: Sequence[Planned], out: Path, weights_dir: Path | None, progress: Progress, say: reading.Say
) -> tuple[list[Planned], set[str], tuple[LeftOut, ...]]:
    """The parts that can start or are done; the names of those done whose weights are not here; and the others."""
    from pneumoscope.train.finished import evaluated
    from pneumoscope.train.stages import pretrained

    kept: list[Planned] = []
    bare: set[str] = set()
    missing: list[tuple[Planned, MissingError]] = []
    for i, part in enumerate(parts):
        progress("looking for weights", i, len(parts))
        try:
            pretrained(part.recipe, weights_dir)
            kept.append(part)
        except MissingError as error:
            if evaluated(out / part.folder):
                say(f"{part.name}: its pretrained weights are not here; what was run is taken as it is")
                kept.append(part)
                bare.add(part.name)
            else:
                say(f"left out: {part.name}: {error}")
                missing.append((part, error))
    progress("looking for weights", len(parts), len(parts))
    if not kept:
        raise missing[0][1]
    if len(kept) < 2:
        one, why = missing[0]
        raise UsageError(
            f"compare: expected at least two parts whose weights are here, found '{kept[0].name}' alone. "
            f"{one.name}: {why}"
        )
    return kept, bare, tuple(LeftOut(name=p.name, recipe=p.title, why=e.lasting) for p, e in missing)


# --- their data and runs -------------------------------------------------------------------------------------------


def _read(
    parts: Sequence[Planned],
    data: Sequence[str | Path],
    out: Path,
    *,
    mapping: Mapping[str, str],
    ungrouped: bool,
    join: bool,
    progress: Progress,
    say: reading.Say,
) -> dict[str, tuple[dict[str, Dataset], tuple[str, ...]]]:
    """The data of each part by its name, read once for all parts that ask for the same."""
    known: dict[str, tuple[dict[str, Dataset], tuple[str, ...]]] = {}
    found = {}
    for part in parts:
        recipe = part.recipe
        asked = digest([recipe.modalities, to_json(recipe.classes), to_json(recipe.roles)])
        if asked not in known:
            own = _data_of(recipe, data, [p.recipe for p in parts])
            known[asked] = reading.read_for_training(
                own,
                recipe,
                out / part.folder,
                mapping=mapping,
                ungrouped=ungrouped,
                join_duplicates=join,
                progress=progress,
                say=say,
            )
        found[part.name] = known[asked]
    return found


def _data_of(recipe: Recipe, data: Sequence[str | Path], recipes: Iterable[Recipe]) -> list[str | Path]:
    """What of --data is for a recipe: not what names a role that only another one has."""
    own = {role.name for role in recipe.roles}
    others = {role.name for other in recipes for role in other.roles} - own
    return [given for given in data if "=" not in str(given) or str(given).partition("=")[0] not in others]


def _of(name: str, progress: Progress) -> Progress:
    return lambda what, done, total: progress(f"{name}: {what}", done, total)


def _run(
    part: Planned,
    read: tuple[Mapping[str, Dataset], tuple[str, ...]],
    out: Path,
    weights_dir: Path | None,
    progress: Progress,
    *,
    bare: bool,
) -> Result:
    """Run a part, or find its run. bare: it was run, and its pretrained weights are not here any more."""
    from pneumoscope.train.environment import whole
    from pneumoscope.train.finished import reread

    datasets, warnings = read
    folder = out / part.folder
    facts = folder / "environment.json"

    def run(progress: Progress) -> Ran:
        cache = out / "cache"
        return run_one(part.recipe, datasets, folder, weights_dir, progress, warnings, prepared=cache, export=False)

    if bare:
        ran = reread(part.recipe, datasets, folder, prepared=out / "cache", progress=progress)
    elif (folder / "report.html").exists():  # written last: to show a part again is no time of its method
        ran = run(progress)
    else:
        with whole(facts, progress) as counted:
            ran = run(counted)
    return _result(part, ran, folder, json.loads(facts.read_text(encoding="utf-8"))["seconds"])


def _to_be_tested(part: Planned, dataset: Dataset) -> Tested:
    """What a part will be tested on, but for what the gate will leave out."""
    split = make_split(dataset, part.recipe.protocol)
    at = [(i, k) for k in range(len(split.folds)) for i in split.part(dataset, k, "test")]
    return _tested(part, dataset, [i for i, _ in at], np.array([k for _, k in at]))


def _tested(part: Planned, dataset: Dataset, positions: Sequence[int], folds: np.ndarray) -> Tested:
    def name(position: int) -> str:
        return str(Path(dataset.root) / dataset.samples[position].file)

    return Tested(
        part=part,
        rows={name(position): row for row, position in enumerate(positions)},
        known=frozenset(name(i) for i in range(len(dataset))),
        folds=folds,
        labels=np.array([dataset.classes.index(dataset.samples[i].label) for i in positions]),
    )


def _result(part: Planned, ran: Ran, folder: Path, seconds: Mapping[str, float]) -> Result:
    dataset, positions = ran.dataset, ran.answers.positions
    split = from_json(Split, json.loads((folder / "split.json").read_text(encoding="utf-8")))
    learned = [
        len({dataset.samples[i].group for i in split.part(dataset, k, "train")}) for k in range(len(split.folds))
    ]
    tested = _tested(part, dataset, positions.tolist(), ran.answers.folds)
    return Result(
        **{field.name: getattr(tested, field.name) for field in dataclasses.fields(tested)},
        evaluation=ran.evaluation,
        answers=paired.Answers(probabilities=ran.answers.probabilities, decisions=ran.answers.decisions),
        groups=tuple(dataset.samples[i].group for i in positions),
        digests=tuple(dataset.samples[i].digest for i in positions),
        learned=float(np.mean(learned)),
        seconds=seconds,
        began=(folder / "recipe.json").stat().st_mtime_ns,
    )


def _write(comparison: Comparison, out: Path) -> None:
    from pneumoscope.report.comparison import comparison_csv, comparison_report

    write_json(out / "comparison.json", comparison)
    write_text(out / "comparison.csv", comparison_csv(comparison))
    commands = {part.name: train_command(comparison, part, ["DIR"], "OUT") for part in comparison.parts}
    write_text(out / "report.html", comparison_report(comparison, commands))
