"""What pictures look like to the gate: phantoms pass, everything else is told from them."""

from __future__ import annotations

import csv
import re
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pneumoscope import phantoms
from pneumoscope.core.image import Geometry, Image2D, Modality, Volume
from pneumoscope.core.study import Source, Study
from pneumoscope.errors import IntegrityError
from pneumoscope.io import load
from pneumoscope.runtime import looks, lungs
from pneumoscope.runtime.finding import Verdict
from pneumoscope.runtime.gate import judge, with_lungs

XRAY: tuple[Modality, ...] = ("xray",)
CT: tuple[Modality, ...] = ("ct",)
BOTH: tuple[Modality, ...] = ("xray", "ct")


def verdict(pixels: np.ndarray, modalities: tuple[Modality, ...], **image: object) -> Verdict:
    made = Image2D(**({"pixels": np.ascontiguousarray(pixels, np.float32), "unit": "unit"} | image))  # type: ignore[arg-type]
    return judge(Study(key="s", source=Source(path="x", format="png"), images=(made,)), modalities)


def series(voxels: np.ndarray) -> Verdict:
    geometry = Geometry(spacing_mm=(8.0, 4.0, 4.0))
    volume = Volume(voxels=voxels.astype(np.int16), geometry=geometry, slices=("x",) * len(voxels))
    return judge(Study(key="s", source=Source(path="x", format="dicom"), volume=volume), CT, series=True)


@pytest.fixture(scope="module")
def chest() -> np.ndarray:
    return phantoms.make_xray("normal", seed=4, size=192).pixels


@pytest.fixture(scope="module")
def scan() -> np.ndarray:
    """HU, `[24, 96, 96]`."""
    return phantoms.phantom_ct("pneumonia", seed=8, size=96, slices=24).voxels


def window(slice_hu: np.ndarray) -> np.ndarray:
    return np.clip((slice_hu.astype(np.float32) + 1400) / 1600, 0, 1)


@pytest.mark.parametrize("size", [64, 96, 256])
@pytest.mark.parametrize("label", phantoms.XRAY_LABELS)
def test_phantom_xrays_pass_and_no_model_of_ct_takes_them(label: str, size: int) -> None:
    for seed in range(20, 26):
        pixels = phantoms.make_xray(label, seed=seed, size=size).pixels
        assert verdict(pixels, XRAY).reasons == ()
        assert verdict(pixels, BOTH).looks == "xray"
        (reason,) = verdict(pixels, CT).reasons
        assert reason.startswith("picture: expected a chest CT, found what looks like a frontal chest X-ray")


def test_phantom_slices_pass_in_hu_and_as_pictures_and_no_model_of_xrays_takes_them(scan: np.ndarray) -> None:
    for z in range(6, 20, 3):
        assert verdict(scan[z], CT, unit="HU", modality="ct").reasons == ()
        assert verdict(window(scan[z]), BOTH).looks == "ct"
        (reason,) = verdict(window(scan[z]), XRAY).reasons
        assert "found what looks like a slice of a chest CT" in reason
    assert series(scan).reasons == ()


@pytest.mark.parametrize("turn", [1, 2, 3])
def test_a_turned_xray_is_refused_with_the_angle_to_turn_it_back_by(chest: np.ndarray, turn: int) -> None:
    found = verdict(np.rot90(chest, turn), XRAY)
    assert found.reasons == (
        f"turn: expected an upright picture, found one turned by {90 * turn} degrees. Turn it back.",
    )
    assert found.checks["turn"].verdict == "refused"
    assert verdict(np.rot90(np.rot90(chest, turn), -turn), XRAY).reasons == ()


def test_a_slice_that_lies_on_its_side_is_refused_and_one_upside_down_is_flagged(scan: np.ndarray) -> None:
    picture = window(scan[12])
    assert "turned by 90 degrees" in verdict(np.rot90(picture), CT).reasons[0]
    over = verdict(np.rot90(picture, 2), CT)
    assert over.reasons == ()
    assert over.checks["turn"].verdict == "flagged"
    assert any("upside down" in warning for warning in over.warnings)


def test_a_negative_is_refused(chest: np.ndarray, scan: np.ndarray) -> None:
    for pixels, modalities in ((chest, XRAY), (window(scan[12]), CT)):
        assert "looks like a negative" in verdict(1 - pixels, modalities).reasons[0]


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), blur=st.sampled_from(["white", "uniform", "rare"]))
def test_noise_is_no_chest(seed: int, blur: str) -> None:
    rng = np.random.default_rng(seed)
    noise = {
        "white": np.clip(0.5 + 0.2 * rng.normal(size=(200, 180)), 0, 1),
        "uniform": rng.random((200, 180)),
        "rare": (rng.random((200, 180)) < 0.1) * 1.0,
    }[blur]
    assert verdict(noise, BOTH).reasons
    assert verdict(noise, BOTH).looks is None


def test_gradients_boards_and_pieces_of_a_chest_are_no_chest(chest: np.ndarray) -> None:
    y, x = np.mgrid[0:200, 0:200] / 200
    for pixels in (x, y * x, np.hypot(x - 0.5, y - 0.5), ((x * 8).astype(int) + (y * 8).astype(int)) % 2):
        assert verdict(pixels, BOTH).reasons
    rng = np.random.default_rng(0)
    tiles = [chest[i : i + 48, j : j + 48] for i in range(0, 192, 48) for j in range(0, 192, 48)]
    order = rng.permutation(16)
    shuffled = np.vstack([np.hstack([tiles[k] for k in order[r : r + 4]]) for r in range(0, 16, 4)])
    assert verdict(shuffled, XRAY).reasons


