"""Garg 2021, one small fold of it: what stays frozen, which patients each network sees, and whose scores are joined."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mock_studies import Row, mock_bench
from safetensors.torch import load_file
from torch import nn

from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.recipe import Recipe
from pneumoscope.core.resolve import resolve
from pneumoscope.nets.patient import BiLstm
from pneumoscope.recipes import find
from pneumoscope.train import folds, loop, patients, run
from pneumoscope.train.bench import Bench

STEPS = ("pretrain", "last-layers", "unfreeze", "unlabelled")
MEMBERS = ("maxpool", "maxpool-weighted", "bilstm", "bilstm-weighted")
CLASSES = find("garg2021")[0].classes
TWO = ClassSet(names=("normal", "covid"), positive="covid", normal="normal")
HIDDEN = 16

LARGER = [
    Row(name=f"{c}{i}", label=label, seen=seen)
    for c, label, seen in (("n", "normal", "???"), ("p", "pneumonia", "0110"), ("c", "covid", "110"))
    for i in range(7)
] + [
    Row(name="c0b", label="covid", seen="?11", patient="c0"),  # a patient with two studies
    Row(name="u0", label="covid", seen="?????"),
]
PRETRAIN = [Row(name=f"x{i}", label=CLASSES.names[i % 3], seen="11") for i in range(9)]


def small(protocol: str = "honest", **overrides: str) -> Recipe:
    recipe = resolve(find("garg2021")[0], protocol=protocol, overrides={"prep.resize.size": "32"} | overrides)
    stages = [
        dataclasses.replace(
            s,
            epochs=12 if s.role == "pretrain" else 1,  # enough to call bright slices infected
            batch=8,
            augment=(),
            net="cnn" if s.level == "slice" else s.net,
            init="random" if s.init == "imagenet" else s.init,
            head=dataclasses.replace(s.head, scales=1, hidden=(HIDDEN,)),
        )
        for s in recipe.stages
    ]
    return dataclasses.replace(recipe, stages=tuple(stages))


class Watched:
    """What a fold did. tasks: all that was fitted. asked: (network of patients, its units, probabilities) in turn."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tasks: list[loop.Task] = []
        self.asked: list[tuple[nn.Module, list[int], torch.Tensor]] = []
        fit, logits_of = loop.fit, loop.logits_of

        def fitted(task: loop.Task, *rest: Any) -> Any:
            self.tasks.append(task)
            found = fit(task, *rest)
            monkeypatch.setattr(loop, "logits_of", answered)
            return found

        def answered(model: nn.Module, take: Any, positions: np.ndarray, batch: int) -> torch.Tensor:
            logits = logits_of(model, take, positions, batch)
            if isinstance(model, patients.Padded):
                self.asked.append((model.net, positions.tolist(), torch.softmax(logits, dim=1)))
            return logits

        def quiet(task: loop.Task, *rest: Any) -> Any:
            monkeypatch.setattr(loop, "logits_of", logits_of)  # what chooses epochs is no score
            return fitted(task, *rest)

        monkeypatch.setattr(loop, "fit", quiet)
        monkeypatch.setattr(loop, "logits_of", answered)

    def of(self, name: str) -> list[loop.Task]:
        return [task for task in self.tasks if task.stage.name == name]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Done:
    """A fold that was fitted. train, val, test: units."""

    bench: Bench
    watched: Watched
    fitted: folds.Fitted
    train: list[int]
    val: list[int]
    test: list[int]

    @property
    def groups(self) -> list[str]:
        """The patient of each unit."""
        return [sample.group for sample in self.bench.units.dataset.samples]

    def scores(self, name: str, units: list[int]) -> torch.Tensor:
        """What the ensemble is told of units by one classifier."""
        (ensemble,) = self.watched.of("ensemble")
        k, m = len(self.bench.recipe.classes.names), MEMBERS.index(name)
        return torch.as_tensor(ensemble.take(np.array(units)))[:, k * m : k * m + k]

    def answers(self, task: loop.Task) -> dict[int, torch.Tensor]:
        """Unit -> what the network of a task answered when it was asked."""
        mine = [(units, found) for net, units, found in self.watched.asked if net is task.model.net]
        return {i: p for units, found in mine for i, p in zip(units, found, strict=True)}


def fit_small(recipe: Recipe, out: Path) -> Done:
    """Everything of one fold of the larger table."""
    kept = recipe.classes.names
    bench = mock_bench(recipe, out, [r for r in LARGER if r.label in kept], [r for r in PRETRAIN if r.label in kept])
    names = [sample.file for sample in bench.units.dataset.samples]
    val = [i for i, name in enumerate(names) if name in ("n5", "p5", "c5")]
    test = [i for i, name in enumerate(names) if name in ("n6", "p6", "c6")]
    train = [i for i in range(len(names)) if i not in (*val, *test)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BiLstm.__init__.__kwdefaults__, "units", 8)  # 512 take most of the time
        watched = Watched(patch)
        fitted = folds.fit_fold(bench, train, val, out / "fold_0", fold=0, what="fit")
    return Done(bench=bench, watched=watched, fitted=fitted, train=train, val=val, test=test)


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """A fold of the honest protocol."""
    return fit_small(small(), tmp_path_factory.mktemp("honest"))


