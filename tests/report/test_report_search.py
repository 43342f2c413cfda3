import dataclasses
import math
import re

import pytest
from report_examples import HOSTILE, Page, evaluation, interval, recipe, with_metrics

from pneumoscope.core.result import Interval
from pneumoscope.core.search import Search, Trial, Tried
from pneumoscope.core.space import Choice, Range
from pneumoscope.report import search as report
from pneumoscope.report.search import search_report

SPACE = {
    "stages.head.batch": Choice(values=(4, 8)),
    "stages.head.optim.lr": Range(low=0.0001, high=0.1, log=True),
    "stages.head.head.hidden": Choice(values=([8], [16, 8])),
    "stages.head.head.dropout": Range(low=0.0, high=0.5),
}
COMMAND = ["pneumoscope", "train", "doe2021", "--data", "DIR", "--set", "@OUT/winner.json", "--out", "OUT/my runs"]


def trial(number, value=0.8, state="complete", **kw):
    settings = {
        "stages.head.batch": 4 + 4 * (number % 2),
        "stages.head.optim.lr": 10.0 ** -(1 + number % 4),
        "stages.head.head.hidden": [[8], [16, 8]][number % 2],
        "stages.head.head.dropout": 0.1 * (number % 5),
    }
    folds = {"complete": (value - 0.1, value, value + 0.1), "pruned": (value,), "failed": ()}[state]
    values = {"settings": settings, "folds": folds, "folder": f"{number:012x}", "seconds": 12.0}
    mean = value if folds else math.nan
    return Trial(**({"number": number, "value": mean, "state": state} | values | kw))


def search(*trials, **kw):
    trials = trials or (
        trial(0, 0.7),
        trial(1, 0.812),
        trial(2, state="failed", error="MissingError"),
        trial(3, 0.5, "pruned"),
        trial(4, 0.7, again=True),
    )
    complete = [t for t in trials if t.state == "complete"]
    best = max(complete, key=lambda t: t.value)
    tried = Tried(
        trials=trials,
        space=kw.pop("space", SPACE),
        winner=best.number,
        importance=kw.pop("importance", {}),
        importance_note="Not computed: too few.",
        inner=3,
        images=120,
        patients=100,
        split="5" * 64,
    )
    values = {
        "recipe": "doe2021",
        "digest": "d" * 64,
        "tried": tried,
        "overrides": {},
        "settings": best.settings,
        "as_written_settings": {"stages.head.batch": 32, "stages.head.head.dropout": best.settings.get("x", 0.1)},
        "winner": with_metrics(evaluation(), balanced_accuracy=interval(0.755)),
        "as_written": with_metrics(evaluation(), balanced_accuracy=interval(0.744)),
        "same": False,
        "differences": {"balanced_accuracy": Interval(value=0.011, low=-0.02, high=0.041)},
    }
    return Search(**(values | kw))


def page(done):
    html = search_report(done, recipe(), COMMAND)
    found = Page(html)
    assert not found.open
    assert not re.search(r"\sstyle=|\son\w+=|nan|inf[,\"]", re.sub(r"<(style|script)>.*?</\1>", "", html, flags=re.S))
    assert "https:" not in html
    return found


def test_both_stand_on_the_hold_out_beside_the_optimistic_value():
    text = page(search()).text
    assert "Trial 1 had the best mean balanced accuracy on the 3 inner folds: 0.812." in text
    assert "the best of 4, chosen for this very value, so the value is optimistic" in text
    assert "On the hold-out, which no trial saw, the winner has 0.755 (0.724 to 0.776)." in text
    assert "The recipe as written has 0.744 (0.713 to 0.765) on the same hold-out." in text
    assert "4 trials, 4 different settings." in text


@pytest.mark.parametrize(
    ("low", "value", "high", "says"),
    [
        (-0.02, 0.011, 0.041, "+0.011 (\N{MINUS SIGN}0.020 to +0.041). That is within the noise: the 95 % interval of"),
        (0.0, 0.011, 0.041, "within the noise"),
        (0.002, 0.011, 0.041, "It is better: the 95 % interval of the difference lies above 0."),
        (-0.04, -0.011, -0.002, "It is worse: the 95 % interval of the difference lies below 0."),
        (math.nan, 0.0, math.nan, "paired by patient: +0.000 (interval undefined)."),
    ],
)
def test_the_difference_and_whether_it_is_noise(low, value, high, says):
    done = search(differences={"balanced_accuracy": Interval(value=value, low=low, high=high)})
    text = page(done).text
    assert "The winner less the recipe as written, paired by patient: " in text
    assert says in text


def test_what_was_set_is_listed_and_the_column_is_called_so():
    assert "Set for the whole search" not in page(search()).text
    done = search(overrides={"prep.resize.size": 64, "stages.head.init": "random", "stages.head.batch": 16})
    text = page(done).text
    assert "Set for the whole search: prep.resize.size=64, stages.head.init=random." in text  # the batch was searched
    assert "As the search began, on the hold-out" in text
    assert "The recipe as the search began has 0.744" in text
    assert "s written" not in text
    same = page(dataclasses.replace(done, same=True)).text
    assert "The winner is the recipe as the search began: one run serves for both." in same


