from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pneumoscope.io.dicom import Facts
from pneumoscope.io.studies import Member, choose


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


def test_ct_series_by_stated_rules() -> None:
    files = [
        ct("scout", "1", localizer=True, series_number=1),
        *(ct(f"cor{i}", "2", view="coronal", series_number=2) for i in range(9)),
        *(ct(f"few{i}", "3", series_number=3) for i in range(2)),
        *(ct(f"thin{i}", "4", series_number=4, instance=9 - i) for i in range(5)),
    ]
    (choice,) = choose(files)
    assert [m.path for m in choice.slices] == [f"thin{i}" for i in (4, 3, 2, 1, 0)]
    assert choice.others == ("series 3 (2 axial)", "series 2 (9 coronal)", "series 1 (1 axial)")


def test_one_slice_in_two_files_is_one_slice() -> None:
    (choice,) = choose([ct("a", "1", sop_uid="7"), ct("b", "1", sop_uid="7")])
    assert len(choice.slices) == 1
    assert "copy" in choice.others[0]
    (choice,) = choose([ct("a", "1"), ct("b", "1")])
    assert len(choice.slices) == 2
