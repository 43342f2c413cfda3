"""Explaining and evaluating through the only door the apps use."""

from __future__ import annotations

import csv
import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from fixtures_trained import MAPPING, RECIPE, TINY

from pneumoscope import api, phantoms
from pneumoscope import bundle as bundles
from pneumoscope.errors import DataError, InputError, LeakError, MissingError, UsageError


def test_a_bundle_is_measured_on_images_that_it_has_not_seen(made_run: Path, tmp_path: Path) -> None:
    data = phantoms.write_xrays(tmp_path / "new", patients=12, seed=77, size=96)
    (data / "images" / "broken.png").write_bytes(b"x")
    with (data / "labels.csv").open("a") as file:
        file.write("images/broken.png,normal,z,z,PA,x\n")
    out = tmp_path / "out"
    evaluation = api.evaluate(str(made_run / "bundle"), [data], out=out, mapping=MAPPING)
    with (out / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    answered = [r for r in rows if r["prediction"] != "refused"]
    assert len(rows) == len(answered) + 1
    assert evaluation.n_images == len(answered)
    accuracy = np.mean([r["label"] == r["prediction"] for r in answered])
    assert evaluation.metrics["accuracy"].value == pytest.approx(accuracy)  # type: ignore[union-attr]
    assert any("1 of" in w and "refused" in w for w in evaluation.warnings)
    assert json.loads((out / "evaluation.json").read_text())["n_images"] == len(answered)
    assert (out / "report.html").exists()


def test_an_evaluation_stands_beside_the_bundles_own_and_fills_its_checklist(made_run: Path, tmp_path: Path) -> None:
    data = phantoms.write_xrays(tmp_path / "new", patients=30, seed=79, size=96)
    with (data / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))
    with (data / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "sex", "age"])
        writer.writeheader()
        patients = sorted({row["patient_id"] for row in rows})
        for row in rows:
            i = patients.index(row["patient_id"])
            writer.writerow(row | {"sex": "FM"[i % 2], "age": f"{20 + i:03d}Y"})
    bundle, out = str(made_run / "bundle"), tmp_path / "out"
    evaluation = api.evaluate(bundle, [data], out=out, mapping=MAPPING)
    own, moved = bundles.load(bundle).facts, evaluation.transfer
    assert moved is not None
    assert own.evaluation is not None
    assert evaluation.bundle == own.id
    assert moved.metrics["accuracy"].own == own.evaluation.metrics["accuracy"]
    assert moved.metrics["accuracy"].here == evaluation.metrics["accuracy"]
    assert {part.n_patients for part in evaluation.parts["sex"].values()} == {15}
    assert list(evaluation.parts["age"]) == ["18 to 39", "40 to 64"]
    assert evaluation.benefit is not None
    assert own.evaluation.benefit is not None
    assert own.evaluation.transfer is None
    text = api.checklist(bundle, external=out)
    assert "by sex elsewhere: female (" in text
    assert "torch " in text  # of the run that it lies in
    assert "environment.json is not beside" in api.checklist("phantom")
    with pytest.raises(UsageError, match="expected an evaluation of bundle"):
        api.checklist("phantom", external=out)
    assert api.card(bundle).startswith(f"# {own.name}\n")


def test_images_that_were_trained_on_are_refused(made_run: Path, tiny_data: Path, tmp_path: Path) -> None:
    with pytest.raises(LeakError, match="expected images that the bundle has not seen"):
        api.evaluate(str(made_run / "bundle"), [tiny_data], out=tmp_path / "out", mapping=MAPPING)
    assert not (tmp_path / "out").exists()


def test_a_bundle_says_what_it_learned_from_and_can_be_measured_on_the_rest(tmp_path: Path) -> None:
    small = phantoms.write_xrays(tmp_path / "small", patients=18, seed=61, size=72)
    large = phantoms.write_xrays(tmp_path / "large", patients=18, seed=62, size=72)
    overrides = TINY | {"protocols.honest.train_on": '["small"]', "stages.head.epochs": "1"}
    run = tmp_path / "run"
    (whole,) = api.train(RECIPE, [small, large], out=run, mapping=MAPPING, overrides=overrides)
    facts = bundles.load(str(run / "bundle")).facts
    with (small / "labels.csv").open() as file:
        mine = len(list(csv.DictReader(file)))
    assert whole.n_images > facts.data.n_images == mine
    assert f"It learned from {mine} images" in facts.limits[0]
    measured = api.evaluate(str(run / "bundle"), [large], out=tmp_path / "external", mapping=MAPPING)
    assert measured.n_images == whole.n_images - mine
    with pytest.raises(LeakError, match="has not seen"):
        api.evaluate(str(run / "bundle"), [small], out=tmp_path / "leak", mapping=MAPPING)


