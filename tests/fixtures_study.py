"""Phantom CT series and bundles that judge them, made once a session: networks as they were drawn, not trained."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from pneumoscope import phantoms, reading
from pneumoscope.core.progress import silent
from pneumoscope.core.recipe import Recipe
from pneumoscope.core.resolve import resolve
from pneumoscope.core.stage import Step
from pneumoscope.evaluate import metrics
from pneumoscope.nets.build import Net, build
from pneumoscope.nets.patient import build_patient
from pneumoscope.prep import pipeline
from pneumoscope.recipes import find
from pneumoscope.report.card import model_card
from pneumoscope.train.data import Prepared, prepare
from pneumoscope.train.export import write_bundle
from pneumoscope.train.patients import Patients
from pneumoscope.train.units import units_of

SIZE = 64
FEATURES = 8
LOUD = 40.0  # times the output layers' weights, so that answers differ from slice to slice


def small_recipe(levels: tuple[str, ...] = ("slice", "patient", "ensemble")) -> Recipe:
    """Garg 2021 with tiny networks, as far as its stages are of these levels."""
    recipe = resolve(find("garg2021")[0])
    stages = tuple(
        dataclasses.replace(
            stage,
            net="cnn" if stage.level == "slice" else stage.net,
            init="random" if stage.init == "imagenet" else stage.init,
            head=dataclasses.replace(stage.head, scales=1, hidden=(FEATURES,)),
        )
        for stage in recipe.stages
        if stage.level in levels
    )
    prep = tuple(Step(name="resize", args={"size": SIZE}) if s.name == "resize" else s for s in recipe.prep)
    return dataclasses.replace(recipe, stages=stages, prep=prep)


def slice_net(recipe: Recipe) -> Net:
    """The slice network, drawn and loud."""
    stage = [s for s in recipe.stages if s.level == "slice"][-1]
    stage = dataclasses.replace(stage, init="random")
    net, _ = build(stage, recipe.classes, input_size=pipeline.input_size(recipe), weights_dir=None, seed=3)
    _loudly(net.head)
    return net.eval()


def patient_nets(recipe: Recipe) -> Patients:
    """The networks of studies, drawn and loud."""
    k = len(recipe.classes.names)
    members = {
        stage.name: build_patient(
            stage, inputs=FEATURES * (k if stage.features == "weighted" else 1), outputs=k, seed=5 + i
        ).eval()
        for i, stage in enumerate(recipe.members)
    }
    ensemble = build_patient(recipe.stages[-1], inputs=k * len(members), outputs=k, seed=9).eval()
    for net in (*members.values(), ensemble):
        _loudly(net.head)
    return Patients(members, ensemble)


def _loudly(head: torch.nn.Module) -> None:
    with torch.no_grad():
        head.linears[-1].weight.mul_(LOUD)


def prepared(recipe: Recipe, root: Path, folder: Path) -> Prepared:
    """The phantom series as the slice network takes them."""
    dataset, _ = reading.read_data(
        [root], recipe.classes, mapping={}, modalities=recipe.modalities, ungrouped=False, say=lambda text: None
    )
    return prepare(dataset, recipe, folder, silent)


@pytest.fixture(scope="session")
def series_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A labelled folder of 6 phantom CT series."""
    return phantoms.write_cts(tmp_path_factory.mktemp("series") / "set", patients=6, seed=3, size=SIZE, slices=10)


@pytest.fixture(scope="session")
def one_series(series_data: Path) -> Path:
    """The folder of one phantom series."""
    return min((series_data / "series").iterdir())


def make_bundle(recipe: Recipe, root: Path, out: Path) -> Path:
    """A bundle of drawn networks; `root` is what it says it learned from."""
    data = prepared(recipe, root, out / "prepared")
    units = units_of(data, recipe)
    rng = np.random.default_rng(0)
    answers, truth = rng.dirichlet(np.ones(3), len(data.given)), np.arange(len(data.given)) % 3
    groups = [s.group for s in data.given.samples]
    write_bundle(
        slice_net(recipe),
        recipe,
        {"main": data.dataset},
        seen=data.given.samples,
        patients=patient_nets(recipe) if recipe.members else None,
        checked=[np.ascontiguousarray(data.images[rows]) for rows in units.members],
        threshold=None,
        evaluation=metrics.evaluate(answers, truth, answers.argmax(axis=1), groups, recipe.classes),
        used=None,
        card=model_card,
        path=out / "bundle",
    )
    return out / "bundle"


@pytest.fixture(scope="session")
def made_study_bundle(series_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that judges studies; to be read only."""
    return make_bundle(small_recipe(), series_data, tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="session")
def made_slice_bundle(series_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that judges slices and knows nothing of studies; to be read only."""
    return make_bundle(small_recipe(("slice",)), series_data, tmp_path_factory.mktemp("slices"))


@pytest.fixture
def study_bundle(made_study_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the study bundle that a test may change."""
    return Path(shutil.copytree(made_study_bundle, tmp_path / "bundle"))
