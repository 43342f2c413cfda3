import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_examples import HOSTILE, NAN, THREE, TWO, Page, evaluation, interval, recipe

from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.recipe import Decision, Protocol
from pneumoscope.core.result import Part, Threshold
from pneumoscope.report import html, thresholds


def metrics(names=TWO, value=0.8):
    of_class = {name: interval(value) for name in names}
    whole = {"accuracy": interval(value), "balanced_accuracy": interval(value)}
    return whole | {"sensitivity": of_class, "specificity": of_class, "precision": dict.fromkeys(names, NAN)}


def row(name="fixed 0.5", cuts=(0.5,), names=TWO, **kw):
    k = len(names)
    confusion = tuple(tuple(7 if i == j else 1 for j in range(k)) for i in range(k))
    return Threshold(**({"name": name, "thresholds": cuts, "metrics": metrics(names), "confusion": confusion} | kw))


ROWS = (row(), row("fixed 0.3", (0.3,)), row("youden", (0.25, 0.35)), row("sensitivity 0.95", (0.1, 1.0000001)))
COUNTS = {"normal": (30, *[0] * 18, 1), "covid": (*[0] * 10, 5, *[0] * 9)}


def studied(names=TWO, **kw):
    return evaluation(names, **({"studied": ROWS, "histogram": COUNTS} | kw))


def part(**kw):
    values = {"counts": {"normal": 40, "covid": 20}, "n_patients": 30, "metrics": metrics(), "confusion": ()}
    return Part(**(values | kw))


def page(*evaluations, of=None):
    return Page(html.evaluation_report(evaluations, of or recipe(), run={}))


def test_every_rule_has_a_row_and_the_one_decided_by_is_marked():
    text = page(studied()).text
    assert "A Fixed 0.5 as decided a number chosen beforehand 0.500 0.800 0.769 to 0.821" in text
    assert "B Fixed 0.3 a number chosen beforehand 0.300" in text
    assert "C Youden largest sensitivity + specificity where it was fitted 0.300 0.250 to 0.350" in text
    assert "found 95 % of the class" in text
    assert text.count("as decided") == 1
    assert "undefined" in text  # precision


def test_each_has_its_matrix():
    found = page(studied())
    assert len(found.all("table", "confusion")) == 1 + len(ROWS)
    assert len(found.all("figure")) == len(ROWS)


def test_the_histogram_has_a_bar_for_each_part_that_holds_images_and_a_line_for_each_rule():
    found = page(studied())
    assert len(found.all("rect", "f0")) == 2
    (bar,) = found.all("rect", "f1")
    assert float(bar["x"]) == thresholds.WIDTH / 2 + 1
    tall, least = (float(b["height"]) for b in found.all("rect", "f0"))
    assert tall == thresholds.ROW
    assert 1 <= least < 5
    assert "31 images, at most 30 in a bar" in found.text
    lines = found.all("line", "at")
    assert sorted(float(line["x1"]) / thresholds.WIDTH for line in lines) == pytest.approx([0.3, 0.3, 0.5, 0.55])
    assert len(found.all("line", "own")) == 1


def test_a_threshold_just_above_one_stays_in_the_drawing():
    (mark,) = thresholds.study(studied(studied=(row("cost 5", (1.0000001,)),)), recipe())["histogram"]["marks"]
    assert mark["x"] == mark["high"] == thresholds.WIDTH


@settings(max_examples=40)
@given(st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=4), min_size=1, max_size=30))
def test_letters_never_overlap(cuts):
    rows = tuple(row(f"fixed {i}", tuple(one)) for i, one in enumerate(cuts))
    marks = thresholds.study(studied(studied=rows), recipe())["histogram"]["marks"]
    assert len({m["mark"] for m in marks}) == len(rows)
    for y in {m["y"] for m in marks}:
        lane = sorted(m["x"] for m in marks if m["y"] == y)
        gaps = [b - a for a, b in pairwise(lane)]
        assert all(gap >= 2 * thresholds.LETTER - 0.2 for gap in gaps)


def test_the_most_probable_class_has_no_threshold_and_no_line():
    of = recipe(THREE, decision=Decision(rule="argmax"))
    rows = (row(names=THREE), row("argmax", (), names=THREE))
    counts = dict.fromkeys(THREE, (1,) * 20)
    found = page(studied(THREE, studied=rows, histogram=counts, thresholds=()), of=of)
    assert "Most probable class as decided no threshold none" in found.text
    assert len(found.all("line", "at")) == 1


def test_the_page_says_that_nothing_was_chosen_on_what_is_shown():
    text = page(studied()).text
    assert "None of these was chosen on what is shown: fitted thresholds were fitted in each fold" in text
    assert "the model brings its own threshold" in page(studied(protocol=None)).text


def test_and_says_aloud_where_it_was():
    found = page(studied(protocol="paper"))
    assert "Fitted thresholds were chosen on the very part that is shown" in found.text
    assert len(found.all("p", "serious")) == 1
    # a part apart, as Szalay's paper protocol has one; or nothing that was fitted
    apart = Protocol(name="paper", unit="image", folds=1, test_share=0.2, val_share=0.15)
    for e, of in (
        (studied(protocol="paper"), recipe(protocols=(apart,))),
        (studied(protocol="paper", studied=ROWS[:1]), recipe()),
    ):
        assert page(e, of=of).all("p", "serious") == []


def test_two_protocols_have_one_section_and_name_each():
    text = page(studied(), studied(protocol="paper")).text
    assert text.count("Other thresholds") == 1
    assert re.search("Other thresholds Honest protocol .* The paper's protocol Fitted thresholds", text)


def test_without_any_there_is_no_section():
    text = page(evaluation()).text
    assert "Other thresholds" not in text
    assert "By modality" not in text


def test_parts_stand_under_all_images():
    parts = {"modality": {"X-ray": part(), "CT": part(n_patients=11)}}
    text = page(evaluation(parts=parts)).text
    assert re.search("By modality .* All 45 normal, 46 covid 567 0.871 0.840 to 0.892 .* X-ray 40 normal", text)
    assert "CT 40 normal, 20 covid 11 0.800" in text
    assert "By data set" not in text
    assert "Fewer than 10" not in text


def test_a_part_of_one_class_or_few_patients_is_warned_of():
    parts = {"data set": {"a": part(), "b": part(counts={"normal": 9, "covid": 0}), "c": part(n_patients=3)}}
    text = page(evaluation(parts=parts)).text
    assert "One class only: b. What tells these images from the others tells their class, too" in text
    assert "Fewer than 10 patients: c." in text


def test_without_a_positive_class_parts_have_figures_of_the_whole_alone():
    parts = {"modality": {"X-ray": part(), "CT": part()}}
    text = page(evaluation(positive=None, parts=parts), of=recipe(classes=ClassSet(names=TWO))).text
    assert "Modality Patients Accuracy Balanced accuracy AUC All" in text


def test_names_of_data_sets_and_classes_are_inert():
    names = ("normal", HOSTILE)
    parts = {"data set": {HOSTILE: part(counts={"normal": 1, HOSTILE: 3}, metrics=metrics(names))}}
    found = page(
        studied(
            names,
            positive=HOSTILE,
            parts=parts,
            studied=(row(names=names),),
            histogram={"normal": (1,) * 20, HOSTILE: (2,) * 20},
        )
    )
    assert len(found.all("script")) == 1
    assert HOSTILE in found.text
    assert found.open == []
