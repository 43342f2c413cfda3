"""Whether a picture is like those that a model learned from, by the network's own features; without torch.

The distance is Mahalanobis's (Lee et al. 2018, arXiv:1807.03888) of features of unit length, under a Gaussian with few
directions and even noise in all others (Tipping & Bishop 1999, probabilistic PCA), divided by the number of directions
and one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pneumoscope import bundle as bundles
from pneumoscope.bundle import Bundle
from pneumoscope.core.familiar import Familiar
from pneumoscope.errors import BundleError
from pneumoscope.runtime.finding import Finding, flagged, passed

UNLIKE = "The model learned from few pictures like this one, if from any; its answer means less than its figures say."


class Likeness(NamedTuple):
    """What is familiar. mean: `[F]`. directions: of unit length, `[D, F]`. spread: variance along each, `[D]`.

    rest: variance along every other direction.
    """

    mean: np.ndarray
    directions: np.ndarray
    spread: np.ndarray
    rest: float

    def distances(self, features: np.ndarray) -> np.ndarray:
        """How unlike pictures are, at least 0, `[n]`, from their features `[n, F]`."""
        away = unit_length(features) - self.mean
        along = away @ self.directions.T
        beside = np.clip(np.square(away).sum(axis=1) - np.square(along).sum(axis=1), 0, None)
        others = max(1, self.mean.size - len(self.spread))
        total = np.square(along) @ (1 / self.spread) + beside / (self.rest * others)
        return np.asarray(total / (len(self.spread) + 1))

    def stored(self) -> bytes:
        """Its numbers, little-endian float32 one after the other, in the order above."""
        parts = (self.mean, self.directions.ravel(), self.spread, np.array([self.rest]))
        return np.concatenate(parts).astype("<f4").tobytes()


def unit_length(features: np.ndarray) -> np.ndarray:
    """Features `[n, F]`, float64, each row of length 1: how bright a picture is changes their length most of all."""
    values = features.astype(np.float64)
    return np.asarray(values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12))


def read(data: bytes, facts: Familiar) -> Likeness:
    """What `Likeness.stored` wrote.

    Raises:
        BundleError: bytes of another size, or numbers that no fit gives.
    """
    f, d = facts.features, facts.directions
    if len(data) != 4 * (f + d * f + d + 1):
        raise BundleError(
            f"{bundles.FAMILIAR}: expected {f} features in {d} directions, found {len(data)} bytes. "
            "Get the bundle again, or train it."
        )
    values = np.frombuffer(data, "<f4").astype(np.float64)
    mean, directions, spread, rest = np.split(values, np.cumsum([f, d * f, d]))
    if not np.isfinite(values).all() or not (spread > 0).all() or not rest[0] > 0:
        raise BundleError(f"{bundles.FAMILIAR}: expected finite numbers, found others. Get the bundle again.")
    return Likeness(mean, directions.reshape(d, f), spread, float(rest[0]))


def of_bundle(bundle: Bundle) -> Likeness | None:
    """A bundle's test; None where it has none, as older ones and those of volumes have.

    Raises:
        BundleError, IntegrityError: numbers that do not fit, or that were changed.
    """
    facts = bundle.facts.familiar
    return None if facts is None else read(bundle.read(bundles.FAMILIAR), facts)


def judge(likeness: Likeness, features: np.ndarray, limit: float) -> Finding:
    """What is found of one study, from the features of its pictures, `[n, F]`: by the middle one of many."""
    value = float(np.median(likeness.distances(features)))
    return passed("familiar", value, limit) if value <= limit else flagged("familiar", UNLIKE, value, limit)
