"""What a search tries: a choice of values or a range for each dotted field of a recipe, from text and to it.

`16,32,64` and `[256],[512,256]` are choices (JSON values, or words), `1e-5..1e-2:log` and `5..50` are ranges. Szalay
et al. 2021, section 4, search over choices alone.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pneumoscope.core.recipe import METHOD_FIELDS, Recipe, method_leaves
from pneumoscope.core.registry import did_you_mean
from pneumoscope.core.resolve import with_values
from pneumoscope.core.serial import Mismatch, canonical, parse_json, to_json
from pneumoscope.core.vary import split_values
from pneumoscope.errors import RecipeError, UsageError

SEARCHED = ("prep", "stages")  # what may be searched of a recipe; the rest is what is measured, and how
_WORD = re.compile(r"[A-Za-z][\w:.-]*")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One of some values, plain JSON types."""

    values: tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class Range:
    """A number from low to high, both included. log: every ratio alike, not every difference. whole: integers."""

    low: float
    high: float
    log: bool = False
    whole: bool = False


Space = Mapping[str, Choice | Range]


def read_space(recipe: Recipe, given: Mapping[str, str]) -> dict[str, Choice | Range]:
    """What to search, by dotted field, each end and each value checked against the recipe.

    recipe: resolved. given: field -> text; none for the recipe's own search, as its paper did it.

    Raises:
        UsageError: a field that does not exist or may not be searched, a text that is no space, a value that does
            not fit its field, or nothing to search.
    """
    if not given and not recipe.search:
        field = f"stages.{recipe.stages[-1].name}"
        raise UsageError(
            f"{recipe.name}: expected fields to search, found none here and none in the recipe. "
            f"Name some: --search {field}.batch=16,32 --search {field}.optim.lr=1e-5..1e-2:log"
        )
    for path in given or recipe.search:
        _check_field(recipe, path)
    if given:
        space = {path: _read(path, text, recipe) for path, text in given.items()}
    else:
        space = {path: Choice(values=tuple(to_json(values))) for path, values in recipe.search.items()}
    for path, one in space.items():
        _check(path, one, recipe)
    return space


def space_text(space: Choice | Range) -> str:
    """A space as `read_space` takes it."""
    if isinstance(space, Choice):
        return ",".join(map(value_text, space.values))
    low, high = (int(end) if space.whole else end for end in (space.low, space.high))
    return f"{json.dumps(low)}..{json.dumps(high)}" + (":log" if space.log else "")


def read_value(text: str) -> Any:
    """What is written after `--set FIELD=`, or between the commas of a choice: JSON, else a plain word."""
    try:
        return parse_json(text.encode(), "value")
    except Mismatch:
        return text


def value_text(value: Any) -> str:
    """A value of a field as it is written after `--set FIELD=`: JSON, and a plain word without its quotes."""
    if isinstance(value, str) and _WORD.fullmatch(value) and ".." not in value and not _is_json(value):
        return value
    return json.dumps(to_json(value), separators=(",", ":"))


def shown(value: Any) -> str:
    """A value for people: as `value_text`, a long number with four digits."""
    return f"{value:.4g}" if isinstance(value, float) else value_text(value)


def _is_json(text: str) -> bool:
    try:
        parse_json(text.encode(), "value")
    except Mismatch:
        return False
    return True


def _check_field(recipe: Recipe, path: str) -> None:
    known = [leaf for leaf, _ in method_leaves(recipe) if leaf.split(".")[0] in SEARCHED]
    top = path.split(".")[0]
    if top in METHOD_FIELDS and top not in SEARCHED:
        raise UsageError(
            f"--search {path}: expected a field of {' or '.join(SEARCHED)}, found one of {top}, which changes what is "
            f"measured from trial to trial. Set it for all: --set {path}=VALUE"
        )
    if not any(leaf == path or leaf.startswith(f"{path}.") for leaf in known):
        raise UsageError(
            f"--search: expected a field of {recipe.title}, found '{path}'. {did_you_mean(path, known)} "
            f"See: pneumoscope recipes show {recipe.title}"
        )


def _read(path: str, text: str, recipe: Recipe) -> Choice | Range:
    words = split_values(text)
    if len(words) == 1 and ".." in text and text[0] not in '"([{':
        return _read_range(path, text, recipe)
    return Choice(values=tuple(read_value(word) for word in words))


def _read_range(path: str, text: str, recipe: Recipe) -> Range:
    """`LOW..HIGH` or `LOW..HIGH:log`, of integers where the field is one."""
    ends, _, scale = text.partition(":")
    low, _, high = ends.partition("..")
    of = next((value for leaf, value in method_leaves(recipe) if leaf == path), None)
    if isinstance(of, bool) or not isinstance(of, (int, float)):
        raise UsageError(
            f"--search {path}: expected a list of values (A,B,C), since the field is no number, found '{text}'."
        )
    whole = isinstance(of, int)
    found = [read_value(low), read_value(high)]
    right = [type(n) is int or (type(n) is float and not whole) for n in found]
    if not all(right) or scale not in ("", "log") or text.endswith(":"):
        kind = "integers" if whole else "numbers"
        raise UsageError(f"--search {path}: expected LOW..HIGH or LOW..HIGH:log of {kind}, found '{text}'.")
    one = Range(low=found[0], high=found[1], log=bool(scale), whole=whole)
    if not one.low < one.high or (one.log and one.low <= 0):
        rule = "0 < LOW < HIGH" if one.log else "LOW < HIGH"
        raise UsageError(f"--search {path}: expected {rule}, found '{text}'.")
    return one if whole else Range(low=float(one.low), high=float(one.high), log=one.log)


def _check(path: str, space: Choice | Range, recipe: Recipe) -> None:
    values = space.values if isinstance(space, Choice) else (space.low, space.high)
    if len({canonical(value) for value in values}) < max(2, len(values)):
        raise UsageError(
            f"--search {path}: expected at least two different values, each once, found '{space_text(space)}'. "
            f"A single value goes with --set {path}=VALUE."
        )
    for value in values:
        if isinstance(value, float) and not math.isfinite(value):
            raise UsageError(f"--search {path}: expected finite numbers, found '{value}'.")
        try:
            with_values(recipe, {path: value})
        except RecipeError as error:
            raise UsageError(f"--search {path}={value_text(value)}: {error}") from error
