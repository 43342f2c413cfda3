"""The text of a search space, and what may be searched."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pneumoscope.core.resolve import resolve, with_overrides
from pneumoscope.core.space import Choice, Range, read_space, shown, space_text, value_text
from pneumoscope.errors import UsageError
from pneumoscope.recipes import find, recipes

RECIPE = resolve(find("szalay2021")[0])


@pytest.mark.parametrize(
    ("path", "text", "space"),
    [
        ("stages.head.batch", "16,32,64", Choice(values=(16, 32, 64))),
        ("stages.head.batch", " 16, 32 ", Choice(values=(16, 32))),
        ("stages.head.head.hidden", "[256],[512,256]", Choice(values=([256], [512, 256]))),
        ("stages.head.head.hidden", "[],[8]", Choice(values=([], [8]))),
        ("stages.head.optim.name", "adam,sgd", Choice(values=("adam", "sgd"))),
        ("stages.head.optim.name", '"adam","sgd"', Choice(values=("adam", "sgd"))),
        ("stages.head.head.batch_norm", "true,false", Choice(values=(True, False))),
        ("stages.head.optim.lr", "0.1,1e-3", Choice(values=(0.1, 0.001))),
        ("stages.head.optim.lr", "1e-5..1e-2:log", Range(low=1e-5, high=1e-2, log=True)),
        ("stages.head.head.dropout", "0..0.5", Range(low=0.0, high=0.5)),
        ("stages.head.epochs", "5..50", Range(low=5, high=50, whole=True)),
        ("stages.head.batch", "4..256:log", Range(low=4, high=256, log=True, whole=True)),
        ("prep.window.center_hu", "-700..-400", Range(low=-700.0, high=-400.0)),
        ("prep.resize.size", "160..224", Range(low=160, high=224, whole=True)),
        ("stages.head.head", '{"pooling":"average"},{"pooling":"flatten"}', None),
    ],
)
def test_a_space_is_read(path, text, space):
    found = read_space(RECIPE, {path: text})[path]
    assert space is None or found == space
    assert read_space(RECIPE, {path: space_text(found)})[path] == found


def test_the_recipes_own_search_is_taken():
    space = read_space(RECIPE, {})
    assert list(space) == list(RECIPE.search)
    assert space["stages.head.head.pooling"] == Choice(values=("flatten", "average"))
    assert space["stages.head.head.hidden"].values[1] == [256, 512]
    for path, one in space.items():
        assert read_space(RECIPE, {path: space_text(one)})[path] == one


@pytest.mark.parametrize("name", [name for name in recipes() if not recipes().resolve(name).search])
def test_without_any_search_the_error_shows_how_to_name_one(name):
    recipe = resolve(recipes().resolve(name))
    with pytest.raises(UsageError, match=f"{name}: expected fields to search, found none") as caught:
        read_space(recipe, {})
    words = str(caught.value).split("--search ")[1:]
    shown = dict(word.strip().split("=", 1) for word in words)
    assert len(read_space(recipe, shown)) == 2  # what it shows works


@pytest.mark.parametrize(
    ("path", "text", "says"),
    [
        ("stages.head.bathc", "1,2", "Did you mean 'stages.head.batch'"),
        ("batch", "1,2", "expected a field of szalay2021, found 'batch'"),
        ("protocols.honest.test_share", "0.1..0.3", "found one of protocols, which changes what is measured"),
        ("decision.value", "0.3..0.5", "found one of decision"),
        ("classes.positive", "covid,non-covid", "found one of classes"),
        ("roles.main.seed", "0..3", "found one of roles"),
        ("modalities", "[],[]", "found one of modalities"),
        ("search", "1,2", "expected a field of szalay2021, found 'search'"),
        ("stages.head.batch", "16", "expected at least two different values, each once, found '16'"),
        ("stages.head.batch", "16,16", "expected at least two different values"),
        ("stages.head.batch", "16,32,16", "each once"),
        ("stages.head.batch", "16,x", "batch=x: stages.head.batch: expected a value of type int, found 'x'"),
        ("stages.head.batch", "16,", "batch=\"\": stages.head.batch: expected a value of type int, found ''"),
        ("stages.head.batch", "0,16", "expected epochs and batch of at least 1"),
        ("stages.head.batch", "0..16", "expected epochs and batch of at least 1"),
        ("stages.head.batch", "1.5..16", "expected LOW..HIGH or LOW..HIGH:log of integers, found '1.5..16'"),
        ("stages.head.batch", "8..16:linear", "expected LOW..HIGH or LOW..HIGH:log"),
        ("stages.head.batch", "8..16:", "expected LOW..HIGH or LOW..HIGH:log"),
        ("stages.head.batch", "8..", "expected LOW..HIGH"),
        ("stages.head.batch", "true..16", "expected LOW..HIGH"),
        ("stages.head.optim.lr", "1e-5..NaN", "expected LOW..HIGH"),
        ("stages.head.optim.lr", "1e-5..1e999", "expected LOW..HIGH"),
        ("stages.head.optim.lr", "1e-2..1e-5", "expected LOW < HIGH"),
        ("stages.head.optim.lr", "0..1:log", "expected 0 < LOW < HIGH"),
        ("stages.head.head.dropout", "0..1", "dropout=1.0: head.dropout: expected a rate in [0, 1)"),
        ("stages.head.optim.name", "adam..sgd", "expected a list of values (A,B,C), since the field is no number"),
        ("stages.head.optim.name", "adam,lion", "expected one of 'adam', 'sgd', found 'lion'"),
        ("stages.head.head.hidden", "[256],[0]", "expected layers of at least 1 unit"),
        ("stages.head.head.hidden", "[256],[512", "found '[512'"),
        ("stages.head.head.batch_norm", "0..1", "since the field is no number"),
        ("stages.head.name", "a,b", "expected a field of szalay2021"),
        ("prep.resize.size", "224,tall", "expected a value of type int, found 'tall'"),
    ],
)
def test_what_may_not_be_searched_is_said(path, text, says):
    with pytest.raises(UsageError) as caught:
        read_space(RECIPE, {path: text})
    assert says in str(caught.value)
    assert str(caught.value).startswith("--search")
    assert "\n" not in str(caught.value)


SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(2**40), 2**40),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12) | st.text('\\",[]{}()a ', max_size=8),
)
VALUES = st.one_of(SCALARS, st.lists(SCALARS, max_size=3))


@given(st.dictionaries(st.sampled_from(["a.b", "c"]), VALUES, min_size=1))
def test_a_value_as_text_is_that_value_again(values):
    from pneumoscope.core.resolve import _parse

    for path, value in values.items():
        assert _parse(path, value_text(value)) == value
        assert _parse(path, json.dumps(value)) == value


@given(st.lists(VALUES, min_size=2, max_size=4))
def test_a_choice_as_text_is_that_choice_again(values):
    from pneumoscope.core.space import read_value
    from pneumoscope.core.vary import split_values

    assert [read_value(word) for word in split_values(space_text(Choice(values=tuple(values))))] == values


def test_a_long_number_is_shown_short():
    assert [shown(v) for v in (0.00014431631680300197, 0.5, 32, "adam", [256, 512])] == [
        "0.0001443",
        "0.5",
        "32",
        "adam",
        "[256,512]",
    ]


def test_settings_are_checked_on_what_was_set_before():
    recipe = with_overrides(RECIPE, {"stages.head.epochs": "3"})
    assert read_space(recipe, {"stages.head.batch": "8,16"})["stages.head.batch"] == Choice(values=(8, 16))
