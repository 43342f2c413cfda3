"""Which parts a comparison has: recipes, their variants, and every combination of varied values, each resolved.

Belongs to the api's layer; a file of its own so that `comparing` does not grow long.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence

from pneumoscope.core import vary as varying
from pneumoscope.core.comparison import Planned
from pneumoscope.core.recipe import Protocol
from pneumoscope.core.resolve import resolve, with_variant
from pneumoscope.core.serial import to_json
from pneumoscope.errors import UsageError
from pneumoscope.recipes import find

PROTOCOLS = ("honest", "paper")


def plan(
    recipes: Sequence[str], *, vary: Mapping[str, Sequence[str]], protocol: str, overrides: Mapping[str, str]
) -> tuple[list[Planned], list[str]]:
    """The parts in the order that they are named in, and what must be said of overrides that some of them lack.

    recipes, vary, protocol, overrides: as in `comparing.compare`.

    Raises:
        UsageError, RecipeError: names, fields or values that do not fit, parts that cannot be compared, or fewer than
            two of them.
    """
    varying.check_vary(vary, overrides)
    _check_protocol([*vary, *overrides], protocol)
    titles = [title for name in recipes for title in _titles(name)]
    own, said = _settings(titles, overrides)
    parts: list[Planned] = []
    for title in titles:
        for chosen in varying.combinations(vary):
            first = parts[0] if parts else None
            part = _part(title, chosen, protocol, own[title], vary, first, alone=len(set(titles)) == 1)
            for other in parts:
                _check_pair(other, part)
            parts.append(part)
    if len(parts) < 2:
        raise UsageError(
            f"compare: expected at least two parts, found {len(parts)}. Name another recipe, or use --vary FIELD=A,B."
        )
    return parts, said


def _check_protocol(fields: Sequence[str], protocol: str) -> None:
    """A field of the protocol that does not run changes nothing."""
    for field in fields:
        of = field.split(".")[1] if field.startswith("protocols.") else protocol
        if of != protocol and {of, protocol} <= {*PROTOCOLS}:
            raise UsageError(
                f"{field}: expected a field of the protocol '{protocol}' that runs, found one of '{of}'. "
                f"Use --protocol {of}, which all parts then have."
            )


def _titles(name: str) -> list[str]:
    recipe, variant = find(name)
    if variant != "all":
        return [name]
    if not recipe.variants:
        raise UsageError(f"{name}: expected a recipe with variants, found none. Write {recipe.name}.")
    return [f"{recipe.name}:{variant}" for variant in recipe.variants]


def _settings(titles: Sequence[str], overrides: Mapping[str, str]) -> tuple[dict[str, dict[str, str]], list[str]]:
    """The overrides of each title, without fields that it lacks and another one has; and which these are."""
    own = {title: dict(overrides) for title in titles}
    known = {title: with_variant(*find(title)) for title in own}
    said = []
    for field in overrides:
        lack = [title for title, recipe in known.items() if not varying.has_field(recipe, field)]
        if lack and len(lack) < len(known):  # what all of them lack is refused when they are resolved
            for title in lack:
                del own[title][field]
            have = ", ".join(title for title in known if title not in lack)
            said.append(f"--set {field}: of {have} only; not a field of {', '.join(lack)}.")
    return own, said


def _part(
    title: str,
    chosen: Mapping[str, str],
    protocol: str,
    overrides: Mapping[str, str],
    vary: Mapping[str, Sequence[str]],
    first: Planned | None,
    *,
    alone: bool,
) -> Planned:
    """first: the part whose protocol it gets. alone: all are of one recipe and variant; what is varied names them."""
    found, variant = find(title)
    own = {**overrides, **chosen}
    recipe = resolve(found, variant=variant, protocol=protocol, overrides=own)
    alike = {} if first is None else _alike(recipe.protocol, first.recipe.protocol, vary)
    if alike:
        own |= alike
        recipe = resolve(found, variant=variant, protocol=protocol, overrides=own)
    label = varying.label(chosen, recipe)
    return Planned(
        name=label if alone and label else f"{title} {label}".strip(),
        folder=f"parts/{varying.folder_name(title, label)}",
        title=title,
        recipe=recipe,
        overrides=own,
        varied=dict(chosen),
        alike=tuple(path.rpartition(".")[2] for path in alike),
        like=first.name if first is not None else "",
    )


def _alike(own: Protocol, first: Protocol, vary: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Overrides that give a part the first one's protocol, but for the fields that are varied."""
    found = {}
    for field in dataclasses.fields(Protocol):
        path, value = f"protocols.{own.name}.{field.name}", getattr(first, field.name)
        if field.name != "name" and path not in vary and getattr(own, field.name) != value:
            found[path] = value if isinstance(value, str) else json.dumps(to_json(value))
    return found


def _check_pair(one: Planned, other: Planned) -> None:
    if one.recipe.classes != other.recipe.classes:
        found = " and ".join(f"{', '.join(p.recipe.classes.names)} ({p.name})" for p in (one, other))
        raise UsageError(f"compare: expected parts with the same classes, found {found}. Compare one kind at a time.")
    if one.recipe.digest == other.recipe.digest or one.folder == other.folder:
        raise UsageError(
            f"compare: expected each part once, found '{one.name}' and '{other.name}', which are the same. "
            "Leave one out."
        )
