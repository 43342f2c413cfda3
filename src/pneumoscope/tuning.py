"""Searching a recipe's settings: trials on the training part, then the winner, once, on a hold-out that none saw.

Belongs to the api's layer. OUT/{study.json, study.journal, trials/, winner.json, winner/, as-written/, search.json,
report.html}; what lies there is not redone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.core.files import write_json, write_text
from pneumoscope.core.progress import Progress, silent
from pneumoscope.core.recipe import Recipe, method_leaves
from pneumoscope.core.resolve import resolve, with_overrides
from pneumoscope.core.role import MAIN
from pneumoscope.core.search import Search, Tried
from pneumoscope.core.serial import to_json
from pneumoscope.core.space import Choice, Range, read_space, read_value
from pneumoscope.errors import IntegrityError, UsageError, missing_extra
from pneumoscope.evaluate import paired
from pneumoscope.recipes import find
from pneumoscope.running import needs_training_extra, run_one

if TYPE_CHECKING:
    from pneumoscope.core.dataset import Dataset
    from pneumoscope.core.result import Interval
    from pneumoscope.train.run import Ran

FOLDS = "protocols.honest.folds"
JOURNAL = "study.journal"
WINNER = "winner.json"


def tune(
    recipe: str,
    data: Sequence[str | Path],
    *,
    out: Path,
    search: Mapping[str, str] | None = None,
    trials: int = 20,
    storage: str | None = None,
    mapping: Mapping[str, str] | None = None,
    overrides: Mapping[str, str] | None = None,
    weights_dir: Path | None = None,
    ungrouped: bool = False,
    join_duplicates: bool = False,
    progress: Progress = silent,
    say: Callable[[str], None] = lambda text: None,
) -> Search | None:
    """Search a recipe's settings by the honest protocol with one hold-out; the same call goes on where one stopped.

    data: folders with labels.csv, as `api.train` takes them. search: dotted field -> what to try, as `core.space` reads
    it; none for the recipe's own. trials: to be finished, over all processes that share `out` and the storage. storage:
    a database URL as optuna takes it, or a journal file; None for OUT/study.journal. overrides: of the recipe that the
    search starts from. say: told each warning as it is found, and each trial as it is finished.

    Returns None where another process evaluates the winner.

    Raises:
        UsageError, RecipeError: names, fields, values, an `out` or a storage that do not fit.
        DataError, LeakError: data that cannot be used or parted.
        IntegrityError: files of the search, or a storage, with what no search wrote.
        MissingError: the extra [train], or pretrained weights, are not here.
    """
    base = _resolved(recipe, overrides or {})
    space = read_space(base, search or {})
    _check(trials)
    from platformdirs import user_cache_path

    from pneumoscope import reading
    from pneumoscope.train.allocator import keep_memory

    how: dict[str, Any] = {"mapping": dict(mapping or {}), "ungrouped": ungrouped, "join_duplicates": join_duplicates}
    datasets, warnings = reading.read_for_training(data, base, out / "winner", **how, progress=progress, say=say)
    kept = keep_memory()  # before torch
    from pneumoscope.train import search as trying
    from pneumoscope.train.study import alone

    tried = trying.search(
        base,
        datasets,
        out,
        space=space,
        trials=trials,
        storage=storage or str(out / JOURNAL),
        weights_dir=weights_dir,
        cache=user_cache_path("pneumoscope"),
        kept_memory=kept,
        progress=progress,
        say=say,
    )
    with alone(out, "winner") as mine:
        if mine:
            given = _write_winner(overrides or {}, tried, out)
            done = _held_out(base, tried, datasets, out, weights_dir, progress, warnings)
            return _write(dataclasses.replace(done, overrides=given, **how), base, out, weights_dir)
    say(f"another process evaluates the winner in '{out / 'winner'}' and writes '{out / 'report.html'}'")
    return None


def train_command(
    search: Search, data: Sequence[str | Path], out: Path | str, weights_dir: Path | str | None = None
) -> list[str]:
    """The words of the command that trains the winner by the recipe's own folds. out: the search's folder."""
    return [
        *("pneumoscope", "train", search.recipe),
        *(word for given in data for word in ("--data", str(given))),
        *(word for label, name in search.mapping.items() for word in ("--map", f"{label}={name}")),
        *("--set", f"@{Path(out) / WINNER}"),
        *(("--weights", str(weights_dir)) if weights_dir is not None else ()),
        *(("--ungrouped",) if search.ungrouped else ()),
        *(("--join-duplicates",) if search.join_duplicates else ()),
        *("--out", str(Path(out) / "trained")),
    ]


def _resolved(recipe: str, overrides: Mapping[str, str]) -> Recipe:
    found, variant = find(recipe)
    if FOLDS in overrides:
        raise UsageError(
            f"--set {FOLDS}: expected one hold-out, as every search has, found '{overrides[FOLDS]}'. Leave it out; the "
            "winner goes to train with --set @OUT/winner.json, with as many folds as you like."
        )
    return resolve(found, variant=variant, overrides={**overrides, FOLDS: "1"})


def _check(trials: int) -> None:
    import importlib.util

    if trials < 1:
        raise UsageError(f"--trials: expected at least 1, found {trials}.")

    needs_training_extra("searching")
    if any(importlib.util.find_spec(name) is None for name in ("optuna", "filelock")):
        raise missing_extra("searching", "train")


def _write_winner(overrides: Mapping[str, str], tried: Tried, out: Path) -> dict[str, Any]:
    """Write what makes the recipe the winner: all that was set, and then what was found; returns what was set."""
    settings = tried.best.settings
    given = {path: read_value(text) for path, text in overrides.items()}
    write_json(out / WINNER, {path: value for path, value in given.items() if path not in settings} | dict(settings))
    return given


def _held_out(
    base: Recipe,
    tried: Tried,
    datasets: Mapping[str, Dataset],
    out: Path,
    weights_dir: Path | None,
    progress: Progress,
    warnings: tuple[str, ...],
) -> Search:
    """The winner and the recipe as written on the hold-out, and what lies between them."""
    from pneumoscope.train.search import override

    settings = tried.best.settings
    winner = with_overrides(base, override(settings))

    def run(recipe: Recipe, name: str, *, export: bool) -> Ran:
        cache = out / "cache"
        ran = run_one(recipe, datasets, out / name, weights_dir, progress, warnings, prepared=cache, export=export)
        if ran.evaluation.split != tried.split:
            raise IntegrityError(
                f"{name}: expected the hold-out that no trial saw ({tried.split[:12]}), found another one "
                f"({(ran.evaluation.split or '')[:12]}). Name another --out."
            )
        return ran

    same = winner.digest == base.digest
    won = run(winner, "winner", export=True)
    written = won if same else run(base, "as-written", export=False)
    return Search(
        recipe=base.title,
        digest=base.digest,
        tried=tried,
        overrides={},
        settings=settings,
        as_written_settings=_as_written(base, tried.space),
        winner=won.evaluation,
        as_written=written.evaluation,
        same=same,
        differences={} if same else _differences(won, written, base.protocol.seed),
        warnings=warnings,
    )


def _differences(won: Ran, written: Ran, seed: int) -> dict[str, Interval]:
    """The winner's figures less the others', by the same resamples of the hold-out's patients; of one split."""
    samples = [won.dataset.samples[i] for i in won.answers.positions]
    classes = won.dataset.classes
    answers = [
        paired.Answers(probabilities=ran.answers.probabilities, decisions=ran.answers.decisions)
        for ran in (won, written)
    ]
    labels = np.array([classes.index(sample.label) for sample in samples])
    return paired.difference(*paired.sample(answers, labels, [s.group for s in samples], classes, seed=seed))


def _write(done: Search, base: Recipe, out: Path, weights_dir: Path | None) -> Search:
    """Write and return it; the folders of the user are not in it: it is made to be handed on."""
    from pneumoscope.report.search import search_report

    data = ["DIR" if role.name == MAIN else f"{role.name}=DIR" for role in base.roles]
    command = train_command(done, data, "OUT", None if weights_dir is None else "WEIGHTS")
    write_json(out / "search.json", done)
    write_text(out / "report.html", search_report(done, base, command))
    return done


def _as_written(base: Recipe, space: Mapping[str, Choice | Range]) -> dict[str, Any]:
    """What the recipe as written has in the fields that were searched; a field with fields under it is left out."""
    leaves = dict(method_leaves(base))
    return {path: to_json(leaves[path]) for path in space if path in leaves}
