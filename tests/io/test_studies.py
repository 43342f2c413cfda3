from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pneumoscope.io.dicom import Facts
from pneumoscope.io.studies import Member, choose, is_lung_kernel


def member(path: str, **facts: Any) -> Member:
    given = {"modality": "xray", "study_uid": "1", "series_uid": "1.1", "patient": "p1", **facts}
    return Member(path=path, facts=Facts(**given), file=Path(path))


@pytest.mark.parametrize(
    ("views", "chosen"),
    [
        (["LL", "PA", "AP"], "PA"),
        (["LL", "AP", None], "AP"),
        (["LATERAL", None], None),
        (["LL", "RL"], "LL"),
    ],
)
def test_frontal_before_lateral(views: list[str | None], chosen: str | None) -> None:
    (choice,) = choose([member(f"{i}.dcm", view=v) for i, v in enumerate(views)])
    assert choice.chosen.facts.view == chosen
    assert len(choice.others) == len(views) - 1
    assert "PA before AP" in choice.rule


@given(st.permutations(range(4)))
def test_the_order_of_files_decides_nothing(order: list[int]) -> None:
    files = [
        member("b.dcm", view="AP", instance=2),
        member("a.dcm", view="AP", instance=1),
        member("c.dcm", view="LL", instance=0),
        member("d.dcm", view="AP", instance=None),
    ]
    (choice,) = choose([files[i] for i in order])
    assert choice.chosen.path == "a.dcm"


def test_patients_studies_and_modalities_stay_apart() -> None:
    choices = choose(
        [
            member("a"),
            member("b", patient="p2"),
            member("c", study_uid="2"),
            member("d", modality="ct"),
            member("e", study_uid=""),
            member("f", study_uid=""),
        ]
    )
    assert [c.chosen.path for c in choices] == list("abcdef")
    assert {c.rule for c in choices} == {"the only image"}


def ct(path: str, series: str, **more: Any) -> Member:
    return member(path, modality="ct", series_uid=series, **{"view": "axial", **more})


def series(name: str, count: int = 9, **more: Any) -> list[Member]:
    return [ct(f"{name}{i}", name, instance=count - i, **more) for i in range(count)]


def test_ct_series_by_stated_rules() -> None:
    files = [
        *series("scout", 1, image_type=("ORIGINAL", "PRIMARY", "LOCALIZER"), series_number=1),
        *series("cor", 20, view="coronal", series_number=2),
        *series("few", 7, series_number=3, kernel="B70f", thickness=0.5),
        *series("thin", series_number=4),
    ]
    (choice,) = choose(files)
    assert [m.path for m in choice.slices] == [f"thin{i}" for i in range(8, -1, -1)]
    assert choice.rule == "series 4 of 4 series: at least 8 slices"
    assert choice.others == ("series 3 (7 axial)", "series 2 (20 coronal)", "series 1 (1 axial)")


DERIVED = ("DERIVED", "SECONDARY")


@pytest.mark.parametrize(
    ("better", "worse", "rule"),
    [
        ({}, {"image_type": ("ORIGINAL", "PRIMARY", "LOCALIZER"), "count": 50}, "no localizer"),
        ({}, {"image_type": DERIVED, "count": 50}, "neither projection nor other derived image"),
        ({}, {"image_type": (*DERIVED, "AXIAL", "MIP"), "kernel": "LUNG"}, "neither projection nor other derived"),
        ({}, {"view": "sagittal", "thickness": 0.5}, "axial"),
        ({}, {"count": 7, "kernel": "LUNG"}, "at least 8 slices"),
        ({}, {"image_type": (*DERIVED, "REFORMATTED", "AVERAGE"), "kernel": "LUNG"}, "original before reformatted"),
        ({"kernel": "B60f"}, {"kernel": "B30f", "count": 50, "thickness": 1}, "lung kernel"),
        ({"thickness": 5.0, "count": 30}, {"thickness": 1.0}, "at least 150 mm of the body"),
        ({"thickness": 5.0, "count": 30}, {"thickness": 5.0, "count": 29}, "at least 150 mm of the body"),
        ({"thickness": 5.0, "count": 40, "kernel": "B30f"}, {"kernel": "LUNG"}, "at least 150 mm of the body"),
        ({"thickness": 2.0, "count": 80}, {"thickness": 5.0, "count": 50}, "thinnest slices"),
        ({"thickness": 1.0}, {"count": 50}, "thinnest slices"),
        ({"count": 10}, {}, "most slices"),
        ({"series_number": 2}, {"series_number": 3}, "lowest series number"),
        ({"series_number": 2}, {}, "lowest series number"),
    ],
)
def test_the_rule_that_decided_is_told(better: dict[str, Any], worse: dict[str, Any], rule: str) -> None:
    both = series("a", **worse), series("b", **better)
    for one, other in (both, both[::-1]):
        (choice,) = choose([*one, *other])
        assert choice.chosen.facts.series_uid == "b"
        assert f"of 2 series: {rule}" in choice.rule
    (choice,) = choose(both[1])
    assert choice.rule == "the only series"


