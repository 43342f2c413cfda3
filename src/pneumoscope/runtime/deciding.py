"""From what the graph says to the answer that a user gets: calibrate, re-weight where asked, decide.

One way for images, studies and volumes, and the same in training: calibration comes first, so the bundle's threshold is
one on calibrated probabilities, a fixed one of the recipe, too. With a stated prevalence the calibrated probabilities
are re-weighted. A rule on probabilities as such (the most probable class, a fixed threshold, a cost) then decides on
the re-weighted ones. A rule that promises a sensitivity, and Youden's, do not depend on the prevalence: they decide as
without one, and the threshold that is reported moves with the probabilities. So do the prediction sets, whose promise
is one for each class: they are those of before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from pneumoscope.bundle import Facts
from pneumoscope.core.result import Prediction
from pneumoscope.core.trust import Calibrator
from pneumoscope.evaluate import calibrate, conformal, prior
from pneumoscope.evaluate.decide import decide
from pneumoscope.runtime.studies import named

RAW = Calibrator()
OF_PATIENTS = ("sensitivity", "youden")  # rules that promise something about patients of one class


def shares_of(facts: Facts) -> dict[str, float]:
    """Class -> the share of it that a bundle's probabilities speak of."""
    if facts.trust is not None:
        return dict(facts.trust.shares)
    total = sum(facts.data.counts.values())
    return {name: n / total for name, n in facts.data.counts.items()} if total else {}


class Decider:
    """A bundle's rules, from probabilities to the fields of a prediction.

    prevalence: class -> share of the patients who are screened, for some classes; none for those of the training data.

    Raises:
        UsageError: a prevalence that does not fit the classes.
    """

    def __init__(self, facts: Facts, prevalence: Mapping[str, float] | None = None) -> None:
        self.classes = facts.recipe.classes
        self.threshold = facts.threshold
        self._rule = facts.recipe.decision.rule
        self._calibrator = RAW if facts.trust is None else facts.trust.calibrator
        self._sets = None if facts.trust is None else facts.trust.conformal
        shares = shares_of(facts)
        self.prevalence = prior.prior(prevalence, shares, self.classes) if prevalence else {}
        self._weights = prior.weights(shares, self.prevalence, self.classes) if prevalence else None
        self.warnings = (self._warning(shares, calibrated=self._calibrator.kind != "none"),) if prevalence else ()

    def _warning(self, shares: Mapping[str, float], *, calibrated: bool) -> str:
        def listed(of: Mapping[str, float]) -> str:
            return ", ".join(f"{name} {100 * of.get(name, 0.0):.3g} %" for name in self.classes.names)

        before = "" if calibrated else " They were not calibrated, so this is a rough guess."
        return (
            f"Probabilities were re-weighted from the training data's prevalence ({listed(shares)}) to the one stated "
            f"({listed(self.prevalence)}). This holds only where patients of one class look as they did in training."
            f"{before}"
        )

    def fill(self, predictions: Sequence[Prediction], raw: np.ndarray) -> list[Prediction]:
        """Predictions with the answers to what the graph says of each, `[N, K]`."""
        own = calibrate.apply(self._calibrator, raw, self.classes)
        p = own if self._weights is None else prior.reweighted(own, self._weights)
        decided = decide(self.threshold, own if self._rule in OF_PATIENTS else p, self.classes)
        inside = None if self._sets is None else conformal.sets(self._sets, own, self.classes)
        thresholds = self._thresholds(own)
        return [
            replace(
                prediction,
                probabilities=named(p[i], self.classes),
                raw=named(raw[i], self.classes),
                decision=self.classes.names[decided[i]],
                threshold=thresholds[i],
                set=() if inside is None else self._members(inside[i]),
                prevalence=self.prevalence,
                warnings=(*prediction.warnings, *self.warnings),
            )
            for i, prediction in enumerate(predictions)
        ]

    def _thresholds(self, own: np.ndarray) -> list[float | None]:
        if self.threshold is None or self._weights is None or self._rule not in OF_PATIENTS:
            return [self.threshold] * len(own)
        return [float(t) for t in prior.moved(self.threshold, own, self._weights, self.classes.positive_index)]

    def _members(self, inside: np.ndarray) -> tuple[str, ...]:
        return tuple(name for name, is_in in zip(self.classes.names, inside, strict=True) if is_in)
