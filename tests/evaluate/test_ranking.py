"""Runs side by side: who is first, who is within the noise, and what may not be compared."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest

from pneumoscope.core.comparison import Comparison, Held, Planned
from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.resolve import resolve
from pneumoscope.core.result import Part
from pneumoscope.core.serial import from_json, to_json
from pneumoscope.errors import DataError
from pneumoscope.evaluate import metrics, paired
from pneumoscope.evaluate.ranking import Result, ranked
from pneumoscope.recipes import find

CLASSES = ClassSet(names=("non-covid", "covid"), positive="covid")
N = 120
LABELS = np.tile([0, 1], N // 2)


def result(name: str, right: float | np.ndarray, *, seed: int = 0, overrides: dict[str, str] | None = None) -> Result:
    """A run that decides a share of the images rightly, or these."""
    hit = np.random.default_rng(seed).random(N) < right if isinstance(right, float) else right
    decisions = np.where(hit, LABELS, 1 - LABELS)
    p = np.where(np.eye(2)[decisions] > 0, 0.8, 0.2)
    groups = tuple(f"p{i // 2}" for i in range(N))
    recipe = resolve(find("szalay2021")[0], variant="cnn", overrides=overrides)
    evaluation = metrics.evaluate(p, LABELS, decisions, groups, CLASSES, resamples=10)
    return Result(
        part=Planned(
            name=name, folder=f"parts/{name}", title="szalay2021:cnn", recipe=recipe, overrides={}, varied={}, alike=()
        ),
        evaluation=evaluation,
        answers=paired.Answers(probabilities=p, decisions=decisions),
        rows={f"f{i}": i for i in range(N)},
        known=frozenset(f"f{i}" for i in range(N)),
        folds=np.arange(N) % 5,
        labels=LABELS,
        groups=groups,
        digests=tuple(f"{i:064d}" for i in range(N)),
        learned=40.0,
        seconds={"fitting": 1.0},
    )


def some(one: Result, keep: np.ndarray, *, known: bool) -> Result:
    """A run that answered these rows only. known: it had the others too, and did not test them."""
    names = [f"f{i}" for i in keep]
    return dataclasses.replace(
        one,
        answers=paired.Answers(probabilities=one.answers.probabilities[keep], decisions=one.answers.decisions[keep]),
        rows={name: row for row, name in enumerate(names)},
        known=one.known if known else frozenset(names),
        folds=one.folds[keep],
        labels=one.labels[keep],
        groups=tuple(one.groups[i] for i in keep),
        digests=tuple(one.digests[i] for i in keep),
    )


def test_the_best_comes_first_and_the_others_stand_by_their_differences() -> None:
    nearly = np.ones(N, bool)
    nearly[:10] = False
    better = nearly.copy()
    better[0] = True
    found = ranked([result("bad", 0.5), result("good", nearly), result("better", better)])
    assert [(p.name, p.standing) for p in found.parts] == [
        ("better", "first"),
        ("good", "within the noise"),
        ("bad", "worse"),
    ]
    assert found.by == "balanced_accuracy"
    assert found.parts[0].differences["balanced_accuracy"].value == 0
    assert found.parts[1].differences["accuracy"].value == pytest.approx(-1 / N)
    assert found.parts[1].confusion == ((55, 5), (5, 55))
    assert (found.n_images, found.n_patients) == (N, N // 2)
    assert from_json(Comparison, json.loads(json.dumps(to_json(found)))) == found


def test_equals_keep_the_order_they_were_given_in() -> None:
    found = ranked([result("a", 0.7), result("b", 0.7)])
    assert [p.name for p in found.parts] == ["a", "b"]
    assert found.parts[1].standing == "within the noise"


def test_what_one_gate_left_out_is_left_out_for_all_and_said() -> None:
    keep = np.arange(0, 100)
    part = some(result("part", 0.9, seed=1), keep, known=False)
    found = ranked([result("whole", 0.8), part])
    assert found.n_images == 100
    assert found.n_patients == 50
    assert any(
        note.startswith("Compared on the 100 images that all parts answered; answered were 120 by whole, 100 by")
        for note in found.notes
    )
    by_name = {p.name: p for p in found.parts}
    whole = result("whole", 0.8).answers.decisions[keep] == LABELS[keep]
    assert by_name["whole"].metrics["accuracy"].value == pytest.approx(whole.mean())
    assert by_name["whole"].n_images == N


def test_other_folds_among_other_images_are_said() -> None:
    part = some(result("part", 0.9), np.arange(0, 100), known=False)
    moved = dataclasses.replace(part, folds=part.folds[::-1].copy())
    found = ranked([result("whole", 0.8), moved])
    assert "part: other folds than whole's, since it was parted among other images." in found.notes


def test_folds_that_differ_without_a_reason_are_an_error() -> None:
    one = result("one", 0.8)
    other = dataclasses.replace(result("other", 0.9), folds=np.roll(one.folds, 1))
    with pytest.raises(DataError, match=r"'one' and 'other', found 120 image\(s\) in another fold"):
        ranked([one, other])
    varied = dataclasses.replace(
        result("other", 0.9, overrides={"protocols.honest.seed": "4"}), folds=np.roll(one.folds, 1)
    )
    assert any("as the comparison varies how the data is parted" in note for note in ranked([one, varied]).notes)


def test_test_parts_of_other_images_are_an_error() -> None:
    half = some(result("half", 0.9), np.arange(0, 60), known=True)
    with pytest.raises(DataError, match=r"'whole' and 'half', found 60 in one alone"):
        ranked([result("whole", 0.8), half])
    one, two = (
        some(result(name, 0.9), keep, known=False) for name, keep in (("a", np.arange(60)), ("b", np.arange(60, N)))
    )
    with pytest.raises(DataError, match="expected images that all parts answered, found none"):
        ranked([one, two])


def test_images_of_another_label_are_an_error() -> None:
    other = result("other", 0.8)
    labels = other.labels.copy()
    labels[:3] = 1 - labels[:3]
    with pytest.raises(DataError, match="labels: expected the same of each image in 'one' and 'other', found 3"):
        ranked([result("one", 0.8), dataclasses.replace(other, labels=labels)])


def test_warnings_name_the_parts_that_they_are_of() -> None:
    one, other = result("one", 0.8), result("other", 0.9)
    both = dataclasses.replace(one.evaluation, warnings=("Of all.", "Of one."))
    notes = ranked(
        [
            dataclasses.replace(
                one, evaluation=both, part=dataclasses.replace(one.part, alike=("folds",), like="left out")
            ),
            dataclasses.replace(other, evaluation=dataclasses.replace(other.evaluation, warnings=("Of all.",))),
        ]
    ).notes
    assert notes == (
        "one: folds of the protocol set as in left out, so that all parts are tested alike.",
        "Of all.",
        "one: Of one.",
    )


def test_of_one_class_balanced_accuracy_is_its_sensitivity() -> None:
    keep = np.flatnonzero(LABELS == 1)
    found = ranked([some(result(name, share), keep, known=False) for name, share in (("a", 0.6), ("b", 0.9))])
    assert [p.name for p in found.parts] == ["b", "a"]
    assert math.isnan(found.parts[0].metrics["auc"].value)
    assert "All images are of one class: balanced accuracy is the sensitivity of covid" in found.notes[0]
    assert not any("one class" in note for note in ranked([result("a", 0.6), result("b", 0.7)]).notes)


def test_the_images_behind_a_figure_by_data_set_are_kept() -> None:
    one = result("one", 0.8)
    parts = {
        "data set": {
            name: Part(counts=counts, n_patients=n, metrics=one.evaluation.metrics, confusion=one.evaluation.confusion)
            for name, counts, n in (("a", {"non-covid": 9, "covid": 40}, 40), ("b", {"non-covid": 0, "covid": 8}, 8))
        }
    }
    found = ranked([dataclasses.replace(one, evaluation=dataclasses.replace(one.evaluation, parts=parts)), one])
    assert found.parts[0].held["data set"]["b"] == Held(counts={"non-covid": 0, "covid": 8}, n_patients=8)
    assert set(found.parts[0].by["data set"]) == {"a", "b"}


def test_what_runs_share_counts_for_the_one_that_began_first() -> None:
    def run(name: str, began: int, **changed: str) -> Result:
        spent = {"reading": 2.0, "features": 9.0, "fitting": 1.0}
        recipe = resolve(find("szalay2021")[0], overrides={f"stages.head.{k}": v for k, v in changed.items()})
        part = dataclasses.replace(result(name, 0.8).part, recipe=recipe)
        return dataclasses.replace(result(name, 0.8), part=part, seconds=spent, began=began)

    found = ranked([run("new", 3, batch="8"), run("old", 1, batch="16"), run("net", 2, net="vgg19"), run("again", 4)])
    assert {p.name: p.made for p in found.parts} == {
        "old": ("reading", "features"),
        "new": (),
        "net": (),
        "again": (),
    }
    other = ranked([run("a", 1), run("b", 2, trainable="upper:3"), run("c", 3, trainable="upper:3")])
    assert {p.name: p.made for p in other.parts} == {"a": ("reading",), "b": ("features",), "c": ()}
