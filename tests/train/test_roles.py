"""Stages of another data role: fitted once for all folds, found again, and kept to the files they were parted into."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from noise_bench import dataset, noise_bench

from pneumoscope.core.dataset import ClassSet, Fold
from pneumoscope.core.recipe import Recipe
from pneumoscope.core.resolve import resolve
from pneumoscope.errors import DataError, IntegrityError
from pneumoscope.evaluate.split import role_split
from pneumoscope.recipes import find
from pneumoscope.train import bench as benches
from pneumoscope.train import loop, stages
from pneumoscope.train.checkpoint import load_tensors

SMALL = {
    "prep.resize.size": "48",
    "roles.source.validation": "4",
    "stages.source.epochs": "2",
    "stages.transfer.epochs": "1",
}
TRAIN, VAL = list(range(0, 24, 2)), list(range(1, 24, 2))


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return resolve(find("basu2020")[0], overrides=SMALL)


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[loop.Task]:
    """Every task that is fitted, as it is."""
    seen: list[loop.Task] = []
    whole = loop.fit

    def noted(task: loop.Task, *rest: object) -> object:
        seen.append(task)
        return whole(task, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "fit", noted)
    return seen


def test_the_source_is_fitted_once_for_all_folds(recipe: Recipe, tmp_path: Path, fits: list[loop.Task]) -> None:
    bench = noise_bench(recipe, tmp_path)
    one, _ = stages.fit_stages(bench, TRAIN, VAL, tmp_path / "fold_0", fold=0, what="fit")
    two, _ = stages.fit_stages(bench, VAL, TRAIN, tmp_path / "fold_1", fold=1, what="fit")
    assert [task.stage.name for task in fits] == ["source", "transfer", "transfer"]
    assert sorted(p.name for p in tmp_path.rglob("*.safetensors")) == [
        "source.safetensors",
        "transfer.safetensors",
        "transfer.safetensors",
    ]
    assert (tmp_path / "role_source" / "source.safetensors").is_file()
    # the frozen part of both is the source stage's, and the folds' own part is not
    a, b = one.state_dict(), two.state_dict()
    assert torch.equal(a["backbone.features.0.weight"], b["backbone.features.0.weight"])
    assert not torch.equal(a["head.linears.2.weight"], b["head.linears.2.weight"])


def test_each_role_learns_from_its_own_files_and_classes(recipe: Recipe, tmp_path: Path, fits: list[loop.Task]) -> None:
    bench = noise_bench(recipe, tmp_path)
    stages.fit_stages(bench, TRAIN, VAL, tmp_path / "fold_0", fold=0, what="fit")
    source, transfer = fits
    assert source.classes == ClassSet(names=("normal", "disease"), positive="disease")
    assert transfer.classes == recipe.classes
    samples = bench.data["source"].dataset.samples
    assert {samples[i].file for i in source.train} == set(bench.parts["source"].train)
    assert {samples[i].file for i in source.val} == set(bench.parts["source"].val)
    assert len(source.val) == 4
    at = source.train[:3]
    assert torch.equal(source.take(at), bench.data["source"].take(at))
    assert transfer.train.tolist() == TRAIN
    assert torch.equal(transfer.take(np.array([5])), bench.main.take(np.array([5])))
    assert torch.equal(transfer.labels, bench.main.labels)


def test_the_stages_of_a_run_go_on_where_they_stopped(recipe: Recipe, tmp_path: Path, fits: list[loop.Task]) -> None:
    whole = noise_bench(recipe, tmp_path / "whole")
    net, _ = stages.fit_stages(whole, TRAIN, VAL, tmp_path / "whole" / "fold_0", fold=0, what="fit")
    resumed = noise_bench(recipe, tmp_path / "resumed")
    shutil.copytree(tmp_path / "whole" / "role_source", tmp_path / "resumed" / "role_source")
    fits.clear()
    again, _ = stages.fit_stages(resumed, TRAIN, VAL, tmp_path / "resumed" / "fold_0", fold=0, what="fit")
    assert [task.stage.name for task in fits] == ["transfer"]
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), again.state_dict().values(), strict=True))
    found = stages.fitted(whole, tmp_path / "whole" / "fold_0")
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), found.state_dict().values(), strict=True))


def test_the_curve_of_the_paper_is_what_the_fit_went_by(recipe: Recipe, tmp_path: Path) -> None:
    stages.fit_stages(noise_bench(recipe, tmp_path), TRAIN, VAL, tmp_path / "fold_0", fold=0, what="fit")
    rates = {}
    for path in tmp_path.rglob("*.safetensors"):
        _, about = load_tensors(path)
        rates[path.stem] = [epoch["lr"] for epoch in about["history"]]
    assert rates == {"source": pytest.approx([1e-3, 5e-4]), "transfer": [1e-4]}


def test_a_role_without_a_validation_part_is_judged_on_what_it_learned_from(
    recipe: Recipe, tmp_path: Path, fits: list[loop.Task]
) -> None:
    """A paper's protocol may name no such part, and neither may the role."""
    none = resolve(find("basu2020")[0], protocol="paper", overrides=SMALL | {"roles.source.validation": "0"})
    bench = noise_bench(none, tmp_path)
    assert bench.parts["source"].val == ()
    stages.fit_stages(bench, TRAIN, VAL, tmp_path / "fold_0", fold=0, what="fit")
    assert fits[0].val.tolist() == fits[0].train.tolist()


def test_the_part_of_a_role_is_kept_and_no_other_data_taken_for_it(recipe: Recipe, tmp_path: Path) -> None:
    data = dataset(recipe.classes_of("source"), {"normal": 8, "disease": 9}, of="source")
    kept = benches.role_part(tmp_path, data, recipe, "source")
    assert kept == role_split(data, recipe.role("source"), recipe.protocol)
    path = tmp_path / "role_source" / "split.json"
    written = json.loads(path.read_text())
    written["part"]["val"] = written["part"]["val"][:2]
    path.write_text(json.dumps(written))
    assert benches.role_part(tmp_path, data, recipe, "source") == dataclasses.replace(kept, val=kept.val[:2])
    other = dataset(recipe.classes_of("source"), {"normal": 8, "disease": 8}, of="source")
    with pytest.raises(DataError, match="role source: expected the dataset this run was made with"):
        benches.role_part(tmp_path, other, recipe, "source")


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"dataset": "x", "part": {"train": 1}}'])
def test_a_part_that_is_none_is_an_integrity_error(text: str, recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "role_source").mkdir()
    (tmp_path / "role_source" / "split.json").write_text(text)
    data = dataset(recipe.classes_of("source"), {"normal": 8, "disease": 9})
    with pytest.raises(IntegrityError, match=r"role_source/split\.json: expected a split"):
        benches.role_part(tmp_path, data, recipe, "source")


def test_positions_are_those_of_the_files() -> None:
    """In the order of the set, whatever the order that is asked for."""
    recipe = resolve(find("basu2020")[0], overrides=SMALL)
    made = noise_bench(recipe, Path("/nowhere"))
    files = [s.file for s in made.main.dataset.samples]
    assert made.main.positions([files[4], files[1], "none"]) == [1, 4]
    assert isinstance(made.parts["source"], Fold)
