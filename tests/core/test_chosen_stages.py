"""Stages chosen by name: what stays, what goes with them, and what cannot stand alone."""

from __future__ import annotations

import pytest

from pneumoscope.core.recipe import Recipe, source_of
from pneumoscope.core.resolve import resolve
from pneumoscope.errors import RecipeError
from pneumoscope.recipes import find

SLICES = "pretrain,last-layers,unfreeze"


def garg(**values: str) -> Recipe:
    return resolve(find("garg2021")[0], overrides={name.replace("__", "."): text for name, text in values.items()})


def test_stages_by_name_and_their_roles_stay() -> None:
    recipe = garg(stages=f" {SLICES} ")
    assert [stage.name for stage in recipe.stages] == SLICES.split(",")
    assert [role.name for role in recipe.roles] == ["main", "pretrain"]
    without = resolve(find("garg2021")[0], overrides={"stages": "unfreeze,bilstm", "stages.unfreeze.init": "random"})
    assert [stage.name for stage in without.stages] == ["unfreeze", "bilstm"]
    assert [role.name for role in without.roles] == ["main"]
    assert without.digest != recipe.digest != garg().digest


def test_stages_as_winner_json_has_them_are_the_same() -> None:
    assert garg(stages=f'"{SLICES}"') == garg(stages=SLICES)


def test_a_field_of_a_stage_that_is_left_out_is_named_as_such() -> None:
    told = r"found 'stages.maxpool.epochs'. Leave it out, or name the stage there too"
    with pytest.raises(RecipeError, match=f"of a stage that stages keeps .*{told}"):
        garg(stages=SLICES, stages__maxpool__epochs="2")


def test_the_network_of_the_first_is_that_of_all_that_go_on_with_it() -> None:
    recipe = resolve(find("garg2021")[0], overrides={"stages": SLICES, "stages.pretrain.net": "mobilenetv2"})
    assert {stage.net for stage in recipe.stages} == {"mobilenetv2"}


@pytest.mark.parametrize(
    ("stages", "told"),
    [
        ("last-layers", "stages.last-layers.init: expected a stage before it"),
        ("pretrain", "stages.pretrain.role: expected 'main'"),
        ("maxpool", "stages.maxpool: expected a stage of level 'slice' before it, found none"),
        (f"{SLICES},ensemble", "stages.ensemble: expected a stage of level 'patient' before it, found none"),
        ("unfreze", "stages: expected names of stages of garg2021 .* found 'unfreze'"),
        ("", "stages: expected names of stages"),
    ],
)
def test_what_cannot_stand_alone_is_refused(stages: str, told: str) -> None:
    with pytest.raises(RecipeError, match=told):
        garg(stages=stages)


def test_what_is_said_of_the_stages_that_stay_is_kept() -> None:
    recipe = garg(stages=SLICES)
    assert source_of(recipe, "stages.pretrain.optim.lr") == source_of(garg(), "stages.pretrain.optim.lr")
    assert source_of(recipe, "stages") == "override"
