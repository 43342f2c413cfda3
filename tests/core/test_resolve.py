"""Variants, overrides and protocols: what was asked for, checked against its type, with its source shown."""

from __future__ import annotations

import contextlib
import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pneumoscope.core.recipe import OVERRIDE, Recipe, method_leaves, source_of
from pneumoscope.core.resolve import resolve, resolve_all, with_values, with_variant
from pneumoscope.core.serial import to_json
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
        ("decision.value", "1", 1.0),
        ("stages.head.head.dropout", "0.5", 0.5),
        ("stages.head.optim.momentum", "0.9", 0.9),
        ("stages.head.seed", "4294967295", 4294967295),
        ("stages.head.trainable", "upper:3", "upper:3"),
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
        ("stages.head.trainable", "most", "expected 'all', 'all_but_norm', 'head' or 'upper:<n>'"),
        ("stages.head.trainable", "upper", "expected 'all', 'all_but_norm', 'head' or 'upper:<n>'"),
        ("stages.head.init", "stage:none", "expected a stage before it"),
        ("stages.head.head.hidden", "[1.5]", "expected a value of type int"),
        ("prep.resize.size", "big", "expected a value of type int"),
        ("protocols.honest.unit", "image", "Use --protocol paper"),
        ("protocols.honest.val_share", "0", "expected a value of type float|val_share above 0"),
        ("stages", "1", "expected names of stages"),
        ("stages.head.name", "../x", "expected a field of szalay2021"),
        ("protocols.honest.name", "paper", "expected a field of szalay2021"),
        ("stages.head.optim", '{"name": "sgd", "lr": "big"}', "^stages.head.optim.lr: expected a value of type float"),
        ("stages.head.optim", '{"name": "sgd", "l.r": 1}', "^stages.head.optim.l.r: expected one of"),
    ],
)
def test_a_wrong_override_is_refused_with_its_name(path: str, text: str, says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        resolve(RECIPE, overrides={path: text})


@pytest.mark.parametrize(
    ("path", "text", "says"),
    [
        ("stages.head.head.dropout", "2", r"^head.dropout: expected a rate in \[0, 1\), found 2.0"),
        ("stages.head.head.dropout", "-0.1", r"^head.dropout: expected a rate in \[0, 1\), found -0.1"),
        ("stages.head.head.hidden", "[-1]", r"^head.hidden: expected layers of at least 1 unit, found \[-1\]"),
        ("stages.head.head.hidden", "[64, 0]", "^head.hidden: expected layers of at least 1 unit"),
        ("stages.head.optim.lr", "-1", "^optim.lr: expected a finite number above 0, found -1.0"),
        ("stages.head.optim.lr", "0", "^optim.lr: expected a finite number above 0"),
        ("stages.head.optim.momentum", "-0.5", "^optim.momentum: expected a number in"),
        ("stages.head.optim.momentum", "1", "^optim.momentum: expected a number in"),
        ("stages.head.optim.weight_decay", "-1", "^optim.weight_decay: expected a finite number, at least 0"),
        ("stages.head.seed", "-1", "^stages.head.seed: expected 0..4294967295, found -1"),
        ("stages.head.seed", "4294967296", "^stages.head.seed: expected 0..4294967295"),
        ("protocols.honest.seed", "-1", "^protocols.honest.seed: expected 0..4294967295, found -1"),
        (
            "stages.head.trainable",
            "upper:²",
            "^stages.head.trainable: expected 'all', 'all_but_norm', 'head' or 'upper:<n>'",
        ),
        ("stages.head.trainable", "upper:0", "n of 1..9999, found 'upper:0'"),
        ("stages.head.trainable", "upper:" + "9" * 5000, "n of 1..9999"),
        ("stages.head.trainable", "head:3", "found 'head:3'"),
        (
            "decision.value",
            "1.2",
            r"^decision.value: expected a probability in \[0, 1\] for the rule 'fixed', found 1.2",
        ),
        ("decision.value", "-0.1", "^decision.value: expected a probability in"),
        ("decision", '{"rule": "sensitivity", "value": 0}', r"^decision.value: expected a sensitivity in \(0, 1\]"),
        ("decision", '{"rule": "sensitivity", "value": 1.5}', r"^decision.value: expected a sensitivity in \(0, 1\]"),
        ("decision", '{"rule": "cost", "value": 0}', "^decision.value: expected a finite cost above 0"),
    ],
)
def test_a_value_out_of_range_is_refused_before_anything_is_trained(path: str, text: str, says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        resolve(RECIPE, overrides={path: text})


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 400, "9" * 5000])
@pytest.mark.parametrize("path", ["stages.head.optim.lr", "prep.window.width_hu", "stages.head.epochs"])
def test_a_number_that_is_not_finite_is_refused(path: str, text: str) -> None:
    with pytest.raises(RecipeError, match=f"^{path}: expected a finite number, found {text[:20]}"):
        resolve(RECIPE, overrides={path: text})


