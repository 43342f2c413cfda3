"""The trials of a search: what they see, that they are found again, and that processes share them."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import search_making as making
from hypothesis import given, settings
from hypothesis import strategies as st

from pneumoscope.core.dataset import ClassSet, Dataset, Sample
from pneumoscope.core.recipe import Protocol
from pneumoscope.core.role import Role
from pneumoscope.core.space import Choice, Range, read_space
from pneumoscope.errors import DataError, IntegrityError, MissingError, PneumoscopeError, RecipeError, UsageError
from pneumoscope.evaluate.split import make_split
from pneumoscope.train import search, study
from pneumoscope.train.studied import distribution, settings_of

CLASSES = ClassSet(names=("normal", "covid"), positive="covid")


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch):
    """Fits that cost nothing; taken back when the test ends."""
    for name in ("prepare", "answer_folds", "pretrained"):
        monkeypatch.setattr(search, name, getattr(search, name))
    making.pretend(making.by_batch)
    return making.pretend


@contextlib.contextmanager
def other_process(trials: int, *searches: tuple[str, Path, str]) -> Iterator[subprocess.Popen[str]]:
    """A process that makes searches one after the other: how, where, in which storage; killed at the end."""
    words = [str(word) for search in searches for word in search]
    command = [sys.executable, str(making.__file__), str(trials), *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as other:
        try:
            yield other
        finally:
            other.kill()


def until_begun(other: subprocess.Popen[str]) -> list[str]:
    """What another process says before its next search has begun."""
    said = []
    for line in other.stdout:
        if line == "begun\n":
            return said
        said.append(line)
    raise AssertionError(other.stderr.read())


@settings(max_examples=20)
@given(
    files=st.lists(st.integers(1, 3), min_size=44, max_size=52),
    seed=st.integers(0, 99),
    share=st.sampled_from((0.7, 1.0)),
    train_on=st.sampled_from(((), ("a",))),
)
def test_no_patient_of_the_hold_out_is_in_any_inner_part(files, seed, share, train_on):
    samples = tuple(
        Sample(
            file=f"{i:03d}-{j}.png",
            label=CLASSES.names[i % 2],
            group=f"g{i:03d}",
            digest=f"{i}-{j}",
            collection="ab"[i % 4 == 3],
        )
        for i, n in enumerate(files)
        for j in range(n)
    )
    dataset = Dataset(root="/nowhere", samples=samples, classes=CLASSES)
    protocol = Protocol(
        name="honest",
        unit="group",
        folds=1,
        test_share=0.2,
        val_share=0.15,
        seed=seed,
        train_share=share,
        train_on=train_on,
    )
    outer = make_split(dataset, protocol)
    inner = search.inner_split(dataset, outer, protocol)
    (fold,) = outer.folds
    tested: list[str] = []
    for k, part in enumerate(inner.folds):
        assert not {*part.train, *part.val, *part.test} & set(fold.test)
        assert {*part.train, *part.val, *part.test} == {*fold.train, *fold.val}
        tested += part.test
        positions = inner.part(dataset, k, "test")  # of the whole dataset
        assert {dataset.samples[i].group for i in positions} == set(part.test)
    assert len(inner.folds) == 3
    assert sorted(tested) == sorted({*fold.train, *fold.val})


def test_too_few_patients_for_inner_folds_are_said(pretended, tmp_path):
    with pytest.raises(DataError, match=r"inner folds of the training part: .*expected at least 3 .*found 2. Add"):
        making.run(tmp_path / "out", 2, datasets={"main": making.data(3)})
    assert len(making.run(tmp_path / "out", 2).finished) == 2  # the folder is not that of a search which never began


def test_weights_go_once_they_have_answered(pretended, monkeypatch, tmp_path):
    """A fold's at once, another role's with the trial's value: every fold begins with them."""
    base = making.recipe()
    roles = (*base.roles, Role(name="before"))
    monkeypatch.setattr(making, "recipe", lambda: dataclasses.replace(base, roles=roles))
    answer, there = search.answer_folds, []

    def weights(folder):
        return sorted(p.parent.name for p in folder.rglob("*.safetensors"))

    def answer_folds(bench, split, out, *, after):
        for name in ("role_before", *(f"fold_{k}" for k in range(3)), "fold_0/inner_0"):
            (out / name).mkdir(exist_ok=True)
            (out / name / "head.safetensors").write_bytes(b"many megabytes")
            (out / name / "answers.json").write_text("{}")

        def then(k, answers):
            after(k, answers)
            there.append(weights(out))

        answer(bench, split, out, after=then)

    monkeypatch.setattr(search, "answer_folds", answer_folds)
    making.run(tmp_path / "out", 1, datasets={"main": making.data(), "before": making.data()})
    assert there == [["fold_1", "fold_2", "role_before"], ["fold_2", "role_before"], ["role_before"]]
    assert weights(tmp_path / "out") == []
    assert len(list((tmp_path / "out").rglob("answers.json"))) == 5


