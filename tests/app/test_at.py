"""--at on train and evaluate: what another threshold would decide, without training again."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures_trained import MAPPING, RECIPE, TINY

from pneumoscope import phantoms

OPTIONS = [f"--map={k}={v}" for k, v in MAPPING.items()]
SETTINGS = [f"--set={k}={v}" for k, v in TINY.items()]
STANDARD = ["fixed 0.5", "fixed 0.3", "youden", "sensitivity 0.95", "cost 5"]


def studied(out: Path) -> dict[str, Any]:
    return {t["name"]: t for t in json.loads((out / "evaluation.json").read_text())["studied"]}


def recounted(out: Path, thresholds: list[float]) -> list[list[int]]:
    """The confusion at each fold's threshold, from predictions.csv: non-covid, then covid."""
    counts = [[0, 0], [0, 0]]
    with (out / "predictions.csv").open() as file:
        for row in csv.DictReader(file):
            # the file has six decimals, a fitted threshold is one of the probabilities in full
            cut = thresholds[int(row["fold"] or 0)] - 1e-6
            counts[row["label"] == "covid"][float(row["p_covid"]) >= cut] += 1
    return counts


def test_another_threshold_is_studied_without_training(
    command, tiny_run: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kw: object) -> None:
        raise AssertionError("expected no training")

    for name in ("folds.fit_stages", "run.write_bundle", "loop.fit"):
        monkeypatch.setattr(f"pneumoscope.train.{name}", refuse)
    made = {p: p.stat().st_mtime_ns for p in tiny_run.rglob("*") if p.suffix in (".safetensors", ".onnx")}
    recipe, before = (tiny_run / "recipe.json").read_text(), studied(tiny_run)
    assert list(before) == STANDARD
    words = ["train", RECIPE, "--data", tiny_data, "--out", tiny_run, *OPTIONS, *SETTINGS]
    code, _, err = command(*words, "--at", "0.123", "--at", "cost=7")
    assert code == 0, err
    assert list(studied(tiny_run)) == [*STANDARD, "fixed 0.123", "cost 7"]
    assert {name: studied(tiny_run)[name] for name in before} == before
    assert "Fixed 0.123" in (tiny_run / "report.html").read_text()
    assert command(*words)[0] == 0
    assert studied(tiny_run) == before
    assert (tiny_run / "recipe.json").read_text() == recipe
    assert {p: p.stat().st_mtime_ns for p in made} == made


def test_the_figures_are_those_of_the_predictions(made_run: Path) -> None:
    evaluation = json.loads((made_run / "evaluation.json").read_text())
    for name, found in studied(made_run).items():
        assert len(found["thresholds"]) == 2
        assert found["confusion"] == recounted(made_run, found["thresholds"]), name
        right = np.trace(found["confusion"]) / evaluation["n_images"]
        assert found["metrics"]["accuracy"]["value"] == pytest.approx(right)
        assert set(found["metrics"]) == {"accuracy", "balanced_accuracy", "sensitivity", "specificity", "precision"} | {
            "f1"
        }
    assert studied(made_run)["fixed 0.5"]["confusion"] == evaluation["confusion"]
    counted = {name: sum(parts) for name, parts in evaluation["histogram"].items()}
    rows = zip(evaluation["classes"], evaluation["confusion"], strict=True)
    assert counted == {name: sum(row) for name, row in rows}


def test_a_finished_bundle_is_studied_at_fixed_thresholds_and_its_own(command, made_run: Path, tmp_path: Path) -> None:
    data = phantoms.write_xrays(tmp_path / "new", patients=9, seed=91, size=72)
    words = ["evaluate", made_run / "bundle", "--data", data, *OPTIONS]
    code, _, err = command(*words, "--out", tmp_path / "out", "--at", "0.4")
    assert code == 0, err
    found = studied(tmp_path / "out")
    facts = json.loads((made_run / "bundle" / "bundle.json").read_text())
    own = {point["name"]: point["thresholds"] for point in facts["trust"]["points"]}
    assert {"youden", "sensitivity 0.95", "cost 5"} <= set(own)
    assert set(found) == {"fixed 0.5", "fixed 0.3", "fixed 0.4", *own}
    for name, row in found.items():
        assert row["thresholds"] == (own[name] if name in own else [float(name.split()[1])])
        assert row["confusion"] == recounted(tmp_path / "out", row["thresholds"])
    page = (tmp_path / "out" / "report.html").read_text()
    assert "the model brings its own threshold" in page
    code, _, err = command(*words, "--out", tmp_path / "other", "--at", "youden")
    assert code == 2
    assert "error: --at youden: expected a threshold as 0.4" in err
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("rule", ["half", "1.2", "cost=-1"])
def test_a_rule_that_is_none_is_exit_2_before_anything_is_read(command, tmp_path: Path, rule: str) -> None:
    code, out, err = command("train", RECIPE, "--data", "nowhere", "--out", tmp_path / "run", "--at", rule)
    assert code == 2
    assert err.startswith("error: --at")
    assert err.count("\n") == 1
    assert (out, (tmp_path / "run").exists()) == ("", False)
