"""What holds for every recipe: one test, all papers. A tiny run of each is in test_conformance.py."""

from __future__ import annotations

import importlib
import inspect
import json

import pytest

from pneumoscope import bundle as bundles
from pneumoscope.core.recipe import Recipe, method_leaves, source_of
from pneumoscope.core.resolve import resolve
from pneumoscope.core.serial import to_json
from pneumoscope.errors import RecipeError, UsageError
from pneumoscope.nets.architectures import architecture
from pneumoscope.nets.cnn import OWN
from pneumoscope.nets.patient import PATIENT
from pneumoscope.nets.resnet3d import RESNETS_3D
from pneumoscope.prep import pipeline, volume_steps
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
    stray = []
    for key in recipe.sources:
        variant, colon, field = key.rpartition(":")
        known = any(p == field or p.startswith(f"{field}.") for p in paths)
        if not known or (colon and variant not in recipe.variants):
            stray.append(key)
    assert stray == []


@pytest.mark.parametrize(("name", "variant"), [(n, v) for n, v in VARIANTS if v is not None])
def test_what_a_variant_sets_has_its_own_source(name: str, variant: str) -> None:
    recipe = recipes().resolve(name)
    written, changed = dict(method_leaves(recipe)), resolve(recipe, variant=variant)
    sets = recipe.variants[variant]
    borrowed = [p for p, v in sets.items() if v != written[p] and source_of(changed, p) == source_of(recipe, p)]
    assert borrowed == []


@pytest.mark.parametrize(("name", "variant"), VARIANTS)
def test_every_name_resolves_and_its_arguments_bind(name: str, variant: str | None) -> None:
    recipe = resolve(recipes().resolve(name), variant=variant)
    known = volume_steps.STEPS if recipe.of_volumes else pipeline.STEPS
    for step in recipe.prep[recipe.of_volumes :]:  # a volume's first step is read with it
        inspect.signature(known.resolve(step.name)).bind(None, **step.args)
    bundles._check_prep(recipe)  # else training would end in a bundle that cannot be read
    for stage in recipe.stages:
        if stage.level in ("patient", "ensemble"):
            PATIENT.resolve(stage.net)
        elif stage.level == "volume":
            RESNETS_3D.resolve(stage.net)
        elif stage.net not in OWN:
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


def test_szalay_says_of_its_cnn_what_is_true_of_it() -> None:
    recipe = resolve(find("szalay2021")[0], variant="cnn")
    shown = {path: source_of(recipe, path) or "" for path, _ in method_leaves(recipe)}
    for of_the_nine in ("pre-trained network from Keras Applications", "frozen", "flatten", "VGG16"):
        assert [path for path, text in shown.items() if of_the_nine in text] == []


@pytest.mark.parametrize("variant", ["resnet152v2", "resnet50v2"])
def test_szalay_names_the_networks_that_stand_in(variant: str) -> None:
    source = source_of(resolve(find("szalay2021")[0], variant=variant), "stages.head.net") or ""
    assert source.startswith("assumed: ")
    assert architecture(variant).timm_name in source


@pytest.mark.parametrize("name", NAMES)
def test_every_network_that_stands_in_for_another_is_named_with_the_reason(name: str) -> None:
    recipe = recipes().resolve(name)
    for variant in (None, *recipe.variants):
        resolved = resolve(recipe, variant=variant)
        for stage in (s for s in resolved.stages if s.level in ("image", "slice")):
            reason = "" if stage.net in OWN else architecture(stage.net).substitute or ""
            assert reason in (source_of(resolved, f"stages.{stage.name}.net") or "")


def test_szalay_lists_where_torch_is_not_keras() -> None:
    import torch

    from pneumoscope.nets.head import LEAK

    text = " ".join(find("szalay2021")[0].deviations)
    adam = torch.optim.Adam([torch.zeros(1)])
    assert adam.defaults["eps"] == 1e-8
    for stated in ("Adam's epsilon is torch's 1e-8", f"torch's slope {LEAK}", "Glorot"):
        assert stated in text