def test_a_search_finds_what_is_best(pretended, tmp_path):
    said: list[str] = []
    tried = making.run(tmp_path / "out", 12, say=said.append)
    assert len(tried.finished) == 12
    assert tried.best.settings["stages.head.batch"] == 4
    assert tried.best.value == max(t.value for t in tried.finished) == 1
    assert all(t.value == pytest.approx(statistics.fmean(t.folds)) for t in tried.trials)
    assert all(1e-4 <= t.settings["stages.head.optim.lr"] <= 1e-1 for t in tried.trials)
    assert tried.space == read_space(making.recipe(), making.SPACE)
    assert len(said) == 12
    assert "optuna" not in " ".join(said)
    assert tried.images == tried.patients == 32  # 40 less a hold-out of a fifth
    assert not tried.importance
    assert "ran to their end" in tried.importance_note


def test_a_trial_that_falls_behind_is_left_off(pretended, tmp_path):
    tried = making.run(tmp_path / "out", 16)
    pruned = [t for t in tried.trials if t.state == "pruned"]
    assert pruned
    assert all(len(t.folds) < 3 for t in pruned)
    assert all(len(t.folds) == 3 for t in tried.trials if t.state == "complete")
    complete = [t for t in tried.trials if t.state == "complete"]
    assert min(t.number for t in pruned) >= study.STARTUP <= len(complete)
    assert max(t.value for t in pruned) < max(t.value for t in complete)


def test_with_enough_trials_the_field_that_matters_is_named(pretended, monkeypatch, tmp_path):
    monkeypatch.setattr(study, "STARTUP", 99)
    tried = making.run(tmp_path / "out", 14)
    assert next(iter(tried.importance)) == "stages.head.batch"
    assert sum(tried.importance.values()) == pytest.approx(1)
    assert "14 settings are few" in tried.importance_note


def test_values_that_are_all_the_same_name_no_field(pretended, tmp_path):
    pretended(lambda recipe, k: 0.5)
    tried = making.run(tmp_path / "out", 11)
    assert not tried.importance
    assert "same value" in tried.importance_note
    assert tried.winner == 0  # the first of equals


def test_a_search_that_is_asked_again_tries_nothing(pretended, tmp_path):
    first = making.run(tmp_path / "out", 4)
    pretended(lambda recipe, k: pytest.fail("a trial ran"))
    assert making.run(tmp_path / "out", 4) == first
    assert making.run(tmp_path / "out", 2) == first


