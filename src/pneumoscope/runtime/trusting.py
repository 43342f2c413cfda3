"""How far a bundle's probabilities can be trusted on data that it has not seen: as they are, nothing refitted."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from pneumoscope.bundle import Facts
from pneumoscope.core.result import Evaluation, Prediction
from pneumoscope.core.trust import OperatingPoint
from pneumoscope.evaluate import conformal, crossfit, points, selective, thresholds
from pneumoscope.evaluate.crossfit import Choice, Known

AS_IT_IS = "The bundle's own calibration, as it is: nothing was fitted to this data."


def trusted(
    evaluation: Evaluation,
    facts: Facts,
    known: Known,
    raw: np.ndarray,
    decisions: np.ndarray,
    predictions: Sequence[Prediction],
    rules: thresholds.Found,
) -> Evaluation:
    """The evaluation with calibration, prediction sets, the surest answers and operating points.

    known: calibrated answers, as the bundle gave them. raw: the same before calibration, `[N, K]`. decisions: integers
    `[N]`. rules: the thresholds studied.
    """
    classes, trust = facts.recipe.classes, facts.trust
    p, labels, groups = known
    calibration = coverage = None
    if trust is not None:
        choice = Choice(trust.calibrator.kind, AS_IT_IS, {})
        before = known._replace(probabilities=raw)
        calibration = crossfit.measured(before, p, choice, classes, applied=trust.calibrator.kind != "none")
    if trust is not None and trust.conformal is not None:
        inside = np.array([[name in one.set for name in classes.names] for one in predictions])
        coverage = conformal.measured(inside, labels, groups, classes, level=trust.conformal.level)
    operating: tuple[OperatingPoint, ...] = ()
    if classes.positive is not None:
        promising = thresholds.promising(rules, facts.recipe.decision)
        said = thresholds.decided(promising, p, classes, np.zeros(len(p), dtype=np.int64))
        operating = points.measured(said, labels, groups, classes)
    return dataclasses.replace(
        evaluation,
        calibration=calibration,
        conformal=coverage,
        selective=selective.curve(p, decisions, labels, groups),
        operating=operating,
    )
