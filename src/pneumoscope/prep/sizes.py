"""What the network of a recipe takes: images or volumes, of which size."""

from __future__ import annotations

from pneumoscope.core.recipe import Recipe
from pneumoscope.errors import RecipeError
from pneumoscope.prep import pipeline


def input_size(recipe: Recipe) -> tuple[int, ...]:
    """`(H, W)` of every prepared image, or `(D, H, W)` of every prepared volume.

    Raises:
        RecipeError: the steps leave images or volumes of different sizes.
    """
    if not recipe.of_volumes:
        return pipeline.input_size(recipe)
    last = recipe.prep[-1]
    if last.name != "cube":
        raise RecipeError(f"{recipe.name}.prep: expected 'cube' as the last step of volumes, found '{last.name}'.")
    side = int(last.args["size"])
    return (side, side, side)
