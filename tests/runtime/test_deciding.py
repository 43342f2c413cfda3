"""From the graph's probabilities to an answer: calibrated, re-weighted where asked, decided."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from pneumoscope import api
from pneumoscope import bundle as bundles
from pneumoscope.bundle import Facts
from pneumoscope.core.recipe import Decision
from pneumoscope.core.result import Prediction
from pneumoscope.core.serial import from_json, to_json
from pneumoscope.core.trust import Calibrator, Conformal, Trust
from pneumoscope.errors import BundleError, UsageError
from pneumoscope.evaluate import calibrate, conformal
from pneumoscope.runtime.deciding import Decider

NAMES = ("non-covid", "covid")
HALVES = {"non-covid": 0.5, "covid": 0.5}
RAW = np.array([[0.9, 0.1], [0.45, 0.55], [0.2, 0.8]], dtype=np.float32)


@pytest.fixture
def facts(made_run: Path) -> Facts:
    """Of a bundle, with a calibration and sets that are known."""
    found = bundles.load(str(made_run / "bundle")).facts
    trust = Trust(
        calibrator=Calibrator(kind="temperature", temperature=2.0),
        shares=HALVES,
        conformal=Conformal(level=0.9, limits={"non-covid": 0.3, "covid": 0.6}),
    )
    return dataclasses.replace(found, trust=trust)


def ruled(facts: Facts, decision: Decision, threshold: float) -> Facts:
    return dataclasses.replace(facts, recipe=dataclasses.replace(facts.recipe, decision=decision), threshold=threshold)


def filled(facts: Facts, prevalence: dict[str, float] | None = None) -> list[Prediction]:
    empty = [Prediction(path=str(i), accepted=True, bundle="") for i in range(len(RAW))]
    return Decider(facts, prevalence).fill(empty, RAW)


def test_probabilities_are_calibrated_before_they_are_decided_on(facts: Facts) -> None:
    found = filled(dataclasses.replace(facts, threshold=0.7))
    roots = np.sqrt(RAW[:, 1]) / (np.sqrt(RAW[:, 0]) + np.sqrt(RAW[:, 1]))  # a temperature of 2
    assert [p.probabilities["covid"] for p in found] == pytest.approx(roots.tolist(), abs=1e-6)
    assert [p.raw["covid"] for p in found] == pytest.approx(RAW[:, 1].tolist())
    assert [p.decision for p in found] == ["non-covid", "non-covid", "non-covid"]  # 0.8 became 0.667
    assert [p.set for p in found] == [("non-covid",), ("covid",), ("covid",)]
    assert from_json(Prediction, to_json(found[0])) == found[0]


def test_a_bundle_without_calibration_answers_as_its_graph(facts: Facts) -> None:
    (first, *_) = filled(dataclasses.replace(facts, trust=None))
    assert first.probabilities == first.raw
    assert (first.set, first.prevalence, first.warnings) == ((), {}, ())


def test_a_fixed_threshold_decides_on_reweighted_probabilities(facts: Facts) -> None:
    facts = ruled(facts, Decision(rule="fixed", value=0.5), 0.5)
    before, after = filled(facts), filled(facts, {"covid": 0.2})
    assert [p.decision for p in before] == ["non-covid", "covid", "covid"]
    assert [p.decision for p in after] == ["non-covid", "non-covid", "non-covid"]
    odds = before[2].probabilities["covid"] / before[2].probabilities["non-covid"]
    assert after[2].probabilities["covid"] == pytest.approx(odds * 0.25 / (1 + odds * 0.25))
    assert [p.set for p in after] == [p.set for p in before]
    assert after[0].prevalence == pytest.approx({"non-covid": 0.8, "covid": 0.2})
    assert "re-weighted" in after[0].warnings[-1]
    assert "non-covid 80 %, covid 20 %" in after[0].warnings[-1]


def test_a_promised_sensitivity_is_kept_at_every_prevalence(facts: Facts) -> None:
    facts = ruled(facts, Decision(rule="sensitivity", value=0.95), 0.5)
    before, after = filled(facts), filled(facts, {"covid": 0.01})
    assert [p.decision for p in after] == [p.decision for p in before]
    for p in after:  # what is printed beside the probabilities says the same
        assert p.threshold is not None
        assert (p.probabilities["covid"] >= p.threshold) == (p.decision == "covid")
    assert after[0].threshold == pytest.approx(0.01)


def test_a_calibration_of_other_classes_is_no_bundle(facts: Facts) -> None:
    assert facts.trust is not None
    for wrong in (
        dataclasses.replace(facts.trust, shares={"covid": 1.0}),
        dataclasses.replace(facts.trust, shares={"non-covid": 2.0, "covid": -1.0}),
        dataclasses.replace(facts.trust, conformal=Conformal(level=0.9, limits={"covid": 0.5})),
    ):
        with pytest.raises(BundleError, match="trust"):
            dataclasses.replace(facts, trust=wrong)


def test_the_older_built_in_bundle_still_answers(xray_png: Path) -> None:
    (found,) = api.predict("phantom", [xray_png])
    assert found.probabilities == found.raw
    assert found.set == ()
    (rare,) = api.predict("phantom", [xray_png], prevalence={"covid": 0.01})
    assert rare.probabilities["covid"] < found.probabilities["covid"]
    assert "were not calibrated" in rare.warnings[-1]
    with pytest.raises(UsageError, match="--prevalence"):
        api.predict("phantom", [xray_png], prevalence={"normal": 0.01})


def test_a_trained_bundle_answers_by_what_it_stores(made_run: Path, xray_png: Path, tmp_path: Path) -> None:
    path = made_run / "bundle"
    facts = bundles.load(str(path)).facts
    assert facts.trust is not None
    assert facts.trust.conformal is not None
    (found,) = api.predict(str(path), [xray_png], out=tmp_path / "out")
    written = json.loads((tmp_path / "out" / "predictions.json").read_text())[0]
    raw = np.array([[found.raw[name] for name in NAMES]])
    own = calibrate.apply(facts.trust.calibrator, raw, facts.recipe.classes)
    assert [found.probabilities[name] for name in NAMES] == pytest.approx(own[0].tolist())
    inside = conformal.sets(facts.trust.conformal, own, facts.recipe.classes)[0]
    assert found.set == tuple(name for name, held in zip(NAMES, inside, strict=True) if held)
    assert (found.decision == "covid") == (own[0, 1] >= facts.threshold)
    assert (written["raw"], written["set"]) == (dict(found.raw), list(found.set))
    report = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "How far its probabilities go" in report
    assert "Cannot rule out" in report
