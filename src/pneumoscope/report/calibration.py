"""What the reports show of how far probabilities can be trusted: calibration, sets, the surest answers, thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pneumoscope.bundle import Facts
from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.interval import Interval
from pneumoscope.core.recipe import Recipe
from pneumoscope.core.result import Evaluation, Prediction
from pneumoscope.core.trust import Calibration, Calibrator, Coverage, OperatingPoint, Selected
from pneumoscope.evaluate import prior
from pneumoscope.evaluate.points import at_prevalence
from pneumoscope.evaluate.thresholds import name_of
from pneumoscope.report import charts, words
from pneumoscope.report.thresholds import HINTS
from pneumoscope.runtime.deciding import OF_PATIENTS

WIDTH, HEIGHT = 300, 200  # of the curve of the surest answers
SCORES = (
    ("ece", "Calibration error", "debiased; 0 is best"),
    ("brier", "Brier score", "0 is best"),
    ("log_loss", "Log loss", "0 is best"),
)


def view(e: Evaluation, recipe: Recipe) -> dict[str, Any] | None:
    """All that the section of one evaluation shows; None of an older one that has nothing of it."""
    if e.calibration is None and not e.selective:
        return None
    return {
        "calibration": None if e.calibration is None else _calibration(e.calibration, e),
        "coverage": None if e.conformal is None else _coverage(e.conformal, e),
        "selective": _selective(e.selective, e),
        "points": _points(e.operating, name_of(recipe.decision), e),
        "positive": e.positive,
        "fitted": e.protocol is not None,
        "nouns": words.NOUNS[e.judged],
    }


def _calibration(c: Calibration, e: Evaluation) -> dict[str, Any]:
    same = c.after == c.before
    states = [("before", "Uncalibrated", c.before)] + ([] if same else [("after", f"After {c.kind}", c.after)])
    return {
        "said": said(c),
        "why": c.why,
        "heads": [title for _, title, _ in states],
        "rows": [
            {"title": title, "hint": hint, "cells": [_cell(getattr(s, name)) for _, _, s in states]}
            for name, title, hint in SCORES
        ],
        "curves": [
            {"title": title, "dots": charts.dots(s.reliability), "colour": 5 if state == "before" and not same else 0}
            for state, title, s in states
        ],
        "of": f"probability of {e.positive or e.classes[-1]}" if len(e.classes) == 2 else "highest probability",
    }


def said(c: Calibration) -> str:
    """What calibration came to, in one or two sentences."""
    before, after = words.interval(c.before.ece), words.interval(c.after.ece)
    if c.kind == "none":
        return f"The probabilities stand as the network gave them: calibration error {before}."
    done = f"Calibration error {before} before and {after} after {c.kind}."
    left = "" if c.applied else " It was measured and not applied: this protocol answers as its paper did."
    return done + left


def _coverage(c: Coverage, e: Evaluation) -> dict[str, Any]:
    total = sum(c.sizes)
    return {
        "level": words.share(c.level),
        "rows": [("All", _cell(c.coverage)), *((name, _cell(found)) for name, found in c.by_class.items())],
        "size": _cell(c.size),
        "sizes": [
            f"{words.plural(i, 'class', 'classes')}: {words.share(n / total)}" for i, n in enumerate(c.sizes, 1) if n
        ],
        "short": [
            name for name, found in c.by_class.items() if found.high < c.level
        ],  # the promise is broken beyond what chance explains
    }


def _selective(curve: Sequence[Selected], e: Evaluation) -> dict[str, Any] | None:
    """The curve and its band in a box of `WIDTH` by `HEIGHT`, the axis of accuracy cut below what occurs."""
    known = [s for s in curve if s.accuracy.value == s.accuracy.value]
    if not known:
        return None
    lowest = min(min(s.accuracy.low, s.accuracy.value) for s in known)
    floor = max(0.0, min(0.9, int(10 * lowest) / 10))

    def at(share: float, accuracy: float) -> str:
        return f"{WIDTH * share:.1f},{HEIGHT * (1 - (accuracy - floor) / (1 - floor)):.1f}"

    band = [at(s.share, s.accuracy.high) for s in known] + [at(s.share, s.accuracy.low) for s in reversed(known)]
    steps = [floor + (1 - floor) * i / 4 for i in range(5)]
    return {
        "line": " ".join(at(s.share, s.accuracy.value) for s in known),
        "dots": [at(s.share, s.accuracy.value).split(",") for s in known],
        "band": " ".join(band),
        "ticks": [{"y": HEIGHT * (1 - i / 4), "text": f"{step:.3g}"} for i, step in enumerate(steps)],
        "width": WIDTH,
        "height": HEIGHT,
        "rows": [
            (words.share(s.share), words.probability(s.least), words.interval(s.accuracy))
            for s in _near(known, (0.25, 0.5, 0.75, 0.9, 1.0))
        ],
    }


def _near(curve: Sequence[Selected], shares: Sequence[float]) -> list[Selected]:
    """The points of a curve nearest to some shares, each once, from few to all."""
    nearest = [min(curve, key=lambda s: abs(s.share - share)) for share in shares]
    return list(dict.fromkeys(nearest))


def _points(operating: Sequence[OperatingPoint], own: str, e: Evaluation) -> dict[str, Any] | None:
    if not operating:
        return None
    expected = operating[0].expected
    return {
        "prevalences": [words.share(found.prevalence) for found in expected],
        "rows": [
            {
                "title": words.threshold_title(p.name),
                "hint": promise(p.name),
                "own": p.name == own,
                "at": _thresholds(p.thresholds),
                "sensitivity": _cell(p.sensitivity),
                "specificity": _cell(p.specificity),
                "expected": [(_cell(found.ppv), _cell(found.npv)) for found in p.expected],
            }
            for p in operating
        ],
    }


def promise(name: str) -> str:
    """What a rule for a threshold promises where it was fitted."""
    rule, _, value = name.partition(" ")
    return HINTS.get(rule, "").format(words.share(float(value)) if rule == "sensitivity" else value)


def _thresholds(found: Sequence[float]) -> str:
    if not found:
        return "none"
    low, high = min(found), max(found)
    return f"{low:.3f}" if low == high else f"{low:.3f} to {high:.3f}"


def _cell(found: Interval) -> dict[str, str]:
    value, _, bounds = words.interval(found).partition(" (")
    return {"value": value, "bounds": bounds.rstrip(")")}


def calibrator(c: Calibrator) -> str:
    """How a bundle's probabilities come from its graph's, one sentence."""
    if c.kind == "temperature":
        way = "softened" if c.temperature > 1 else "sharpened"
        return f"Probabilities are calibrated: {way} by a temperature of {c.temperature:.2f}, fitted out-of-fold."
    if c.kind == "isotonic":
        return "Probabilities are calibrated: by isotonic regression, fitted out-of-fold."
    return "Probabilities are the network's own; they are not calibrated."


def model(facts: Facts, prevalence: float | None = None) -> dict[str, Any] | None:
    """What a report on screened studies says of the bundle's trustworthiness; None of a bundle that has none of it.

    prevalence: of the positive class, as the user stated it; None for that of the training data.
    """
    if facts.trust is None:
        return None
    measured = None if facts.evaluation is None else facts.evaluation.calibration
    return {
        "calibrator": calibrator(facts.trust.calibrator),
        "said": None if measured is None else said(measured),
        "level": None if facts.trust.conformal is None else words.share(facts.trust.conformal.level),
        "points": _worth(facts, prevalence),
    }


def _worth(facts: Facts, prevalence: float | None) -> dict[str, Any] | None:
    """PPV and NPV of each operating point at the prevalence stated, or the training data's.

    Where one is stated, only rules that keep their patients have the sensitivity that was measured: others decide on
    re-weighted probabilities (see `runtime.deciding`), where nothing was measured.
    """
    trust, classes = facts.trust, facts.recipe.classes
    if trust is None or not trust.points or classes.positive is None:
        return None
    at = trust.shares[classes.positive] if prevalence is None else prevalence
    rows = []
    for point in trust.points:
        if prevalence is not None and point.name.partition(" ")[0] not in OF_PATIENTS:
            continue
        ppv, npv = at_prevalence(point, at)
        rows.append(
            {
                "title": words.threshold_title(point.name),
                "at": _thresholds(point.thresholds) if prevalence is None else _moved(point, facts, at),
                "own": point.name == name_of(facts.recipe.decision),
                "ppv": words.figure(ppv),
                "npv": words.figure(npv),
            }
        )
    return {"rows": rows, "prevalence": words.share(at), "stated": prevalence is not None, "positive": classes.positive}


def _moved(point: OperatingPoint, facts: Facts, prevalence: float) -> str:
    """Where a point's thresholds are on probabilities that were re-weighted: of two classes, one place for all."""
    trust, classes = facts.trust, facts.recipe.classes
    if trust is None or len(classes.names) != 2 or classes.positive is None:
        return "by answer"
    stated = prior.prior({classes.positive: prevalence}, trust.shares, classes)
    found = np.array([[1 - t, t] if classes.positive_index else [t, 1 - t] for t in point.thresholds])
    shifted = prior.reweighted(found, prior.weights(trust.shares, stated, classes))
    return _thresholds([float(t) for t in shifted[:, classes.positive_index]])


def of_prediction(p: Prediction, classes: ClassSet) -> dict[str, Any] | None:
    """What a report says beside the bars of one answer; None where there is nothing to say."""
    changed = bool(p.raw) and any(abs(p.raw[name] - p.probabilities[name]) > 5e-4 for name in p.probabilities)
    if not changed and not p.set:
        return None
    return {
        "raw": [(name, words.probability(p.raw[name])) for name in classes.names] if changed else [],
        "shifted": [(name, words.share(share)) for name, share in p.prevalence.items()],
        "set": [name for name in classes.names if name in p.set],
        "all": len(p.set) == len(classes.names),
    }
