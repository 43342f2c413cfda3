import math

import pytest
from report_examples import SIZES, THREE, evaluation, recipe

from pneumoscope.core.paper import Reported
from pneumoscope.core.resolve import resolve_all
from pneumoscope.core.result import Sizes
from pneumoscope.recipes import find
from pneumoscope.report import tables

NAN = float("nan")


def entry(variants=(), data="theirs", **metrics):
    return Reported(data=data, where="Table 9", metrics=metrics, variants=variants)


def test_mean_and_standard_deviation_over_folds():
    # deviations from 0.95: -0.02, 0.02, -0.01, 0.01, 0; their squares sum to 0.001; sqrt(0.001 / 4) = 0.0158
    folds = tuple({"accuracy": a} for a in (0.93, 0.97, 0.94, 0.96, 0.95))
    found = tables.fold_table(evaluation(folds=folds))
    (row,) = found["rows"]
    assert (row["title"], row["mean"], row["sd"]) == ("Accuracy", "0.950", "0.016")
    assert row["folds"] == ["0.930", "0.970", "0.940", "0.960", "0.950"]
    assert (found["n"], found["paper"], row["paper"]) == (5, "", "")


def test_a_fold_without_the_class_is_left_out_of_its_mean():
    folds = ({"sensitivity.covid": 0.5}, {"sensitivity.covid": NAN}, {"sensitivity.covid": 1.0})
    (row,) = tables.fold_table(evaluation(folds=folds))["rows"]
    assert (row["mean"], row["sd"]) == ("0.750", "0.354")  # sqrt(2 * 0.25 ** 2)
    assert row["folds"] == ["0.500", "undefined", "1.000"]


@pytest.mark.parametrize(("values", "mean"), [((NAN, NAN), "undefined"), ((NAN, 0.25), "0.250")])
def test_one_value_has_no_standard_deviation(values, mean):
    (row,) = tables.fold_table(evaluation(folds=tuple({"accuracy": v} for v in values)))["rows"]
    assert (row["mean"], row["sd"]) == (mean, "")


@pytest.mark.parametrize("folds", [(), ({"accuracy": 0.9},)])
def test_a_hold_out_has_no_table_of_folds(folds):
    assert tables.fold_table(evaluation(folds=folds)) is None


def test_the_papers_figures_stand_with_the_folds_that_they_are_of():
    one = {"accuracy": 0.9, "sensitivity.covid": 0.8, "sensitivity.normal": 0.7}
    reported = (entry(accuracy=0.9235, sensitivity=0.95), entry(data="another", accuracy=0.85, auc=0.6))
    found = tables.fold_table(evaluation(folds=(one, one), reported=reported))
    assert [row["paper"] for row in found["rows"]] == ["0.9235, 0.850", "0.950", ""]
    assert found["paper"] == "theirs, Table 9; another, Table 9"


def test_sizes_and_those_that_the_paper_prints():
    sizes = SIZES | {"covid": Sizes(images=1, min=5.0, max=5.0, mean=5.0, sd=math.nan)}
    printed = Reported(
        data="x",
        where="Table I",
        sizes={
            "normal": {"images": 374, "min": 802100, "max": 6828621, "mean": 1773917.23, "sd": 1163297.96},
            "pneumonia": {"images": 326},  # not one of ours
        },
    )
    found = tables.size_table(evaluation(sizes=sizes, reported=(printed, entry(accuracy=0.9))))
    assert [row["name"] for row in found["rows"]] == ["normal", "covid"]
    assert found["rows"][0]["texts"] == ["3", "4,000,000", "10,000,000", "6,000,000", "3,464,102"]
    assert found["rows"][0]["paper"] == [["374", "802,100", "6,828,621", "1,773,917", "1,163,298"]]
    assert found["rows"][1]["texts"] == ["1", "5", "5", "5", "undefined"]
    assert found["rows"][1]["paper"] == []
    assert found["paper"] == "x, Table I"
    assert tables.size_table(evaluation()) is None


def test_what_the_paper_leaves_out_of_its_sizes_is_blank():
    printed = Reported(data="x", where="Table I", sizes={"normal": {"images": 374, "mean": 99.5}})
    (row,) = tables.size_table(evaluation(sizes=SIZES, reported=(printed,)))["rows"]
    assert row["paper"] == [["374", "", "", "100", ""]]


@pytest.mark.parametrize(
    ("variant", "theirs"),
    [(None, ["0.9235"]), ("densenet", ["0.6356"]), ("new-densenet-ct", ["0.9598"]), ("densenet-xray2", [])],
)
def test_a_variants_own_accuracy_stands_beside_ours(variant, theirs):
    found, _ = find("berrimi2021")
    (resolved,) = resolve_all(found, variant=variant, protocols=("honest",), overrides=None)
    e = evaluation(THREE, reported=resolved.comparable)
    rows = tables.paper_rows([e])
    assert [row["theirs"] for row in rows] == theirs
    assert [row["ours"] for row in rows] == [["0.871 (0.840 to 0.892)"]] * len(theirs)
    note = tables.paper_note([e], resolved)
    assert note.startswith("The paper's figures come from its own images" if theirs else "The paper's figures are of o")


def test_the_note_quotes_only_what_could_be_compared():
    variants = {"a": {}, "b": {}}
    reported = (entry(("a",), "data A", accuracy=0.9), entry(("b", ""), "data B", accuracy=0.8))
    as_written = recipe(variants=variants, reported=reported)
    assert tables.paper_note([evaluation()], as_written) == (
        "The paper's figures are of other data (data B), so none stands beside ours."
    )
    other = recipe(variants=variants, reported=(reported[0], entry(("",), accuracy=0.7)), variant="b")
    assert tables.paper_note([evaluation()], other) == (
        "The paper's figures are of other variants (a and doe2021), so none stands beside ours."
    )
    sizes = Reported(data="x", where="Table I", sizes={"normal": {"images": 3}})
    assert "prints no figures" in tables.paper_note([evaluation(reported=(sizes,))], recipe(reported=(sizes,)))
