"""A tiny dataset of phantoms, a tiny run on it and its bundle, made once a session."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pneumoscope import api, phantoms
from pneumoscope.demo import MAPPING, RECIPE

__all__ = ["MAPPING", "RECIPE", "TINY", "write_roles"]

# enough for answers that differ from image to image (a test holds that), far too little to be right
TINY = {
    "prep.resize.size": "64",
    "stages.head.epochs": "6",
    "stages.head.head.hidden": "[16]",
    "stages.head.head.activation": "leaky_relu",
    "stages.head.optim.lr": "0.01",
    "protocols.honest.folds": "2",
}


# what Basu 2020 draws one class from; its pneumonia and normal are findings, too
SIX = ("Atelectasis", "Cardiomegaly", "Infiltration", "Effusion", "Nodule", "Mass")


def write_roles(out: Path) -> list[str | Path]:
    """Phantoms for a recipe of two data roles, with NIH's findings: what is given for --data."""
    main, source = out / "main", out / "source"
    phantoms.write_xrays(main, patients=36, seed=31, size=64)
    phantoms.write_xrays(source, patients=18, seed=32, size=64)
    _write_findings(main, lambda turn: SIX[turn // 2] if turn % 2 else "covid")
    _write_findings(source, lambda turn: "Hernia")
    return [main, f"source={source}"]


def _write_findings(folder: Path, of_covid: Callable[[int], str]) -> None:
    """Rewrite labels.csv as NIH's: a column of findings, and nih for a source. of_covid: number of a patient labelled
    covid -> finding in its place."""
    path = folder / "labels.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    covid = sorted({row["patient_id"] for row in rows if row["label"] == "covid"})
    for row in rows:
        label, patient = row["label"], row["patient_id"]
        finding = of_covid(covid.index(patient)) if label == "covid" else {"pneumonia": "Pneumonia"}.get(label, "")
        row |= {"findings": finding, "source": "nih", "label": "disease" if finding not in ("", "covid") else label}
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


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
