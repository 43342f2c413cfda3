"""What `predict` and `explain` print: the slices that matter of a study, each warning once."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from pneumoscope import api
from pneumoscope.app.answers import print_predictions
from pneumoscope.core.result import Prediction, Series, SliceAnswer

SERIES = Series(rule="the only series", shape=(3, 64, 64), spacing_mm=(5.0, 1.0, 1.0))


def study(path: str = "a/study", *warnings: str) -> Prediction:
    slices = tuple(
        SliceAnswer(source=str(n), position_mm=5.0 * n, probabilities={"no": 1 - p, "yes": p}, matters=p > 0.5)
        for n, p in enumerate((0.6, 0.1, 0.9))
    )
    return Prediction(
        path=path, accepted=True, bundle="0" * 32, probabilities={"no": 0.2, "yes": 0.8}, decision="yes", focus="yes",
        series=SERIES, slices=slices, warnings=warnings,
    )  # fmt: skip


def test_the_slices_that_matter_are_named_the_strongest_first(capsys: pytest.CaptureFixture[str]) -> None:
    print_predictions([study()])
    assert "a/study: 3 slices, counted from the feet; the most like yes: 3 (0.900), 1 (0.600)\n" in (
        capsys.readouterr().out
    )


def test_of_a_study_that_was_judged_as_a_whole_no_slices_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    print_predictions([dataclasses.replace(study(), slices=())])
    assert "slices" not in capsys.readouterr().out


def test_each_warning_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    print_predictions([study("a", "Odd.", "Odder."), study("b\x1b[2J", "Odd.")])
    out, err = capsys.readouterr()
    assert err == "note: Odd. (2 of 2)\nnote: Odder. (1 of 2)\n"
    assert "\x1b[2J" not in out


def test_a_study_through_the_command(command, made_study_bundle: Path, one_series: Path, tmp_path: Path) -> None:
    code, out, _ = command("predict", made_study_bundle, one_series, "--json", "--out", tmp_path / "out", "--explain")
    assert code == 0
    (p,) = json.loads(out)
    matters = [n for n, s in enumerate(p["slices"], 1) if s["matters"]]
    assert set(p["outputs"]) == {f"slice-{n:04d}/{kind}" for n in matters for kind in ("map", "overlay")}
    assert all(Path(file).is_file() for file in p["outputs"].values())
    assert p["series"]["shape"] == [len(p["slices"]), 64, 64]


def test_what_is_not_ruled_out_is_a_column_where_a_bundle_says_it(capsys: pytest.CaptureFixture[str]) -> None:
    print_predictions([dataclasses.replace(study(), set=("no", "yes"))])
    assert "not ruled out" in (out := capsys.readouterr().out)
    assert "no, yes" in out
    print_predictions([study()])
    assert "not ruled out" not in capsys.readouterr().out


def test_the_command_and_the_api_answer_alike_for_a_stated_prevalence(command, made_run: Path, xray_png: Path) -> None:
    bundle = str(made_run / "bundle")
    code, out, _ = command("predict", bundle, xray_png, "--json", "--prevalence", "covid=0.02")
    assert code == 0
    (ours,), (theirs,) = json.loads(out), api.predict(bundle, [xray_png], prevalence={"covid": 0.02})
    assert ours["probabilities"] == pytest.approx(dict(theirs.probabilities))
    assert ours["prevalence"] == pytest.approx({"non-covid": 0.98, "covid": 0.02})
    assert any("re-weighted" in warning for warning in ours["warnings"])
    (plain,) = api.predict(bundle, [xray_png])
    assert ours["raw"] == pytest.approx(dict(plain.raw))
    assert ours["set"] == list(plain.set)
    assert ours["probabilities"]["covid"] < plain.probabilities["covid"]


@pytest.mark.parametrize("wrong", ["covid=1.5", "covid=few", "flu=0.1", "covid"])
def test_a_prevalence_that_makes_no_sense_is_wrong_usage(command, xray_png: Path, wrong: str) -> None:
    code, _, err = command("predict", "phantom", xray_png, "--prevalence", wrong)
    assert code == 2
    assert err.startswith("error: --prevalence")
    assert err.count("\n") == 1
