"""`pneumoscope tune`, and settings from a file, as a user meets them."""

from __future__ import annotations

import io
import json
import shlex
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pytest
from fixtures_trained import MAPPING, RECIPE

from pneumoscope import api
from pneumoscope.app.cli import main
from pneumoscope.app.console import MOST, pairs
from pneumoscope.errors import UsageError

SETTINGS = [
    *("--set", "prep.resize.size=32", "--set", "stages.head.epochs=1", "--set", "decision.rule=youden"),
    *(word for label, name in MAPPING.items() for word in ("--map", f"{label}={name}")),
]


class Ran(NamedTuple):
    """A command that was run."""

    code: int
    stdout: str
    stderr: str


@pytest.fixture(scope="module")
def searched(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ran]:
    """A search by the command."""
    out = tmp_path_factory.mktemp("tune") / "out"
    words = ["tune", RECIPE, "--data", tiny_data, "--out", out, "--trials", 2, *SETTINGS]
    words += ["--search", "stages.head.head.hidden=[4],[4,4]", "--search", "stages.head.optim.lr=1e-3..1e-2:log"]
    stdout, stderr = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(stdout), redirect_stderr(stderr):
        patch.setattr(sys, "argv", ["pneumoscope", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            main()
    return out, Ran(int(stop.value.code or 0), stdout.getvalue(), stderr.getvalue())


def test_the_winner_is_printed_beside_the_recipe_as_written(searched):
    out, ran = searched
    assert ran.code == 0, ran.stderr
    assert "won of 2: balanced accuracy" in ran.stdout
    assert "on the hold-out that no trial saw" in ran.stdout
    assert f"report: {out / 'report.html'}" in ran.stdout
    assert "as the search began" in ran.stdout
    assert "s written" not in ran.stdout
    assert "The winner less the recipe as the search began, paired by patient: " in ran.stdout
    assert "set for the whole search: prep.resize.size=32, stages.head.epochs=1, decision.rule=youden" in ran.stdout
    assert (out / "winner" / "bundle" / "bundle.json").exists()


def test_what_it_says_is_ours(searched):
    _, ran = searched
    lines = ran.stderr.splitlines()
    assert sum(line.startswith("trial ") for line in lines) == 2
    assert not [line for line in lines if "optuna" in line.lower() or "[I " in line or "arning" in line]


def test_the_command_that_is_printed_trains_the_winner(searched, command, tiny_data, monkeypatch):
    out, ran = searched
    winner = json.loads((out / "winner.json").read_text())
    assert list(winner)[-2:] == ["stages.head.head.hidden", "stages.head.optim.lr"]
    (line,) = [line for line in ran.stdout.splitlines() if line.startswith("train the winner: ")]
    words = shlex.split(line.removeprefix("train the winner: "))
    assert words[0] == "pneumoscope"
    given: dict[str, object] = {}

    def train(*args, **kw):
        given.update(kw)
        return []

    monkeypatch.setattr(api, "train", train)
    code, _, err = command(*words[1:])
    assert (code, err) == (0, "")
    assert given["mapping"] == MAPPING
    assert given["out"] == out / "trained"
    assert given["overrides"]["stages.head.epochs"] == "1"
    assert {path: json.loads(text) for path, text in given["overrides"].items()} == winner
    from pneumoscope.core.resolve import resolve
    from pneumoscope.recipes import find

    found, variant = find(RECIPE)
    recipe = resolve(found, variant=variant, overrides=given["overrides"])
    assert list(recipe.stages[-1].head.hidden) == winner["stages.head.head.hidden"]
    assert recipe.stages[-1].optim.lr == winner["stages.head.optim.lr"]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--search", "stages.head.batch"], 2, "--search: expected NAME=VALUE, found 'stages.head.batch'"),
        (["--search", "stages.head.batch=8"], 2, "expected at least two different values"),
        (["--search", "stages.head.batch=8,9", "--search", "stages.head.batch=8"], 2, "expected each name once"),
        (["--search", "decision.value=0.1..0.9"], 2, "changes what is measured"),
        (["--trials", "0"], 2, "--trials: expected at least 1"),
        (["--set", "@nowhere.json"], 2, "--set @nowhere.json: expected a file that can be read"),
        (["--set", "protocols.honest.folds=3"], 2, "expected one hold-out"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(command, tmp_path, words, code, says):
    got, out, err = command("tune", RECIPE, "--data", tmp_path, "--out", tmp_path / "out", *words)
    assert (got, out) == (code, "")
    assert says in err
    assert len(err.splitlines()) == 1


def test_without_the_extra_it_is_exit_5(command, monkeypatch, tmp_path):
    import importlib.util

    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "optuna" else there(name))
    code, _, err = command("tune", RECIPE, "--data", tmp_path, "--out", tmp_path / "out")
    assert code == 5
    assert "Run: pip install 'pneumoscope[train]'" in err


def test_values_in_a_file_are_those_words(tmp_path):
    values = {"a.b": [256, 512], "c": "adam", "d": 0.1, "e": True, "f": "32"}
    (tmp_path / "w.json").write_text(json.dumps(values))
    found = pairs("--set", ["x=1", f"@{tmp_path / 'w.json'}"])
    assert found.pop("x") == "1"
    assert {name: json.loads(text) for name, text in found.items()} == values


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[1]", "found something else"),
        ("{}", "found something else"),
        ('{"": 1}', "found something else"),
        ("{", "expected JSON"),
        ('{"a": NaN}', "not finite"),
        ("[" * 50 + "]" * 50, "levels"),
        (" " * MOST + "{}", "found something else"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path, text, says):
    (tmp_path / "w.json").write_text(text)
    with pytest.raises(UsageError, match=r"--set @.*w.json: expected a JSON object of field and value") as caught:
        pairs("--set", [f"@{tmp_path / 'w.json'}"])
    assert says in str(caught.value)


@pytest.mark.parametrize("text", ['{"a": 1, "b": 2, "a": 1}', '{"b": {"a": 1, "a": 2}}'])
def test_a_name_stands_once_in_a_file(tmp_path, text):
    (tmp_path / "w.json").write_text(text)
    with pytest.raises(UsageError, match=r"--set @.*w.json: expected each name once, found 'a' twice"):
        pairs("--set", [f"@{tmp_path / 'w.json'}"])


def test_a_name_stands_once_in_words_and_files(tmp_path):
    (tmp_path / "w.json").write_text('{"a": 1}')
    with pytest.raises(UsageError, match="expected each name once, found 'a' twice"):
        pairs("--set", ["a=2", f"@{tmp_path / 'w.json'}"])
    with pytest.raises(UsageError, match="expected NAME=VALUE, found '@"):
        pairs("--map", [f"@{tmp_path / 'w.json'}"])
