"""Which parts a comparison has, and what is refused of them."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from pneumoscope import planning
from pneumoscope.core.comparison import Planned
from pneumoscope.core.recipe import Recipe
from pneumoscope.errors import PneumoscopeError, RecipeError, UsageError
from pneumoscope.recipes import find


def plan(*recipes: str, **changed: Any) -> tuple[list[Planned], list[str]]:
    given: dict[str, Any] = {"vary": {}, "protocol": "honest", "overrides": {}}
    return planning.plan(recipes, **(given | changed))


def test_a_field_goes_to_the_parts_that_have_it_aloud() -> None:
    field = "stages.unfreeze.epochs"
    parts, said = plan("szalay2021", "szalay2021:unfrozen", overrides={field: "5", "stages.head.epochs": "3"})
    assert [p.overrides for p in parts] == [{"stages.head.epochs": "3"}, {"stages.head.epochs": "3", field: "5"}]
    assert parts[1].recipe.stages[1].epochs == 5
    assert said == [f"--set {field}: of szalay2021:unfrozen only; not a field of szalay2021."]
    assert plan("szalay2021", "szalay2021:unfrozen")[1] == []


def test_a_field_of_no_part_is_an_error() -> None:
    with pytest.raises(RecipeError, match=r"expected a field of szalay2021, found 'stages.unfreze.epochs'"):
        plan("szalay2021", "szalay2021:unfrozen", overrides={"stages.unfreze.epochs": "5"})


@pytest.mark.parametrize("given", [{"overrides": {"protocols.paper.folds": "2"}}, {"vary": {"protocols.paper": "ab"}}])
def test_a_field_of_the_protocol_that_does_not_run_is_refused_with_one_that_would(given: dict[str, Any]) -> None:
    with pytest.raises(PneumoscopeError, match=r"found one of 'paper'. Use --protocol paper, which") as error:
        plan("szalay2021", "szalay2021:cnn", **given)
    assert isinstance(error.value, UsageError)
    assert "both" not in str(error.value)


def test_the_part_whose_protocol_others_get_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(name: str) -> tuple[Recipe, str | None]:
        recipe, variant = find(name.replace("doe2021", "szalay2021"))
        protocols = [dataclasses.replace(p, seed=9) for p in recipe.protocols]
        return dataclasses.replace(recipe, protocols=tuple(protocols)) if "doe" in name else recipe, variant

    monkeypatch.setattr(planning, "find", found)
    parts, _ = plan("szalay2021:cnn", "doe2021:vgg16")
    assert [(p.alike, p.like) for p in parts] == [((), ""), (("seed",), "szalay2021:cnn")]
