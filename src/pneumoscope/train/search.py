"""The trials of a search: settings that optuna suggests, each fitted on inner folds of the training part alone.

Szalay et al. 2021, section 4, search over the head's settings. Here no trial sees the hold-out: its patients are in no
inner fold. OUT/trials/<digest>/ holds the fits of one recipe, so settings that come again are found, not fitted.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.core.dataset import Dataset, Fold, Split
from pneumoscope.core.progress import Progress
from pneumoscope.core.recipe import Protocol, Recipe
from pneumoscope.core.resolve import with_overrides
from pneumoscope.core.role import MAIN
from pneumoscope.core.search import Tried
from pneumoscope.core.serial import digest, to_json
from pneumoscope.core.space import Choice, Space, shown, space_text
from pneumoscope.errors import DataError, IntegrityError, MissingError, PneumoscopeError, UsageError
from pneumoscope.evaluate import metrics
from pneumoscope.evaluate.split import make_split, role_split
from pneumoscope.train.bench import bench_of
from pneumoscope.train.data import Prepared, prepare
from pneumoscope.train.environment import Clock, environment
from pneumoscope.train.folds import ANSWERS, OutOfFold, answer_folds
from pneumoscope.train.importance import importance
from pneumoscope.train.run import claim
from pneumoscope.train.stages import pretrained
from pneumoscope.train.studied import Ended, distribution, ended_of, settings_of, trial_of
from pneumoscope.train.study import Say, alone, check_out, claim_out, lock, opened
from pneumoscope.train.units import units_of

if TYPE_CHECKING:
    from filelock import BaseFileLock
    from optuna import Study
    from optuna.trial import Trial as Open

INNER = 3  # folds of the training part that a trial is measured on
WAIT = 1.0  # seconds between looks at what other processes do


@dataclass(frozen=True, kw_only=True, eq=False)
class Hunt:
    """What every trial of a search shares. recipe: as written, resolved. inner: parts the outer training part."""

    recipe: Recipe
    space: Space
    datasets: Mapping[str, Dataset]
    inner: Split
    out: Path
    wanted: int
    weights_dir: Path | None
    cache: Path
    facts: Mapping[str, object]
    progress: Progress
    say: Say


def search(
    recipe: Recipe,
    datasets: Mapping[str, Dataset],
    out: Path,
    *,
    space: Space,
    trials: int,
    storage: str,
    weights_dir: Path | None,
    cache: Path,
    kept_memory: bool,
    progress: Progress,
    say: Say,
) -> Tried:
    """Try settings until `trials` of them are finished, over all processes; the same call goes on where one stopped.

    recipe: resolved, with one hold-out. datasets: by role. storage: see `study.opened`.

    Raises:
        UsageError: `out` or `storage` of another search, or more trials than a search had when it ended.
        DataError: a training part that cannot be dealt to inner folds.
        IntegrityError: a storage with what no search wrote.
        PneumoscopeError: what a trial fails by stops the search.
    """
    facts = {
        "recipe": recipe.digest,
        "data": digest({role: dataset.digest for role, dataset in datasets.items()}),
        "space": digest({path: space_text(one) for path, one in space.items()}),
    }
    check_out(out, facts)
    # a search that cannot begin must not make the folder its own
    _check_networks(recipe, space, weights_dir)
    data = _prepared(recipe, datasets, out, progress)
    main = units_of(data[MAIN], recipe).dataset
    outer = make_split(main, recipe.protocol)
    inner = inner_split(main, outer, recipe.protocol)
    for role in data.keys() - {MAIN}:
        role_split(data[role].dataset, recipe.role(role), recipe.protocol)
    with lock(out, "study"):
        facts = claim_out(out, facts)
    hunt = Hunt(
        recipe=recipe,
        space=space,
        datasets=datasets,
        inner=inner,
        out=out,
        wanted=trials,
        weights_dir=weights_dir,
        cache=cache,
        facts=environment(kept_memory=kept_memory),
        progress=progress,
        say=say,
    )
    with contextlib.ExitStack() as stack:
        with lock(out, "study"):
            study = stack.enter_context(opened(storage, facts, say))
        _run(hunt, study)
        return _tried(hunt, study, main, outer)


def inner_split(dataset: Dataset, outer: Split, protocol: Protocol) -> Split:
    """`INNER` folds of what a hold-out leaves to learn from, as a split of the whole dataset.

    The patients of the hold-out are in no part of it.

    Raises:
        DataError: too few patients of a class.
    """
    (fold,) = outer.folds
    keys = {*fold.train, *fold.val}
    part = dataclasses.replace(dataset, samples=tuple(s for s in dataset.samples if outer.key(s) in keys))
    # what the protocol learns from was chosen with the outer split
    dealt = dataclasses.replace(protocol, folds=INNER, train_share=1.0, train_on=())
    try:
        split = make_split(part, dealt)
    except DataError as error:
        why = str(error).removeprefix("split: ").partition(". ")[0]
        raise DataError(f"inner folds of the training part: {why}. Add patients of this class.") from error
    return dataclasses.replace(split, dataset=dataset.digest)


def override(settings: Mapping[str, Any]) -> dict[str, str]:
    """Settings as texts that `--set` takes."""
    return {path: json.dumps(value) for path, value in settings.items()}


def _prepared(recipe: Recipe, datasets: Mapping[str, Dataset], out: Path, progress: Progress) -> dict[str, Prepared]:
    with lock(out, "images"):  # two processes would write one file
        return {role: prepare(dataset, recipe, out / "cache", progress) for role, dataset in datasets.items()}


def _check_networks(recipe: Recipe, space: Space, weights_dir: Path | None) -> None:
    """A network that does not exist, or whose weights are not here, is found before the first trial."""
    pretrained(recipe, weights_dir)
    for path, one in space.items():
        if path.rpartition(".")[2] == "net" and isinstance(one, Choice):
            for value in one.values:
                pretrained(with_overrides(recipe, override({path: value})), weights_dir)


def _run(hunt: Hunt, study: Study) -> None:
    """Try settings until the study has ended."""
    while True:
        with lock(hunt.out, "study"):
            _take_up(hunt, study)
            finished, running = _count(study)
            hunt.progress("trials", min(finished, hunt.wanted), hunt.wanted)
            if _ended(hunt, study, finished):
                return
            begun = _begin(hunt, study) if finished + running < hunt.wanted else None
        if begun is None:  # the last ones are with other processes
            time.sleep(WAIT)
            continue
        trial, alive = begun
        try:
            _try(hunt, study, trial)
        finally:
            alive.release()


def _take_up(hunt: Hunt, study: Study) -> None:
    """Trials whose process is gone are marked failed, and their settings put in line again."""
    from optuna.trial import TrialState

    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        with alone(hunt.out, f"trial-{trial.number}") as gone:
            if not gone:
                continue
        study.tell(trial.number, state=TrialState.FAIL)
        if set(trial.params) == set(hunt.space):
            study.enqueue_trial(dict(trial.params))
        hunt.say(f"trial {trial.number} was stopped; its settings are taken up again")


def _count(study: Study) -> tuple[int, int]:
    """Number of trials that are finished, and that run."""
    from optuna.trial import TrialState

    states = [trial.state for trial in study.get_trials(deepcopy=False)]
    return sum(s in (TrialState.COMPLETE, TrialState.PRUNED) for s in states), states.count(TrialState.RUNNING)


def _ended(hunt: Hunt, study: Study, finished: int) -> bool:
    """Whether the search is over; the process that finds it so first writes down with which trials, and the winner."""
    from optuna.trial import TrialState

    ended = ended_of(study)
    if ended is not None:
        had = len(ended.finished)
        if hunt.wanted > had:
            raise UsageError(
                f"--trials: expected at most {had}, with which this search ended and asked its hold-out, found "
                f"{hunt.wanted}. A hold-out is asked once: name another --out."
            )
        return True
    if finished < hunt.wanted:
        return False
    found = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    done = [trial_of(trial, hunt.space) for trial in found]
    complete = [trial for trial in done if trial.state == "complete"]
    if not complete:
        raise IntegrityError(
            "--storage: expected a trial that ran to its end, found none. Name another --out and --storage."
        )
    winner = max(complete, key=lambda t: (t.value, -t.number))
    now = Ended(finished=tuple(trial.number for trial in done), winner=winner.number)
    study.set_user_attr("ended", to_json(now))
    return True


def _begin(hunt: Hunt, study: Study) -> tuple[Open, BaseFileLock]:
    """A new trial and the lock that says it is alive. To be called by one process at a time."""
    import optuna

    number = len(study.get_trials(deepcopy=False))
    # seeded by the trial's number: neither a resumed process nor another one suggests what was suggested
    seed = np.random.SeedSequence([hunt.recipe.protocol.seed, number]).generate_state(1)[0]
    study.sampler = optuna.samplers.TPESampler(seed=int(seed))
    trial = study.ask({path: distribution(one) for path, one in hunt.space.items()})
    alive = lock(hunt.out, f"trial-{trial.number}")
    alive.acquire()
    return trial, alive


def _try(hunt: Hunt, study: Study, trial: Open) -> None:
    """Measure one trial's settings and tell the study.

    Raises:
        PneumoscopeError: what it failed by.
    """
    import optuna
    from optuna.trial import TrialState

    settings = settings_of(trial.params, hunt.space)
    recipe = with_overrides(hunt.recipe, override(settings))
    folder = hunt.out / "trials" / recipe.digest[:12]
    words = ", ".join(f"{path}={shown(value)}" for path, value in settings.items())
    trial.set_user_attr("folder", folder.name)
    start = time.monotonic()
    value: float | None = None
    try:
        with lock(hunt.out, folder.name):  # another process may be at the same settings
            trial.set_user_attr("again", all((folder / f"fold_{k}" / ANSWERS).exists() for k in range(INNER)))
            value = _measure(hunt, trial, recipe, folder)
        said = f"balanced accuracy {value:.3f}"
    except optuna.TrialPruned:
        said = "left off, since it fell behind"
    except PneumoscopeError as error:
        trial.set_user_attr("error", type(error).__name__)  # its text may name a file
        study.tell(trial, state=TrialState.FAIL)
        if isinstance(error, MissingError):  # they can be tried once it is here
            study.enqueue_trial(dict(trial.params))
        error.add_note(f"It stopped trial {trial.number}: {words}")
        raise
    trial.set_user_attr("seconds", round(time.monotonic() - start, 1))
    study.tell(trial, value, state=TrialState.PRUNED if value is None else TrialState.COMPLETE)
    hunt.say(f"trial {trial.number}: {said}: {words}")


def _measure(hunt: Hunt, trial: Open, recipe: Recipe, folder: Path) -> float:
    """Mean balanced accuracy over the test parts of the inner folds; raises TrialPruned where it falls behind."""
    import optuna

    claim(folder, recipe, pretrained(recipe, hunt.weights_dir))
    data = _prepared(recipe, hunt.datasets, hunt.out, hunt.progress)
    bench = bench_of(
        recipe,
        data,
        folder,
        cache=hunt.cache,
        weights_dir=hunt.weights_dir,
        progress=hunt.progress,
        clock=Clock(folder / "environment.json", hunt.facts),
    )
    scores: list[float] = []

    def after(k: int, answers: OutOfFold) -> None:
        truth = bench.labels[answers.positions]
        scores.append(metrics.plain(answers.decisions, truth, bench.units.dataset.classes)["balanced_accuracy"])
        _forget(folder / f"fold_{k}")
        trial.set_user_attr("folds", scores)
        trial.report(statistics.fmean(scores), k)
        if len(scores) < INNER and trial.should_prune():
            raise optuna.TrialPruned

    answer_folds(bench, hunt.inner, folder, after=after)
    for role in bench.parts:  # not before: every fold begins with them
        _forget(folder / f"role_{role}")
    return statistics.fmean(scores)


def _forget(folder: Path) -> None:
    """Delete the weights of what has answered: the answers are all that a trial of the same settings asks for."""
    for path in folder.rglob("*.safetensors"):  # the inner folds of an ensemble lie in folders of their own
        path.unlink()


def _tried(hunt: Hunt, study: Study, main: Dataset, outer: Split) -> Tried:
    """What the study holds once it has ended."""
    from optuna.trial import TrialState

    ended = ended_of(study)
    if ended is None:
        raise IntegrityError("--storage: expected a search that has ended, found another one. Name another --storage.")
    trials = study.get_trials(deepcopy=False)
    kept = [t for t in trials if t.number in ended.finished or t.state == TrialState.FAIL]
    found, note = importance(study)
    fold: Fold = hunt.inner.folds[0]
    learned = {*fold.train, *fold.val, *fold.test}
    return Tried(
        trials=tuple(trial_of(trial, hunt.space) for trial in kept),
        space=hunt.space,
        winner=ended.winner,
        importance=found,
        importance_note=note,
        inner=INNER,
        images=sum(hunt.inner.key(sample) in learned for sample in main.samples),
        patients=len(learned),
        split=digest(outer),
    )
