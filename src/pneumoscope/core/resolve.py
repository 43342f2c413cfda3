"""From a recipe as written to those that run: variant, then overrides, then one recipe a protocol."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pneumoscope.core.recipe import METHOD_FIELDS, OVERRIDE, Protocol, Recipe, method_leaves
from pneumoscope.core.registry import did_you_mean
from pneumoscope.core.role import MAIN
from pneumoscope.core.serial import Mismatch, to_json
from pneumoscope.core.stage import Scalar
from pneumoscope.errors import RecipeError


def resolve(
    recipe: Recipe, *, variant: str | None = None, protocol: str = "honest", overrides: Mapping[str, str] | None = None
) -> Recipe:
    """The recipe with a variant's and the user's values in place and one protocol left: see `resolve_all`."""
    return resolve_all(recipe, variant=variant, protocols=(protocol,), overrides=overrides)[0]


def resolve_all(
    recipe: Recipe, *, variant: str | None, protocols: Sequence[str], overrides: Mapping[str, str] | None
) -> list[Recipe]:
    """One recipe for each of `protocols`, in their order, with a variant's and the user's values in place.

    overrides: dotted field -> value as text; JSON where it is JSON, else a string. Each is checked against the
    field's type and gets "override" as its source. One of a field of a protocol goes to the recipe that runs it;
    the sources stay whole, so that the recipes can be shown as one. "stages" -> names, joined by commas, keeps these
    stages alone, and the roles that they learn from.

    Raises:
        RecipeError: an unknown variant, protocol or field, a field of a protocol that does not run, or a value that
            does not fit its field.
    """
    whole = with_overrides(with_variant(recipe, variant), overrides or {})
    named: dict[str, Protocol] = {p.name: p for p in whole.protocols}
    for protocol in protocols:
        if protocol not in named:
            raise RecipeError(f"--protocol: expected one of {', '.join(named)}, found '{protocol}'.")
    for path in overrides or {}:
        field, _, rest = path.partition(".")
        of = rest.partition(".")[0]
        if field == "protocols" and of and of not in protocols:
            runs = " or ".join(f"'{protocol}'" for protocol in protocols)
            raise RecipeError(
                f"{path}: expected a field of the protocol {runs} that runs, found one of '{of}'. "
                f"Add --protocol {of} or both."
            )
    return [dataclasses.replace(whole, protocols=(named[protocol],)) for protocol in protocols]


def with_variant(recipe: Recipe, variant: str | None) -> Recipe:
    """The recipe with a variant's stages and values, and its sources of them, in place; None is as written.

    Raises:
        RecipeError: no such variant.
    """
    stages = [s for s in recipe.stages if not s.variants or variant in s.variants]
    recipe = dataclasses.replace(recipe, stages=tuple(dataclasses.replace(s, variants=()) for s in stages))
    if variant is None:
        return recipe
    if variant not in recipe.variants:
        raise RecipeError(
            f"{recipe.name}: expected a variant of this recipe, found '{variant}'. "
            f"{did_you_mean(variant, list(recipe.variants))}"
        )
    of = f"{variant}:"
    own = {key.removeprefix(of): text for key, text in recipe.sources.items() if key.startswith(of)}
    changed = with_values(recipe, _followed(recipe, recipe.variants[variant]))
    return dataclasses.replace(changed, variant=variant, sources={**recipe.sources, **own})


def with_overrides(recipe: Recipe, overrides: Mapping[str, str]) -> Recipe:
    """The recipe with the user's values in place; the source of each, and of what lies under it, says "override".

    Raises:
        RecipeError: an unknown field, or a value that does not fit it.
    """
    values = _followed(recipe, {path: _parse(path, text) for path, text in overrides.items()})
    changed = with_values(recipe, values)
    moved = [path for path in values if path != "stages"]  # which keeps what is said of the stages that stay
    kept = {k: text for k, text in recipe.sources.items() if not any(k.startswith(f"{path}.") for path in moved)}
    return dataclasses.replace(changed, sources={**kept, **dict.fromkeys(values, OVERRIDE)})


def _followed(recipe: Recipe, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values, and those of a stage's network for the stages that go on with it, unless they have their own."""
    found = dict(values)
    kept = _kept(values, recipe)
    for stage in recipe.stages:
        of = stage.init.removeprefix("stage:")
        if of == stage.init or not {of, stage.name} <= kept:
            continue
        for field in ("net", "head"):
            above = f"stages.{of}.{field}"
            for path in [p for p in found if p == above or p.startswith(f"{above}.")]:
                found.setdefault(path.replace(above, f"stages.{stage.name}.{field}", 1), found[path])
    return found


