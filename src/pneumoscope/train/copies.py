"""Which volumes get a changed copy to be learned from, and how each is changed (Xue 2021, section 2.2.5, Table 1)."""

from __future__ import annotations

import dataclasses

import numpy as np

from pneumoscope.core.dataset import Dataset, Sample
from pneumoscope.core.recipe import Recipe
from pneumoscope.core.serial import digest
from pneumoscope.core.stage import Copies, Step


def copies_of(sample: Sample, dataset: Dataset, recipe: Recipe) -> dict[str, tuple[Step, ...]]:
    """Name of each copy that a volume gets -> the steps that make it.

    Of each class the wanted share of volumes is drawn by the protocol's seed, rounded, whatever else is in the set.
    """
    found = {}
    for copies in recipe.copies:
        share = copies.shares.get(sample.label, 0.0)
        alike = sorted(_order(copies, s, recipe) for s in dataset.samples if s.label == sample.label)
        if _order(copies, sample, recipe) in alike[: round(share * len(alike))]:
            found[copies.name] = tuple(_drawn(step, copies, sample, recipe) for step in copies.prep)
    return found


def _order(copies: Copies, sample: Sample, recipe: Recipe) -> str:
    return digest([copies.name, sample.file, sample.digest, recipe.protocol.seed])


def _drawn(step: Step, copies: Copies, sample: Sample, recipe: Recipe) -> Step:
    """A crop of a share that is drawn; other steps as they are."""
    if step.name != "crop" or "least" not in step.args:
        return step
    rng = np.random.default_rng(int(_order(copies, sample, recipe)[:15], 16))
    share = rng.uniform(float(step.args["least"]), float(step.args["most"]))
    return dataclasses.replace(step, args={"share": float(share)})
