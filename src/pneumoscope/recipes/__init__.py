"""One file per paper; this one finds them.

A recipe file is named <firstauthor><year>.py and holds `RECIPE`. Adding a paper is adding a file.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil

from pneumoscope.core.recipe import Recipe
from pneumoscope.core.registry import Registry
from pneumoscope.errors import RecipeError


@functools.cache
def recipes() -> Registry[Recipe]:
    """All recipes of this package by name."""
    registry: Registry[Recipe] = Registry("recipe")
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda m: m.name):
        recipe = importlib.import_module(f"{__name__}.{module.name}").RECIPE
        registry.add(recipe.name, recipe)
    return registry


def find(name: str) -> tuple[Recipe, str | None]:
    """The recipe and the variant that `NAME` or `NAME:VARIANT` means.

    Raises:
        UsageError: no recipe of that name.
        RecipeError: an empty variant.
    """
    recipe, colon, variant = name.partition(":")
    if colon and not variant:
        raise RecipeError(f"recipe: expected NAME or NAME:VARIANT, found '{name}'. Leave the colon out.")
    return recipes().resolve(recipe), variant or None
