import base64
import dataclasses
import hashlib
import re

import pytest
from report_examples import (
    HEAT,
    HOSTILE,
    NAN,
    SIZES,
    THREE,
    TWO,
    Page,
    data_card,
    evaluation,
    facts,
    gallery,
    interval,
    picture,
    recipe,
    refused,
    screened,
    with_metrics,
)

from pneumoscope.core.image import Image2D
from pneumoscope.core.paper import Reported
from pneumoscope.core.result import Curve
from pneumoscope.io.describe import together
from pneumoscope.report import html, words


def screening(*studies, **kw):
    return html.screening_report(studies, facts(**kw))


def evaluated(*evaluations, of=None, run=None, galleries=()):
    return html.evaluation_report(evaluations, of or recipe(), run=run or {}, galleries=galleries)


FOLDS = ({"accuracy": 0.9, "sensitivity.covid": 0.5}, {"accuracy": 0.8, "sensitivity.covid": 1.0})
TWELVE = (*(f"a class of a rather long name, {i}" for i in range(10)), "A" * 60, "covid")


ANY_REPORT = [
    screening(screened(), refused()),
    screening(screened(p=(0.1, 0.2, 0.7), names=THREE, decision="covid"), names=THREE),
    screening(),
    evaluated(evaluation(), evaluation(protocol="paper", shared_patients=3)),
    evaluated(evaluation(THREE), of=recipe(THREE)),
    evaluated(),
    evaluated(
        evaluation(folds=FOLDS, sizes=SIZES),
        evaluation(protocol="paper", sizes=SIZES),
        galleries=[(gallery(), gallery(picture(heat=HEAT, right=True))), ()],
    ),
]


@pytest.mark.parametrize("text", ANY_REPORT)
def test_nothing_outside_is_referred_to(text):
    page = Page(text)
    for tag, attributes in page.tags:
        assert tag not in {"link", "iframe", "object", "embed", "base", "form"}
        for name, value in attributes.items():
            if name in {"src", "href", "srcset", "action", "poster", "xlink:href", "data"}:
                assert value.startswith(("data:image/", "#")), (tag, name, value)
            assert not name.startswith("on")
            assert name != "style"
    assert not re.search(r"https?:|//[a-z]|url\(|@import", text, re.IGNORECASE)
    assert page.open == []


