"""Searching a recipe's settings: trials on the training part, then the winner, once, on a hold-out that none saw.

Belongs to the api's layer. OUT/{study.json, study.journal, trials/, winner.json, winner/, as-written/, search.json,
report.html}; what lies there is not redone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pneumoscope.core.files import write_json, write_text
from pneumoscope.core.progress import Progress, silent
from pneumoscope.core.recipe import Recipe, method_leaves
from pneumoscope.core.resolve import resolve, with_overrides
from pneumoscope.core.search import Search, Tried
from pneumoscope.core.serial import to_json
from pneumoscope.core.space import Choice, Range, read_space
from pneumoscope.errors import IntegrityError, UsageError, missing_extra
from pneumoscope.recipes import find
from pneumoscope.running import needs_training_extra, run_one

if TYPE_CHECKING:
    from pneumoscope.core.dataset import Dataset
    from pneumoscope.core.result import Evaluation

FOLDS = "protocols.honest.folds"
JOURNAL = "study.journal"


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
    progress: Progress = silent,
    say: Callable[[str], None] = lambda text: None,
) -> Search | None:
    """Search a recipe's settings by the honest protocol with one hold-out; the same call goes on where one stopped.

    data: folders with labels.csv, as `api.train` takes them. search: dotted field -> what to try, as `core.space` reads
    it; none for the recipe's own. trials: to be finished, over all processes that share `out` and the storage. storage:
    a database URL as optuna takes it, or a journal file; None for OUT/study.journal. overrides: of the recipe that the
    search starts from.
    say: told each warning as it is found, and each trial as it is finished.

    Returns None where another process evaluates the winner.

    Raises:
        UsageError, RecipeError: names, fields, values, an `out` or a storage that do not fit.
        DataError, LeakError: data that cannot be used or parted.
        MissingError: the extra [train], or pretrained weights, are not here.
    """
    found, variant = find(recipe)
    base = _resolved(found, variant, overrides or {})
    space = read_space(base, search or {})
    if trials < 1:
        raise UsageError(f"--trials: expected at least 1, found {trials}.")
    _needs_extra()
    from platformdirs import user_cache_path

    from pneumoscope import reading
    from pneumoscope.train.allocator import keep_memory

    datasets, warnings = reading.read_roles(data, base, mapping=mapping or {}, ungrouped=ungrouped, say=say)
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
            return _finish(base, space, tried, datasets, out, weights_dir, progress, warnings)
    say(f"another process evaluates the winner in '{out / 'winner'}' and writes '{out / 'report.html'}'")
    return None


def _resolved(found: Recipe, variant: str | None, overrides: Mapping[str, str]) -> Recipe:
    if FOLDS in overrides:
        raise UsageError(
            f"--set {FOLDS}: expected one hold-out, as every search has, found '{overrides[FOLDS]}'. Leave it out; the "
            "winner goes to train with --set @OUT/winner.json, with as many folds as you like."
        )
    return resolve(found, variant=variant, overrides={**overrides, FOLDS: "1"})


def _needs_extra() -> None:
    import importlib.util

    needs_training_extra("searching")
    if any(importlib.util.find_spec(name) is None for name in ("optuna", "filelock")):
        raise missing_extra("searching", "train")


def _finish(
    base: Recipe,
    space: Mapping[str, Choice | Range],
    tried: Tried,
    datasets: Mapping[str, Dataset],
    out: Path,
    weights_dir: Path | None,
    progress: Progress,
    warnings: tuple[str, ...],
) -> Search:
    """The winner and the recipe as written on the hold-out, and the report of it all."""
    from pneumoscope.report.search import search_report
    from pneumoscope.train.search import override

    settings = tried.best.settings
    winner = with_overrides(base, override(settings))
    write_json(out / "winner.json", settings)

    def held_out(recipe: Recipe, name: str, *, export: bool) -> Evaluation:
        cache = out / "cache"
        ran = run_one(recipe, datasets, out / name, weights_dir, progress, warnings, prepared=cache, export=export)
        if ran.evaluation.split != tried.split:
            raise IntegrityError(
                f"{name}: expected the hold-out that no trial saw ({tried.split[:12]}), found another one "
                f"({(ran.evaluation.split or '')[:12]}). Name another --out."
            )
        return ran.evaluation

    same = winner.digest == base.digest
    won = held_out(winner, "winner", export=True)
    done = Search(
        recipe=base.title,
        digest=base.digest,
        tried=tried,
        settings=settings,
        as_written_settings=_as_written(base, space),
        winner=won,
        as_written=won if same else held_out(base, "as-written", export=False),
        same=same,
        warnings=warnings,
    )
    write_json(out / "search.json", done)
    write_text(out / "report.html", search_report(done, base))
    return done


def _as_written(base: Recipe, space: Mapping[str, Choice | Range]) -> dict[str, Any]:
    """What the recipe as written has in the fields that were searched; a field with fields under it is left out."""
    leaves = dict(method_leaves(base))
    return {path: to_json(leaves[path]) for path in space if path in leaves}
