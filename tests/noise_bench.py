"""A bench of noise: everything that a recipe's stages train on, with no file to read. Classes differ in brightness."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pneumoscope.core.dataset import ClassSet, Dataset, Sample
from pneumoscope.core.progress import silent
from pneumoscope.core.recipe import Recipe
from pneumoscope.core.role import MAIN
from pneumoscope.evaluate.split import role_split
from pneumoscope.prep import pipeline
from pneumoscope.train.bench import Bench
from pneumoscope.train.data import Prepared
from pneumoscope.train.environment import Clock
from pneumoscope.train.units import UNKNOWN


def dataset(classes: ClassSet, counts: Mapping[str, int], *, of: str = MAIN) -> Dataset:
    """So many files of each class, each of a patient of its own."""
    names = [(label, f"{of}-{label}-{i:05d}") for label, n in counts.items() for i in range(n)]
    samples = tuple(Sample(file=f"{name}.png", label=label, group=name, digest=name) for label, name in names)
    return Dataset(root="/nowhere", samples=samples, classes=classes)


def noise_bench(recipe: Recipe, out: Path, *, each: int = 6) -> Bench:
    """`each` images of every class of every role, half of which another role's validation part is drawn from."""
    height, width = pipeline.input_size(recipe)
    rng = np.random.default_rng(0)
    data, parts = {}, {}
    for role in recipe.roles:
        classes = recipe.classes_of(role.name)
        made = dataset(classes, dict.fromkeys(classes.names, each), of=role.name)
        bright = np.array([classes.index(s.label) for s in made.samples])[:, None, None] / len(classes.names)
        noise = rng.random((len(made), height, width))
        data[role.name] = Prepared(
            dataset=made,
            images=(0.5 * noise + 0.5 * bright).astype(np.float32),
            pixels=np.full(len(made), height * width),
            infection=np.full(len(made), UNKNOWN),
            given=made,
            origin=np.arange(len(made)),
            between=np.zeros(len(made), dtype=bool),
            notes=(),
        )
        if role.name != MAIN:
            parts[role.name] = role_split(made, role, recipe.protocol)
    return Bench(
        recipe=recipe,
        data=data,
        parts=parts,
        out=out,
        cache=out / "cache",
        weights_dir=None,
        progress=silent,
        clock=Clock(out / "environment.json", {}),
    )
