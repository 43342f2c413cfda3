"""A whole search: trials, the winner on the hold-out, and the files that are left."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fixtures_trained import MAPPING, RECIPE

from pneumoscope import bundle as bundles
from pneumoscope import tuning
from pneumoscope.core.dataset import Split
from pneumoscope.core.resolve import resolve
from pneumoscope.core.search import Search
from pneumoscope.core.serial import digest, from_json, to_json
from pneumoscope.core.space import Choice
from pneumoscope.errors import DataError, IntegrityError, MissingError, RecipeError, UsageError
from pneumoscope.recipes import find

SMALL = {
    "prep.resize.size": "32",
    "stages.head.epochs": "1",
    "stages.head.head.hidden": "[4]",
    "decision.rule": "youden",
}
SPACE = {"stages.head.batch": "4,8"}
TRIALS = 4


def again(data: Path, out: Path, **changed: Any) -> Search | None:
    options = {"search": SPACE, "trials": TRIALS, "mapping": MAPPING, "overrides": SMALL} | changed
    return tuning.tune(RECIPE, [data], out=out, **options)


@pytest.fixture(scope="module")
def fitted() -> list[Path]:
    """Folders of the folds that were fitted in this module, in order."""
    return []


@pytest.fixture(scope="module")
def searched(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory, fitted: list[Path]) -> tuple[Path, Search]:
    """A search that is done; its folder is to be read only, or resumed."""
    from pneumoscope.train import folds

    out = tmp_path_factory.mktemp("search") / "out"
    fold = folds._fold

    def counted(bench, split, k, folder):
        fitted.append(folder.relative_to(out))
        return fold(bench, split, k, folder)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folds, "_fold", counted)
        done = again(tiny_data, out)
    assert done is not None
    return out, done


def test_what_is_left_is_what_the_docs_say(searched):
    out, done = searched
    there = {p.name for p in out.iterdir()}
    assert {"study.json", "study.journal", "trials", "winner.json", "winner", "as-written", "search.json"} <= there
    assert "report.html" in there
    assert to_json(from_json(Search, json.loads((out / "search.json").read_text()))) == to_json(done)
    assert len(done.tried.finished) == TRIALS
    assert done.as_written_settings == {"stages.head.batch": 32}
    assert done.same is False
    assert "Search of szalay2021:cnn" in (out / "report.html").read_text()
    assert not list((out / "trials").rglob("*.safetensors"))  # each has answered
    assert not list((out / "trials").rglob("*.checkpoint"))


def test_winner_json_makes_the_recipe_the_winner_by_as_many_folds_as_it_has(searched):
    out, done = searched
    given = json.loads((out / "winner.json").read_text())
    assert given == to_json(done.overrides) | done.settings
    assert given["prep.resize.size"] == 32
    assert "protocols.honest.folds" not in given
    found, variant = find(RECIPE)
    texts = {path: json.dumps(value) for path, value in given.items()}
    assert resolve(found, variant=variant, overrides=texts).protocol.folds == find(RECIPE)[0].protocols[0].folds
    one = resolve(found, variant=variant, overrides=texts | {"protocols.honest.folds": "1"})
    assert one.digest == json.loads((out / "winner" / "recipe.json").read_text())["digest"]


def test_what_was_searched_replaces_what_was_set(tmp_path):
    tried = SimpleNamespace(best=SimpleNamespace(settings={"stages.head.optim.lr": 0.5}))
    optim = {"name": "sgd", "lr": 0.1}
    given = {"stages.head.optim.lr": "0.1", "stages.head.optim": json.dumps(optim), "decision.rule": "youden"}
    assert tuning._write_winner(given, tried, tmp_path) == {
        "stages.head.optim.lr": 0.1,
        "stages.head.optim": optim,
        "decision.rule": "youden",
    }
    found = json.loads((tmp_path / "winner.json").read_text())
    # in this order: what was found goes over what was set around it
    assert list(found) == ["stages.head.optim", "decision.rule", "stages.head.optim.lr"]
    assert found["stages.head.optim.lr"] == 0.5


def test_what_was_set_is_said_and_is_not_called_as_written(searched):
    out, done = searched
    assert done.overrides == {
        "prep.resize.size": 32,
        "stages.head.epochs": 1,
        "stages.head.head.hidden": [4],
        "decision.rule": "youden",
    }
    page = (out / "report.html").read_text()
    assert "prep.resize.size=32, stages.head.epochs=1, stages.head.head.hidden=[4], decision.rule=youden" in page
    assert "As the search began" in page
    assert "s written" not in page


def test_the_command_that_trains_the_winner(searched, tiny_data):
    out, done = searched
    words = tuning.train_command(done, ["my images", "b=c"], "a b", Path("w"))
    assert words == [
        *("pneumoscope", "train", RECIPE, "--data", "my images", "--data", "b=c"),
        *(word for label, name in MAPPING.items() for word in ("--map", f"{label}={name}")),
        *("--set", "@a b/winner.json", "--weights", "w", "--out", "a b/trained"),
    ]
    assert tuning.train_command(dataclasses.replace(done, ungrouped=True), [], "o")[-3:] == [
        *("--ungrouped", "--out", "o/trained"),
    ]
    page = (out / "report.html").read_text()
    assert f"pneumoscope train {RECIPE} --data DIR --map" in page
    assert "--set @OUT/winner.json --out OUT/trained" in page
    assert str(tiny_data) not in page
    assert str(tiny_data) not in (out / "search.json").read_text()


def test_the_difference_is_of_the_same_patients(searched):
    _, done = searched
    metric = "balanced_accuracy"
    found = done.differences[metric]
    assert found.value == pytest.approx(done.winner.metrics[metric].value - done.as_written.metrics[metric].value)
    assert found.low <= found.value <= found.high


def test_settings_that_come_again_are_not_fitted_again(searched, fitted):
    _, done = searched
    tried = [json.dumps(t.settings) for t in done.tried.trials]
    assert len(set(tried)) < TRIALS  # two settings, four trials
    assert sum(t.again for t in done.tried.trials) == TRIALS - len(set(tried))
    assert len(fitted) == len(set(fitted)) == 3 * len(set(tried)) + 2  # and the two on the hold-out
    assert {p.parts[0] for p in fitted} == {"trials", "winner", "as-written"}


def test_no_trial_answered_for_the_hold_out(searched):
    out, done = searched
    split = from_json(Split, json.loads((out / "winner" / "split.json").read_text()))
    assert digest(split) == done.tried.split == done.winner.split == done.as_written.split
    (fold,) = split.folds
    held = set(fold.test)
    assert done.tried.patients == len(fold.train) + len(fold.val)
    assert done.winner.n_patients == len(held)
    for folder in (out / "trials").iterdir():
        answers = [json.loads(p.read_text()) for p in folder.glob("fold_*/answers.json")]
        assert sum(len(a["probabilities"]) for a in answers) == done.tried.images  # each of them once, no other
    assert json.loads((out / "as-written" / "split.json").read_text())["folds"] == to_json(split)["folds"]


def test_the_winner_has_a_bundle_and_the_recipe_as_written_has_none(searched):
    out, done = searched
    facts = bundles.load(str(out / "winner" / "bundle")).facts
    assert facts.recipe.stages[-1].batch == done.settings["stages.head.batch"]
    assert facts.recipe.stages[-1].head.hidden == (4,)
    assert not (out / "as-written" / "bundle").exists()


def test_a_search_that_is_asked_again_fits_nothing(searched, tiny_data, monkeypatch):
    from pneumoscope.train import loop

    out, done = searched
    monkeypatch.setattr(loop, "fit", lambda *a, **k: pytest.fail("something was fitted"))
    assert to_json(again(tiny_data, out)) == to_json(done)
    with pytest.raises(UsageError, match="expected at most 4, with which this search ended"):
        again(tiny_data, out, trials=5)
    with pytest.raises(UsageError, match="expected a search of the same fields to search"):
        again(tiny_data, out, search={"stages.head.batch": "4,16"})
    with pytest.raises(UsageError, match="expected a search of the same recipe and settings"):
        again(tiny_data, out, overrides=SMALL | {"stages.head.epochs": "2"})


def test_while_another_process_is_at_the_winner_this_one_says_where(searched, tiny_data):
    from pneumoscope.train.study import lock

    out, _ = searched
    said: list[str] = []
    with lock(out, "winner"):
        assert again(tiny_data, out, say=said.append) is None
    assert f"another process evaluates the winner in '{out / 'winner'}'" in said[-1]


def test_one_run_serves_for_both_where_the_recipe_as_written_won(searched, tiny_data, monkeypatch, tmp_path):
    from pneumoscope.train import search as trying

    _, done = searched
    best = dataclasses.replace(done.tried.best, settings={"stages.head.batch": 32})
    tried = dataclasses.replace(done.tried, trials=(best,), space={"stages.head.batch": Choice(values=(4, 32))})
    monkeypatch.setattr(trying, "search", lambda *a, **k: tried)
    ran: list[Path] = []

    def run_one(recipe, datasets, out, *a, **k):
        ran.append(out)
        return SimpleNamespace(evaluation=dataclasses.replace(done.winner, split=splits))

    splits = done.tried.split
    monkeypatch.setattr(tuning, "run_one", run_one)
    found = again(tiny_data, tmp_path / "out", search={"stages.head.batch": "4,32"})
    assert ran == [tmp_path / "out" / "winner"]
    assert found.same
    assert found.differences == {}
    assert found.winner is found.as_written
    assert "one run serves for both" in (tmp_path / "out" / "report.html").read_text()
    splits = "0" * 64
    with pytest.raises(IntegrityError, match="winner: expected the hold-out that no trial saw"):
        again(tiny_data, tmp_path / "out", search={"stages.head.batch": "4,32"})


@pytest.mark.parametrize(
    ("changed", "error", "says"),
    [
        ({"trials": 0}, UsageError, "--trials: expected at least 1, found 0"),
        ({"overrides": {"protocols.honest.folds": "5"}}, UsageError, "expected one hold-out, .* found '5'"),
        ({"overrides": {"protocols.paper.folds": "5"}}, RecipeError, "expected a field of the protocol 'honest'"),
        ({"search": {"stages.head.bathc": "4,8"}}, UsageError, "Did you mean 'stages.head.batch'"),
        ({"search": {"decision.value": "0.1..0.9"}}, UsageError, "changes what is measured"),
        ({"overrides": {"stages.head.epochs": "none"}}, RecipeError, "stages.head.epochs: expected"),
    ],
)
def test_what_does_not_fit_is_said_before_the_data_is_read(tmp_path, changed, error, says):
    with pytest.raises(error, match=says):
        again(tmp_path / "nowhere", tmp_path / "out", **changed)
    assert not (tmp_path / "out").exists()


def test_a_recipe_without_a_search_asks_for_one(tmp_path):
    with pytest.raises(UsageError, match="basu2020: expected fields to search"):
        tuning.tune("basu2020", [tmp_path], out=tmp_path / "out")


def test_without_the_extra_it_says_what_supplies_it(monkeypatch, tmp_path):
    import importlib.util

    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "optuna" else there(name))
    with pytest.raises(MissingError, match=r"pip install 'pneumoscope\[train\]'"):
        again(tmp_path, tmp_path / "out")


def test_data_that_is_not_there_is_an_error_and_leaves_nothing(tmp_path):
    with pytest.raises(DataError):
        again(tmp_path / "nowhere", tmp_path / "out")
    assert not (tmp_path / "out").exists()
