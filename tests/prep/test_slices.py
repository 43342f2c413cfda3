"""Slices between slices: SciPy's spline is the oracle, and no border is crossed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline

from pneumoscope.prep.slices import interpolated


def volume(z: int, seed: int = 0, size: tuple[int, int] = (37, 5)) -> np.ndarray:
    return np.random.default_rng(seed).integers(-1000, 1000, (z, *size)).astype(np.int16)


def gaps(text: str) -> np.ndarray:
    return np.array([c == "1" for c in text])


@pytest.mark.parametrize("z", [2, 3, 4, 5, 9, 40])
@pytest.mark.parametrize("added", [1, 2, 3])
def test_a_run_is_scipys_cubic_spline(z: int, added: int) -> None:
    voxels = volume(z)
    new, positions = interpolated(voxels, np.ones(z - 1, bool), added)
    oracle = np.clip(CubicSpline(np.arange(z), voxels.astype(np.float64))(positions), voxels.min(), voxels.max())
    assert new.dtype == np.int16
    assert new.shape == ((z - 1) * added, *voxels.shape[1:])
    assert np.abs(new - oracle).max() <= 0.51  # rounding
    assert np.allclose(np.diff(positions, prepend=0, append=z - 1) > 0, True)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.booleans(), min_size=0, max_size=12), st.integers(1, 3), st.integers(0, 999))
def test_each_run_knows_nothing_of_what_lies_beyond_a_border(keep: list[bool], added: int, seed: int) -> None:
    voxels = volume(len(keep) + 1, seed, (3, 2))
    new, positions = interpolated(voxels, np.array(keep, bool), added)
    assert len(new) == len(positions) == sum(keep) * added
    assert {int(p) for p in positions} == {i for i, k in enumerate(keep) if k}
    assert np.all(np.diff(positions) > 0)
    assert np.all(positions % 1 > 0)
    for i, k in enumerate(keep):
        if not k:  # another patient above the border: below it, nothing changes
            other = voxels.copy()
            other[i + 1 :] = voxels[i + 1 :][::-1]
            below = positions < i
            again, _ = interpolated(other, np.array(keep, bool), added)
            np.testing.assert_array_equal(new[below], again[below])


def test_infected_and_uninfected_slices_are_never_mixed() -> None:
    infected = np.array([0, 0, 1, 1, 1, 0, 1])
    voxels = (infected * 1000).astype(np.int16)[:, None, None] + np.zeros((7, 2, 2), np.int16)
    new, positions = interpolated(voxels, infected[1:] == infected[:-1], 2)
    assert set(np.unique(new)) == {0, 1000}
    np.testing.assert_array_equal(new[:, 0, 0], 1000 * infected[positions.astype(int)])
    np.testing.assert_allclose(positions, [1 / 3, 2 / 3, 2 + 1 / 3, 2 + 2 / 3, 3 + 1 / 3, 3 + 2 / 3])


def test_a_straight_line_stays_one() -> None:
    voxels = (np.arange(8, dtype=np.int16) * 100)[:, None, None] + np.zeros((8, 2, 2), np.int16)
    new, positions = interpolated(voxels, np.ones(7, bool), 3)
    np.testing.assert_array_equal(new[:, 0, 0], positions * 100)


def test_no_value_lies_beyond_the_slices() -> None:
    voxels = np.array([0, 0, 0, 1000, 1000, 1000], np.int16)[:, None, None]
    new, _ = interpolated(voxels, np.ones(5, bool), 5)
    assert new.min() == 0
    assert new.max() == 1000


def test_none_to_fill_is_none() -> None:
    new, positions = interpolated(volume(4), gaps("000"), 2)
    assert new.shape == (0, 37, 5)
    assert positions.shape == (0,)
    assert interpolated(volume(1), gaps(""), 1)[0].shape == (0, 37, 5)


@pytest.mark.parametrize(("keep", "added"), [("11", 1), ("1111", 1), ("111", 0)])
def test_gaps_that_do_not_fit_are_refused(keep: str, added: int) -> None:
    with pytest.raises(ValueError, match="interpolated: expected 3 gaps"):
        interpolated(volume(4), gaps(keep), added)
