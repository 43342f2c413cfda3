"""Facts beside the picture: what they give away, and what they do not."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pneumoscope.io.tells import ENOUGH, STEPS, steps, tell

TWO = ["normal"] * 40 + ["covid"] * 40


def test_a_fact_that_tells_everything() -> None:
    found = tell("original size", ["1024 x 1024"] * 40 + ["300 x 400"] * 40, TWO)
    assert found is not None
    assert (found.values, found.balanced_accuracy, found.chance, found.striking) == (2, 1.0, 0.5, True)
    assert found.sentence.startswith("The original size alone tells labels apart: deciding by it scores a balanced")
    assert "1024 x 1024 (40 of 40 'normal', 0 of 40 'covid')" in found.sentence


def test_darkcovidnets_sizes_score_two_thirds() -> None:
    labels = ["pneumonia"] * 400 + ["normal"] * 400 + ["covid"] * 100
    found = tell("original size", ["1024 x 1024"] * 800 + [f"{i} x {i}" for i in range(100)], labels)
    assert found is not None
    assert found.balanced_accuracy == pytest.approx(2 / 3)
    assert (found.values, found.striking) == (101, True)


def test_a_value_of_one_image_tells_nothing() -> None:
    found = tell("original size", [str(i) for i in range(80)], TWO)
    assert found is not None
    assert (found.balanced_accuracy, found.striking) == (0.5, False)


def test_labels_that_are_rare_do_not_count() -> None:
    few = ENOUGH - 1
    assert tell("view", ["PA"] * 40 + ["AP"] * few, ["normal"] * 40 + ["covid"] * few) is None
    assert tell("view", [], []) is None


def test_the_score_does_not_depend_on_how_frequent_labels_are() -> None:
    found = tell("view", ["PA"] * 1000 + ["AP"] * 40, ["normal"] * 1000 + ["covid"] * 40)
    assert found is not None
    assert (found.balanced_accuracy, found.chance) == (1.0, 0.5)


def test_hostile_names_are_short_and_on_one_line() -> None:
    found = tell("view", ["P\nA" * 500] * 40 + ["AP"] * 40, ["a\x1b[31m" * 500] * 40 + ["b"] * 40)
    assert found is not None
    assert len(found.sentence) < 500
    assert found.sentence.isprintable()


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("xyz")), max_size=300))
def test_the_score_is_that_of_the_best_decision(pairs: list[tuple[str, str]]) -> None:
    found = tell("view", [v for v, _ in pairs], [name for _, name in pairs])
    if found is None:
        return
    kept = [(v, name) for v, name in pairs if name in found.images]
    often = {v: sum(w == v for w, _ in kept) for v, _ in kept}
    pooled = [(v if often[v] >= ENOUGH else "rare", name) for v, name in kept]
    best = 0.0
    for value in {v for v, _ in pooled}:
        here = [name for v, name in pooled if v == value]
        best += max(here.count(name) / n for name, n in found.images.items())
    assert found.balanced_accuracy == pytest.approx(best / len(found.images))
    assert found.chance - 1e-9 <= found.balanced_accuracy <= 1 + 1e-9


@given(st.lists(st.integers(1, 10**10), max_size=500))
def test_steps_follow_the_numbers(numbers: list[int]) -> None:
    names = steps(numbers)
    assert len(names) == len(numbers)
    assert len(set(names)) <= STEPS
    ordered = [names[i] for i in np.argsort(numbers, kind="stable")]
    assert len(set(ordered)) == len([*itertools.groupby(ordered)])  # each in one piece


def test_steps_have_about_as_many_numbers() -> None:
    names = steps(list(range(1000)))
    assert len(set(names)) == 10
    assert all(95 <= names.count(name) <= 105 for name in set(names))
    assert names[0].startswith("up to ")
    assert names[-1].startswith("more than ")
    assert names[150] == "100 to 199"
