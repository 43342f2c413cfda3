"""What is read back from a study that others may have written to."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import search_making as making
from optuna.trial import FrozenTrial, TrialState, create_trial

from pneumoscope.core.search import Trial, Tried
from pneumoscope.core.space import Choice, Range, read_space
from pneumoscope.errors import IntegrityError
from pneumoscope.train.studied import Ended, distribution, ended_of, settings_of, trial_of

SPACE = read_space(
    making.recipe(),
    {"stages.head.batch": "4,8", "stages.head.optim.lr": "1e-5..1e-2:log", "stages.head.epochs": "5..50"},
)
PARAMS = {"stages.head.batch": "8", "stages.head.optim.lr": 0.001, "stages.head.epochs": 7}
FACTS = {"folds": [0.5, 0.75], "folder": "0123", "again": True, "seconds": 1.5}


def frozen(state: TrialState = TrialState.COMPLETE, **facts: object) -> FrozenTrial:
    made = create_trial(
        params=PARAMS,
        distributions={path: distribution(one) for path, one in SPACE.items()},
        value=0.625,
        user_attrs=FACTS,
    )
    made.state = state
    made.user_attrs = FACTS | facts
    return made


def test_a_trial_comes_back():
    found = trial_of(frozen(shown_elsewhere="by somebody's dashboard"), SPACE)
    assert found.settings == {"stages.head.batch": 8, "stages.head.optim.lr": 0.001, "stages.head.epochs": 7}
    assert (found.state, found.value, found.folds) == ("complete", 0.625, (0.5, 0.75))
    assert (found.folder, found.again, found.seconds, found.error) == ("0123", True, 1.5, "")


def test_one_that_failed_early_has_nothing():
    made = frozen(TrialState.FAIL)
    made.params, made.user_attrs = {}, {}
    found = trial_of(made, SPACE)
    assert (found.state, found.folds, found.settings) == ("failed", (), {})
    assert math.isnan(found.value)


@pytest.mark.parametrize(
    "facts",
    [
        {"folds": "0.5"},
        {"folds": [None]},
        {"folds": [math.nan]},
        {"folds": [math.inf]},
        {"folds": [1.5]},
        {"folds": []},
        {"folder": 1},
        {"again": "no"},
        {"seconds": -1.0},
        {"seconds": math.inf},
        {"error": {}},
    ],
)
def test_what_a_search_never_wrote_is_refused(facts):
    with pytest.raises(IntegrityError, match=r"--storage: trial -?\d+: .*expected .* Name another --out"):
        trial_of(frozen(**facts), SPACE)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("stages.head.batch", 8),
        ("stages.head.batch", "16"),
        ("stages.head.batch", "{"),
        ("stages.head.batch", ["8"]),
        ("stages.head.optim.lr", "0.001"),
        ("stages.head.optim.lr", 0.0),
        ("stages.head.optim.lr", math.nan),
        ("stages.head.optim.lr", math.inf),
        ("stages.head.optim.lr", True),
        ("stages.head.epochs", 7.5),
        ("stages.head.epochs", 51),
        ("stages.head.epochs", None),
    ],
)
def test_a_value_of_another_space_is_refused(path, value):
    with pytest.raises(IntegrityError, match=f"--storage: {path}: expected a value of .*, found another one"):
        settings_of(PARAMS | {path: value}, SPACE)


def test_an_end_of_a_range_may_come_out_a_little_beyond_itself():
    beyond = math.nextafter(1e-5, 0)
    assert settings_of({"stages.head.optim.lr": beyond}, SPACE) == {"stages.head.optim.lr": beyond}


def test_a_trial_that_ended_without_its_settings_is_refused():
    made = frozen()
    made.params = {"stages.head.batch": "8"}
    with pytest.raises(IntegrityError, match="expected its settings"):
        trial_of(made, SPACE)


def test_how_it_ended_comes_back():
    assert ended_of(SimpleNamespace(user_attrs={})) is None
    said = {"finished": [0, 2], "winner": 2}
    assert ended_of(SimpleNamespace(user_attrs={"ended": said})) == Ended(finished=(0, 2), winner=2)


@pytest.mark.parametrize("said", [None, [], {"winner": 0}, {"finished": ["a"], "winner": 0}, {"finished": [0]}])
def test_an_end_that_no_search_wrote_is_refused(said):
    with pytest.raises(IntegrityError, match="--storage: how the search ended: "):
        ended_of(SimpleNamespace(user_attrs={"ended": said}))


@pytest.mark.parametrize("number", [1, 2, 9])
def test_a_winner_that_did_not_run_to_its_end_is_none(number):
    states = ("complete", "pruned", "failed")
    trials = tuple(Trial(number=i, state=state, value=0.5, folds=(0.5,), settings={}) for i, state in enumerate(states))
    values = {"importance": {}, "importance_note": "", "inner": 3, "images": 9, "patients": 9, "split": ""}
    tried = Tried(trials=trials, space={}, winner=number, **values)
    with pytest.raises(IntegrityError, match="expected the winner among the trials that ran to their end"):
        _ = tried.best


def test_what_optuna_draws_is_what_was_asked_for():
    assert distribution(Choice(values=([256], True, "adam"))).choices == ("[256]", "true", '"adam"')
    assert distribution(Range(low=5, high=50, whole=True)).low == 5
    assert distribution(Range(low=0.1, high=1.0, log=True)).log