def placed(name: str, count: int, step: float, **more: Any) -> list[Member]:
    return [
        ct(f"{name}{i}", name, instance=i, position=(0.0, 0.0, i * step), thickness=1.0, **more) for i in range(count)
    ]


def test_the_extent_of_a_series_is_by_places_and_not_by_thickness() -> None:
    """Thin slices far apart cover the chest, and as many at one place do not."""
    (choice,) = choose([*placed("near", 60, 1.0), *placed("far", 10, 15.0)])
    assert choice.chosen.facts.series_uid == "far"
    assert "at least 150 mm of the body" in choice.rule
    (choice,) = choose([*placed("near", 160, 1.0), *placed("far", 10, 14.9)])
    assert choice.chosen.facts.series_uid == "near"
    lying = {"orientation": (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)}  # along the normal, which is the y axis: no extent
    (choice,) = choose([*placed("flat", 60, 9.0, **lying), *placed("far", 10, 15.0)])
    assert choice.chosen.facts.series_uid == "far"


def test_a_derived_image_among_the_slices_of_a_series_is_left_out() -> None:
    saved = ct("saved", "a", image_type=(*DERIVED, "SCREEN SAVE"), series_number=2)
    (choice,) = choose([saved, *series("a", series_number=2, thickness=1.0), *series("b", series_number=3)])
    assert [m.path for m in choice.slices] == [f"a{i}" for i in range(8, -1, -1)]
    assert choice.rule == "series 2 of 3 series: thinnest slices"
    assert choice.others == ("series 3 (9 axial)", "series 2 (1 axial)")


@pytest.mark.parametrize(
    "kernel",
    [
        "B50f",
        "B60s",
        "B70f",
        "Bl57d",
        "Br64d",
        "I70f",
        "LUNG",
        "Lung",
        "BONE",
        "BONEPLUS",
        "EDGE",
        "L",
        "YB",
        "YC",
        "FC51",
        "FC52",
        "FC86",
        "FC30-H",
    ],
)
def test_lung_kernels(kernel: str) -> None:
    assert is_lung_kernel(kernel)


@pytest.mark.parametrize(
    "kernel", ["B30f", "B41s", "D40s", "Br36d", "H60s", "STANDARD", "SOFT", "CHST", "B", "FC17", "FC03", "FC08-H", ""]
)
def test_other_kernels(kernel: str) -> None:
    assert not is_lung_kernel(kernel)


def test_few_slices_are_single_images() -> None:
    choices = choose(series("a", 3))
    assert [c.chosen.path for c in choices] == ["a2", "a1", "a0"]
    assert all(len(c.slices) == 1 for c in choices)
    assert choices[0].rule == "the only series; 3 slices are read as single images, 8 would be a volume"


def test_one_slice_in_two_files_is_one_slice() -> None:
    (choice,) = choose([ct("a", "1", sop_uid="7"), ct("b", "1", sop_uid="7")])
    assert len(choice.slices) == 1
    assert "copy" in choice.others[0]
    assert len(choose([ct("a", "1"), ct("b", "1")])) == 2
    # one SOPInstanceUID at many places is a bad anonymiser's work, and no copy
    (choice,) = choose([ct(f"{i}", "1", sop_uid="7", position=(0.0, 0.0, float(i))) for i in range(9)])
    assert len(choice.slices) == 9
    assert choice.others == ()
    # of a volume, whether it is a copy is seen by its pixels
    (choice,) = choose([*(ct(f"{i}", "1", sop_uid=f"{i}") for i in range(9)), ct("again", "1", sop_uid="4")])
    assert [m.path for m in choice.slices] == [*(f"{i}" for i in range(9)), "again"]
    assert choice.others == ()


def test_a_localizer_among_the_slices_of_a_series_is_left_out() -> None:
    scout = ct("scout", "a", image_type=("ORIGINAL", "PRIMARY", "LOCALIZER"), view="coronal", series_number=2)
    (choice,) = choose(
        [scout, *series("a", series_number=2, thickness=1.0), *series("b", 8, thickness=5.0, series_number=3)]
    )
    assert [m.path for m in choice.slices] == [f"a{i}" for i in range(8, -1, -1)]
    assert choice.others == ("series 3 (8 axial)", "series 2 (1 coronal)")


def test_slices_without_a_study_have_their_series() -> None:
    (choice,) = choose(series("a", study_uid=""))
    assert len(choice.slices) == 9
    assert len(choose(series("", study_uid=""))) == 9
