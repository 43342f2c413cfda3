"""Prior shift against Bayes' rule where the densities are known; what a user may state."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pneumoscope.core.dataset import ClassSet
from pneumoscope.errors import UsageError
from pneumoscope.evaluate import prior

CLASSES = ClassSet(names=("normal", "pneumonia", "covid"), positive="covid")
SHARES = {"normal": 0.5, "pneumonia": 0.25, "covid": 0.25}
MEANS = np.array([0.0, 1.0, 2.5])


def posterior(x: np.ndarray, shares: dict[str, float]) -> np.ndarray:
    """By Bayes' rule, of three normal distributions of one width."""
    joint = np.exp(-((x[:, None] - MEANS) ** 2) / 2) * np.array([shares[name] for name in CLASSES.names])
    return np.asarray(joint / joint.sum(axis=1, keepdims=True))


def test_reweighting_is_bayes_rule() -> None:
    x = np.linspace(-3, 6, 41)
    stated = prior.prior({"covid": 0.02}, SHARES, CLASSES)
    found = prior.reweighted(posterior(x, SHARES), prior.weights(SHARES, stated, CLASSES))
    np.testing.assert_allclose(found, posterior(x, stated), atol=1e-12)


def test_the_rest_keeps_its_proportions() -> None:
    found = prior.prior({"covid": 0.1}, SHARES, CLASSES)
    assert found == pytest.approx({"normal": 0.6, "pneumonia": 0.3, "covid": 0.1})
    assert list(found) == list(CLASSES.names)


@settings(max_examples=40, deadline=None)
@given(threshold=st.floats(0.01, 0.99), stated=st.floats(0.01, 0.9), seed=st.integers(0, 2**16))
def test_a_moved_threshold_decides_as_it_did(threshold: float, stated: float, seed: int) -> None:
    p = np.random.default_rng(seed).dirichlet((1, 1, 1), 40)
    weights = prior.weights(SHARES, prior.prior({"covid": stated}, SHARES, CLASSES), CLASSES)
    moved = prior.moved(threshold, p, weights, 2)
    clear = np.abs(p[:, 2] - threshold) > 1e-9
    after = prior.reweighted(p, weights)[:, 2] >= moved
    np.testing.assert_array_equal(after[clear], (p[:, 2] >= threshold)[clear])


@pytest.mark.parametrize(
    ("stated", "shares", "said"),
    [
        ({"cvid": 0.1}, SHARES, "expected one of normal, pneumonia, covid, found 'cvid'"),
        ({"covid": 0.0}, SHARES, "expected a share above 0 and below 1, found 0"),
        ({"covid": 1.0}, SHARES, "expected a share above 0 and below 1, found 1"),
        ({"covid": float("nan")}, SHARES, "expected a share above 0"),
        ({"covid": 0.6, "normal": 0.5}, SHARES, "sum to less than 1 and leave some for pneumonia, found 1.1"),
        ({"covid": 0.6, "normal": 0.2, "pneumonia": 0.1}, SHARES, "sum to 1, found a sum of 0.9"),
        ({"covid": 0.1}, {"normal": 0.5, "pneumonia": 0.5, "covid": 0.0}, "learned from none"),
    ],
)
def test_what_does_not_fit_is_said(stated: dict[str, float], shares: dict[str, float], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        prior.prior(stated, shares, CLASSES)