def test_the_command_is_there_as_a_shell_takes_it():
    text = page(search()).text
    assert "pneumoscope train doe2021 --data DIR --set @OUT/winner.json --out 'OUT/my runs'" in text


def test_a_choice_that_looks_like_a_range_is_none():
    words = ["a..b", "c..d:log"]
    trials = [trial(n, settings={"stages.head.net": words[n]}) for n in (0, 1)]
    drawn = report._parallel(search(*trials, space={"stages.head.net": Choice(values=tuple(words))}).tried)
    assert [text for _, text in drawn["axes"][0]["marks"]] == ['"a..b"', '"c..d:log"']


def test_where_the_recipe_as_written_won_it_stands_there_once():
    done = search(same=True)
    text = page(dataclasses.replace(done, as_written=done.winner)).text
    assert "one run serves for both" in text
    assert "As written, on the hold-out" not in text


def test_settings_that_came_again_are_counted_once():
    one = trial(0).settings
    text = page(search(trial(0), trial(1, settings=one, again=True), trial(2, settings=one, again=True))).text
    assert "3 trials, 1 different setting." in text
    assert text.count("found again") == 2


def test_the_history_draws_each_trial_and_the_best_so_far():
    found = page(search())
    assert len(found.all("circle", "point")) >= 3
    assert len(found.all("circle", "c5")) == 1  # the pruned one
    history = report._history(search().tried)
    assert [d["state"] for d in history["dots"]] == ["complete", "complete", "pruned", "complete"]
    ys = [float(pair.split(",")[1]) for pair in history["best"].split()]
    assert ys == sorted(ys, reverse=True)  # upwards is less
    assert ys[-1] == min(d["y"] for d in history["dots"])
    assert history["pruned"] == 1


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.5], [0.0, 1.0], [0.8123, 0.8124], [0.4, 0.95], []])
def test_an_axis_holds_its_values_and_few_marks(values):
    axis = report._axis(values)
    marks = axis.marks(100)
    assert 2 <= len(marks) <= 8
    assert len({text for _, text in marks}) == len(marks)
    assert all(0 <= axis.at(v, 100) <= 100 for v in values)
    assert marks[0][0] == pytest.approx(100)
    assert marks[-1][0] == pytest.approx(0)


def test_parallel_coordinates_hold_every_trial_and_the_winner_on_top():
    drawn = report._parallel(search().tried)
    assert [a["name"] for a in drawn["axes"]] == ["batch", "optim.lr", "head.hidden", "head.dropout", "value"]
    assert len(drawn["lines"]) == 4
    assert [line["best"] for line in drawn["lines"]] == [False, False, False, True]
    for line in drawn["lines"]:
        points = [tuple(map(float, p.split(","))) for p in line["points"].split()]
        assert len(points) == 5
        assert all(-10 <= y <= drawn["tall"] + 10 for _, y in points)
    assert [text for _, text in drawn["axes"][2]["marks"]] == ["[16,8]", "[8]"]
    assert [text for _, text in drawn["axes"][0]["marks"]] == ["4", "8"]
    low, high = drawn["axes"][1]["marks"]
    assert (low[1], high[1]) == ("0.0001", "0.1")
    assert low[0] > high[0]


def test_one_trial_or_one_value_draws_too():
    text = page(search(trial(0))).text
    assert "All settings side by side" not in text
    same = [trial(n, 0.5, settings=trial(0).settings) for n in range(3)]
    assert "All settings side by side" in page(search(*same)).text


def test_importance_is_bars_or_a_sentence():
    assert "Not computed: too few." in page(search()).text
    found = page(search(importance={"stages.head.optim.lr": 0.75, "stages.head.batch": 0.25}))
    assert "stages.head.optim.lr 75 %" in found.text.replace("stages.head.optim.lr75 %", "stages.head.optim.lr 75 %")
    assert [bar["width"] for bar in found.all("rect", "fill")] == ["75.0%", "25.0%"]


def test_the_table_says_what_became_of_each_trial():
    text = page(search()).text
    for words in ("won", "MissingError", "left off after 1 fold", "found again"):
        assert words in text
    many = [trial(n) for n in range(report.LISTED + 7)]
    assert "7 more trials in search.json" in page(search(*many)).text


def test_the_winner_beside_what_was_written():
    rows = report._settings_rows(search())
    assert rows[0] == {
        "field": "stages.head.batch",
        "space": "4,8",
        "winner": "8",
        "written": "32",
        "kind": "override",
    }
    assert rows[3]["kind"] == ""  # the same
    assert rows[1]["written"] == ""  # not a field by itself


def test_fields_of_several_stages_keep_their_stage():
    names = report._names(["stages.a.batch", "stages.b.batch", "prep.resize.size"])
    assert list(names.values()) == ["a.batch", "b.batch", "prep.resize.size"]


def test_what_comes_from_strangers_is_escaped():
    settings = {"stages.head.net": HOSTILE}
    done = search(
        trial(0, settings=settings, error=HOSTILE),
        trial(1, settings={"stages.head.net": "cnn"}, state="pruned"),
        space={"stages.head.net": Choice(values=(HOSTILE, "cnn"))},
        overrides={"stages.head.init": HOSTILE},
        as_written_settings={"stages.head.net": HOSTILE},
    )
    html = search_report(done, recipe(), COMMAND)
    assert "<script>alert" not in html
    assert "<img src=x" not in html
