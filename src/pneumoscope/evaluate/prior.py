"""Prior shift: what probabilities become where the classes are more or less frequent than where they were fitted.

Each class's probability is weighted by its new share over its old one and the row scaled to sum to 1 (Elkan 2001, "The
foundations of cost-sensitive learning", theorem 2; Saerens et al. 2002, eq. 2.4). It holds where patients of one class
look alike in both places, and the old probabilities meant what they said.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.registry import did_you_mean
from pneumoscope.errors import UsageError


def prior(stated: Mapping[str, float], shares: Mapping[str, float], classes: ClassSet) -> dict[str, float]:
    """The share of every class: those stated, and of the rest what is left, as they were to each other in `shares`.

    Raises:
        UsageError: a class that there is none of, a share outside (0, 1), or shares that do not sum to 1.
    """
    for name, share in stated.items():
        if name not in classes.names:
            known, hint = ", ".join(classes.names), did_you_mean(name, list(classes.names))
            raise UsageError(f"--prevalence: expected one of {known}, found '{name}'. {hint}".rstrip())
        if not 0 < share < 1:
            raise UsageError(f"--prevalence {name}: expected a share above 0 and below 1, found {share:g}.")
        if not shares.get(name, 0):
            raise UsageError(
                f"--prevalence {name}: expected a class that this bundle learned from, found it learned from none. "
                "Leave it out."
            )
    total = math.fsum(stated.values())
    rest = {name: shares.get(name, 0.0) for name in classes.names if name not in stated}
    left = math.fsum(rest.values())
    if not left and not math.isclose(total, 1, abs_tol=1e-6):
        raise UsageError(f"--prevalence: expected shares of all classes that sum to 1, found a sum of {total:g}.")
    if left and total >= 1:
        others = ", ".join(rest)
        raise UsageError(
            f"--prevalence: expected shares that sum to less than 1 and leave some for {others}, found {total:g}."
        )
    return {
        name: stated[name] / (total if not left else 1) if name in stated else (1 - total) * rest[name] / (left or 1)
        for name in classes.names
    }


def weights(shares: Mapping[str, float], prior: Mapping[str, float], classes: ClassSet) -> np.ndarray:
    """What each class's probability is multiplied with, `[K]`; 0 for a class that there was none of."""
    return np.array([prior[name] / shares[name] if shares.get(name, 0) else 0.0 for name in classes.names])


def reweighted(probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Probabilities `[N, K]` where the classes are as frequent as the weights `[K]` say."""
    found = probabilities * weights
    total = found.sum(axis=1, keepdims=True)
    return np.asarray(np.where(total > 0, found / np.where(total > 0, total, 1), probabilities))


def moved(threshold: float, probabilities: np.ndarray, weights: np.ndarray, positive: int) -> np.ndarray:
    """Where a threshold on the positive class's probability lies once each row `[N, K]` is re-weighted, `[N]`.

    The other classes keep their proportions to each other, as they are in each row.
    """
    others = np.delete(probabilities, positive, axis=1)
    total = others.sum(axis=1)
    mean = (others @ np.delete(weights, positive)) / np.where(total > 0, total, 1)
    mean = np.where(total > 0, mean, np.delete(weights, positive).mean())
    here = weights[positive] * min(threshold, 1.0)
    there = mean * (1 - min(threshold, 1.0))
    return np.asarray(np.where(here + there > 0, here / np.where(here + there > 0, here + there, 1), threshold))