def test_a_set_of_one_class_can_be_measured(made_run: Path, tmp_path: Path) -> None:
    data = phantoms.write_xrays(tmp_path / "new", patients=6, seed=78, size=96)
    with (data / "labels.csv").open() as file:
        labels = [r["label"] for r in csv.DictReader(file)]
    evaluation = api.evaluate(str(made_run / "bundle"), [data], out=tmp_path / "out")
    assert evaluation.left_out == {k: labels.count(k) for k in ("normal", "pneumonia")}
    assert evaluation.n_images == labels.count("covid")
    saved = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert saved["metrics"]["auc"]["value"] is None
    assert 0 <= saved["metrics"]["sensitivity"]["covid"]["value"] <= 1


def test_a_row_that_holds_several_images_is_refused(made_run: Path, tmp_path: Path) -> None:
    data = phantoms.write_xrays(tmp_path / "new", patients=6, seed=80, size=96)
    with zipfile.ZipFile(data / "images" / "two.zip", "w") as archive:
        for i, path in enumerate(sorted((data / "images").glob("*.png"))[:2]):
            archive.write(path, f"{i}.png")
    with (data / "labels.csv").open("a") as file:
        file.write("images/two.zip,normal,z,z,PA,x\n")
    evaluation = api.evaluate(str(made_run / "bundle"), [data], out=tmp_path / "out", mapping=MAPPING)
    assert any("expected one study, found 2" in w for w in evaluation.warnings)
    assert not any("two.zip" in w for w in evaluation.warnings)


def test_a_set_that_is_all_refused_is_an_error(made_run: Path, tmp_path: Path) -> None:
    data = phantoms.write_xrays(tmp_path / "new", patients=6, seed=79, size=96)
    for path in (data / "images").iterdir():
        path.write_bytes(b"no image " + path.name.encode())
    with pytest.raises(DataError, match="expected images that the bundle accepts, found none"):
        api.evaluate(str(made_run / "bundle"), [data], out=tmp_path / "out", mapping=MAPPING)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("target", [None, "covid", "non-covid"])
@pytest.mark.parametrize("layer", [None, "features", "features.8"])
def test_any_layer_and_class_can_be_explained(
    made_run: Path, xray_png: Path, tmp_path: Path, target: str | None, layer: str | None
) -> None:
    out = tmp_path / "out"
    prediction = api.explain(str(made_run / "bundle"), xray_png, out=out, layer=layer, target=target)
    map_ = cv2.imread(prediction.outputs["map"], cv2.IMREAD_UNCHANGED)
    assert map_.dtype == np.uint16
    assert map_.shape == (128, 128)
    report = (out / "report.html").read_text()
    assert (target or str(prediction.decision)) in report


def test_what_cannot_be_explained_is_an_error(made_run: Path, xray_png: Path, tmp_path: Path) -> None:
    bundle, out = str(made_run / "bundle"), tmp_path / "out"
    with pytest.raises(UsageError, match="--target: expected one of"):
        api.explain(bundle, xray_png, out=out, target="cat")
    with pytest.raises(UsageError, match="--layer: expected a layer of the network"):
        api.explain(bundle, xray_png, out=out, layer="features.88")
    with pytest.raises(InputError):
        api.explain(bundle, tmp_path / "none.png", out=out)
    small = tmp_path / "small.png"
    phantoms.write_png(phantoms.make_xray("normal", seed=1, size=64), small)
    cv2.imwrite(str(small), cv2.resize(cv2.imread(str(small)), (40, 40)))
    with pytest.raises(InputError, match="expected at least 64 pixels"):
        api.explain(bundle, small, out=out)
    assert not out.exists()


def test_training_without_its_extra_says_what_to_install(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else found(name))
    with pytest.raises(MissingError, match=r"pip install 'pneumoscope\[train\]'") as caught:
        api.train("szalay2021", [tiny_data], out=tmp_path / "run", mapping=MAPPING)
    assert caught.value.exit_code == 5


def test_pretrained_weights_that_are_nowhere_are_asked_for_never_replaced(tiny_data: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"vgg16\.safetensors") as caught:
        api.train(
            "szalay2021",
            [tiny_data],
            out=tmp_path / "run",
            mapping=MAPPING,
            overrides={"prep.resize.size": "32", "protocols.honest.folds": "2"},
        )
    assert "pneumoscope weights add" in str(caught.value)
    assert caught.value.exit_code == 5
