"""Roles and draws: what a draw takes, and what recipe of them does not hold together."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.recipe import Recipe
from pneumoscope.core.role import Draw, Role
from pneumoscope.core.serial import to_json
from pneumoscope.errors import RecipeError
from pneumoscope.recipes import find

RECIPE, _ = find("basu2020")


def drawing(**changed: Any) -> Draw:
    return Draw(**{"name": "x", "label": "sick", "findings": ("Mass", "Edema"), "match": "any"} | changed)


@pytest.mark.parametrize(
    ("changed", "findings", "source", "taken"),
    [
        ({}, ("Mass",), "", True),
        ({}, ("mass", "Hernia"), "", True),  # one of them, whatever the case
        ({}, ("Hernia",), "", False),
        ({}, (), "", False),
        ({"match": "only"}, ("Mass", "EDEMA"), "", True),
        ({"match": "only"}, ("Mass",), "", True),
        ({"match": "only"}, ("Mass", "Hernia"), "", False),
        ({"match": "only"}, (), "", False),
        ({"without": ("Pneumonia",)}, ("Mass", "pneumonia"), "", False),
        ({"without": ("Pneumonia",)}, ("Mass",), "", True),
        ({"sources": ("nih",)}, ("Mass",), "nih", True),
        ({"sources": ("nih",)}, ("Mass",), "kermany", False),
        ({"sources": ("nih",)}, ("Mass",), "", False),
        ({"without_views": ("L", "lateral")}, ("Mass",), "", True),
        ({"without_views": ("L", "pa")}, ("Mass",), "", False),
        ({}, ("Massive",), "", False),  # whole findings, not parts of words
    ],
)
def test_what_a_draw_takes(changed: dict[str, Any], findings: tuple[str, ...], source: str, taken: bool) -> None:
    assert drawing(**changed).takes(findings, source, "PA") is taken


names = st.lists(st.sampled_from(["Mass", "Edema", "Hernia", "Pneumonia"]), max_size=4, unique=True)


@given(names, st.lists(st.sampled_from(["Mass", "Edema"]), min_size=1, unique=True))
def test_only_is_narrower_than_any(found: list[str], wanted: list[str]) -> None:
    only = drawing(findings=tuple(wanted), match="only").takes(found, "", "")
    assert only == (bool(found) and set(found) <= set(wanted))
    if only:
        assert drawing(findings=tuple(wanted)).takes(found, "", "")


@pytest.mark.parametrize("changed", [{"count": -1}, {"findings": ()}])
def test_a_draw_of_nothing_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=r"draws\.x: expected findings and a count of at least 0"):
        drawing(**changed)


def test_a_role_has_draws_of_different_names_and_no_negative_part() -> None:
    with pytest.raises(RecipeError, match=r"roles\.main: expected draws of different names"):
        Role(name="main", draws=(drawing(), drawing()))
    with pytest.raises(RecipeError, match="a validation of at least 0"):
        Role(name="main", validation=-1)


def source(**changed: Any) -> Recipe:
    """The recipe with another source role."""
    return dataclasses.replace(RECIPE, roles=(RECIPE.roles[0], dataclasses.replace(RECIPE.roles[1], **changed)))


def test_a_validation_part_holds_every_class() -> None:
    """One image of two classes would validate on none."""
    with pytest.raises(RecipeError, match=r"roles\.source\.validation: expected 0, or 2 or more, found 1"):
        source(validation=1)
    assert source(validation=2).role("source").validation == 2


def test_a_draw_is_for_a_class_of_its_role() -> None:
    with pytest.raises(RecipeError, match=r"roles\.source\.draws\.x\.label: expected one of normal, disease, found"):
        source(draws=(drawing(label="covid"),))


def test_a_stage_learns_from_a_role_that_is_there_and_the_last_one_from_main() -> None:
    first, last = RECIPE.stages
    with pytest.raises(RecipeError, match=r"stages\.source\.role: expected one of main, source, found 'pretrain'"):
        dataclasses.replace(RECIPE, stages=(dataclasses.replace(first, role="pretrain"), last))
    with pytest.raises(RecipeError, match=r"stages\.source\.role: expected 'main', as for every last stage"):
        dataclasses.replace(RECIPE, stages=(first,))


def test_what_one_fold_saw_cannot_reach_the_others_through_another_role() -> None:
    first, last = RECIPE.stages
    leaky = (
        dataclasses.replace(last, name="before", init="random"),
        dataclasses.replace(first, init="stage:before"),
        last,
    )
    with pytest.raises(RecipeError, match=r"stages\.source\.init: expected a stage of another role than 'main'"):
        dataclasses.replace(RECIPE, stages=leaky)


def test_classes_are_the_roles_own_or_the_recipes() -> None:
    assert RECIPE.classes_of("main") == RECIPE.classes
    assert RECIPE.classes_of("source") == ClassSet(names=("normal", "disease"), positive="disease")


def test_what_is_drawn_is_part_of_the_method() -> None:
    changed = source(validation=200)
    assert changed.digest != RECIPE.digest
    assert Recipe.from_json(to_json(changed)).roles == changed.roles
