"""What a search says of the fields that mattered, and when it says nothing."""

from __future__ import annotations

import optuna
import pytest

from pneumoscope.train.importance import importance

SPACE = {
    "a": optuna.distributions.CategoricalDistribution(["1", "2", "3", "4"]),
    "b": optuna.distributions.CategoricalDistribution(["1", "2", "3", "4"]),
}


@pytest.fixture(autouse=True)
def quiet():
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def study(*settings: tuple[int, int]) -> optuna.Study:
    """Values hang on `a` alone."""
    made = optuna.create_study(direction="maximize")
    for a, b in settings:
        params = {"a": str(a), "b": str(b)}
        made.add_trial(optuna.trial.create_trial(params=params, distributions=SPACE, value=a / 4 + b / 1000))
    return made


GRID = [(a, b) for a in (1, 2, 3, 4) for b in (1, 2, 3)]


def test_the_field_that_decides_is_first():
    found, note = importance(study(*GRID))
    assert list(found) == ["a", "b"]
    assert found["a"] > 0.9
    assert sum(found.values()) == pytest.approx(1)
    assert "over the 12 settings tried to the end" in note
    assert "12 settings are few" in note


def test_settings_that_came_again_are_one():
    found, note = importance(study(*GRID, *[GRID[0]] * 40))
    assert (found, note) == importance(study(*GRID))
    found, note = importance(study(*GRID[:9], *[GRID[0]] * 40))
    assert not found
    assert "9 of the different settings ran to their end, and fewer than 10" in note


def test_one_value_names_no_field():
    found, note = importance(study(*[(2, 1)] * 20))
    assert not found
    assert "1 of the different settings" in note
    same = study(*GRID)
    for trial in same.get_trials(deepcopy=False):
        trial.value = 0.5
    assert "all settings have the same value" in importance(same)[1]
