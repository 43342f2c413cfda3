"""Varying fields of recipes: values as they are typed, their combinations, and the shortest names that say which."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product

from pneumoscope.core.recipe import Recipe, method_leaves
from pneumoscope.core.serial import digest
from pneumoscope.errors import UsageError

_VAGUE = ("name", "value", "size")  # ends of paths that say nothing by themselves
# a string of JSON as a whole, a run of what is neither comma nor bracket, or one of those
_PIECE = re.compile(r'"(?:[^"\\]|\\.)*"|[^",()\[\]{}]+|.', flags=re.DOTALL)
_OPEN, _CLOSE = tuple("([{"), tuple(")]}")
_LONGEST = 80  # of a folder's name; file systems take 255 bytes


def split_values(text: str) -> tuple[str, ...]:
    """`"a,[1,2],b"` -> `("a", "[1,2]", "b")`: commas within brackets and strings of JSON part nothing."""
    found, depth = [""], 0
    for piece in _PIECE.findall(text):
        depth = max(0, depth + (piece in _OPEN) - (piece in _CLOSE))
        if piece == "," and not depth:
            found.append("")
        else:
            found[-1] += piece
    return tuple(value.strip() for value in found)


def has_field(recipe: Recipe, field: str) -> bool:
    """Whether a recipe, with its variant in place, has a dotted field, or fields under it."""
    return any(path == field or path.startswith(f"{field}.") for path, _ in method_leaves(recipe))


def check_vary(vary: Mapping[str, Sequence[str]], overrides: Mapping[str, str]) -> None:
    """See that every field has two values or more and is not set to one of its own.

    Raises:
        UsageError: it is not so.
    """
    for field, values in vary.items():
        if len(values) < 2 or not all(values):
            found = "nothing" if not any(values) else ", ".join(f"'{value}'" for value in values)
            raise UsageError(f"--vary {field}: expected at least two values, none empty, found {found}. Write A,B.")
        if field in overrides:
            raise UsageError(
                f"--vary {field}: expected a field that --set leaves alone, found it in both. Leave one out."
            )


def combinations(vary: Mapping[str, Sequence[str]]) -> Iterator[dict[str, str]]:
    """Each way to choose one value a field; one empty way where nothing varies."""
    for chosen in product(*vary.values()):
        yield dict(zip(vary, chosen, strict=True))


def label(chosen: Mapping[str, str], recipe: Recipe) -> str:
    """`batch=16, hidden=[256]`: values with as much of each field's path as names no other field of the recipe."""
    return ", ".join(f"{_short(field, recipe)}={value}" for field, value in chosen.items())


def _short(field: str, recipe: Recipe) -> str:
    parts = field.split(".")
    known = {".".join(path.split(".")[:n]) for path, _ in method_leaves(recipe) for n in range(1, path.count(".") + 2)}
    for n in range(2 if parts[-1] in _VAGUE else 1, len(parts)):
        end = ".".join(parts[-n:])
        if sum(path == end or path.endswith(f".{end}") for path in known) == 1:
            return end
    return field


def folder_name(title: str, label: str) -> str:
    """A file name for a part: the same whatever else is compared; a digest parts names that look alike."""
    name = f"{title}_{label}" if label else title
    plain = re.sub(r'[\[\]{}"]', "", name.replace(", ", "_").replace(":", "-"))
    safe = re.sub(r"[^A-Za-z0-9._=+,-]", "-", plain).strip("-.")
    return safe if safe == plain and len(safe) <= _LONGEST else f"{safe[:_LONGEST]}-{digest(name)[:8]}"
