"""Strict JSON: what goes out comes back, and what does not fit is named by its path."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pneumoscope.core.result import Interval
from pneumoscope.core.serial import DEEPEST, Mismatch, canonical, digest, from_json, parse_json, to_json


@dataclass(frozen=True, kw_only=True)
class Leaf:
    name: str
    size: float


@dataclass(frozen=True, kw_only=True)
class Tree:
    count: int
    kind: Literal["a", "b"] = "a"
    leaf: Leaf | None = None
    leaves: tuple[Leaf, ...] = ()
    pair: tuple[int, str] = (0, "")
    values: Mapping[str, bool | int | float | str] = field(default_factory=dict)


leaf = st.builds(Leaf, name=st.text(max_size=5), size=st.floats(allow_nan=False, allow_infinity=False))
scalars = st.one_of(st.booleans(), st.integers(), st.text(max_size=5), st.floats(allow_nan=False, allow_infinity=False))
trees = st.builds(
    Tree,
    count=st.integers(),
    kind=st.sampled_from(["a", "b"]),
    leaf=st.none() | leaf,
    leaves=st.lists(leaf, max_size=3).map(tuple),
    pair=st.tuples(st.integers(), st.text(max_size=3)),
    values=st.dictionaries(st.text(max_size=3), scalars, max_size=3),
)


@given(trees)
def test_what_goes_out_comes_back(tree: Tree) -> None:
    assert from_json(Tree, json.loads(json.dumps(to_json(tree)))) == tree


@given(trees)
def test_digest_is_of_the_content(tree: Tree) -> None:
    shuffled = dict(reversed(list(to_json(tree).items())))
    assert digest(shuffled) == digest(tree)
    assert digest(dataclasses.replace(tree, count=tree.count + 1)) != digest(tree)


@pytest.mark.parametrize(
    ("data", "path"),
    [
        ({}, "count"),
        ({"count": "1"}, "count"),
        ({"count": True}, "count"),
        ({"count": 1.0}, "count"),
        ({"count": 1, "kind": "c"}, "kind"),
        ({"count": 1, "colour": 1}, "colour"),
        ({"count": 1, "leaf": {"name": "x", "size": "big"}}, "leaf"),
        ({"count": 1, "leaves": [{"name": "x", "size": 1}, {"name": 2, "size": 1}]}, "leaves.1.name"),
        ({"count": 1, "leaves": {"name": "x"}}, "leaves"),
        ({"count": 1, "pair": [1]}, "pair"),
        ({"count": 1, "values": {"x": [1]}}, "values.x"),
        ([], ""),
    ],
)
def test_what_does_not_fit_is_named(data: object, path: str) -> None:
    with pytest.raises(Mismatch) as caught:
        from_json(Tree, data)
    assert caught.value.path == path
    assert "expected" in str(caught.value)


def test_an_integer_is_a_float_where_a_float_is_asked_for() -> None:
    size = from_json(Leaf, {"name": "x", "size": 1}).size
    assert isinstance(size, float)


def test_an_integer_stays_one_among_scalars() -> None:
    value = from_json(Tree, {"count": 1, "values": {"x": 1, "y": True}}).values
    assert value == {"x": 1, "y": True}
    assert type(value["x"]) is int
    assert type(value["y"]) is bool


def test_nan_becomes_null() -> None:
    assert json.loads(canonical({"x": float("nan")})) == {"x": None}


def test_an_undefined_figure_comes_back_as_one_and_a_plain_number_may_not_be_null() -> None:
    interval = Interval(value=float("nan"), low=0.5, high=1.0)
    back = from_json(Interval, json.loads(json.dumps(to_json(interval))))
    assert math.isnan(back.value)
    assert (back.low, back.high) == (0.5, 1.0)
    with pytest.raises(Mismatch, match="size"):
        from_json(Leaf, {"name": "x", "size": None})


def test_an_integer_that_no_float_holds_is_named() -> None:
    with pytest.raises(Mismatch, match="expected a number that a float holds") as caught:
        from_json(Leaf, {"name": "x", "size": 10**400})
    assert caught.value.path == "size"
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("found", ["x" * 10_000, ["x"] * 10_000, 10**3000, "a\nb"])
def test_a_message_is_one_short_line_whatever_was_found(found: object) -> None:
    with pytest.raises(Mismatch) as caught:
        from_json(Leaf, {"name": found, "size": found})
    assert len(str(caught.value)) < 500
    assert "\n" not in str(caught.value)


@given(trees)
def test_json_is_parsed_as_it_was_meant(tree: Tree) -> None:
    data = to_json(dataclasses.replace(tree, count=tree.count % 1000, pair=(0, ""), values={}))
    assert parse_json(json.dumps(data).encode(), "x") == data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"\xff",
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b"1" * 5000,
        b"1" * 400,
        b"1e999",
        b"NaN",
        b"-Infinity",
        b"[" * (DEEPEST + 1) + b"]" * (DEEPEST + 1),
        b"[" * 900 + b"]" * 900,
    ],
    ids=lambda data: repr(data[:12]),
)
def test_json_from_strangers_is_parsed_or_refused_in_one_line(data: bytes) -> None:
    with pytest.raises(Mismatch, match=r"^x\.json: expected JSON") as caught:
        parse_json(data, "x.json")
    assert "\n" not in str(caught.value)
    assert parse_json(b"[" * DEEPEST + b"]" * DEEPEST, "x.json")
