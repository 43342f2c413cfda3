"""The drop in words, the table beside it, and the decision curve as it is drawn."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from report_examples import Page, evaluation, interval, recipe

from pneumoscope.core.result import Benefit, Evaluation, Interval, Moved, Part, Transfer
from pneumoscope.report import benefit, transfer
from pneumoscope.report.html import evaluation_report


def between(value: float, low: float, high: float) -> Interval:
    return Interval(value=value, low=low, high=high)


FALLS = Moved(own=between(0.92, 0.88, 0.96), here=between(0.62, 0.27, 0.86), difference=between(-0.3, -0.65, -0.05))
NOISE = Moved(own=between(0.9, 0.8, 0.95), here=between(0.88, 0.7, 0.95), difference=between(-0.02, -0.2, 0.1))
RISES = Moved(own=between(0.7, 0.6, 0.8), here=between(0.9, 0.85, 0.95), difference=between(0.2, 0.09, 0.31))


def beside(**kw: Any) -> Evaluation:
    values: dict[str, Any] = {
        "protocol": "honest", "judged": "image", "n_images": 200, "n_patients": 150,
        "counts": {"normal": 100, "covid": 100}, "leaky": False, "absent": (),
        "metrics": {"accuracy": NOISE, "balanced_accuracy": FALLS, "auc": NOISE},
    }  # fmt: skip
    return evaluation(protocol=None, split=None, transfer=Transfer(**(values | kw)))


def test_a_drop_is_said_with_both_figures_and_its_interval() -> None:
    assert transfer.said(beside()) == [
        "Balanced accuracy falls from 0.920 (0.880 to 0.960) on its own patients, out of fold, to 0.620 (0.270 to "
        "0.860) here: a drop of 0.300 (0.050 to 0.650).",
        "AUC is 0.900 (0.800 to 0.950) on its own patients, out of fold, and 0.880 (0.700 to 0.950) here: a difference "
        "of \N{MINUS SIGN}0.020 (\N{MINUS SIGN}0.200 to +0.100), which is within the noise; that does not show that "
        "there is none.",
    ]


def test_a_rise_is_no_drop() -> None:
    assert transfer.sentence("sensitivity.covid", RISES) == (
        "Sensitivity, covid rises from 0.700 (0.600 to 0.800) on its own patients, out of fold, to 0.900 (0.850 to "
        "0.950) here: a rise of 0.200 (0.090 to 0.310)."
    )


def test_nothing_is_said_where_nothing_is_known() -> None:
    assert transfer.said(evaluation()) == []
    assert transfer.table(evaluation()) is None
    assert transfer.said(beside(metrics={})) == [
        "Nothing here can be compared with what the model did on its own patients."
    ]


@pytest.mark.parametrize(
    ("changed", "caution"),
    [
        ({"leaky": True}, "Its own figures are too good"),
        ({"protocol": "paper"}, "the paper's protocol"),
        ({"absent": ("pneumonia",), "metrics": {}}, "There is none of pneumonia in one of the two"),
        ({"judged": "study", "metrics": {}}, "Its own figures are of studies, those here are not"),
        ({"counts": {"normal": 150, "covid": 50}}, "25 % of its own are covid, and 50.5 % here"),
    ],
)
def test_what_a_reader_must_know_is_said(changed: dict[str, Any], caution: str) -> None:
    assert not any(caution in text for text in (transfer.table(beside()) or {})["cautions"])
    found = transfer.table(beside(**changed))
    assert found is not None
    assert any(caution in text for text in found["cautions"])


def test_both_columns_and_the_difference_are_in_the_report() -> None:
    page = Page(evaluation_report([beside()], recipe(), run={}))
    assert "On its own patients, and here" in page.text
    assert "200 images, 150 patients: 100 normal, 100 covid" in page.text
    assert "a drop of 0.300 (0.050 to 0.650)" in page.text
    assert "\N{MINUS SIGN}0.300 (\N{MINUS SIGN}0.650 to \N{MINUS SIGN}0.050)" in page.text
    assert "On its own patients, and here" not in Page(evaluation_report([evaluation()], recipe(), run={})).text


T = np.arange(1, 100) / 100


def curve(model: np.ndarray, gain: np.ndarray, share: float = 0.2) -> Benefit:
    every = share - (1 - share) * T / (1 - T)
    return Benefit(
        prevalence=share, thresholds=tuple(T), model=tuple(model), low=tuple(model - 0.02), high=tuple(model + 0.02),
        all=tuple(every), gain_low=tuple(gain),
    )  # fmt: skip


def test_the_thresholds_of_worth_are_named() -> None:
    gain = np.full(99, -0.1)
    gain[4:30] = 0.1
    gain[50] = 0.01
    found = curve(np.full(99, 0.1), gain)
    assert benefit.gains(found) == [(0.05, 0.3), (0.51, 0.51)]
    assert benefit.said(found, "covid")[0].startswith("At thresholds of 0.05 to 0.30 and 0.51 deciding by the model")
    none = dataclasses.replace(found, gain_low=tuple(np.zeros(99)))
    assert benefit.said(none, "covid")[0].startswith("At no threshold is it shown")
    assert "where 20 % are covid" in benefit.said(found, "covid")[2]


def test_the_drawing_keeps_to_its_frame() -> None:
    model = np.where(T < 0.5, 0.15, -3.0)
    model[90:] = 0.0
    drawn = benefit.curve(evaluation(benefit=curve(model, np.zeros(99))))
    assert drawn is not None
    assert len(drawn["model"]) == 2  # below the frame between 0.5 and 0.9
    for points in [drawn["band"], *drawn["model"], *drawn["all"]]:
        for x, y in (map(float, point.split(",")) for point in points.split()):
            assert 0 <= x <= benefit.WIDTH
            assert 0 <= y <= benefit.HEIGHT
    assert drawn["zero"] == pytest.approx(benefit.HEIGHT * 0.8)  # a quarter of what is above lies below
    assert drawn["ticks"][0][0] == "0.00"


def test_the_curve_is_in_the_report_of_a_run_and_of_both_protocols() -> None:
    found = evaluation(benefit=curve(np.full(99, 0.1), np.full(99, 0.1)))
    page = Page(evaluation_report([found, dataclasses.replace(found, protocol="paper")], recipe(), run={}))
    assert page.text.count("At thresholds of 0.01 to 0.99 deciding by the model") == 2
    assert len(page.all("svg", "benefit")) == 2
    assert "What deciding by it is worth" not in Page(evaluation_report([evaluation()], recipe(), run={})).text


def test_parts_without_figures_are_named() -> None:
    some = Part(counts={"normal": 40, "covid": 3}, n_patients=43, metrics={"accuracy": interval(0.8)}, confusion=())
    bare = Part(counts={"normal": 2, "covid": 3}, n_patients=5, metrics={}, confusion=())
    page = Page(evaluation_report([evaluation(parts={"sex": {"female": some, "male": bare}})], recipe(), run={}))
    assert "Fewer than 10 patients, and so without figures: male." in page.text
    assert "Few of one class (3 covid of female)" in page.text
