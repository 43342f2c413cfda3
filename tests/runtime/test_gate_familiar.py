"""The test whether a picture is like those learned from: its distance, its limit, and what a bundle says with it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from pneumoscope import api, phantoms
from pneumoscope import bundle as bundles
from pneumoscope.core.familiar import Familiar
from pneumoscope.errors import BundleError, IntegrityError
from pneumoscope.runtime import familiar
from pneumoscope.runtime.screen import Screener
from pneumoscope.train.familiar import FLAGGED, likeness_of, limit_of

FEATURES = 40


def drawn(seed: int, n: int) -> np.ndarray:
    """Features with three directions of spread and a little in all others."""
    rng = np.random.default_rng(seed)
    base = np.random.default_rng(0)
    mean, directions = base.normal(5, 1, FEATURES), base.normal(size=(3, FEATURES))
    return mean + rng.normal(size=(n, 3)) @ directions * 0.5 + rng.normal(scale=0.05, size=(n, FEATURES))


def test_few_new_images_of_the_same_kind_are_flagged_and_all_of_another() -> None:
    likeness = likeness_of(drawn(1, 400))
    limit = limit_of(likeness.distances(drawn(2, 400)))
    assert (likeness.distances(drawn(3, 2000)) > limit).mean() <= 3 * FLAGGED
    other = drawn(4, 200) + np.random.default_rng(9).normal(size=FEATURES)
    assert (likeness.distances(other) > limit).mean() > 0.99


def test_the_distance_is_the_gaussians() -> None:
    """An independent oracle: the covariance written out and inverted."""
    values = drawn(5, 300)
    likeness = likeness_of(values)
    d = len(likeness.spread)
    u = likeness.directions
    rest = likeness.rest * (FEATURES - d)
    covariance = u.T @ np.diag(likeness.spread) @ u + rest * (np.eye(FEATURES) - u.T @ u)
    away = familiar.unit_length(drawn(6, 20)) - likeness.mean
    expected = np.einsum("nf,fg,ng->n", away, np.linalg.inv(covariance), away) / (d + 1)
    np.testing.assert_allclose(likeness.distances(drawn(6, 20)), expected, rtol=1e-6)


def test_how_bright_a_picture_is_moves_nothing() -> None:
    likeness = likeness_of(drawn(1, 100))
    features = drawn(2, 5)
    np.testing.assert_allclose(likeness.distances(features * 3), likeness.distances(features))


def test_the_limit_leaves_the_promised_share_beyond() -> None:
    distances = np.random.default_rng(0).permutation(1000).astype(float) + 1
    assert (distances > limit_of(distances)).sum() == 9  # of 1000, and one to come
    assert limit_of(distances[:20]) == distances[:20].max()


def test_numbers_come_back_as_they_were_stored() -> None:
    likeness = likeness_of(drawn(1, 100))
    facts = Familiar(features=FEATURES, directions=len(likeness.spread), limit=1.0, n_learned=100, n_held_out=0)
    again = familiar.read(likeness.stored(), facts)
    np.testing.assert_allclose(again.distances(drawn(2, 9)), likeness.distances(drawn(2, 9)), rtol=1e-3)


@pytest.mark.parametrize("change", [lambda data: data[:-4], lambda data: data + b"\0" * 4])
def test_numbers_of_another_size_are_an_error(change) -> None:
    likeness = likeness_of(drawn(1, 100))
    facts = Familiar(features=FEATURES, directions=len(likeness.spread), limit=1.0, n_learned=100, n_held_out=0)
    with pytest.raises(BundleError, match=r"familiar\.f32: expected 40 features"):
        familiar.read(change(likeness.stored()), facts)


def test_numbers_that_no_fit_gives_are_an_error() -> None:
    facts = Familiar(features=3, directions=1, limit=1.0, n_learned=9, n_held_out=0)
    for value in (np.nan, np.inf, 0.0, -1.0):
        numbers = np.array([1, 1, 1, 1, 0, 0, value, 1], "<f4")
        with pytest.raises(BundleError, match="expected finite numbers"):
            familiar.read(numbers.tobytes(), facts)
    with pytest.raises(BundleError, match="a limit above 0"):
        dataclasses.replace(facts, limit=0.0)


def test_a_trained_bundle_has_the_test_and_says_what_it_found(made_run: Path, xray_png: Path) -> None:
    bundle = bundles.load(str(made_run / "bundle"))
    facts = bundle.facts.familiar
    assert facts is not None
    assert facts.n_learned == bundle.facts.data.n_images
    (p,) = api.predict(str(made_run / "bundle"), [xray_png])
    assert p.gate["familiar"].limit == facts.limit
    assert p.gate["familiar"].value is not None


def test_a_picture_far_from_what_was_learned_is_flagged_and_judged(
    made_run: Path, xray_png: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    screener = Screener(bundles.load(str(made_run / "bundle")))
    (near,) = screener.screen([xray_png])
    described = screener.answerer.engine.describe

    def elsewhere(images: np.ndarray) -> tuple[np.ndarray, ...]:
        probabilities, cams, features = described(images)
        return probabilities, cams, features + np.linspace(0, 50, features.shape[1])

    monkeypatch.setattr(screener.answerer.engine, "describe", elsewhere)
    (far,) = screener.screen([xray_png])
    assert far.prediction.accepted
    assert far.prediction.probabilities == near.prediction.probabilities
    assert far.prediction.gate["familiar"].verdict == "flagged"
    assert familiar.UNLIKE in far.prediction.warnings


def test_changed_numbers_never_judge(tiny_bundle: Path, xray_png: Path) -> None:
    path = tiny_bundle / bundles.FAMILIAR
    path.write_bytes(path.read_bytes()[:-1] + b"\7")
    with pytest.raises(IntegrityError):
        list(Screener(bundles.load(str(tiny_bundle))).screen([xray_png]))


def test_a_bundle_without_the_test_answers_as_before() -> None:
    bundle = bundles.load("phantom")
    assert bundle.facts.familiar is None or bundle.facts.familiar.limit > 0
    likeness = familiar.of_bundle(bundle)
    assert (likeness is None) == (bundle.facts.familiar is None)


def test_a_study_is_judged_by_its_middle_slice() -> None:
    likeness = likeness_of(drawn(1, 400))
    limit = limit_of(likeness.distances(drawn(2, 400)))
    odd = drawn(3, 4) + np.random.default_rng(9).normal(size=FEATURES)
    assert familiar.judge(likeness, np.concatenate([drawn(4, 9), odd]), limit).verdict == "passed"
    assert familiar.judge(likeness, np.concatenate([drawn(4, 2), odd]), limit).verdict == "flagged"


def test_phantoms_of_the_kind_learned_from_are_familiar(made_run: Path, tmp_path: Path) -> None:
    root = phantoms.write_xrays(tmp_path / "set", patients=20, seed=505, size=96)
    found = api.predict(str(made_run / "bundle"), sorted((root / "images").iterdir()))
    assert all(p.accepted for p in found)
    assert np.mean([p.gate["familiar"].verdict == "flagged" for p in found]) <= 0.3