@pytest.mark.parametrize("rule", ["argmax", "youden"])
def test_a_rule_without_a_value_takes_any(rule: str) -> None:
    assert resolve(RECIPE, overrides={"decision.rule": rule, "decision.value": "7"}).decision.rule == rule


@pytest.mark.parametrize("order", [1, -1])
def test_the_order_of_overrides_that_belong_together_does_not_matter(order: int) -> None:
    both = [("decision.rule", "cost"), ("decision.value", "5")][::order]
    decision = resolve(RECIPE, overrides=dict(both)).decision
    assert (decision.rule, decision.value) == ("cost", 5.0)


PATHS = [path for path, _ in method_leaves(RECIPE)]
TEXTS = st.one_of(
    st.text(max_size=8),
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from(["true", "null", "[]", "{}", '[""]', '{"name": 1}', "upper:1", "stage:head", "[[[]]]"]),
)


@given(path=st.sampled_from(PATHS) | st.text(max_size=12), text=TEXTS)
def test_any_override_makes_a_recipe_that_can_be_written_or_a_recipe_error(path: str, text: str) -> None:
    with contextlib.suppress(RecipeError):
        for resolved in resolve_all(RECIPE, variant=None, protocols=("honest", "paper"), overrides={path: text}):
            assert Recipe.from_json(to_json(resolved)) == resolved


def test_a_part_set_as_a_whole_leaves_no_source_of_the_paper_under_it() -> None:
    resolved = resolve(RECIPE, overrides={"stages.head.optim": '{"name": "sgd", "lr": 0.1}'})
    assert source_of(resolved, "stages.head.optim.name") == OVERRIDE
    assert source_of(resolved, "stages.head.batch") == source_of(RECIPE, "stages.head.batch")


def test_the_honest_protocol_is_the_default() -> None:
    assert resolve(RECIPE).protocol.name == "honest"
    assert resolve(RECIPE, protocol="paper").protocol.name == "paper"
    with pytest.raises(RecipeError, match="--protocol"):
        resolve(RECIPE, protocol="best")


def test_a_field_of_the_protocol_that_does_not_run_is_refused() -> None:
    says = (
        "^protocols.paper.folds: expected a field of the protocol 'honest' that runs, found one of 'paper'. "
        "Add --protocol paper or both.$"
    )
    with pytest.raises(RecipeError, match=says):
        resolve(RECIPE, overrides={"protocols.paper.folds": "3"})
    with pytest.raises(RecipeError, match="of the protocol 'paper' that runs, found one of 'honest'"):
        resolve(RECIPE, protocol="paper", overrides={"protocols.honest.folds": "3"})
    with pytest.raises(RecipeError, match=r"Did you mean 'protocols\.paper\.folds'"):
        resolve(RECIPE, overrides={"protocols.paper.fold": "3"})
    with pytest.raises(RecipeError, match=r"expected a field of szalay2021, found 'protocols\.best"):
        resolve(RECIPE, overrides={"protocols.best.folds": "3"})


