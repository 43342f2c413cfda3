"""Shortcuts in the reports: every figure stands there with its interval, names are escaped, nothing is invented."""

from __future__ import annotations

from report_examples import HOSTILE, Page, evaluation, recipe

from pneumoscope.core.result import Interval
from pneumoscope.core.shortcuts import Audited, Crossed, Headline, Shortcut, Shortcuts
from pneumoscope.report import html, shortcuts


def one(name: str, value: float, *, lung: bool = False, share: float | None = None, **kw: object) -> Shortcut:
    values = {
        "name": name,
        "sees": "something",
        "lung": lung,
        "answers": "class",
        "classes": ("covid", "normal"),
        "balanced_accuracy": Interval(value=value, low=value - 0.05, high=value + 0.05),
        "auc": Interval(value=0.5, low=0.4, high=0.6),
        "confusion": ((1, 0), (0, 1)),
        "n_images": 1234,
        "n_patients": 100,
        "share": None if share is None else Interval(value=share, low=share - 0.1, high=share + 0.1),
    }
    return Shortcut(**(values | kw))


def shortcuts_of(*found: Shortcut, of: str = "a set", **kw: object) -> Shortcuts:
    values = {
        "of": of,
        "counts": {"covid": 600, "normal": 634},
        "n_patients": 100,
        "folds": 5,
        "learned_from": "frozen features",
        "found": found,
        "verdict": ("The verdict in words.",),
    }
    return Shortcuts(**(values | kw))


def crossed(learned: str, tested: str, value: float) -> Crossed:
    interval = Interval(value=value, low=value - 0.02, high=value + 0.02)
    return Crossed(
        learned=learned,
        tested=tested,
        classes=("covid", "normal"),
        balanced_accuracy=interval,
        auc=interval,
        n_images=77,
        n_patients=7,
    )


def test_a_panel_has_every_shortcut_and_its_share() -> None:
    found = shortcuts_of(one("borders", 0.7, share=0.5), one("whole image", 0.9, lung=True, share=1.0))
    panel = shortcuts.panel(found)
    assert [(title, [r["title"] for r in rows]) for title, rows in panel["groups"]] == [
        ("Sees no lung", ["borders"]),
        ("Sees lung", ["whole image"]),
    ]
    row = panel["rows"][0]
    assert (row["name"], row["share"], row["images"]) == ("borders", "50 % (40 % to 60 %)", "1,234")
    dot = panel["groups"][0][1][0]
    assert (dot["dot"], dot["low"], dot["high"], dot["empty"]) == (70.0, 65.0, 75.0, 50.0)


def test_a_headline_from_elsewhere_is_drawn_first_and_shares_are_of_it() -> None:
    figure = Interval(value=0.9, low=0.88, high=0.92)
    headline = Headline(of="this bundle", classes=("covid", "normal"), balanced_accuracy=figure)
    panel = shortcuts.panel(shortcuts_of(one("borders", 0.7, share=0.1), headline=headline))
    assert [(r["title"], r["dot"]) for r in panel["headline"]] == [("this bundle", 90.0)]
    assert panel["rows"][0]["share"] == "50 %"


def test_a_source_has_no_share() -> None:
    told = one("source from picture", 0.9, lung=True, answers="source", classes=("a", "b", "c"))
    panel = shortcuts.panel(shortcuts_of(told))
    assert panel["rows"][0]["share"] == ""
    assert panel["groups"][0][1][0]["empty"] == 33.33


def test_the_matrix_knows_its_diagonal_and_its_gaps() -> None:
    found = shortcuts.matrix((crossed("x", "x", 0.9), crossed("x", "y", 0.5), crossed("y", "y", 0.95)))
    assert found is not None
    assert found["names"] == ["x", "y"]
    (_, first), (_, second) = found["rows"]
    assert (first[0]["own"], first[0]["shade"], first[1]["own"], first[1]["shade"]) == (True, 8, False, 0)
    assert second[0] is None
    assert shortcuts.matrix(()) is None


def test_an_evaluation_report_shows_them_once_and_only_where_they_were_measured() -> None:
    title = "What shortcuts score on these images"
    without = html.evaluation_report([evaluation()], recipe(), run={})
    assert title not in without
    found = shortcuts_of(one("borders", 0.7), of=HOSTILE, left_out={HOSTILE: 3}, counts={HOSTILE: 1, "normal": 2})
    page = html.evaluation_report([evaluation()], recipe(), run={}, shortcuts=found)
    Page(page)
    assert page.count(title) == 1
    assert "0.700" in page
    assert "The verdict in words." in page
    assert "<script>alert" not in page


def test_an_audit_shows_each_set_and_the_matrix() -> None:
    made = Audited(
        shortcuts=(shortcuts_of(one("borders", 0.7), of=HOSTILE), shortcuts_of(one("borders", 0.6), of="another")),
        crossed=(crossed(HOSTILE, HOSTILE, 0.9), crossed(HOSTILE, "another", 0.6)),
    )
    page = html.render("audit_shortcuts.html.j2", **shortcuts.values(made))
    assert page.count("What needs no lung") == 2
    assert "Learned from one set, asked of another" in page
    assert "77 images" in page
    assert "<script>alert" not in page
    assert html.render("audit_shortcuts.html.j2", **shortcuts.values(None)).strip() == ""
