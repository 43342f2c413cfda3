"""A run: its files, its figures, and what happens when it is killed, changed or asked for again."""

from __future__ import annotations

import csv
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from fixtures_trained import MAPPING, RECIPE, TINY
from safetensors.torch import save_file

from pneumoscope import api
from pneumoscope import bundle as bundles
from pneumoscope.core.dataset import Split
from pneumoscope.core.recipe import Recipe
from pneumoscope.core.result import Evaluation
from pneumoscope.core.serial import from_json
from pneumoscope.errors import DataError, LeakError, RecipeError, UsageError
from pneumoscope.nets.backbones import build_backbone
from pneumoscope.train.checkpoint import load_fit, load_tensors


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def again(data: Path, out: Path, **changed: object) -> list[Evaluation]:
    overrides = TINY | {str(k): str(v) for k, v in changed.pop("overrides", {}).items()}  # type: ignore[attr-defined]
    return api.train(RECIPE, [data], out=out, mapping=MAPPING, overrides=overrides, **changed)  # type: ignore[arg-type]


def test_the_tiny_model_tells_images_apart(made_run: Path) -> None:
    """What every comparison of answers stands on: a model that answers the same to all would pass them all."""
    answers = [float(r["p_covid"]) for r in rows(made_run / "predictions.csv")]
    assert np.std(answers) > 0.01


def test_the_folder_is_what_the_design_says(made_run: Path) -> None:
    there = {p.name for p in made_run.iterdir()}
    expected = {"recipe.json", "split.json", "environment.json", "predictions.csv", "evaluation.json", "report.html"}
    assert expected | {"bundle", "fold_0", "fold_1", "final"} <= there
    recipe = json.loads((made_run / "recipe.json").read_text())
    assert Recipe.from_json(recipe["recipe"]).digest == recipe["digest"]
    environment = json.loads((made_run / "environment.json").read_text())
    assert {"torch", "openvino", "numpy"} <= set(environment["packages"])
    assert {"reading", "fitting", "exporting"} <= set(environment["seconds"])


def test_every_file_is_predicted_once_by_a_network_that_did_not_learn_its_patient(
    made_run: Path, tiny_data: Path
) -> None:
    split = from_json(Split, json.loads((made_run / "split.json").read_text()))
    predicted = rows(made_run / "predictions.csv")
    assert sorted(r["file"] for r in predicted) == sorted(r["file"] for r in rows(tiny_data / "labels.csv"))
    for row in predicted:
        fold = split.folds[int(row["fold"])]
        assert row["patient"] in fold.test
        assert row["patient"] not in (*fold.train, *fold.val)
        assert float(row["p_covid"]) + float(row["p_non-covid"]) == pytest.approx(1, abs=1e-5)
        assert row["prediction"] == ("covid" if float(row["p_covid"]) >= 0.5 else "non-covid")


def test_no_identifier_of_a_patient_is_in_the_run(made_run: Path, tiny_data: Path) -> None:
    ids = {r["patient_id"] for r in rows(tiny_data / "labels.csv")}
    for name in ("split.json", "evaluation.json", "bundle/bundle.json", "report.html"):
        text = (made_run / name).read_text()
        assert not [i for i in ids if i in text], name
    assert not ids & {r["patient"] for r in rows(made_run / "predictions.csv")}


def test_the_evaluation_is_of_the_predictions(made_run: Path) -> None:
    predicted = rows(made_run / "predictions.csv")
    evaluation = from_json(Evaluation, json.loads((made_run / "evaluation.json").read_text()))
    accuracy = np.mean([r["label"] == r["prediction"] for r in predicted])
    assert evaluation.metrics["accuracy"].value == pytest.approx(accuracy)  # type: ignore[union-attr]
    assert evaluation.n_images == len(predicted)
    assert evaluation.n_patients == len({r["patient"] for r in predicted})
    assert evaluation.protocol == "honest"
    assert evaluation.shared_patients == 0


def test_the_learning_curves_are_those_of_the_folds(made_run: Path) -> None:
    curves = json.loads((made_run / "evaluation.json").read_text())["learned"]
    for k, curve in enumerate(curves):
        _, about = load_tensors(made_run / f"fold_{k}" / "head.safetensors")
        assert (curve["stage"], curve["fold"], curve["best_epoch"]) == ("head", k, about["best_epoch"])
        assert curve["train_loss"] == [epoch["train_loss"] for epoch in about["history"]]
        assert curve["val_loss"] == [epoch["val_loss"] for epoch in about["history"]]
    assert len(curves) == 2
    assert len(curves[0]["val_loss"]) == 6


def test_a_finished_run_is_not_done_again(tiny_run: Path, tiny_data: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in tiny_run.rglob("*.safetensors")}
    (evaluation,) = again(tiny_data, tiny_run)
    assert {p: p.stat().st_mtime_ns for p in tiny_run.rglob("*.safetensors")} == before
    saved = json.loads((tiny_run / "evaluation.json").read_text())
    assert evaluation.metrics["accuracy"].value == saved["metrics"]["accuracy"]["value"]  # type: ignore[union-attr]


