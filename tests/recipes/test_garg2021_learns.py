"""Garg 2021 as a whole, small, on phantom series: every level beats chance by far on patients it did not learn from.

Networks, steps, slices between, inner folds and the ensemble are the recipe's; the slice network is the smallest
there is, and rates and epochs are those that seconds allow.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from clear_series import write_clear

from pneumoscope import reading
from pneumoscope.core.progress import silent
from pneumoscope.core.resolve import resolve
from pneumoscope.recipes import find
from pneumoscope.train import loop, patients, run

SLICES = ("pretrain", "last-layers", "unfreeze", "unlabelled")
SMALL = {
    "prep.resize.size": "32",
    "protocols.honest.folds": "2",
    "stages.pretrain.init": "random",
    "stages.pretrain.optim.lr": "2e-3",
    "stages.pretrain.epochs": "15",
    "stages.last-layers.epochs": "3",
    "stages.unfreeze.optim.lr": "1e-4",
    "stages.unfreeze.epochs": "5",
    "stages.unlabelled.epochs": "2",
    **{f"stages.{name}.net": "cnn" for name in SLICES},
    **{f"stages.{name}.head.scales": "1" for name in SLICES},
    **{f"stages.{name}.head.hidden": "[64]" for name in SLICES},
    **{f"stages.{name}.augment": "[]" for name in SLICES},
    **{f"stages.{name}.batch": "16" for name in SLICES},
    **{
        f"stages.{name}.batch": "8" for name in ("maxpool", "maxpool-weighted", "bilstm", "bilstm-weighted", "ensemble")
    },
    **{f"stages.{name}.epochs": "6" for name in ("bilstm", "bilstm-weighted")},
    "stages.ensemble.optim.lr": "0.01",
}
CHANCE, FAR = 1 / 3, 0.8


def test_every_level_beats_chance_by_far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patients, "INNER", 2)  # every inner fold trains four classifiers
    monkeypatch.setattr(loop, "bf16_is_fast", lambda: False)  # the same answers on every CPU, 24 patients being few
    recipe = resolve(find("garg2021")[0], overrides=SMALL)
    main = write_clear(tmp_path / "main", patients=24, seed=3, silent=3)
    pretrain = write_clear(tmp_path / "pretrain", patients=18, seed=9)
    given = [main, f"pretrain={pretrain}"]
    datasets, _ = reading.read_roles(given, recipe, mapping={}, ungrouped=False, say=lambda text: None)
    found = run.run(
        recipe,
        datasets,
        tmp_path / "run",
        weights_dir=None,
        cache=tmp_path / "cache",
        card=lambda facts: "",
        kept_memory=False,
        progress=silent,
        prepared=tmp_path / "prepared",
        export=False,
    ).evaluation
    assert (found.n_images, found.n_patients, found.shared_patients) == (24, 24, 0)
    assert list(tmp_path.glob("run/fold_*/unlabelled.safetensors"))
    for name in ("slices", "maxpool", "maxpool-weighted", "bilstm", "bilstm-weighted", "ensemble"):
        counts = np.array(found.levels[name].confusion)
        assert (counts.diagonal() / counts.sum(axis=1)).mean() >= FAR > 2 * CHANCE, (name, counts.tolist())
    assert found.before[0].val_accuracy >= FAR
