"""Selective prediction: how good the surest answers are, the others left to a reader (El-Yaniv and Wiener 2010).

An answer is as sure as the class decided for is probable: what was decided against the odds, by a low threshold, goes
first.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pneumoscope.core.trust import Selected
from pneumoscope.evaluate import metrics
from pneumoscope.evaluate.crossfit import ratios

SHARES = tuple(round(0.05 * i, 2) for i in range(1, 21))


def curve(
    probabilities: np.ndarray, decisions: np.ndarray, labels: np.ndarray, groups: Sequence[str], *, seed: int = 0
) -> tuple[Selected, ...]:
    """Accuracy of the surest 5, 10, ... 100 % of answers, from few to all; equally sure answers stay together.

    probabilities: `[N, K]`. decisions, labels: integers `[N]`.
    """
    sure = probabilities[np.arange(len(decisions)), decisions]
    descending = np.sort(sure)[::-1]
    least = sorted({float(descending[max(1, round(share * len(sure))) - 1]) for share in SHARES}, reverse=True)
    kept = sure[:, np.newaxis] >= np.array(least)
    right = (decisions == labels)[:, np.newaxis] & kept
    data, drawn = ratios(right.astype(np.float64), kept.astype(np.float64), groups, seed=seed)
    return tuple(
        Selected(share=float(kept[:, i].mean()), least=lowest, accuracy=metrics.interval(float(data[i]), drawn[:, i]))
        for i, lowest in enumerate(least)
    )
