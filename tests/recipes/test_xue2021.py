"""Xue 2021: its numbers, Table 1's counts, which copies are learned from, and the whole way on phantom series."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from pneumoscope import api, phantoms
from pneumoscope.core.dataset import Dataset, Sample
from pneumoscope.core.recipe import Recipe
from pneumoscope.core.resolve import resolve
from pneumoscope.errors import RecipeError, UsageError
from pneumoscope.evaluate.split import make_split
from pneumoscope.io.load import load_study
from pneumoscope.recipes import find
from pneumoscope.train import loop
from pneumoscope.train.copies import copies_of
from pneumoscope.train.data import Prepared, slice_name
from pneumoscope.train.units import units_of

COUNTS = {"normal": 76, "pneumonia": 60, "covid": 171}  # section 2.1
SMALL = {
    "prep.cube.size": "32",
    "copies.changed.prep.cube.size": "32",
    "protocols.honest.folds": "2",
    "stages.volume.net": "resnet18_3d",
    "stages.volume.init": "random",
    "stages.volume.epochs": "2",
    "stages.volume.batch": "4",
}


def xue(protocol: str = "honest") -> Recipe:
    return resolve(find("xue2021")[0], protocol=protocol)


@pytest.fixture(scope="module")
def patients() -> Dataset:
    """As many patients as the paper has."""
    samples = tuple(
        Sample(file=f"{label}-{i:03d}", label=label, group=f"{label}-{i:03d}", digest=f"{label}-{i:03d}")
        for label, n in COUNTS.items()
        for i in range(n)
    )
    return Dataset(root="", classes=xue().classes, samples=samples)


def prepared(given: Dataset, recipe: Recipe) -> Prepared:
    """Empty volumes and their copies, as `data.prepare` lays them out."""
    rows = [(i, None) for i in range(len(given))]
    rows += [(i, name) for i, sample in enumerate(given.samples) for name in copies_of(sample, given, recipe)]
    rows.sort(key=lambda row: (given.samples[row[0]].file, row[1] or ""))
    samples = tuple(
        given.samples[i]
        if name is None
        else dataclasses.replace(given.samples[i], file=slice_name(given.samples[i].file, name))
        for i, name in rows
    )
    return Prepared(
        dataset=dataclasses.replace(given, samples=samples),
        images=np.zeros((len(rows), 1, 1, 1), np.float32),
        pixels=np.ones(len(rows), np.int64),
        infection=np.full(len(rows), -1),
        given=given,
        origin=np.array([i for i, _ in rows]),
        between=np.array([name is not None for _, name in rows]),
        notes=(),
    )


def test_the_rate_is_halved_every_40_epochs() -> None:
    (stage,) = xue().stages
    rates = [loop.learning_rate(stage.optim, epoch, stage.epochs) for epoch in range(stage.epochs)]
    assert rates == pytest.approx([2e-4] * 40 + [1e-4] * 40 + [5e-5] * 40)


def test_the_paper_parts_the_volumes_and_copies_of_table_1(patients: Dataset) -> None:
    recipe = xue("paper")
    units = units_of(prepared(patients, recipe), recipe)
    counts = Counter(sample.label for sample in units.dataset.samples)
    # 82 + 19, 65 + 24, and 361 in all; the table prints 99 for the first
    assert counts == {"pneumonia": 101, "normal": 89, "covid": 171}
    split = make_split(units.dataset, recipe.protocol)
    assert [len(fold.test) for fold in split.folds] in (
        [91, 90, 90, 90],
        [90, 90, 90, 91],
        [90, 91, 90, 90],
        [90, 90, 91, 90],
    )
    assert split.shared_groups(units.dataset) > 0


def test_honestly_copies_teach_and_are_never_judged(patients: Dataset) -> None:
    recipe = xue()
    data = prepared(patients, recipe)
    units = units_of(data, recipe)
    assert len(units.dataset) == sum(COUNTS.values())
    split = make_split(units.dataset, recipe.protocol)
    for k in range(4):
        train, test = split.part(units.dataset, k, "train"), split.part(units.dataset, k, "test")
        taught = units.taught(train)
        copies = [row for row in taught if data.between[row]]
        assert len(copies) == len(taught) - len(train) > 0
        tested = {data.origin[row] for row in units.rows(test)}
        assert not tested & {data.origin[row] for row in taught}
        assert not data.between[units.rows(test)].any()


def test_copies_are_resampled_and_cropped_by_a_share_of_their_own(patients: Dataset) -> None:
    recipe = xue()
    shares = set()
    for sample in patients.samples:
        for steps in copies_of(sample, patients, recipe).values():
            assert sample.label != "covid"
            args = {step.name: step.args for step in steps}
            assert args["resample"] == {"in_plane": 1.75, "slices": 0.7}
            assert 0.75 <= args["crop"]["share"] <= 0.9
            shares.add(args["crop"]["share"])
    assert len(shares) == 54


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on 12 phantom series that is too short to learn anything."""
    root = tmp_path_factory.mktemp("xue")
    data = phantoms.write_cts(root / "set", patients=12, seed=3, size=96, slices=20)
    (evaluation,) = api.train("xue2021", [data], out=root / "run", overrides=SMALL)
    assert (evaluation.n_images, evaluation.judged) == (12, "study")
    return root