def test_a_scan_without_lung_or_whose_values_are_no_hu_is_refused(scan: np.ndarray) -> None:
    solid = np.where(scan < -350, 40, scan)
    for voxels in (solid, scan.astype(np.int32) + 1024):
        found = series(voxels)
        assert {"lung", "kind"} & {f.check for f in found.findings if f.verdict == "refused"}
    alone = [r for r in series(np.clip(scan, -340, None)).reasons if r.startswith("lung:")]
    assert not alone or "found 0.000" in alone[0]


def test_what_an_xray_of_a_child_says_of_its_age_is_flagged(chest: np.ndarray) -> None:
    image = Image2D(pixels=chest, unit="unit", modality="xray", view="PA")
    for age, flagged in (
        ("004Y", True),
        ("011M", True),
        ("017Y", True),
        ("018Y", False),
        ("064Y", False),
        ("?", False),
    ):
        made = Study(key="s", source=Source(path="x", format="dicom"), images=(image,), headers={"PatientAge": age})
        found = judge(made, XRAY)
        assert found.reasons == ()
        assert ("age" in found.checks) == flagged, age


def test_what_was_measured_stands_with_its_limit(chest: np.ndarray) -> None:
    found = verdict(chest, XRAY)
    assert {name: check.verdict for name, check in found.checks.items()} == {
        "kind": "passed",
        "turn": "passed",
        "negative": "passed",
        "modality": "flagged",
    }
    assert found.checks["kind"].value is not None
    assert found.checks["kind"].value > 0.9
    assert found.checks["kind"].limit == 0.5


def test_probabilities_are_such_whatever_the_form(chest: np.ndarray) -> None:
    for shape in ((64, 150), (150, 64), (96, 96), (700, 500)):
        pixels = np.resize(chest, shape).astype(np.float32)
        look = looks.look(Image2D(pixels=pixels, unit="unit"))
        assert sum(look.kinds.values()) == pytest.approx(1, abs=1e-5)
        assert sum(look.turns.values()) == pytest.approx(1, abs=1e-5)
        assert 0 <= look.negative <= 1


def test_the_network_is_small_and_another_one_never_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = resources.files("pneumoscope") / "assets" / "gate"
    assert len((folder / "gate.onnx").read_bytes()) <= 1_500_000
    assert re.fullmatch(r"[0-9a-f]{64}", looks.digest())
    monkeypatch.setattr(looks, "digest", lambda: "0" * 64)
    looks._graph.cache_clear()
    with pytest.raises(IntegrityError, match=r"gate\.onnx: expected SHA-256 0000000000000000, found"):
        looks.look(Image2D(pixels=np.zeros((64, 64), np.float32), unit="unit"))
    looks._graph.cache_clear()


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "modalities"),
    [
        ("xray/figure1", XRAY),
        ("xray/actualmed", XRAY),
        ("ct-slices/husp-slices", CT),
        ("ct-slices/ucsd-covid-ct", CT),
    ],
)
def test_real_chests_that_the_network_never_saw_pass(
    shared_data: Path, name: str, modalities: tuple[Modality, ...]
) -> None:
    with (shared_data / name / "labels.csv").open(encoding="utf-8", newline="") as file:
        files = [row["file"] for row in csv.DictReader(file)]
    files = files[:: max(1, len(files) // 60)]
    verdicts = [judge(load.load_study(shared_data / name / one), modalities) for one in files]
    assert sum(bool(v.reasons) for v in verdicts) <= 0.02 * len(files)


@pytest.mark.shared
def test_the_other_modality_is_refused(shared_data: Path) -> None:
    for name, modalities in (("xray/figure1", CT), ("ct-slices/husp-slices", XRAY)):
        files = sorted((shared_data / name / "images").iterdir())[:40]
        refused = [bool(judge(load.load_study(one), modalities).reasons) for one in files]
        assert sum(refused) >= 0.95 * len(files)


def test_an_xray_without_lung_fields_is_flagged_and_nothing_else_is_asked_for_them(
    chest: np.ndarray, scan: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def study(pixels: np.ndarray, **image: object) -> Study:
        made = Image2D(**({"pixels": np.ascontiguousarray(pixels, np.float32), "unit": "unit"} | image))  # type: ignore[arg-type]
        return Study(key="s", source=Source(path="x", format="png"), images=(made,))

    one = study(chest)
    found = with_lungs(one, judge(one, XRAY))
    assert found.reasons == ()
    assert found.checks["lungs"].limit == lungs.MIN_SHARE
    none = lungs.LungFields(mask=np.zeros(chest.shape, bool), share=0.0, balance=0.0, tilt=0.0, certainty=0.0)
    monkeypatch.setattr(lungs, "find_lungs", lambda pictures: [none])
    found = with_lungs(one, judge(one, XRAY))
    assert found.checks["lungs"].verdict == "flagged"
    assert any(warning.startswith("lungs: expected lung fields on at least 10%") for warning in found.warnings)
    for other, modalities in ((study(window(scan[12])), CT), (study(1 - chest), XRAY)):
        assert "lungs" not in with_lungs(other, judge(other, modalities)).checks
