"""What holds for every recipe: one test, all papers. A tiny run of each is in test_conformance.py."""

from __future__ import annotations

import importlib
import inspect
import json

import pytest

from pneumoscope.core.recipe import Recipe, method_leaves, source_of
from pneumoscope.core.resolve import resolve
from pneumoscope.core.serial import to_json
from pneumoscope.errors import RecipeError, UsageError
from pneumoscope.nets.architectures import architecture
from pneumoscope.prep import pipeline
from pneumoscope.recipes import find, recipes
from pneumoscope.train.augment import AUGMENT

NAMES = list(recipes())
VARIANTS = [(name, variant) for name in NAMES for variant in (None, *recipes().resolve(name).variants)]


@pytest.mark.parametrize("name", NAMES)
def test_json_brings_it_back(name: str) -> None:
    recipe = recipes().resolve(name)
    plain = json.loads(json.dumps(to_json(recipe)))
    assert to_json(Recipe.from_json(plain)) == plain
    assert Recipe.from_json(plain).digest == recipe.digest


@pytest.mark.parametrize("name", NAMES)
def test_it_is_named_after_its_file_and_its_file_says_what_it_is(name: str) -> None:
    module = importlib.import_module(f"pneumoscope.recipes.{name}")
    assert module.RECIPE.name == name
    first, last = name[:-4], int(name[-4:])
    paper = module.RECIPE.paper
    assert first in paper.authors.lower()
    assert paper.year == last
    assert str(last) in (module.__doc__ or "")


@pytest.mark.parametrize(("name", "variant"), VARIANTS)
def test_every_field_has_a_source(name: str, variant: str | None) -> None:
    recipe = resolve(recipes().resolve(name), variant=variant)
    assert [path for path, _ in method_leaves(recipe) if not source_of(recipe, path)] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_source_is_of_a_field(name: str) -> None:
    recipe = recipes().resolve(name)
    paths = [path for path, _ in method_leaves(recipe)]
    stray = [s for s in recipe.sources if not any(p == s or p.startswith(f"{s}.") for p in paths)]
    assert stray == []


@pytest.mark.parametrize(("name", "variant"), VARIANTS)
def test_every_name_resolves_and_its_arguments_bind(name: str, variant: str | None) -> None:
    recipe = resolve(recipes().resolve(name), variant=variant)
    for step in recipe.prep:
        inspect.signature(pipeline.STEPS.resolve(step.name)).bind(None, **step.args)
    assert min(pipeline.input_size(recipe)) > 0
    for stage in recipe.stages:
        if stage.net != "cnn":
            architecture(stage.net)
        for step in stage.augment:
            inspect.signature(AUGMENT.resolve(step.name)).bind(**step.args)


@pytest.mark.parametrize("name", NAMES)
def test_both_protocols_are_there_and_the_honest_one_keeps_patients_together(name: str) -> None:
    honest = resolve(recipes().resolve(name)).protocol
    assert honest.unit == "group"
    assert honest.val_share > 0
    assert resolve(recipes().resolve(name), protocol="paper").protocol.name == "paper"


def test_a_name_may_carry_a_variant() -> None:
    recipe, variant = find("szalay2021:xception")
    assert (recipe.name, variant) == ("szalay2021", "xception")
    assert find("szalay2021")[1] is None
    with pytest.raises(RecipeError, match="Leave the colon out"):
        find("szalay2021:")
    with pytest.raises(UsageError, match="Did you mean 'szalay2021'"):
        find("szalay2020")


def test_szalay_names_the_nine_backbones_of_the_paper_and_its_own_cnn() -> None:
    recipe, _ = find("szalay2021")
    nets = {resolve(recipe, variant=v).stages[0].net for v in recipe.variants}
    assert nets == {
        "densenet121",
        "resnet152v2",
        "vgg19",
        "vgg16",
        "resnet50v2",
        "mobilenetv2",
        "inceptionv3",
        "inceptionresnetv2",
        "xception",
        "cnn",
    }
    assert recipe.modalities == ("xray", "ct")
    assert recipe.classes.positive == "covid"
    assert recipe.stages[0].batch == 32