def test_no_slice_between_two_counts_as_one_that_was_learned_from(honest: Done) -> None:
    bench = honest.bench
    learned = run._learned(bench, honest.train)
    assert bench.data["pretrain"].between.any()
    assert len(learned["pretrain"]) == sum(len(row.seen) for row in PRETRAIN)
    assert len(learned["main"]) == len(bench.units.rows(honest.train))


def test_running_statistics_stay_as_the_first_step_left_them_and_only_what_learns_is_kept(honest: Done) -> None:
    out = honest.bench.out
    first = load_file(out / "role_pretrain" / "pretrain.safetensors")
    state = {name: load_file(out / "fold_0" / f"{name}.safetensors") for name in STEPS[1:]}
    net = honest.fitted.net
    norms = {n for n, m in net.named_modules() if isinstance(m, nn.BatchNorm2d)}
    of_norms = {f"{n}.{part}" for n in norms for part in ("weight", "bias", "running_mean", "running_var")}
    assert len(norms) == 4
    assert of_norms <= set(first)
    assert set(state["last-layers"]) == {n for n in net.state_dict() if n.startswith("head.")}
    for name in ("unfreeze", "unlabelled"):
        assert set(state[name]) == {n for n, _ in net.named_parameters()} - of_norms
    assert all(torch.equal(net.state_dict()[n], first[n]) for n in of_norms)
    assert not [n for n in state["unfreeze"] if torch.equal(first[n], state["unfreeze"][n])]
    assert not [n for n in state["unfreeze"] if torch.equal(state["unlabelled"][n], state["unfreeze"][n])]


def test_each_step_of_a_fold_sees_its_part_alone(honest: Done) -> None:
    bench, groups = honest.bench, honest.groups
    train, val, test = ({groups[i] for i in part} for part in (honest.train, honest.val, honest.test))
    assert sum(map(len, (train, val, test))) == len(train | val | test)
    slices = [task for task in honest.watched.tasks if task.stage.level == "slice"]
    assert [task.stage.name for task in slices] == list(STEPS)
    for task in slices:
        samples, data = bench.data[task.stage.role].dataset.samples, bench.data[task.stage.role]
        learned, chosen_on = ({samples[i].group for i in part} for part in (task.train, task.val))
        assert not data.between[task.val].any()
        assert bool(data.between[task.train].any()) == (task.stage.learns == "labelled")
        if task.stage.role == "pretrain":
            assert not learned & chosen_on
            continue
        if task.stage.name == "unlabelled":  # those of u0, and one of c0b
            assert {samples[i].file.partition("#")[0] for i in task.train} <= {"u0", "c0b"}
        else:
            assert learned == train - {"u0"}
        assert chosen_on == val
        seen = [*task.train, *task.val]
        assert not [i for i in seen if samples[i].label != "normal" and data.infection[i] == 0]
    for task in honest.watched.tasks:
        if task.stage.level != "slice":
            assert set(task.train.tolist()) <= set(honest.train)
            assert task.val.tolist() == honest.val


def test_the_ensemble_learns_from_classifiers_that_did_not_learn_from_the_patient(honest: Done) -> None:
    groups = honest.groups
    assert len(honest.train) > len({groups[i] for i in honest.train})  # one has two studies
    for name in MEMBERS:
        whole, *inner = honest.watched.of(name)
        assert (set(whole.train.tolist()), len(inner)) == (set(honest.train), patients.INNER)
        own = honest.answers(whole)
        assert torch.equal(honest.scores(name, honest.val), torch.stack([own[i] for i in honest.val]))
        asked: list[int] = []
        for task in inner:
            found = honest.answers(task)
            asked += found
            assert not {groups[i] for i in found} & {groups[i] for i in task.train}
            assert torch.equal(honest.scores(name, list(found)), torch.stack(list(found.values())))
        assert sorted(asked) == honest.train
        assert not honest.scores(name, honest.test).any()  # nothing is known of them


def test_the_papers_ensemble_learns_from_the_classifiers_own_scores(tmp_path: Path) -> None:
    done = fit_small(small("paper"), tmp_path)
    for name in MEMBERS:
        (whole,) = done.watched.of(name)
        own = done.answers(whole)
        assert torch.equal(done.scores(name, done.train), torch.stack([own[i] for i in done.train]))


def test_two_classes_are_two_everywhere(tmp_path: Path) -> None:
    recipe = small()
    roles = tuple(dataclasses.replace(role, classes=TWO if role.classes else None) for role in recipe.roles)
    done = fit_small(dataclasses.replace(recipe, classes=TWO, roles=roles), tmp_path)
    assert done.fitted.answer(done.test).shape == (2, 2)
    assert done.fitted.net.head.linears[-1].out_features == 2
    members = {name: done.watched.of(name)[0].model.net for name in MEMBERS}
    assert members["maxpool"].head.linears[0].in_features == HIDDEN  # type: ignore[union-attr]
    assert members["maxpool-weighted"].head.linears[0].in_features == 2 * HIDDEN  # type: ignore[union-attr]
    (ensemble,) = done.watched.of("ensemble")
    first, last = ensemble.model.head.linears  # type: ignore[union-attr, misc]
    assert (first.in_features, last.out_features) == (8, 2)