def test_a_part_that_is_missing_is_done_again_with_the_same_result(tiny_run: Path, tiny_data: Path) -> None:
    before = (tiny_run / "predictions.csv").read_text()
    shutil.rmtree(tiny_run / "fold_1")
    shutil.rmtree(tiny_run / "cache")
    again(tiny_data, tiny_run)
    assert (tiny_run / "predictions.csv").read_text() == before


def test_another_recipe_or_other_data_is_refused(tiny_run: Path, tiny_data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Name another --out"):
        again(tiny_data, tiny_run, overrides={"stages.head.epochs": 3})
    other = Path(shutil.copytree(tiny_data, tmp_path / "other"))
    labels = (other / "labels.csv").read_text().splitlines()
    (other / "labels.csv").write_text("\n".join(labels[:-1]))
    with pytest.raises(DataError, match="expected the dataset it was made for"):
        again(other, tiny_run)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="found the file"):
        again(tiny_data, tmp_path / "full" / "thesis.txt")
    for protocol in ("honest", "both"):
        with pytest.raises(UsageError, match="found other files"):
            again(tiny_data, tmp_path / "full", protocol=protocol)


def test_a_run_that_is_killed_in_a_fit_goes_on_and_ends_as_one_that_was_not(tiny_data: Path, tmp_path: Path) -> None:
    """SIGKILL while the first fold is being fitted, a checkpoint on disk; the same command then finishes."""
    settings = TINY | {"stages.head.epochs": "30"}
    options = [f"--map={k}={v}" for k, v in MAPPING.items()] + [f"--set={k}={v}" for k, v in settings.items()]
    often = "from pneumoscope.train import loop; loop.CHECKPOINT_SECONDS = 0.0; "
    often += "from pneumoscope.app.cli import main; main()"
    out = tmp_path / "killed"
    command = [sys.executable, "-c", often, "train", RECIPE, "--data", str(tiny_data), "--out", str(out), *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        checkpoint = out / "fold_0" / "head.checkpoint"
        deadline = time.monotonic() + 120
        while not checkpoint.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    epochs = len(load_fit(checkpoint)[3].history)
    assert 0 < epochs < 30
    assert not (out / "fold_0" / "head.safetensors").exists()
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert not [p for p in out.rglob(".*") if p.is_file()]
    whole = tmp_path / "whole"
    again(tiny_data, whole, overrides=settings)
    assert (out / "predictions.csv").read_text() == (whole / "predictions.csv").read_text()


def test_the_order_of_rows_changes_nothing_not_even_in_a_resumed_run(
    tiny_run: Path, tiny_data: Path, tmp_path: Path
) -> None:
    turned = Path(shutil.copytree(tiny_data, tmp_path / "turned"))
    header, *lines = (turned / "labels.csv").read_text().splitlines()
    (turned / "labels.csv").write_text("\n".join([header, *reversed(lines)]) + "\n")
    before = (tiny_run / "predictions.csv").read_text()
    again(turned, tiny_run)
    assert (tiny_run / "predictions.csv").read_text() == before


def test_another_order_of_the_classes_is_the_same_model(made_run: Path, tiny_data: Path, tmp_path: Path) -> None:
    again(tiny_data, tmp_path / "run", overrides={"classes.names": '["covid", "non-covid"]'})
    facts = bundles.load(str(tmp_path / "run" / "bundle")).facts
    assert facts.recipe.classes.names == ("covid", "non-covid")
    one = {r["file"]: r["p_covid"] for r in rows(made_run / "predictions.csv")}
    other = {r["file"]: r["p_covid"] for r in rows(tmp_path / "run" / "predictions.csv")}
    assert {k: float(v) for k, v in other.items()} == pytest.approx({k: float(v) for k, v in one.items()}, abs=1e-5)
    png = tiny_data / rows(tiny_data / "labels.csv")[0]["file"]
    (answer,) = api.predict(str(tmp_path / "run" / "bundle"), [png])
    (same,) = api.predict(str(made_run / "bundle"), [png])
    assert answer.probabilities["covid"] == pytest.approx(same.probabilities["covid"], abs=1e-5)


def test_other_pretrained_weights_are_refused_in_a_run_that_began(tiny_data: Path, tmp_path: Path) -> None:
    """A head fitted on one backbone would silently stand on another."""
    overrides = {"stages.head.net": "mobilenetv2", "stages.head.init": "imagenet", "stages.head.trainable": "head"}
    folders = []
    for seed in (1, 2):
        folder = tmp_path / f"weights{seed}"
        folder.mkdir()
        net, _ = build_backbone("mobilenetv2", init="random", seed=seed)
        save_file(net.net.state_dict(), folder / "mobilenetv2_100.safetensors")
        folders.append(folder)
    out = tmp_path / "run"
    again(tiny_data, out, overrides=overrides, weights_dir=folders[0])
    shutil.rmtree(out / "bundle")
    with pytest.raises(UsageError, match="expected those that the run in"):
        again(tiny_data, out, overrides=overrides, weights_dir=folders[1])
    again(tiny_data, out, overrides=overrides, weights_dir=folders[0])


def test_names_of_files_are_not_in_the_bundle(tiny_data: Path, tmp_path: Path) -> None:
    """A copy within one patient is said with its name, and stored without: bundles are given away."""
    copied = Path(shutil.copytree(tiny_data, tmp_path / "copied"))
    first = rows(copied / "labels.csv")[0]
    shutil.copy(copied / first["file"], copied / "images" / "DOE_JOHN.png")
    with (copied / "labels.csv").open("a") as file:
        file.write(f"images/DOE_JOHN.png,{first['label']},{first['patient_id']},{first['group_id']},PA,x\n")
    said: list[str] = []
    again(copied, tmp_path / "run", overrides={"stages.head.epochs": 1}, say=said.append)
    assert any("DOE_JOHN" in s for s in said)
    for path in (tmp_path / "run" / "bundle").rglob("*"):
        assert path.is_dir() or b"DOE_JOHN" not in path.read_bytes()
    assert "stand more than once" in (tmp_path / "run" / "bundle" / "bundle.json").read_text()


def test_both_protocols_stand_side_by_side(tiny_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "both"
    honest, paper = again(tiny_data, out, protocol="both")
    assert (honest.protocol, paper.protocol) == ("honest", "paper")
    assert honest.shared_patients == 0
    assert paper.shared_patients > 0
    assert (out / "honest" / "bundle" / "bundle.json").exists()
    assert not (out / "paper" / "bundle").exists()  # of both, the paper's way is there to be measured
    assert not (out / "paper" / "final").exists()
    assert (out / "paper" / "evaluation.json").exists()
    report = (out / "report.html").read_text()
    tables = re.findall("<table.*?</table>", report, re.DOTALL)
    (both,) = [t for t in tables if "Honest protocol</th>" in t and "The paper&#39;s protocol</th>" in t]
    for one in (honest, paper):  # each in its column of the one table
        assert f"<b>{one.metrics['accuracy'].value:.3f}</b>" in both  # type: ignore[union-attr]
    assert "both sides" in report


def test_a_fitted_threshold_is_used_and_shipped(tiny_data: Path, tmp_path: Path) -> None:
    (evaluation,) = again(tiny_data, tmp_path / "run", overrides={"decision.rule": "youden", "stages.head.epochs": 1})
    assert len(evaluation.thresholds) == 2
    facts = json.loads((tmp_path / "run" / "bundle" / "bundle.json").read_text())
    assert facts["threshold"] is not None
    assert facts["recipe"]["sources"]["decision.rule"] == "override"


def test_the_same_image_under_two_patients_is_a_leak(tiny_data: Path, tmp_path: Path) -> None:
    leaky = Path(shutil.copytree(tiny_data, tmp_path / "leaky"))
    first = rows(leaky / "labels.csv")[0]
    shutil.copy(leaky / first["file"], leaky / "images" / "copy.png")
    with (leaky / "labels.csv").open("a") as file:
        file.write(f"images/copy.png,{first['label']},someone,someone,PA,x\n")
    with pytest.raises(LeakError):
        again(leaky, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_files_that_are_no_images_are_all_counted(tiny_data: Path, tmp_path: Path) -> None:
    bad = Path(shutil.copytree(tiny_data, tmp_path / "bad"))
    for name in [r["file"] for r in rows(bad / "labels.csv")][:2]:
        (bad / name).write_bytes(b"not an image " + name.encode())
    with pytest.raises(DataError, match=r"found 2 of \d+ that are not.* take their lines out of labels.csv"):
        again(bad, tmp_path / "run")


def test_labels_that_no_class_stands_for_are_left_out_aloud(tiny_data: Path, tmp_path: Path) -> None:
    said: list[str] = []
    api.train(
        RECIPE,
        [tiny_data],
        out=tmp_path / "run",
        mapping={"normal": "non-covid"},
        overrides=TINY | {"stages.head.epochs": "1"},
        say=said.append,
    )
    assert [s for s in said if "Left out" in s and "'pneumonia'" in s]
    assert "pneumonia" in (tmp_path / "run" / "report.html").read_text()


def test_a_class_without_images_is_an_error_before_anything_is_written(tiny_data: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="found none of 'non-covid'"):
        api.train(RECIPE, [tiny_data], out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_stage_that_images_cannot_train_is_refused(tiny_data: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="expected a stage of level 'slice' before it"):
        again(tiny_data, tmp_path / "run", overrides={"stages.head.level": "patient"})
