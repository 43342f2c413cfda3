"""The report, the table and the words of a comparison."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from typing import Any

import pytest
from report_examples import HOSTILE, NAN, Page

from pneumoscope.core.comparison import REST, Compared, Comparison, Held, LeftOut
from pneumoscope.core.result import Interval
from pneumoscope.core.serial import from_json, to_json
from pneumoscope.report.comparison import (
    cautions_on,
    comparison_csv,
    comparison_report,
    ranking_table,
    ranking_words,
    title_on,
)

SHARE = "protocols.honest.train_share"
NAMES = ("accuracy", "balanced_accuracy", "auc", "sensitivity.covid", "specificity.covid")


def interval(value: float, reach: float = 0.05) -> Interval:
    return Interval(value=value, low=value - reach, high=value + reach)


def part(name: str, value: float, standing: str, **changed: Any) -> Compared:
    given: dict[str, Any] = {
        "name": name,
        "folder": f"parts/{name}",
        "recipe": "szalay2021:cnn",
        "overrides": {SHARE: name},
        "varied": {SHARE: name},
        "standing": standing,
        "metrics": dict.fromkeys(NAMES, interval(value)),
        "differences": dict.fromkeys(NAMES, interval(value - 0.8, 0.0 if standing == "first" else 0.03)),
        "confusion": ((40, 10), (5, 45)),
        "seconds": {"fitting": 12.5, "reading": 1.0},
        "learned": 40.0 * value,
        "n_images": 100,
        "n_patients": 90,
    }
    return Compared(**(given | changed))


def comparison(*parts: Compared, **changed: Any) -> Comparison:
    given: dict[str, Any] = {
        "protocol": "honest",
        "by": "balanced_accuracy",
        "classes": ("non-covid", "covid"),
        "positive": "covid",
        "parts": parts or (part("1", 0.8, "first"), part("0.5", 0.78, "within the noise"), part("0.1", 0.6, "worse")),
        "n_images": 100,
        "n_patients": 90,
        "tested": "d" * 64,
        "vary": {SHARE: ("0.1", "0.5", "1")},
    }
    return Comparison(**(given | changed))


def page(found: Comparison) -> Page:
    return Page(comparison_report(found, {p.name: ["pneumoscope", "train", p.recipe, p.name] for p in found.parts}))


def test_the_page_says_what_was_measured_in_the_order_of_rank() -> None:
    text = page(comparison()).text
    assert "3 parts on the same 100 images of 90 patients, honest protocol." in text
    assert "First by balanced accuracy: 1, 0.800 (0.750 to 0.850)." in text
    assert "Worse, as the 95 % interval of the difference lies below 0: 0.1." in text
    assert "so its own figure is too good" in text
    assert "\N{MINUS SIGN}0.200 \N{MINUS SIGN}0.230 to \N{MINUS SIGN}0.170" in text
    assert "pneumoscope train szalay2021:cnn 0.5" in text


def test_a_difference_stands_on_an_axis_that_holds_0() -> None:
    found = page(comparison())
    (zero, *_), reaches = found.all("line", "chance"), found.all("line", "reach")
    at = float(zero["x1"].rstrip("%"))
    assert len(reaches) == 2
    near, far = ((float(r["x1"].rstrip("%")), float(r["x2"].rstrip("%"))) for r in reaches)
    assert near[0] < at < near[1]
    assert far[1] < at
    assert min(near[0], far[0]) >= 0
    assert max(near[1], far[1]) <= 100


def test_a_varied_number_gives_a_curve_and_a_word_none() -> None:
    found = page(comparison())
    curves = found.all("polyline", "curve")
    assert len(curves) == 2  # balanced accuracy, AUC
    xs = [float(point.split(",")[0]) for point in curves[0]["points"].split()]
    assert xs == sorted(xs)
    assert len(xs) == 3
    assert "patients learned from, mean over folds" in found.text
    assert "24" in found.text  # 40 x 0.6
    words = comparison(*(dataclasses.replace(p, varied={SHARE: f"x{p.name}"}) for p in comparison().parts))
    words = dataclasses.replace(words, vary={SHARE: ("x1", "x0.5", "x0.1")})
    assert page(words).all("polyline", "curve") == []


def test_one_figure_for_all_values_is_a_level_curve() -> None:
    same = dict.fromkeys(NAMES, interval(0.5, 0.0))
    found = comparison(*(dataclasses.replace(p, metrics=same) for p in comparison().parts))
    ys = {point.split(",")[1] for point in page(found).all("polyline", "curve")[0]["points"].split()}
    assert len(ys) == 1


def test_more_lines_than_colours_are_counted_not_drawn() -> None:
    parts = [
        part(f"{rate} {of}", 0.8, "within the noise", recipe=f"r{of}", varied={"stages.head.batch": rate})
        for of in range(9)
        for rate in ("16", "32")
    ]
    found = page(comparison(*parts, vary={"stages.head.batch": ("16", "32")}))
    assert len(found.all("polyline", "curve")) == 12
    assert "3 lines of lower rank not drawn" in found.text


def test_confusion_is_drawn_for_each_part() -> None:
    assert len(page(comparison()).all("table", "confusion")) == 3


def test_what_was_left_out_and_what_is_grave_is_said() -> None:
    found = page(
        comparison(
            left_out=(LeftOut(name="vgg19", recipe="szalay2021:vgg19", why="expected vgg19.safetensors, found none."),),
            grave=("3 patients stand on both sides.",),
            notes=("Compared on the 90 images.",),
        )
    )
    assert "Left out: vgg19. expected vgg19.safetensors, found none." in found.text
    assert "3 patients stand on both sides. " in found.text
    assert "Compared on the 90 images." in found.text
    assert len(found.all("li", "loud")) == 1


def test_figures_by_data_set_have_a_table() -> None:
    by = {"data set": {"one": interval(0.7), HOSTILE: NAN}}
    found = page(comparison(part("1", 0.8, "first", by=by), part("2", 0.7, "worse")))
    assert "By data set" in found.text
    assert "0.700 0.650 to 0.750" in found.text
    assert found.text.count("undefined") == 3  # the set of one class, and both of the part without


def test_a_set_of_one_class_has_no_balanced_accuracy_and_a_caution() -> None:
    kind = "data set"
    by = {kind: {"both": interval(0.7), "covids": interval(1.0, 0.0)}}
    held = {
        kind: {
            "both": Held(counts={"non-covid": 50, "covid": 40}, n_patients=80),
            "covids": Held(counts={"non-covid": 0, "covid": 9}, n_patients=9),
        }
    }
    found = comparison(part("1", 0.8, "first", by=by, held=held), part("2", 0.7, "worse", by=by))
    assert title_on(found, kind, "both") == "Balanced accuracy"
    assert title_on(found, kind, "covids") == "Sensitivity, covid"
    one, few = cautions_on(found, kind)
    assert one.startswith("One class only: covids. ")
    assert few.startswith("Fewer than 10 patients: covids. ")
    text = page(found).text
    assert "covids Sensitivity, covid" in text
    assert one in text
    old = comparison(part("1", 0.8, "first", by=by), part("2", 0.7, "worse", by=by))
    assert (title_on(old, kind, "covids"), cautions_on(old, kind)) == ("Balanced accuracy", [])


def test_a_file_of_before_is_read() -> None:
    data = to_json(comparison())
    for kept in data["parts"]:
        for field in ("by", "held", "made"):
            del kept[field]
    assert from_json(Comparison, data) == comparison()


def test_who_paid_for_what_others_found_is_marked() -> None:
    spent = {"fitting": 1.0, "features": 16.0, REST: 3.0}
    makers = part("1", 0.8, "first"), part("2", 0.7, "worse", seconds=spent, made=("reading", "features"))
    found = comparison(*makers)
    assert [row[-1] for row in ranking_table(found)[1]] == ["14", "20 *"]
    assert ranking_words(found)[-1].endswith("counts as its time alone (*): 2 (prepared images, features).")
    text = page(found).text
    assert "20 *" in text
    assert "16.0 *" in text
    assert "not timed" in text  # of the part that was run before it was counted
    header = comparison_csv(found).splitlines()[0].split(",")
    assert header[-4:] == ["seconds_features", "seconds_fitting", "seconds_reading", f"seconds_{REST}"]
    assert "*" not in " ".join(ranking_words(comparison()))


def test_one_seed_a_part_is_said() -> None:
    assert any("what another seed would change is in no interval" in line for line in ranking_words(comparison()))


def test_names_from_strangers_are_text() -> None:
    found = page(
        comparison(
            part(HOSTILE, 0.8, "first", recipe=HOSTILE), part("b", 0.7, "undefined"), vary={SHARE: (HOSTILE, "b")}
        )
    )
    assert found.all("img") == []
    assert [tag for tag, _ in found.tags].count("script") == 1
    assert HOSTILE in found.text


def test_what_is_undefined_is_called_so() -> None:
    nothing = dict.fromkeys(NAMES, NAN)
    parts = part("1", 0.8, "first"), part("2", 0.7, "undefined", metrics=nothing, differences=nothing, learned=math.nan)
    found = comparison(*parts)
    assert "unknown" in page(found).text
    assert any("undefined: 2" in line for line in ranking_words(found))
    assert list(csv.reader(io.StringIO(comparison_csv(found))))[2].count("") == 31


@pytest.mark.parametrize(
    ("standings", "says"),
    [
        (["within the noise"] * 2, "None of the others can be told apart from it, as the 95 % interval of the"),
        (["worse"] * 2, "All others are worse, as the 95 % interval of the difference lies below 0."),
        (["worse", "within the noise"], "Cannot be told apart from it, as the 95 % interval of the difference holds 0"),
    ],
)
def test_the_ranking_in_words(standings: list[str], says: str) -> None:
    found = comparison(part("a", 0.8, "first"), *(part(f"b{i}", 0.7, s) for i, s in enumerate(standings)))
    assert any(line.startswith(says) for line in ranking_words(found))
    assert any("by chance" in line for line in ranking_words(found))
    assert not any("by chance" in line for line in ranking_words(comparison(*found.parts[:2])))


def test_the_terminals_table_has_what_ranks_first() -> None:
    columns, rows = ranking_table(comparison())
    assert columns[:5] == ["", "part", "balanced accuracy", "difference to the first", "standing"]
    assert columns[5:] == ["accuracy", "auc", "sensitivity, covid", "specificity, covid", "seconds"]
    assert [row[0] for row in rows] == ["1", "2", "3"]
    assert rows[0][3] == ""
    assert rows[2][3].startswith("\N{MINUS SIGN}0.200 (")
    assert {len(row) for row in rows} == {len(columns)}