def test_a_search_that_was_stopped_ends_as_one_that_was_not(pretended, tmp_path):
    whole = making.run(tmp_path / "whole", 6)

    class StopError(Exception):
        pass

    def worth(recipe, k):
        calls.append(k)
        if len(calls) == 15:  # two a fold, three folds a trial: in the third one
            raise StopError
        return making.by_batch(recipe, k)

    calls: list[int] = []
    pretended(worth)
    with pytest.raises(StopError):
        making.run(tmp_path / "parts", 6)
    said: list[str] = []
    parts = making.run(tmp_path / "parts", 6, say=said.append)
    assert "trial 2 was stopped; its settings are taken up again" in said
    failed = [t for t in parts.trials if t.state == "failed"]
    assert [t.number for t in failed] == [2]
    again = next(t for t in parts.trials if t.number == 3)
    assert again.settings == failed[0].settings == whole.trials[2].settings
    assert len(parts.finished) == 6
    assert [t.settings for t in parts.finished[:3]] == [t.settings for t in whole.trials[:3]]


def test_once_it_has_ended_no_trial_is_added(pretended, tmp_path):
    making.run(tmp_path / "out", 2)
    with pytest.raises(UsageError, match=r"--trials: expected at most 2, .* found 3. A hold-out is asked once"):
        making.run(tmp_path / "out", 3)


@pytest.mark.parametrize(
    ("error", "again"), [(MissingError("weights: none"), True), (RecipeError("net: does not fit"), False)]
)
def test_what_a_trial_fails_by_stops_the_search(pretended, tmp_path, error, again):
    def worth(recipe, k):
        raise error

    pretended(worth)
    with pytest.raises(type(error)) as caught:
        making.run(tmp_path / "out", 3)
    assert "It stopped trial 0: stages.head.batch=" in caught.value.__notes__[0]
    making.pretend(making.by_batch)
    tried = making.run(tmp_path / "out", 3)
    assert (tried.trials[0].state, tried.trials[0].error) == ("failed", type(error).__name__)
    assert len(tried.finished) == 3
    assert (tried.trials[1].settings == tried.trials[0].settings) is again


def test_a_network_without_weights_is_found_before_the_first_trial(pretended, monkeypatch, tmp_path):
    def pretrained(recipe, weights_dir):
        if recipe.stages[-1].net == "vgg19":
            raise MissingError("vgg19: expected weights, found none.")
        return {}

    monkeypatch.setattr(search, "pretrained", pretrained)
    with pytest.raises(MissingError, match="vgg19"):
        making.run(tmp_path / "out", 3, space={"stages.head.net": "cnn,vgg19"})
    assert not (tmp_path / "out" / "trials").exists()


def test_a_search_of_something_else_is_refused(pretended, tmp_path):
    making.run(tmp_path / "out", 2)
    with pytest.raises(UsageError, match=r"--out: .*expected a search of the same fields to search"):
        making.run(tmp_path / "out", 2, space={"stages.head.batch": "4,8"})
    with pytest.raises(UsageError, match=r"--out: .*expected a search of the same data"):
        making.run(tmp_path / "out", 2, datasets={"main": making.data(21)})
    with pytest.raises(UsageError, match=r"--storage: the study there: expected a search of the same folder"):
        making.run(tmp_path / "other", 2, storage=str(tmp_path / "out" / "study.journal"))


@pytest.mark.parametrize("text", ["{", "[]", '{"recipe": 1}', "\\udce9"])
def test_a_damaged_study_json_is_said(pretended, tmp_path, text):
    (tmp_path / "locks").mkdir()
    (tmp_path / "study.json").write_text(text)
    with pytest.raises(IntegrityError, match=r"study\.json: expected what a search is of, found something else"):
        making.run(tmp_path, 2)