def _kept(values: Mapping[str, Any], recipe: Recipe) -> set[str]:
    """The names of the stages that a value of "stages" keeps; without one, of all."""
    known = [stage.name for stage in recipe.stages]
    wanted = [name.strip() for name in str(values.get("stages", ",".join(known))).split(",")]
    for name in wanted:
        if name not in known:
            raise RecipeError(
                f"stages: expected names of stages of {recipe.name} ({', '.join(known)}), joined by commas, found "
                f"'{name}'. {did_you_mean(name, known)}"
            )
    return set(wanted)


def with_values(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    """The recipe with each dotted field set to its value, checked against the fields' types.

    All are set before any is judged: a `decision.value` may only make sense with the `decision.rule` beside it.

    Raises:
        RecipeError: no such field, or a value that does not fit it.
    """
    data = to_json(recipe)
    kept = _kept(values, recipe)
    data["stages"] = [stage for stage in data["stages"] if stage["name"] in kept]
    for path, value in values.items():
        if path == "stages":
            continue
        parts = path.split(".")
        # which variants have a stage says where it runs, not what it does
        if parts[0] not in METHOD_FIELDS or (parts[0] == "stages" and parts[2:] == ["variants"]):
            raise _unknown(path, recipe)
        if parts[0] == "stages" and parts[1] in {stage.name for stage in recipe.stages} - kept:
            raise RecipeError(
                f"--set: expected a field of a stage that stages keeps ({', '.join(sorted(kept))}), found '{path}'. "
                "Leave it out, or name the stage there too."
            )
        _set(data, parts, value, path, recipe)
    if "stages" in values:
        learned = {MAIN, *(stage["role"] for stage in data["stages"])}
        data["roles"] = [role for role in data["roles"] if role["name"] in learned]
    try:
        return Recipe.from_json(data)
    except Mismatch as error:
        raise RecipeError(
            f"{_by_name(error.path, data)}: {str(error).partition(': ')[2]} See: pneumoscope recipes show {recipe.name}"
        ) from error
    except ValueError as error:
        raise RecipeError(str(error)) from error


def _by_name(path: str, data: Any) -> str:
    """`stages.0.epochs` as `stages.head.epochs`, as the user knows it."""
    parts = []
    for part in path.split("."):
        if isinstance(data, list):
            data = data[int(part)]
            parts.append(data.get("name", part) if isinstance(data, dict) else part)
        else:
            data = data.get(part) if isinstance(data, dict) else None
            parts.append(part)
    return ".".join(map(str, parts))


def _set(data: Any, parts: list[str], value: Any, path: str, recipe: Recipe) -> None:
    at = data
    for i, part in enumerate(parts):
        last = i == len(parts) - 1
        if isinstance(at, list):
            at = next((x for x in at if isinstance(x, dict) and x.get("name") == part), None)
            # a member's name is how it is addressed, not a field of it
            if at is not None and not last and parts[i + 1 :] != ["name"]:
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


def _parse(path: str, text: str) -> Any:
    def finite(kind: Callable[[str], Any]) -> Callable[[str], Any]:
        def read(number: str) -> Any:
            if not math.isfinite(float(number)):  # NaN, Infinity, 1e999, and integers too large for a float
                raise RecipeError(f"{path}: expected a finite number, found {number[:20]}.")
            return kind(number)

        return read

    try:
        return json.loads(text, parse_int=finite(int), parse_float=finite(float), parse_constant=finite(float))
    except json.JSONDecodeError:
        return text
