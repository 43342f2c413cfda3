"""Series as they are prepared: what lies between two slices follows the recipe and the labels, not an older file."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from pneumoscope import phantoms, reading
from pneumoscope.core.progress import silent
from pneumoscope.core.resolve import resolve
from pneumoscope.recipes import find
from pneumoscope.train.data import Prepared, prepare


def prepared(root: Path, folder: Path, between: int) -> Prepared:
    overrides = {"prep.resize.size": "32", "slices_between": str(between)}
    recipe = resolve(find("garg2021")[0], overrides=overrides)
    dataset, _ = reading.read_data(
        [root], recipe.classes, mapping={}, modalities=recipe.modalities, ungrouped=False, say=lambda text: None
    )
    return prepare(dataset, recipe, folder, silent)


def test_no_older_file_is_taken_for_other_slices_between(tmp_path: Path) -> None:
    root = phantoms.write_cts(tmp_path / "set", patients=3, seed=7, size=64, slices=8)
    none = prepared(root, tmp_path / "prepared", 0)
    one = prepared(root, tmp_path / "prepared", 1)
    assert not none.between.any()
    assert one.between.any()
    np.testing.assert_array_equal(one.images[~one.between], none.images)
    np.testing.assert_array_equal(one.infection[~one.between], none.infection)

    with (root / "slices.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerow(["file", "infection"])  # nobody looked
    blind = prepared(root, tmp_path / "prepared", 1)
    labels = {blind.dataset.samples[i].label for i in np.flatnonzero(blind.between)}
    assert labels == {"normal"}  # of the others it is not known whether two slices show the same
    again = prepared(root, tmp_path / "prepared", 0)
    np.testing.assert_array_equal(again.images, none.images)
