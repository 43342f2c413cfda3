"""What a run says of its probabilities is cross-fitted, and its bundle decides as it did."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from fixtures_trained import MAPPING, RECIPE, TINY

from pneumoscope import api
from pneumoscope import bundle as bundles
from pneumoscope.core.result import Evaluation
from pneumoscope.core.serial import from_json
from pneumoscope.evaluate import calibrate
from pneumoscope.report import calibration, card


def evaluation_of(run: Path) -> Evaluation:
    return from_json(Evaluation, json.loads((run / "evaluation.json").read_text()))


def test_answers_are_calibrated_by_the_other_fold(made_run: Path) -> None:
    found = evaluation_of(made_run)
    assert found.calibration is not None
    split = json.loads((made_run / "split.json").read_text())
    with (made_run / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    classes = bundles.load(str(made_run / "bundle")).facts.recipe.classes
    raw = [np.array(json.loads((made_run / f"fold_{k}" / "answers.json").read_text())["probabilities"]) for k in (0, 1)]
    parts = [[row for row in rows if int(row["fold"]) == k] for k in (0, 1)]
    for k, part in enumerate(parts):
        assert {row["patient"] for row in part} <= set(split["folds"][k]["test"])
        labels = np.array([classes.index(row["label"]) for row in parts[1 - k]])
        fitted = calibrate.fit(found.calibration.kind, raw[1 - k], labels, classes)
        expected = calibrate.apply(fitted, raw[k], classes)
        said = np.array([[float(row[f"p_{name}"]) for name in classes.names] for row in part])
        np.testing.assert_allclose(said, expected, atol=1e-6)


def test_an_evaluation_says_how_far_its_probabilities_go(made_run: Path) -> None:
    found = evaluation_of(made_run)
    assert found.calibration is not None
    assert found.conformal is not None
    assert found.calibration.after.ece == found.metrics["ece"]
    assert found.calibration.after.brier == found.metrics["brier"]
    assert set(found.calibration.tried) == {"none", "temperature"}  # too few patients for more
    assert found.selective[-1].share == 1
    assert found.selective[-1].accuracy == found.metrics["accuracy"]
    own = next(point for point in found.operating if point.name == "fixed 0.5")
    sensitivity = found.metrics["sensitivity"]
    assert isinstance(sensitivity, dict)
    assert own.sensitivity == sensitivity["covid"]
    older = json.loads((made_run / "evaluation.json").read_text())
    for name in ("calibration", "conformal", "selective", "operating"):
        del older[name]
    assert from_json(Evaluation, older).calibration is None


def test_the_report_and_the_card_show_it(made_run: Path) -> None:
    report = (made_run / "report.html").read_text(encoding="utf-8")
    for text in ("How far the probabilities can be trusted", "The surest answers alone", "Prediction sets at 90 %"):
        assert text in report
    facts = bundles.load(str(made_run / "bundle")).facts
    text = card.model_card(facts)
    assert "## Calibration and operating points" in text
    assert "Prediction sets are made to hold the true class of 90 %" in text
    assert "never calibrated" in card.model_card(dataclasses.replace(facts, trust=None))
    found = evaluation_of(made_run)
    assert calibration.view(dataclasses.replace(found, calibration=None, selective=()), facts.recipe) is None


def test_the_papers_protocol_answers_as_its_networks_did(tiny_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    overrides = {k.replace("honest", "paper"): v for k, v in TINY.items()} | {"stages.head.epochs": "2"}
    api.train(RECIPE, [tiny_data], out=out, mapping=MAPPING, overrides=overrides, protocol="paper")
    found = evaluation_of(out)
    assert found.calibration is not None
    assert not found.calibration.applied
    raw = [json.loads((out / f"fold_{k}" / "answers.json").read_text())["probabilities"] for k in (0, 1)]
    with (out / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    said = [[float(r["p_covid"]) for r in rows if int(r["fold"]) == k] for k in (0, 1)]
    for ours, theirs in zip(said, raw, strict=True):
        assert ours == pytest.approx([p[1] for p in theirs], abs=1e-6)
    facts = bundles.load(str(out / "bundle")).facts
    assert facts.trust is not None
    assert facts.trust.calibrator.kind == "none"
