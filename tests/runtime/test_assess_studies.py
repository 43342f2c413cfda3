"""`evaluate` and `predict` on labelled studies: a row a study, single slices joined by patient, leaks found."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from pneumoscope import api, phantoms
from pneumoscope.errors import DataError, LeakError


@pytest.fixture(scope="module")
def other_series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three series that no bundle has seen."""
    return phantoms.write_cts(tmp_path_factory.mktemp("other") / "set", patients=3, seed=77, size=64, slices=8)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_slices(folder: Path, labels: dict[str, str]) -> Path:
    """Two slices as PNG of each patient."""
    voxels = phantoms.phantom_ct("covid", seed=5, size=96, slices=24).voxels[8:20]
    pictures = iter(np.rint(255 * np.clip((voxels.astype(np.float32) + 1400) / 1600, 0, 1)))
    lines = ["file,label,patient_id"]
    folder.mkdir()
    for patient, label in labels.items():
        for n, one in enumerate(label.split("|")):
            name = f"{patient}-{n}.png"
            cv2.imwrite(str(folder / name), next(pictures))
            lines.append(f"{name},{one},{patient}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_each_series_is_a_study(made_study_bundle: Path, other_series: Path, tmp_path: Path) -> None:
    evaluation = api.evaluate(str(made_study_bundle), [other_series], out=tmp_path / "out")
    assert (evaluation.n_images, evaluation.n_patients) == (3, 3)
    found = rows(tmp_path / "out" / "predictions.csv")
    alone = {
        row["file"]: api.predict(str(made_study_bundle), [other_series / row["file"]])[0].probabilities for row in found
    }
    for row in found:
        assert row["label"] in ("normal", "pneumonia", "covid")
        assert float(row["p_covid"]) == pytest.approx(alone[row["file"]]["covid"], abs=1e-5)


def test_single_slices_of_a_patient_are_one_study(made_study_bundle: Path, tmp_path: Path) -> None:
    labels = {"a": "normal|normal", "b": "covid|covid|covid", "c": "pneumonia|pneumonia"}
    root = write_slices(tmp_path / "set", labels)
    evaluation = api.evaluate(str(made_study_bundle), [root], out=tmp_path / "out")
    assert evaluation.n_images == 3
    assert len({row["patient"] for row in rows(tmp_path / "out" / "predictions.csv")}) == 3


def test_slices_of_one_patient_with_two_classes_are_refused(made_study_bundle: Path, tmp_path: Path) -> None:
    root = write_slices(tmp_path / "set", {"a": "normal|covid", "b": "covid|covid", "c": "pneumonia|pneumonia"})
    with pytest.raises(DataError, match="expected slices of one class under one patient, found covid and normal"):
        api.evaluate(str(made_study_bundle), [root], out=tmp_path / "out")


def test_series_that_the_bundle_learned_from_are_a_leak(
    made_study_bundle: Path, series_data: Path, tmp_path: Path
) -> None:
    with pytest.raises(LeakError, match="found 6 of 6"):
        api.evaluate(str(made_study_bundle), [series_data], out=tmp_path / "out")


def test_what_is_written_of_a_study(made_study_bundle: Path, one_series: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (p,) = api.predict(str(made_study_bundle), [one_series], out=out, explain=True)
    (saved,) = json.loads((out / "predictions.json").read_text())
    assert [s["probabilities"] for s in saved["slices"]] == [dict(s.probabilities) for s in p.slices]
    assert saved["members"] == {name: dict(found) for name, found in p.members.items()}
    assert saved["combined"] == "ensemble"
    matters = [f"slice-{i + 1:04d}" for i, s in enumerate(p.slices) if s.matters]
    assert sorted(p.outputs) == sorted(f"{name}/{kind}" for name in matters for kind in ("map", "overlay"))
    volume = api.load_study(one_series).volume
    assert volume is not None
    for kind, path in p.outputs.items():
        picture = cv2.imread(path, cv2.IMREAD_UNCHANGED)
        assert picture.shape[:2] == volume.shape[1:], kind


def test_an_inner_layer_is_explained_in_the_slices_that_matter(
    made_study_bundle: Path, one_series: Path, tmp_path: Path
) -> None:
    p = api.explain(str(made_study_bundle), one_series, out=tmp_path / "out", layer="features.0", target="covid")
    assert p.focus == "covid"
    assert len(p.outputs) == 2 * sum(s.matters for s in p.slices)
