"""The learning curves as they are drawn, and where they come from."""

from __future__ import annotations

import math

from report_examples import Page, evaluation, recipe

from pneumoscope.core.result import Learned
from pneumoscope.report import learning
from pneumoscope.report.html import evaluation_report


def of(fold: int, train: tuple[float, ...], val: tuple[float, ...], best: int, stage: str = "head") -> Learned:
    return Learned(stage=stage, fold=fold, train_loss=train, val_loss=val, best_epoch=best)


def test_a_loss_lies_where_the_axes_say() -> None:
    [chart] = learning.curves(evaluation(learned=(of(0, (1.0, 0.5, 0.0), (0.75, 0.25, 0.5), 1),)))
    [fold] = chart["folds"]
    assert chart["ticks"] == [("0", 200.0), ("0.2", 160.0), ("0.4", 120.0), ("0.6", 80.0), ("0.8", 40.0), ("1", 0.0)]
    assert fold["train"] == "0.0,0.0 200.0,100.0 400.0,200.0"
    assert fold["val"] == "0.0,50.0 200.0,150.0 400.0,100.0"
    assert fold["best"] == (200.0, 150.0)
    assert fold["epoch"] == 2
    assert chart["epochs"] == [1, 2, 3]
    assert chart["x"][3] == 400.0


def test_stages_stand_apart_and_folds_together() -> None:
    found = (of(0, (1.0,), (1.0,), 0), of(1, (0.5,), (0.5,), 0), of(0, (2.0,), (2.0,), 0, stage="all"))
    assert [(c["stage"], [f["number"] for f in c["folds"]]) for c in learning.curves(evaluation(learned=found))] == [
        ("head", [1, 2]),
        ("all", [1]),
    ]


def test_losses_that_are_not_finite_are_left_out_and_a_leap_does_not_flatten_the_rest() -> None:
    long = tuple(0.5 for _ in range(99))
    [chart] = learning.curves(evaluation(learned=(of(0, (*long, 1e6), (*long, math.nan), 0),)))
    assert float(chart["ticks"][-1][0]) == 0.5
    assert chart["folds"][0]["train"].endswith("400.0,0.0")
    assert chart["folds"][0]["val"].count(",") == 99
    assert learning.curves(evaluation(learned=(of(0, (math.nan,), (math.nan,), -1),))) == []
    assert learning.curves(evaluation()) == []


def test_the_report_has_the_curves_and_says_which_weights_are_kept() -> None:
    page = evaluation_report([evaluation(learned=(of(0, (1.0, 0.5), (0.7, 0.9), 0),))], recipe(), run={})
    assert "fold 1, weights of epoch 1" in Page(page).text
    assert 'aria-label="Learning curves of stage head"' in page
    assert "How it learned" not in evaluation_report([evaluation()], recipe(), run={})
