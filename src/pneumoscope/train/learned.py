"""The learning curves of a run, as its folds' weights carry them."""

from __future__ import annotations

from pneumoscope.core.result import Learned
from pneumoscope.core.serial import from_json
from pneumoscope.train.bench import Bench
from pneumoscope.train.checkpoint import Progression, load_about


def learned(bench: Bench, folds: int) -> tuple[Learned, ...]:
    """Loss by epoch of each stage that learned anything, fold by fold; a stage that all folds share stands once.

    Raises:
        IntegrityError: weights that cannot be read.
    """
    found: dict[str, Learned] = {}
    for stage in bench.recipe.stages:
        for fold in range(folds):
            path = bench.folder(stage, bench.out / f"fold_{fold}") / f"{stage.name}.safetensors"
            if str(path) in found or not path.exists():
                continue
            how_far = from_json(Progression, load_about(path))
            if how_far.history:
                found[str(path)] = Learned(
                    stage=stage.name,
                    fold=fold,
                    train_loss=tuple(epoch.train_loss for epoch in how_far.history),
                    val_loss=tuple(epoch.val_loss for epoch in how_far.history),
                    best_epoch=how_far.best_epoch,
                )
    return tuple(found.values())
