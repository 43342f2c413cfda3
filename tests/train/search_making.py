"""A search without fits: settings are worth what a table says. Run as a script, it is another process of the search."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from noise_bench import dataset

from pneumoscope.core.dataset import Dataset
from pneumoscope.core.recipe import Recipe
from pneumoscope.core.resolve import resolve
from pneumoscope.core.search import Tried
from pneumoscope.core.space import read_space
from pneumoscope.recipes import find
from pneumoscope.train import search

SPACE = {"stages.head.batch": "4,8,16,32", "stages.head.optim.lr": "1e-4..1e-1:log"}
EACH = 20  # patients of each class


def recipe() -> Recipe:
    """The CNN of szalay2021 with one hold-out."""
    found, variant = find("szalay2021:cnn")
    return resolve(found, variant=variant, overrides={"protocols.honest.folds": "1", "prep.resize.size": "32"})


def data(each: int = EACH) -> Dataset:
    """So many patients of each class, one file each; no file is there."""
    classes = recipe().classes
    return dataset(classes, dict.fromkeys(classes.names, each))


def pretend(worth: Callable[[Recipe, int], float], at: object = search) -> None:
    """Let every fold answer so that its balanced accuracy is about what `worth` says of its recipe and number."""

    def prepare(dataset, recipe, folder, progress):
        labels = torch.tensor([dataset.classes.index(s.label) for s in dataset.samples])
        alone = {"given": dataset, "origin": np.arange(len(dataset)), "between": np.zeros(len(dataset), dtype=bool)}
        return SimpleNamespace(dataset=dataset, labels=labels, **alone)

    def answer_folds(bench, split, out, *, after):
        for k in range(len(split.folds)):
            positions = np.asarray(split.part(bench.main.dataset, k, "test"))
            truth = bench.main.labels.numpy()[positions]
            wrong = np.zeros(len(truth), dtype=bool)
            for label in (0, 1):
                of = np.flatnonzero(truth == label)
                wrong[of[round(len(of) * worth(bench.recipe, k)) :]] = True
            after(k, SimpleNamespace(positions=positions, decisions=np.where(wrong, 1 - truth, truth)))

    at.prepare = prepare
    at.answer_folds = answer_folds
    at.pretrained = lambda recipe, weights_dir: {}


def run(out: Path, trials: int, *, storage: str | None = None, space: dict[str, str] | None = None, **kw) -> Tried:
    """A search of the CNN on data that is not there."""
    values = {"datasets": {"main": data()}, "say": lambda text: None, "progress": lambda what, done, total: None} | kw
    return search.search(
        recipe(),
        values.pop("datasets"),
        out,
        space=read_space(recipe(), space or SPACE),
        trials=trials,
        storage=storage or str(out / "study.journal"),
        weights_dir=None,
        cache=out / "cache",
        kept_memory=False,
        **values,
    )


def by_batch(recipe: Recipe, k: int) -> float:
    """Worth of settings: a small batch is better."""
    return {4: 1.0, 8: 0.8, 16: 0.6, 32: 0.4}[recipe.stages[-1].batch]


def slowly(recipe: Recipe, k: int) -> float:
    """The same, and other processes get their turn."""
    time.sleep(0.15)
    return by_batch(recipe, k)


def never(recipe: Recipe, k: int) -> float:
    """Begins and never ends."""
    tell("begun")
    time.sleep(600)
    return 0.0


def tell(text: str) -> None:
    """A line for the process that started this one."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def search_there(out: str, storage: str, trials: int) -> None:
    """A search that tells when its first trial is done, and of every trial."""
    said: list[str] = []

    def say(text: str) -> None:
        tell(text if said else f"begun\n{text}")
        said.append(text)

    run(Path(out), trials, storage=storage, say=say)


if __name__ == "__main__":
    for how, *place in zip(sys.argv[2::3], sys.argv[3::3], sys.argv[4::3], strict=True):
        pretend({"slowly": slowly, "never": never}[how])
        search_there(*place, int(sys.argv[1]))
