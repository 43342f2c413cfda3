"""Variants, overrides and protocols: what was asked for, checked against its type, with its source shown."""

from __future__ import annotations

import pytest

from pneumoscope.core.recipe import Recipe, method_leaves, source_of
from pneumoscope.core.resolve import OVERRIDE, resolve
from pneumoscope.errors import RecipeError
from pneumoscope.recipes import find

RECIPE, _ = find("szalay2021")


def value(recipe: Recipe, path: str) -> object:
    return dict(method_leaves(recipe))[path]


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("stages.head.epochs", "3", 3),
        ("stages.head.net", "xception", "xception"),
        ("stages.head.optim.lr", "1", 1.0),
        ("stages.head.optim.name", "sgd", "sgd"),
        ("stages.head.head.hidden", "[64]", (64,)),
        ("prep.resize.size", "299", 299),
        ("prep.window.width_hu", "1400", 1400.0),
        ("protocols.honest.folds", "3", 3),
        ("decision.value", "0.3", 0.3),
    ],
)
def test_an_override_is_set_and_says_that_it_is_one(path: str, text: str, expected: object) -> None:
    resolved = resolve(RECIPE, overrides={path: text})
    assert value(resolved, path) == expected
    assert type(value(resolved, path)) is type(expected)
    assert source_of(resolved, path) == OVERRIDE
    assert resolved.digest != resolve(RECIPE).digest


@pytest.mark.parametrize(
    ("path", "text", "says"),
    [
        ("stages.head.epoch", "3", "Did you mean 'stages.head.epochs'"),
        ("stages.tail.epochs", "3", "expected a field of szalay2021"),
        ("stages.head.epochs.x", "3", "expected a field of szalay2021"),
        ("name", "x", "expected a field of szalay2021"),
        ("stages.head.epochs", "many", "expected a value of type int, found 'many'"),
        ("stages.head.epochs", "1.5", "expected a value of type int"),
        ("stages.head.epochs", "true", "expected a value of type int"),
        ("stages.head.epochs", "0", "expected epochs and batch of at least 1"),
        ("stages.head.optim.name", "lion", "expected one of 'adam', 'sgd'"),
        ("stages.head.trainable", "most", "expected 'all', 'head' or 'upper:<n>'"),
        ("stages.head.trainable", "upper", "expected 'all', 'head' or 'upper:<n>'"),
        ("stages.head.init", "stage:none", "expected a stage before it"),
        ("stages.head.head.hidden", "[1.5]", "expected a value of type int"),
        ("prep.resize.size", "big", "expected a value of type int"),
        ("protocols.honest.unit", "image", "Use --protocol paper"),
        ("protocols.honest.val_share", "0", "expected a value of type float|val_share above 0"),
        ("stages", "1", "expected a list"),
    ],
)
def test_a_wrong_override_is_refused_with_its_name(path: str, text: str, says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        resolve(RECIPE, overrides={path: text})


def test_the_honest_protocol_is_the_default() -> None:
    assert resolve(RECIPE).protocol.name == "honest"
    assert resolve(RECIPE, protocol="paper").protocol.name == "paper"
    with pytest.raises(RecipeError, match="--protocol"):
        resolve(RECIPE, protocol="best")


def test_an_unresolved_recipe_has_no_protocol() -> None:
    with pytest.raises(RecipeError, match="expected a resolved recipe"):
        _ = RECIPE.protocol


def test_a_variant_is_in_place_and_named() -> None:
    resolved = resolve(RECIPE, variant="xception")
    assert value(resolved, "stages.head.net") == "xception"
    assert value(resolved, "prep.resize.size") == 299
    assert resolved.title == "szalay2021:xception"
    with pytest.raises(RecipeError, match="Did you mean 'xception'"):
        resolve(RECIPE, variant="xceptoin")


def test_an_override_goes_over_the_variant() -> None:
    resolved = resolve(RECIPE, variant="xception", overrides={"prep.resize.size": "64"})
    assert value(resolved, "prep.resize.size") == 64


def test_the_digest_is_of_the_method_not_of_how_it_is_cited() -> None:
    import dataclasses

    assert dataclasses.replace(RECIPE, sources={}, deviations=()).digest == RECIPE.digest