def test_a_folder_of_something_else_is_refused(pretended, tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(UsageError, match="found other files"):
        making.run(tmp_path, 2)
    with pytest.raises(UsageError, match="found the file"):
        making.run(tmp_path / "note.txt", 2)
    assert [p.name for p in tmp_path.iterdir()] == ["note.txt"]


@pytest.mark.parametrize(
    "storage", ["sqlite:////no/such/place/x.db", "nosuchdb://me:secret@host/x", "postgresql://me:secret@host/x"]
)
def test_a_database_that_cannot_be_used_is_named_without_its_password(pretended, tmp_path, storage):
    with pytest.raises(UsageError, match="--storage: expected a database that optuna can use") as caught:
        making.run(tmp_path / "out", 2, storage=storage)
    assert "secret" not in str(caught.value)


def test_a_journal_that_cannot_be_used_is_refused(pretended, tmp_path):
    with pytest.raises(UsageError, match="--storage: expected a database URL or a journal file"):
        making.run(tmp_path / "out", 2, storage=str(tmp_path))
    for text in ("not json\n{}\n", '{"op_code": 0}\n', "[]\n"):
        (tmp_path / "bad.journal").write_text(text)
        with pytest.raises(IntegrityError, match=r"--storage: expected a study as optuna writes it, found one that"):
            making.run(tmp_path / "out", 2, storage=str(tmp_path / "bad.journal"))


def test_a_database_that_answers_no_more_is_said(pretended, tmp_path):
    def worth(recipe, k):
        (tmp_path / "s.db").write_bytes(b"no database any more" * 100)
        return 0.5

    pretended(worth)
    with pytest.raises(PneumoscopeError, match="expected a database that answers, found one that does not"):
        making.run(tmp_path / "out", 3, storage=f"sqlite:///{tmp_path / 's.db'}")


def test_processes_share_one_search(pretended, monkeypatch, tmp_path):
    """Another process and this one: in a journal file, in SQLite, and where the other one is killed."""
    journal, sqlite, last = str(tmp_path / "s.journal"), f"sqlite:///{tmp_path / 's.db'}", str(tmp_path / "k.journal")
    searches = [
        ("slowly", tmp_path / "a", journal),
        ("slowly", tmp_path / "b", sqlite),
        ("never", tmp_path / "c", last),
    ]
    with other_process(10, *searches) as other:
        for _, out, storage in searches[:2]:
            theirs = until_begun(other)
            assert all(line.startswith("trial ") for line in theirs)
            shares_one_search(out, storage)
        assert until_begun(other)
        leaves_a_living_one_alone(tmp_path / "c", last, monkeypatch)
        other.kill()
        assert other.stderr.read() == ""  # neither optuna nor a warning says anything
    takes_up_a_killed_one(tmp_path / "c", last)


def shares_one_search(out: Path, storage: str) -> None:
    making.pretend(making.slowly)
    said: list[str] = []
    tried = making.run(out, 10, storage=storage, say=said.append)
    assert 0 < len(said) < 10  # the rest is the other one's
    assert [t.number for t in tried.trials] == list(range(10))
    assert len({json.dumps(t.settings) for t in tried.trials}) == 10  # none was suggested twice


def leaves_a_living_one_alone(out: Path, storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class WaitedError(Exception):
        pass

    def sleep(seconds):
        raise WaitedError

    making.pretend(making.by_batch)
    with monkeypatch.context() as patch:
        patch.setattr(search.time, "sleep", sleep)
        with pytest.raises(WaitedError):  # nine of ten are done here, the first one runs there
            making.run(out, 10, storage=storage)


def takes_up_a_killed_one(out: Path, storage: str) -> None:
    tried = making.run(out, 10, storage=storage)
    assert [t.number for t in tried.trials if t.state == "failed"] == [0]
    assert len(tried.finished) == 10
    assert tried.trials[10].settings == tried.trials[0].settings
    assert tried.trials[0].error == ""


def test_settings_come_back_from_what_optuna_holds():
    space = read_space(
        making.recipe(),
        {
            "stages.head.head.hidden": "[256],[512,256]",
            "stages.head.head.activation": "relu,leaky_relu",
            "stages.head.epochs": "5..50",
        },
    )
    assert isinstance(space["stages.head.epochs"], Range)
    assert isinstance(space["stages.head.head.hidden"], Choice)
    for path, one in space.items():
        drawn = distribution(one)
        values = one.values if isinstance(one, Choice) else (5, 50)
        for value in values:
            text = json.dumps(value, separators=(",", ":")) if isinstance(one, Choice) else value
            assert drawn._contains(drawn.to_internal_repr(text))
            assert settings_of({path: text}, space) == {path: value}
