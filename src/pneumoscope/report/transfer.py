"""A bundle's figures on its own patients beside those on others, and the drop in words.

What Roberts et al. 2021 (Nature Machine Intelligence 3:199) found lacking in nearly every model for COVID-19.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pneumoscope.core.result import Evaluation, Interval, Moved, Transfer
from pneumoscope.report import tables, words

NAMED = ("balanced_accuracy", "auc")  # the figures whose drop is said in words
HOW = (
    "Own patients: each judged out of fold, by a model that had not seen them; here: by the model of the bundle. "
    "The two are of different patients, so the interval of a difference is put together from their two intervals "
    "(MOVER, Zou and Donner 2008)."
)


def said(evaluation: Evaluation) -> list[str]:
    """The drop in words, one sentence a figure, and what it cannot mean; nothing where there is nothing to compare."""
    t = evaluation.transfer
    if t is None:
        return []
    if not t.metrics:
        return ["Nothing here can be compared with what the model did on its own patients."]
    names = [name for name in NAMED if name in t.metrics] or list(t.metrics)
    return [sentence(name, t.metrics[name]) for name in names]


def sentence(name: str, m: Moved) -> str:
    """What becomes of one figure: it falls, it rises, or the difference is within the noise."""
    title, own, here = tables.dotted_title(name), words.interval(m.own), words.interval(m.here)
    d = m.difference
    if math.isnan(d.low + d.high) or d.low <= 0 <= d.high:
        return (
            f"{title} is {own} on its own patients, out of fold, and {here} here: a difference of "
            f"{words.difference(d)}, which is within the noise; that does not show that there is none."
        )
    how, what = ("falls", "drop") if d.value < 0 else ("rises", "rise")
    size = Interval(value=abs(d.value), low=min(abs(d.low), abs(d.high)), high=max(abs(d.low), abs(d.high)))
    moved = f"{title} {how} from {own} on its own patients, out of fold, to {here} here"
    return f"{moved}: a {what} of {words.interval(size)}."


def table(evaluation: Evaluation) -> dict[str, Any] | None:
    """The figures side by side, what is said of them, and how to read them; None where nothing is known of its own."""
    t = evaluation.transfer
    if t is None:
        return None
    rows = [
        {
            "title": tables.dotted_title(name),
            "own": _cell(m.own),
            "here": _cell(m.here),
            "difference": words.difference(m.difference),
            "sure": m.difference.low > 0 or m.difference.high < 0,
        }
        for name, m in t.metrics.items()
    ]
    counts = {name: sum(row) for name, row in zip(evaluation.classes, evaluation.confusion, strict=True)}
    people = words.plural(t.n_patients, "patient"), words.plural(evaluation.n_patients, "patient")
    return {
        "said": said(evaluation),
        "rows": rows,
        "own": f"{words.amount(t.n_images, t.judged)}, {people[0]}: {words.counts(t.counts)}",
        "here": f"{words.judged(evaluation)}, {people[1]}: {words.counts(counts)}",
        "cautions": cautions(t, counts, evaluation.positive),
        "how": HOW,
    }


def cautions(t: Transfer, counts: Mapping[str, int], positive: str | None) -> list[str]:
    """What a reader of the two columns must know. counts: class -> images here."""
    found = []
    if t.leaky:
        found.append("Its own figures are too good, since patients may stand on both sides of its split.")
    if t.protocol == "paper":
        found.append("Its own figures come of the paper's protocol.")
    if t.absent:
        found.append(
            f"There is none of {words.listed(t.absent)} in one of the two: only the sensitivities of the other classes "
            "mean the same in both, and only they are compared."
        )
    elif not t.metrics:
        found.append(f"Its own figures are of {words.NOUNS[t.judged]}, those here are not: they are not compared.")
    elif positive is not None:
        own, here = (_share(of, positive) for of in (t.counts, counts))
        if abs(own - here) > 0.05:
            found.append(
                f"{words.share(own)} of its own are {positive}, and {words.share(here)} here: accuracy, precision and "
                "the Brier score move with that alone; sensitivity, specificity and AUC do not."
            )
    return found


def _share(counts: Mapping[str, int], name: str) -> float:
    return counts[name] / sum(counts.values())


def _cell(found: Interval) -> dict[str, str]:
    value, _, bounds = words.interval(found).partition(" (")
    return {"value": value, "bounds": bounds.rstrip(")")}