def test_both_protocols_take_what_concerns_them() -> None:
    overrides = {"protocols.paper.folds": "3", "protocols.honest.seed": "7", "stages.head.epochs": "2"}
    honest, paper = resolve_all(RECIPE, variant="xception", protocols=("honest", "paper"), overrides=overrides)
    assert (honest.protocol.name, honest.protocol.seed, honest.protocol.folds) == ("honest", 7, 5)
    assert (paper.protocol.name, paper.protocol.seed, paper.protocol.folds) == ("paper", 0, 3)
    assert {value(r, "stages.head.epochs") for r in (honest, paper)} == {2}
    assert {r.title for r in (honest, paper)} == {"szalay2021:xception"}
    alone = resolve(RECIPE, variant="xception", overrides={"protocols.honest.seed": "7", "stages.head.epochs": "2"})
    assert honest.digest == alone.digest
    # a report of both shows them as one recipe, so the sources of both stay
    together = dataclasses.replace(honest, protocols=(honest.protocol, paper.protocol))
    assert source_of(together, "protocols.paper.folds") == OVERRIDE
    assert source_of(together, "protocols.paper.unit") == source_of(RECIPE, "protocols.paper.unit")


def test_both_protocols_refuse_what_is_of_neither() -> None:
    with pytest.raises(RecipeError, match=r"Did you mean 'protocols\.paper\.folds'"):
        resolve_all(RECIPE, variant=None, protocols=("honest", "paper"), overrides={"protocols.paper.fold": "3"})
    with pytest.raises(RecipeError, match="--protocol: expected one of honest, paper, found 'best'"):
        resolve_all(RECIPE, variant=None, protocols=("honest", "best"), overrides=None)


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


def test_a_source_of_a_variant_is_shown_for_the_variant_alone() -> None:
    recipe = dataclasses.replace(RECIPE, sources={**RECIPE.sources, "xception:stages.head.batch": "table 9"})
    assert source_of(resolve(recipe, variant="xception"), "stages.head.batch") == "table 9"
    for other in (None, "vgg19"):
        assert source_of(resolve(recipe, variant=other), "stages.head.batch") == RECIPE.sources["stages.head.batch"]
    overridden = resolve(recipe, variant="xception", overrides={"stages.head.batch": "8"})
    assert source_of(overridden, "stages.head.batch") == OVERRIDE


def test_values_are_judged_together() -> None:
    values = {"decision.value": 20, "decision.rule": "cost"}
    assert with_values(RECIPE, values).decision.value == 20.0


def test_the_digest_is_of_the_method_not_of_how_it_is_cited() -> None:
    assert dataclasses.replace(RECIPE, sources={}, deviations=()).digest == RECIPE.digest


def stages(recipe: Recipe) -> list[str]:
    assert all(stage.variants == () for stage in recipe.stages)
    return [stage.name for stage in recipe.stages]


def test_a_stage_of_a_variant_is_there_in_that_variant_alone() -> None:
    assert [(s.name, s.variants) for s in RECIPE.stages] == [("head", ()), ("unfreeze", ("unfrozen",))]
    assert stages(resolve(RECIPE)) == ["head"]
    assert stages(resolve(RECIPE, variant="xception")) == ["head"]
    assert stages(resolve(RECIPE, variant="unfrozen")) == ["head", "unfreeze"]
    assert stages(with_variant(RECIPE, None)) == ["head"]


