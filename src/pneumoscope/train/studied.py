"""The trials of a search as optuna keeps them, and back: a storage may be shared, so what is read from it is checked.

Optuna takes no lists, and holds 1 and true for the same: choices go to it by their JSON.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pneumoscope.core.search import Trial
from pneumoscope.core.serial import Mismatch, canonical, from_json
from pneumoscope.core.space import Choice, Range, Space, space_text
from pneumoscope.errors import IntegrityError

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

State = Literal["complete", "pruned", "failed"]
_STATES: Mapping[str, State] = {"COMPLETE": "complete", "PRUNED": "pruned"}


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a search ended. finished: numbers of the trials that it ended with. winner: the best one's."""

    finished: tuple[int, ...]
    winner: int


@dataclass(frozen=True, kw_only=True)
class _Facts:
    """What a trial tells of itself; see `Trial`."""

    folds: tuple[float, ...] = ()
    folder: str = ""
    again: bool = False
    seconds: float = 0.0
    error: str = ""


def distribution(space: Choice | Range) -> BaseDistribution:
    """What optuna draws one field from."""
    from optuna import distributions

    if isinstance(space, Choice):
        return distributions.CategoricalDistribution([canonical(value).decode() for value in space.values])
    if space.whole:
        return distributions.IntDistribution(int(space.low), int(space.high), log=space.log)
    return distributions.FloatDistribution(space.low, space.high, log=space.log)


def settings_of(params: Mapping[str, Any], space: Space) -> dict[str, Any]:
    """Dotted field -> value, in the order of the space.

    Raises:
        IntegrityError: a value that is not of the space.
    """
    return {path: _value(path, params[path], one) for path, one in space.items() if path in params}


def _value(path: str, found: Any, space: Choice | Range) -> Any:
    if isinstance(space, Choice):
        for value in space.values:
            if found == canonical(value).decode():
                return value
    # optuna draws logarithms, so an end may come out a little beyond itself
    elif type(found) in ((int,) if space.whole else (int, float)) and math.isclose(
        found, min(max(found, space.low), space.high)
    ):
        return found
    raise _foreign(f"{path}: expected a value of {space_text(space)}, found another one")


def trial_of(trial: FrozenTrial, space: Space) -> Trial:
    """A trial that runs no more.

    Raises:
        IntegrityError: one that this search did not write.
    """
    state: State = _STATES.get(trial.state.name, "failed")
    try:
        names = [f.name for f in dataclasses.fields(_Facts)]
        facts = from_json(_Facts, {name: trial.user_attrs[name] for name in names if name in trial.user_attrs})
    except Mismatch as error:
        raise _foreign(f"trial {trial.number}: {str(error).removesuffix('.')}") from error
    settings = settings_of(trial.params, space)
    lacking = (state != "failed" and len(settings) < len(space)) or (state == "complete" and not facts.folds)
    if lacking or not all(0 <= n <= 1 for n in facts.folds) or not 0 <= facts.seconds < math.inf:
        raise _foreign(f"trial {trial.number}: expected its settings, values in 0..1 and seconds, found others or none")
    return Trial(
        number=trial.number,
        state=state,
        value=statistics.fmean(facts.folds) if facts.folds else math.nan,
        folds=facts.folds,
        settings=settings,
        folder=facts.folder,
        again=facts.again,
        seconds=facts.seconds,
        error=facts.error,
    )


def ended_of(study: Study) -> Ended | None:
    """How the search ended; None where it goes on.

    Raises:
        IntegrityError: the study says something else.
    """
    if "ended" not in study.user_attrs:
        return None
    try:
        return from_json(Ended, study.user_attrs["ended"])
    except Mismatch as error:
        raise _foreign(f"how the search ended: {str(error).removesuffix('.')}") from error


def _foreign(what: str) -> IntegrityError:
    return IntegrityError(f"--storage: {what}. Name another --out and --storage.")
