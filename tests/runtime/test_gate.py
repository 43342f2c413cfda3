"""What a model may judge, and what it may not."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

from pneumoscope import phantoms
from pneumoscope.core.image import AppliedStep, Geometry, Image2D, Volume
from pneumoscope.core.study import Source, Study
from pneumoscope.runtime.gate import judge


def study(shape: tuple[int, int] = (100, 100), *, headers: dict[str, str] | None = None, **image: object) -> Study:
    pixels = cv2.resize(phantoms.make_xray("normal", seed=1, size=128).pixels, shape[::-1])
    made = Image2D(**({"pixels": pixels, "unit": "unit", "modality": "xray", "view": "PA"} | image))  # type: ignore[arg-type]
    return Study(key="s", source=Source(path="x", format="png"), images=(made,), headers=headers or {})


def test_a_frontal_chest_xray_passes_without_a_word() -> None:
    verdict = judge(study(headers={"BodyPartExamined": "CHEST"}), ("xray",))
    assert verdict.reasons == ()
    assert verdict.warnings == ()


@pytest.mark.parametrize(
    ("made", "modalities", "says"),
    [
        (study(modality="ct"), ("xray",), "expected a chest X-ray, found a chest CT"),
        (study(), ("ct",), "expected a chest CT, found a chest X-ray"),
        (study(headers={"BodyPartExamined": "HAND"}), ("xray",), "expected a chest, found 'HAND'"),
        (study((63, 100)), ("xray",), "expected at least 64 pixels a side, found 63 x 100"),
        (study((100, 300)), ("xray",), "too long for one"),
        (study(pixels=np.full((100, 100), 0.5, np.float32)), ("xray",), "found an almost even picture"),
        (
            study(steps=(AppliedStep(name="grey", args={"colour": 0.2}),)),
            ("xray",),
            "expected a grey picture, found a coloured one",
        ),
        (study(modality="ct", unit="HU", pixels=np.full((100, 100), -1000.0, np.float32)), ("ct",), "almost even"),
    ],
)
def test_what_is_plainly_something_else_is_refused(made: Study, modalities: tuple, says: str) -> None:
    (reason,) = judge(made, modalities).reasons
    assert says in reason


@pytest.mark.parametrize("part", ["CHEST", "Chest PA", "THORAX", "LUNG", "CHESTABDPELVIS", "T SPINE"])
def test_parts_that_show_a_chest_pass(part: str) -> None:
    assert judge(study(headers={"BodyPartExamined": part}), ("xray",)).reasons == ()


def test_a_file_that_does_not_say_what_it_shows_is_judged_with_a_warning() -> None:
    verdict = judge(study(modality=None), ("xray", "ct"))
    assert verdict.reasons == ()
    assert "does not say what it shows" in verdict.warnings[0]


def test_a_lateral_view_is_judged_with_a_warning() -> None:
    assert "lateral" in judge(study(view="LL"), ("xray",)).warnings[0]


def test_a_series_is_no_single_image() -> None:
    voxels = np.zeros((12, 20, 20), np.int16)
    volume = Volume(voxels=voxels, geometry=Geometry(spacing_mm=(1, 1, 1)), slices=tuple("x" * 12))
    made = Study(key="s", source=Source(path="x", format="dicom"), volume=volume)
    (reason,) = judge(made, ("ct",)).reasons
    assert reason == (
        "images: expected a single image, which is what this bundle judges, found a CT series of 12 slices. "
        "Give one of its slices."
    )


def test_several_reasons_are_all_given() -> None:
    made = study((20, 20), headers={"BodyPartExamined": "SKULL"})
    assert len(judge(dataclasses.replace(made), ("ct",)).reasons) == 3


@pytest.mark.parametrize("part", ["TORAX", "POUMON", "UNKNOWN", "N/A"])
def test_a_word_that_is_not_known_is_flagged_and_the_picture_decides(part: str) -> None:
    found = judge(study(headers={"BodyPartExamined": part}), ("xray",))
    assert found.reasons == ()
    assert found.checks["body part"].verdict == "flagged"
    assert any(f"found '{part}'" in warning for warning in found.warnings)