def test_the_fields_of_a_stage_of_a_variant_are_known_in_that_variant_alone() -> None:
    def known(variant: str | None) -> set[str]:
        return {path for path, _ in method_leaves(with_variant(RECIPE, variant)) if "unfreeze" in path}

    assert known(None) == known("xception") == set()
    assert {"stages.unfreeze.epochs", "stages.unfreeze.optim.lr"} <= known("unfrozen")
    overrides = {"stages.unfreeze.epochs": "2"}
    for variant in (None, "xception"):
        with pytest.raises(RecipeError, match=r"^--set: expected a field of szalay2021, found 'stages\.unfreeze"):
            resolve(RECIPE, variant=variant, overrides=overrides)
    resolved = resolve(RECIPE, variant="unfrozen", overrides=overrides)
    assert value(resolved, "stages.unfreeze.epochs") == 2
    assert source_of(resolved, "stages.unfreeze.epochs") == OVERRIDE
    assert source_of(resolved, "stages.head.epochs") == RECIPE.sources["stages.head.epochs"]


@pytest.mark.parametrize("variant", [None, "unfrozen"])
def test_the_variants_of_a_stage_are_no_field_to_set(variant: str | None) -> None:
    assert not [path for path, _ in method_leaves(RECIPE) if path.startswith("stages") and "variants" in path]
    with pytest.raises(RecipeError, match="expected a field of szalay2021"):
        resolve(RECIPE, variant=variant, overrides={"stages.head.variants": '["xception"]'})


def test_json_brings_stages_of_variants_back_and_reads_what_knew_none() -> None:
    plain = to_json(RECIPE)
    assert [stage["variants"] for stage in plain["stages"]] == [[], ["unfrozen"]]
    assert Recipe.from_json(plain).stages == RECIPE.stages
    before = to_json(resolve(RECIPE, variant="unfrozen"))
    for stage in before["stages"]:
        del stage["variants"]
    assert Recipe.from_json(before) == resolve(RECIPE, variant="unfrozen")


def test_the_digest_is_of_the_stages_that_run() -> None:
    one = dataclasses.replace(RECIPE, stages=RECIPE.stages[:1])
    assert resolve(RECIPE).digest == resolve(one).digest
    assert resolve(RECIPE, variant="unfrozen").digest != resolve(RECIPE).digest
    assert resolve(one, variant="unfrozen").digest == resolve(RECIPE).digest  # the same method by another name


def test_a_stage_may_not_start_from_one_that_its_variant_does_not_have() -> None:
    head, unfreeze = RECIPE.stages
    apart = dataclasses.replace(RECIPE, stages=(dataclasses.replace(head, variants=("xception",)), unfreeze))
    with pytest.raises(
        RecipeError, match=r"^stages\.unfreeze\.init: expected a stage before it \(none\), found 'head'"
    ):
        resolve(apart, variant="unfrozen")
    with pytest.raises(RecipeError, match="expected different names, at least one, found"):
        resolve(apart)
    assert stages(resolve(apart, variant="xception")) == ["head"]


def test_a_stage_that_goes_on_with_a_network_follows_what_is_set_of_it() -> None:
    recipe, _ = find("szalay2021")
    values = {"stages.head.head.activation": "leaky_relu", "stages.head.head.hidden": "[8]", "stages.head.net": "vgg19"}
    found = resolve(recipe, variant="unfrozen", overrides=values)
    first, second = found.stages
    assert second.head == first.head
    assert (second.net, second.head.activation, second.head.hidden) == ("vgg19", "leaky_relu", (8,))
    assert source_of(found, "stages.unfreeze.head.hidden") == OVERRIDE
    assert second.optim == recipe.stages[1].optim  # nothing but the network follows


@pytest.mark.parametrize("field", ["net", "head.hidden"])
def test_a_stage_may_not_go_on_with_another_network_than_it_starts_from(field: str) -> None:
    recipe, _ = find("szalay2021")
    value = {"net": "vgg19", "head.hidden": "[8]"}[field]
    with pytest.raises(RecipeError, match=rf"stages\.unfreeze\.{field.split('.')[0]}: expected that of stage 'head'"):
        resolve(recipe, variant="unfrozen", overrides={f"stages.unfreeze.{field}": value})
