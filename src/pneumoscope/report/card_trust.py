"""The part of the model card on calibration and operating points."""

from __future__ import annotations

from pneumoscope.bundle import Facts
from pneumoscope.core.trust import OperatingPoint, Trust
from pneumoscope.report import calibration, words
from pneumoscope.report.markdown import plain


def section(facts: Facts) -> str:
    """Markdown: how probabilities come about, what sets promise, a row for each operating point."""
    if facts.trust is None:
        return "Its probabilities were never calibrated: take them for scores, not for chances."
    measured = None if facts.evaluation is None else facts.evaluation.calibration
    shares = ", ".join(f"{name} {words.share(share)}" for name, share in facts.trust.shares.items())
    lines = [
        calibration.calibrator(facts.trust.calibrator),
        *([] if measured is None else [f"Cross-fitted: {calibration.said(measured)} {measured.why}"]),
        f"They speak of a prevalence as in the training data ({shares}); for another one: predict --prevalence.",
        *_sets(facts),
    ]
    return "\n\n".join(["\n".join(f"- {plain(line)}" for line in lines), *_table(facts.trust)])


def _sets(facts: Facts) -> list[str]:
    trust, evaluation = facts.trust, facts.evaluation
    if trust is None or trust.conformal is None:
        return []
    made = f"Prediction sets are made to hold the true class of {words.share(trust.conformal.level)} of each class's"
    if evaluation is None or evaluation.conformal is None:
        return [f"{made} patients."]
    found = evaluation.conformal
    held = ", ".join(f"{name} {words.interval(value)}" for name, value in found.by_class.items())
    return [f"{made} patients; cross-fitted they held {held}, with {words.interval(found.size)} classes in the mean."]


def _table(trust: Trust) -> list[str]:
    if not trust.points:
        return []
    prevalences = [words.share(found.prevalence) for found in trust.points[0].expected]
    heads = ["threshold", "at", "sensitivity", "specificity", *(f"PPV / NPV at {text}" for text in prevalences)]
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *[_row(point) for point in trust.points]]
    return ["\n".join(f"| {' | '.join(line)} |" for line in lines)]


def _row(point: OperatingPoint) -> list[str]:
    at = ", ".join(f"{threshold:.3f}" for threshold in point.thresholds) or "none"
    worth = [f"{words.figure(found.ppv.value)} / {words.figure(found.npv.value)}" for found in point.expected]
    name = plain(words.threshold_title(point.name))
    return [name, at, words.interval(point.sensitivity), words.interval(point.specificity), *worth]
