"""The table of levels, the plane of studies, and the words where studies are judged."""

import dataclasses

import pytest
from report_examples import HEAT, NAN, THREE, Page, evaluation, facts, gallery, interval, picture, recipe

from pneumoscope.core.paper import Reported
from pneumoscope.core.result import Before, Gallery, Interval, Level, Point
from pneumoscope.report import card, charts, html, levels, tables, words

M = "\N{MINUS SIGN}"
REPORTED = (
    Reported(data="A", where="Table I, pretrained", metrics={"pretrain.accuracy": 0.9306}),
    Reported(
        data="B", where="Table I, slices", metrics={"slices.accuracy": 0.9576, "slices.sensitivity.covid": 0.9377}
    ),
    Reported(data="B", where="Table I, patients", metrics={"accuracy": 0.949, "sensitivity.covid": 0.9455}),
)
BEFORE = Before(
    role="pretrain",
    stage="pretrain",
    counts={"normal": 3, "covid": 2},
    n_patients=4,
    n_validation=2,
    val_accuracy=0.5,
    best_epoch=1,
    epochs=3,
)


def level(accuracy, difference=None, n=18, **kw):
    values = {
        "counts": {"normal": n - 5, "covid": 5},
        "n_patients": 17,
        "metrics": {"accuracy": interval(accuracy), "sensitivity": {"normal": interval(0.8), "covid": NAN}},
        "confusion": ((n - 5, 0), (5, 0)),
        "difference": difference,
    }
    return Level(**(values | kw))


def apart(value, reach=0.05):
    return Interval(value=value, low=value - reach, high=value + reach)


def of_studies(mean=-0.1, member=-0.05, reach=0.2, **kw):
    found = {
        "slices": level(0.9, n=134),
        "mean of slices": level(0.7, apart(mean, reach)),
        "bilstm": level(0.8, apart(member, reach)),
        "ensemble": level(0.871),
    }
    values = {
        "levels": found,
        "judged": "study",
        "n_images": 18,
        "n_slices": 209,
        "n_patients": 17,
        "reported": REPORTED,
        "before": (BEFORE,),
    }
    return evaluation(**(values | kw))


def test_each_level_stands_with_the_papers_figure_of_it():
    found = levels.table(of_studies())
    assert found["columns"] == ["Accuracy", "Sensitivity, normal", "Sensitivity, covid"]
    assert [r["name"] for r in found["rows"]] == ["pretrain", "slices", "mean of slices", "bilstm", "ensemble"]
    assert [r["own"] for r in found["rows"]] == [False] * 4 + [True]
    assert [[p["texts"] for p in r["paper"]] for r in found["rows"]] == [
        [["0.9306", "", ""]],
        [["0.9576", "", "0.9377"]],
        [],
        [],
        [["0.949", "", "0.9455"]],
    ]
    assert found["rows"][1]["paper"][0]["where"] == "Table I, slices: B"
    assert [r["cells"][0]["value"] for r in found["rows"]] == ["0.500", "0.900", "0.700", "0.800", "0.871"]
    assert [r["hint"] for r in found["rows"]][:3] == [
        "2 slices of role pretrain, which chose its weights",
        "134 slices of 17 patients",
        "18 studies of 17 patients",
    ]
    assert [r["apart"] is None for r in found["rows"]] == [True, True, False, False, True]
    assert levels.table(evaluation()) is None


@pytest.mark.parametrize(
    ("mean", "member", "reach", "says"),
    [
        (-0.1, -0.05, 0.2, ["No level before it", f"lies at {M}0.100 ({M}0.300 to +0.100), within the noise."]),
        (-0.1, -0.05, 0.01, ["No level before it", f"lies at {M}0.100 ({M}0.110 to {M}0.090)."]),
        (0.0, -0.05, 0.2, ["No level before it", "as good as all that is built on them"]),
        (0.02, 0.05, 0.2, ["Better by itself", "as good as all"]),
    ],
)
def test_a_level_that_is_as_good_is_said_with_the_difference(mean, member, reach, says):
    found = levels.said(of_studies(mean, member, reach))
    assert found[0] == "The method's answer is that of its last stage, ensemble; no level was chosen by these figures."
    assert len(found) == 3
    assert all(text in sentence for text, sentence in zip(says, found[1:], strict=True))


def test_the_better_ones_are_named_and_not_chosen():
    found = levels.said(of_studies(0.02, 0.05, 0.01))[1]
    assert "mean of slices +0.020 (+0.010 to +0.030) and bilstm +0.050 (+0.040 to +0.060). To take the best" in found
    assert levels.said(evaluation()) == []


