"""A tiny dataset of phantoms, a tiny run on it and its bundle, made once a session."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pneumoscope import api, phantoms
from pneumoscope.demo import MAPPING, RECIPE

__all__ = ["MAPPING", "RECIPE", "TINY"]

# enough for answers that differ from image to image (a test holds that), far too little to be right
TINY = {
    "prep.resize.size": "64",
    "stages.head.epochs": "6",
    "stages.head.head.hidden": "[16]",
    "stages.head.head.activation": "leaky_relu",
    "stages.head.optim.lr": "0.01",
    "protocols.honest.folds": "2",
}


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A labelled folder of 24 synthetic patients, some with two images."""
    return phantoms.write_xrays(tmp_path_factory.mktemp("data") / "set", patients=24, seed=5, size=96)


@pytest.fixture(scope="session")
def made_run(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run; to be read only."""
    out = tmp_path_factory.mktemp("run") / "run"
    api.train(RECIPE, [tiny_data], out=out, mapping=MAPPING, overrides=TINY)
    return out


@pytest.fixture
def tiny_run(made_run: Path, tmp_path: Path) -> Path:
    """A copy of the run that a test may change."""
    return Path(shutil.copytree(made_run, tmp_path / "run"))


@pytest.fixture
def tiny_bundle(made_run: Path, tmp_path: Path) -> Path:
    """A copy of the run's bundle that a test may change."""
    return Path(shutil.copytree(made_run / "bundle", tmp_path / "bundle"))


@pytest.fixture(scope="session")
def xray_png(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One synthetic X-ray."""
    path = tmp_path_factory.mktemp("png") / "patient.png"
    phantoms.write_png(phantoms.make_xray("covid", seed=11, size=128), path)
    return path