@pytest.mark.parametrize("text", ANY_REPORT)
def test_the_policy_allows_this_style_and_script_by_their_hash_and_nothing_else(text):
    (policy,) = [a["content"] for a in Page(text).all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    for tag, source in (("style", "style-src"), ("script", "script-src")):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        found = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{source} 'sha256-{found}';" in policy
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy


@pytest.mark.parametrize("text", ANY_REPORT)
def test_the_disclaimer_stands_there_once_and_no_link_leads_nowhere(text):
    page = Page(text)
    assert page.text.count(words.DISCLAIMER) == 1
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    assert {a["href"][1:] for a in page.all("a")} <= set(ids)


def test_text_from_elsewhere_is_inert():
    study = screened(HOSTILE, warnings=(HOSTILE,))
    text = html.screening_report(
        [study, refused(HOSTILE, HOSTILE)], facts(intended_use=HOSTILE, name=HOSTILE), title=HOSTILE
    )
    page = Page(text)
    assert len(page.all("script")) == 1
    assert "<script>alert" not in text
    assert page.text.count(HOSTILE) >= 9
    assert not any(a.get("src") == "x" for a in page.all("img"))


def test_text_from_elsewhere_is_inert_in_an_evaluation():
    text = evaluated(evaluation(left_out={HOSTILE: 3}, warnings=(HOSTILE,)), run={HOSTILE: HOSTILE})
    assert Page(text).text.count(HOSTILE) == 4
    assert len(Page(text).all("script")) == 1


def test_a_file_name_that_is_not_utf8_can_be_written():
    assert "caf\\udce9.png" in screening(screened("caf\udce9.png")).encode().decode()


def test_the_answer_is_in_words_that_speak_of_the_image():
    page = Page(screening(screened(), screened(p=(0.1, 0.9), decision="covid")))
    assert "Does not look like covid" in page.text
    assert "Looks like covid" in page.text
    assert "patient has covid" not in page.text.lower()
    three = Page(screening(screened(p=(0.1, 0.7, 0.2), names=THREE, decision="pneumonia"), names=THREE))
    assert "Looks like pneumonia" in three.text


def test_probabilities_are_bars_and_the_threshold_stands_on_the_positive_one():
    page = Page(screening(screened(p=(0.752, 0.248))))
    assert [a["width"] for a in page.all("rect", "fill")] == ["75.2%", "24.8%"]
    (mark,) = page.all("line", "mark")
    assert (mark["x1"], mark["x2"]) == ("30.0%", "30.0%")
    meters = [a["aria-label"] for a in page.all("svg", "meter")]
    assert meters == ["normal: 75.2 %", "covid: 24.8 %, threshold 30 %"]
    assert "Decided for covid from a probability of 30 % up." in page.text


def test_without_a_threshold_there_is_no_mark():
    page = Page(screening(screened(threshold=None), threshold=None))
    assert page.all("line", "mark") == []
    assert "Decided for the most probable class." in page.text


def test_a_threshold_just_above_every_probability_stays_on_the_bar():
    (mark,) = Page(screening(screened(threshold=1.0000001))).all("line", "mark")
    assert mark["x1"] == "100.0%"


def test_the_map_lies_over_the_image_with_a_slider_that_needs_a_script():
    page = Page(screening(screened()))
    assert len(page.all("img", "heat")) == 1
    (slider,) = page.all("input")
    assert (slider["type"], slider["value"]) == ("range", "45")
    assert "hidden" in page.all("label", "slider")[0]
    assert "opacity: 0.45" in screening(screened())  # without a script
    assert "does not show that the answer is right" in page.text


def test_a_map_of_zeros_is_said_not_drawn():
    page = Page(screening(screened(heat=0.0, decision="covid")))
    assert "Nothing in this image speaks for covid" in page.text
    assert page.all("img", "heat") == []
    assert page.all("input") == []


def test_a_study_without_a_map_still_shows_its_image():
    page = Page(screening(dataclasses.replace(screened(), explanation=None)))
    assert len(page.all("img")) == 1
    assert "How to read the heat map" not in page.text


def test_refusals_and_warnings_stand_in_plain_sight_with_time_and_precision():
    page = Page(screening(refused("x.dcm", "Not a chest.", "Too small."), screened(warnings=("No view named.",))))
    for text in ("Not judged", "Not a chest.", "Too small.", "No view named.", "0.42 s", "fp32", "PA"):
        assert text in page.text
    assert page.text.count("Too small.") == 2  # in the table and with the study


def test_the_model_card_stands_beside():
    found = facts()
    text = Page(html.screening_report([screened()], found)).text
    for piece in (
        found.name,
        found.id[:12],
        "doe2021",
        words.citation(found.recipe.paper),
        "2,100 images of 1,900 patients.",
        "700 normal, 700 covid",
        "set <one>, set|two",
        "0.871 0.840 to 0.892",
        "0.852 0.821 to 0.873",
        "0.913 0.882 to 0.934",
        "Honest protocol: 5-fold cross-validation, parted by patient.",
        "1,234 images, 567 patients",
        found.intended_use,
        found.limits[0],
        found.licence,
    ):
        assert piece in text


def test_a_model_never_evaluated_is_said_to_be():
    assert "It was never evaluated" in Page(screening(screened(), evaluation=None)).text


def test_a_weak_evaluation_is_said_to_be_beside_the_answers():
    weak = evaluation(protocol="paper", shared_patients=1, grouped=False)
    text = Page(screening(screened(), evaluation=weak)).text
    assert "1 patient stands on both sides of this split: these figures are too good." in text
    assert "is not known" in text


def test_one_study_needs_no_table_and_many_are_all_in_it():
    assert Page(screening(screened())).all("table", "studies") == []
    page = Page(screening(screened(), refused(), screened(p=(0.1, 0.9), decision="covid")))
    assert len(page.all("tr")) == 4
    assert [a["href"] for a in page.all("a")] == ["#study-1", "#study-2", "#study-3"]
    assert "1 Looks like covid 1 Does not look like covid 1 Not judged" in page.text


def test_of_hundreds_of_studies_the_first_fifty_are_shown_in_full():
    page = Page(screening(*[screened(f"{i}.png", warnings=(f"warning {i}.",)) for i in range(53)]))
    assert len(page.all("tr")) == 54
    assert len(page.all("article")) == 50
    assert "The first 50 are shown in full below" in page.text
    assert "warning 52." in page.text
    assert "52.png" in page.text


def test_a_large_image_is_small_in_the_report():
    study = screened(size=(3000, 2400))
    noise = study.image.pixels[:300, :240].repeat(10, axis=0).repeat(10, axis=1)
    study = dataclasses.replace(study, image=Image2D(pixels=noise, unit="unit"))
    assert len(screening(study, study)) < 2 * 800_000


def test_all_figures_of_an_evaluation_are_there():
    text = Page(evaluated(evaluation(left_out={"lateral": 31}), run={"machine": "2 cores"})).text
    for piece in (
        "0.871 0.840 to 0.892",
        "Sensitivity, covid 0.710 0.679 to 0.731",
        "0.123 0.092 to 0.144",
        "1,234 images, 567 patients",
        "5-fold cross-validation, parted by patient",
        "31 lateral",
        "machine 2 cores",
        "covid: AUC 0.913 (0.882 to 0.934)",
        "40 89 %",
        "5 11 %",
        "41 89 %",
        "5" * 12,
    ):
        assert piece in text, piece


def test_whiskers_stand_where_the_figures_are():
    page = Page(evaluated(evaluation()))
    assert page.all("circle", "dot")[0]["cx"] == "87.1%"
    reach = page.all("line", "reach")[0]
    assert (reach["x1"], reach["x2"]) == ("84.0%", "89.2%")
    # always naming the more frequent class: 46 of 91 images
    assert page.all("line", "chance")[0]["x1"] == "50.55%"


def test_what_is_undefined_is_called_so_and_not_drawn():
    names = {"accuracy": NAN, "sensitivity": dict.fromkeys(TWO, NAN)}
    found = with_metrics(
        evaluation(roc={}, reliability=Curve(x=(), y=()), confusion=((0, 0), (3, 4)), thresholds=()), **names
    )
    page = Page(evaluated(found))
    assert "Accuracy undefined" in page.text
    assert "nan" not in page.text.lower()
    assert "Undefined: there are no images of at least two classes." in page.text
    assert "the most probable class" in page.text
    assert len(page.all("circle", "dot")) == 2  # balanced accuracy and AUC
    assert "0 none 0 none" in page.text


def test_of_two_classes_one_roc_is_drawn_of_three_all():
    assert len(Page(evaluated(evaluation())).all("polyline")) == 2  # and the reliability
    three = with_metrics(evaluation(THREE), auc_ovr={name: interval(0.9) for name in THREE})
    page = Page(evaluated(three, of=recipe(THREE)))
    assert [a["class"] for a in page.all("polyline")] == ["curve c0", "curve c1", "curve c2", "curve c0"]
    assert "pneumonia: AUC 0.900 (0.869 to 0.921)" in page.text
    assert page.all("polyline")[0]["points"] == "0,240 24,48 240,0"


def test_two_protocols_stand_side_by_side_and_the_leak_is_loud():
    page = Page(evaluated(evaluation(), evaluation(protocol="paper", shared_patients=37)))
    assert len(page.all("section", "panel")) == 2
    assert len(page.all("li", "loud")) == 1
    assert "37 patients stand on both sides of this split: these figures are too good." in page.text
    assert "parted by image, whoever the patient" in page.text
    assert "The weights were chosen on the very part that is reported." in page.text


def test_a_finished_model_on_new_data_and_an_unknown_protocol_are_told_apart():
    assert "Nothing was trained here" in Page(evaluated(evaluation(protocol=None))).text
    honest_only = recipe(protocols=recipe().protocols[:1])
    assert "not on record" in Page(evaluated(evaluation(protocol="paper"), of=honest_only)).text


def test_the_papers_figures_stand_beside_ours():
    metrics = {"accuracy": 0.987, "sensitivity": 0.6543, "mcc": 0.5}
    entry = Reported(data="theirs", where="Table 9", metrics=metrics)
    text = Page(evaluated(evaluation(reported=(entry,)))).text
    assert "Accuracy theirs Table 9 0.987 0.871 (0.840 to 0.892)" in text
    assert "Sensitivity theirs Table 9 0.6543 0.710 (0.679 to 0.731)" in text
    assert "Mcc theirs Table 9 0.500 not measured" in text


def test_no_figures_of_the_paper_have_a_reason():
    assert "The paper prints no figures" in Page(evaluated(evaluation())).text
    other = recipe(reported=(Reported(data="elsewhere", where="Table 1", metrics={"accuracy": 0.9}),))
    assert "are of other data (elsewhere)" in Page(evaluated(evaluation(), of=other)).text


def test_the_recipe_says_where_each_field_comes_from():
    page = Page(evaluated(evaluation()))
    assert "stages.head.epochs 7 override" in page.text
    assert "prep.resize.size 32 assumed nothing is said" in page.text
    assert "protocols.honest.unit group ours patients apart" in page.text
    assert "decision.value 0.5 section 4" in page.text
    assert len(page.all("tr", "override")) == 1


def test_folds_stand_beside_the_paper():
    reported = (Reported(data="Data-B", where="section IV: '95.3% +- 0.02'", metrics={"accuracy": 0.953}),)
    text = Page(evaluated(evaluation(folds=FOLDS, reported=reported))).text
    assert "Each fold Metric Mean ± SD Paper Fold 1 Fold 2 Accuracy 0.850 ± 0.071 0.953 0.900 0.800" in text
    assert "Sensitivity, covid 0.750 ± 0.354 0.500 1.000" in text
    assert re.search(r"sample \(n\W+1\) over 2 folds", text)
    assert "Paper: Data-B, section IV: '95.3% +- 0.02'." in text
    assert "Each fold" not in Page(evaluated(evaluation(folds=FOLDS[:1]))).text


def test_sizes_stand_beside_the_paper():
    sizes = {"normal": {"images": 374, "min": 802100, "max": 6828621, "mean": 1773917.23, "sd": 1163297.96}}
    reported = (Reported(data="1130 X-rays", where="Table I", sizes=sizes),)
    text = Page(evaluated(evaluation(sizes=SIZES, reported=reported))).text
    assert (
        "Class Images Least Greatest Mean SD normal 3 4,000,000 10,000,000 6,000,000 3,464,102 "
        "paper, normal 374 802,100 6,828,621 1,773,917 1,163,298"
    ) in text
    assert "Paper: 1130 X-rays, Table I." in text
    assert "The paper prints no figures that could stand beside ours." in text  # sizes are none


def test_of_many_classes_the_confusion_has_upright_names_and_a_row_of_its_own():
    page = Page(evaluated(evaluation(TWELVE), of=recipe(TWELVE)))
    assert len(page.all("table", "together")) == len(page.all("div", "whole")) == 1
    few = Page(evaluated(evaluation(THREE), of=recipe(THREE)))
    assert len(few.all("table", "together")) == len(few.all("div", "whole")) == 0


def test_what_was_learned_before_stands_with_the_data():
    text = Page(screening(screened(), before={"source": data_card()})).text
    assert (
        "Before that, it learned from 2,100 images of 1,900 patients (role source: 1,000 normal, 1,100 disease)" in text
    )
    assert "Before that" not in Page(screening(screened())).text


def test_findings_that_occur_together_stand_in_the_report_of_a_run():
    found = together([{"Mass"}, {"Mass", "Edema"}, {"<b>"}, set()])
    assert found is not None
    page = Page(html.evaluation_report([evaluation()], recipe(), run={}, findings={"source": found}))
    assert "Findings that occur together, role source" in page.text
    assert "3 images with findings" in page.text
    assert "<b>" in page.text  # as text
    assert "Findings that occur together" not in evaluated(evaluation())