def test_an_undefined_difference_is_not_spoken_of():
    undefined = {"mean of slices": level(0.7, NAN), "ensemble": level(0.8)}
    assert levels.said(of_studies(levels=undefined)) == []


def test_the_papers_table_finds_our_figure_of_each_level():
    rows = tables.paper_rows([of_studies()])
    assert [(r["title"], r["ours"][0].partition(" ")[0]) for r in rows] == [
        ("Accuracy, pretrain", "0.500"),
        ("Accuracy, slices", "0.900"),
        ("Sensitivity, covid, slices", "undefined"),
        ("Accuracy", "0.871"),
        ("Sensitivity, covid", "0.710"),
    ]
    (other,) = tables.paper_rows([evaluation(reported=(Reported(data="A", where="x", metrics={"pre.accuracy": 0.5}),))])
    assert (other["title"], other["ours"]) == ("Accuracy, pre", ["not measured"])


def test_the_report_speaks_of_studies():
    page = Page(html.evaluation_report([of_studies()], recipe(), run={}))
    for text in (
        "18 studies (209 slices), 17 patients.",
        "accuracy 0.500 on its 2 validation slices",
        "Studies, and their share of the row.",
        "about as many studies",
        "Each level by itself",
        "ensemble the answer",
    ):
        assert text in page.text
    assert "image" not in page.text.split("The paper's own figures")[0]


def test_the_report_of_images_speaks_of_images():
    page = Page(html.evaluation_report([evaluation()], recipe(), run={}))
    assert "1,234 images, 567 patients." in page.text
    assert "Images, and their share of the row." in page.text
    assert "Each level by itself" not in page.text
    assert words.judged(evaluation(judged="slice")) == "1,234 slices"


def test_two_runs_have_a_table_each():
    page = Page(html.evaluation_report([of_studies(), of_studies(protocol="paper")], recipe(), run={}))
    assert page.text.count("no level was chosen by these figures") == 2


def test_the_card_says_it_too():
    found = facts(evaluation=of_studies())
    text = card.model_card(found)
    assert "18 studies (209 slices), 17 patients." in text
    assert "| ensemble | 18 studies | 0.871 |" in text
    assert "no level was chosen by these figures" in text
    assert "2,100 images of 1,900 patients." in text
    stage = dataclasses.replace(found.recipe.stages[0], level="slice")
    sliced = dataclasses.replace(found, recipe=dataclasses.replace(found.recipe, stages=(stage,)))
    assert "2,100 slices of 1,900 patients." in card.model_card(sliced)


POINTS = (
    Point(x=0.0, y=1.0, label="normal", part="test"),
    Point(x=1.0, y=0.0, label="<b>", part="validation"),
    Point(x=0.5, y=0.5, label="normal", part="validation"),
)


def test_a_plane_has_a_colour_a_class_and_a_shape_a_part():
    found = charts.plane(POINTS)
    assert [(d["x"], d["y"], d["colour"]) for d in found["dots"]] == [(0, 0, 0), (240, 240, 1), (120, 120, 0)]
    assert (found["labels"], found["parts"]) == (["normal", "<b>"], ["test", "validation"])
    assert charts.plane(()) is None
    drawn = Gallery(title="A plane", note="Its note.", points=POINTS)
    page = Page(html.evaluation_report([evaluation(names=THREE)], recipe(), run={}, galleries=[[drawn]]))
    assert len(page.all("circle", "spot")) == 2  # one point, one in the legend
    assert len(page.all("path", "hollow")) == 3
    assert len(page.all("title")) == 1 + 3
    assert not page.all("b", "")
    assert "<b>, validation" in page.text
    assert "Its note." in page.text


def test_a_plane_that_was_not_drawn_is_said():
    page = Page(
        html.evaluation_report([evaluation()], recipe(), run={}, galleries=[[Gallery(title="T", note="Not drawn: x.")]])
    )
    assert "Not drawn: x." in page.text
    assert not page.all("svg", "plane")


def test_maps_at_three_stages_stand_six_in_a_row():
    shown = dataclasses.replace(gallery(*[picture(heat=HEAT) for _ in range(6)]), large=True)
    page = Page(html.evaluation_report([evaluation()], recipe(), run={}, galleries=[[shown]]))
    assert len(page.all("div", "by-6")) == 1
