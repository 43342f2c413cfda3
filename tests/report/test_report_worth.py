"""What operating points are worth at a stated prevalence, on the scale of the probabilities beside them."""

from __future__ import annotations

import pytest
from report_examples import THREE, TWO, facts, interval

from pneumoscope.core.trust import Calibrator, OperatingPoint, Trust
from pneumoscope.report.calibration import calibrator, model


def points(*names: str) -> tuple[OperatingPoint, ...]:
    return tuple(
        OperatingPoint(name=name, thresholds=(0.5,), sensitivity=interval(0.9), specificity=interval(0.8))
        for name in names
    )


def trust(classes: tuple[str, ...] = TWO) -> Trust:
    return Trust(
        calibrator=Calibrator(),
        shares=dict.fromkeys(classes, 1 / len(classes)),
        points=points("fixed 0.5", "youden", "sensitivity 0.95", "cost 5"),
    )


def test_a_stated_prevalence_moves_thresholds_and_leaves_out_rules_that_decide_anew() -> None:
    own = model(facts(trust=trust()))
    stated = model(facts(trust=trust()), 0.01)
    assert own is not None
    assert stated is not None
    assert [row["at"] for row in own["points"]["rows"]] == ["0.500"] * 4
    rows = stated["points"]["rows"]
    assert [row["title"] for row in rows] == [row["title"] for row in own["points"]["rows"][1:3]]
    # 0.5 at a prevalence of one half is 0.01 at 1 %, where 0.9 x 0.01 / (0.9 x 0.01 + 0.2 x 0.99) are right
    assert [row["at"] for row in rows] == ["0.010"] * 2
    assert [row["ppv"] for row in rows] == ["0.043"] * 2


def test_of_three_classes_a_moved_threshold_has_no_one_place() -> None:
    found = model(facts(THREE, trust=trust(THREE)), 0.01)
    assert found is not None
    assert [row["at"] for row in found["points"]["rows"]] == ["by answer"] * 2


@pytest.mark.parametrize(("temperature", "way"), [(2.0, "softened"), (0.5, "sharpened")])
def test_a_network_without_calibration_is_said_to_have_none(temperature: float, way: str) -> None:
    assert "not calibrated" in calibrator(Calibrator())
    assert way in calibrator(Calibrator(kind="temperature", temperature=temperature))