def test_single_volumes_too_small_to_normalise_are_refused_before_training(tmp_path: Path) -> None:
    data = phantoms.write_cts(tmp_path / "set", patients=6, seed=3, size=96, slices=20)
    with pytest.raises(RecipeError, match=r"stages\.volume\.batch: expected at least 2"):
        api.train("xue2021", [data], out=tmp_path / "run", overrides={**SMALL, "stages.volume.batch": "1"})


def test_it_goes_the_whole_way(run: Path, tmp_path: Path) -> None:
    bundle = str(run / "run" / "bundle")
    assert api.verify(bundle) < 1e-3
    series = min((run / "set" / "series").iterdir())
    (prediction,) = api.predict(bundle, [series], out=tmp_path / "screened", explain=True)
    assert prediction.accepted
    assert sum(prediction.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert set(prediction.outputs) == {"map", "planes", "rendered", "steps"}
    assert load_study(Path(prediction.outputs["map"])).volume is not None
    assert all(Path(file).is_file() for file in prediction.outputs.values())
    assert prediction.series is not None
    assert prediction.series.shape == (20, 96, 96)
    assert json.loads((run / "run" / "bundle" / "bundle.json").read_text())["explains"] == "features"
    assert "- 12 studies of 12 patients." in (run / "run" / "bundle" / "README.md").read_text()
    for report in (run / "run" / "report.html", tmp_path / "screened" / "report.html"):
        assert "xue2021" in report.read_text()
    others = phantoms.write_cts(tmp_path / "others", patients=3, seed=5, size=96, slices=20)
    assert api.evaluate(bundle, [others], out=tmp_path / "evaluated").n_images == 3


def test_it_is_explained_for_another_class_but_at_no_inner_layer(run: Path, tmp_path: Path) -> None:
    bundle, series = str(run / "run" / "bundle"), min((run / "set" / "series").iterdir())
    explained = api.explain(bundle, series, out=tmp_path / "explained", target="covid")
    assert explained.focus == "covid"
    with pytest.raises(UsageError, match="--layer: expected 'features', the last one, for a network of volumes"):
        api.explain(bundle, series, out=tmp_path / "inner", layer="net.layer1")
    with pytest.raises(UsageError, match="--features: expected a network of images"):
        api.explain(bundle, series, out=tmp_path / "features", features=True)


def test_a_single_image_is_refused(run: Path, xray_png: Path) -> None:
    (prediction,) = api.predict(str(run / "run" / "bundle"), [xray_png])
    assert not prediction.accepted
    assert prediction.reasons == ("series: expected a CT series, which is what this bundle judges, found one image.",)
