"""From a recipe as written to the one that runs: variant, then overrides, then one protocol."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from pneumoscope.core.recipe import METHOD_FIELDS, Recipe, Scalar, method_leaves
from pneumoscope.core.registry import did_you_mean
from pneumoscope.core.serial import Mismatch, to_json
from pneumoscope.errors import RecipeError

OVERRIDE = "override"


def resolve(
    recipe: Recipe, *, variant: str | None = None, protocol: str = "honest", overrides: Mapping[str, str] | None = None
) -> Recipe:
    """The recipe with a variant's and the user's values in place and one protocol left.

    overrides: dotted field -> value as text; JSON where it is JSON, else a string. Each is checked against the
    field's type and gets "override" as its source.

    Raises:
        RecipeError: an unknown variant, protocol or field, or a value of another type.
    """
    named = [p.name for p in recipe.protocols]
    if protocol not in named:
        raise RecipeError(f"--protocol: expected one of {', '.join(named)}, found '{protocol}'.")
    chosen = tuple(p for p in recipe.protocols if p.name == protocol)
    resolved = with_variant(dataclasses.replace(recipe, protocols=chosen), variant)
    for path, text in (overrides or {}).items():
        resolved = with_value(resolved, path, _parse(text))
        resolved = dataclasses.replace(resolved, sources={**resolved.sources, path: OVERRIDE})
    return resolved


def with_variant(recipe: Recipe, variant: str | None) -> Recipe:
    """The recipe with a variant's values in place.

    Raises:
        RecipeError: no such variant.
    """
    if variant is None:
        return recipe
    if variant not in recipe.variants:
        raise RecipeError(
            f"{recipe.name}: expected a variant of this recipe, found '{variant}'. "
            f"{did_you_mean(variant, list(recipe.variants))}"
        )
    for path, value in recipe.variants[variant].items():
        recipe = with_value(recipe, path, value)
    return dataclasses.replace(recipe, variant=variant)


def with_value(recipe: Recipe, path: str, value: Any) -> Recipe:
    """The recipe with the dotted field `path` set to `value`, checked against the field's type.

    Raises:
        RecipeError: no such field, or a value that does not fit it.
    """
    if path.split(".")[0] not in METHOD_FIELDS:
        raise _unknown(path, recipe)
    data = to_json(recipe)
    _set(data, path.split("."), value, path, recipe)
    try:
        return Recipe.from_json(data)
    except Mismatch as error:
        raise RecipeError(
            f"{path}: {str(error).partition(': ')[2]} See: pneumoscope recipes show {recipe.name}"
        ) from error
    except ValueError as error:
        raise RecipeError(str(error)) from error


def _set(data: Any, parts: list[str], value: Any, path: str, recipe: Recipe) -> None:
    at = data
    for i, part in enumerate(parts):
        last = i == len(parts) - 1
        if isinstance(at, list):
            at = next((x for x in at if isinstance(x, dict) and x.get("name") == part), None)
            if at is not None and not last:
                at = at["args"] if set(at) == {"name", "args"} else at
                continue
        elif isinstance(at, dict) and part in at:
            if last:
                # an argument of a step has no declared type: it keeps the type of the value it replaces
                at[part] = _like(at[part], value, path)
                return
            at = at[part]
            continue
        raise _unknown(path, recipe)


def _unknown(path: str, recipe: Recipe) -> RecipeError:
    known = [p for p, _ in method_leaves(recipe)]
    return RecipeError(f"--set: expected a field of {recipe.name}, found '{path}'. {did_you_mean(path, known)}")


def _like(old: Any, value: Any, path: str) -> Any:
    if isinstance(old, float) and type(value) is int:
        return float(value)
    if isinstance(old, Scalar) and type(value) is not type(old):
        raise RecipeError(f"{path}: expected a value of type {type(old).__name__}, found {value!r}.")
    return value


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
