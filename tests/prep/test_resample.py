"""Cubic resampling: Pillow is the oracle within a slice, a plain loop with its own edges along any axis."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pneumoscope.prep.resample import Resize, linear, matrix, resample, weights


def keys(x: float) -> float:
    """The kernel as its author writes it."""
    x = abs(x)
    if x <= 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


def plain(line: np.ndarray, n_out: int, scale: float) -> np.ndarray:
    """As MATLAB's documentation says, one sample after the other; edges by NumPy's own symmetric padding."""
    stretch = min(1.0, scale)
    far = math.ceil(2 / stretch) + 2
    padded = np.pad(line.astype(np.float64), far, mode="symmetric")
    out = []
    for i in range(n_out):
        centre = (i + 0.5) / scale - 0.5
        taps = [(k, keys((centre - k) * stretch)) for k in range(math.floor(centre) - far, math.ceil(centre) + far + 1)]
        taps = [(k, w) for k, w in taps if w]
        out.append(sum(w * padded[k + far] for k, w in taps) / sum(w for _, w in taps))
    return np.array(out)


@pytest.mark.parametrize(("n_in", "n_out"), [(70, 20), (70, 33), (70, 70), (70, 71), (70, 111), (512, 224), (9, 40)])
def test_slices_are_pillows_bicubic_away_from_the_edges(n_in: int, n_out: int) -> None:
    pixels = np.random.default_rng(n_out).random((17, n_in), dtype=np.float32)
    oracle = np.asarray(Image.fromarray(pixels, mode=None).resize((n_out, 17), Image.Resampling.BICUBIC))
    found = pixels @ weights(n_in, n_out, n_out / n_in).T
    edge = math.ceil(2 * max(1, n_out / n_in)) + 1  # there Pillow cuts the kernel, and MATLAB mirrors
    np.testing.assert_allclose(found[:, edge:-edge], oracle[:, edge:-edge], atol=2e-6)


@pytest.mark.parametrize(
    ("n_in", "n_out", "scale"),
    [(37, 74, 2.0), (37, 17, 1 / 2.3), (10, 15, 1 / 0.7), (74, 224, 224 / 74), (40, 7, 0.17)],
)
def test_lines_are_the_plain_loop_edges_too(n_in: int, n_out: int, scale: float) -> None:
    line = np.random.default_rng(n_in).normal(size=n_in)
    np.testing.assert_allclose(weights(n_in, n_out, scale) @ line, plain(line, n_out, scale), atol=2e-6)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.integers(1, 90))
def test_a_constant_stays_and_every_row_sums_to_one(n_in: int, n_out: int) -> None:
    found = weights(n_in, n_out, n_out / n_in)
    assert found.shape == (n_out, n_in)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(st.integers(12, 60), st.floats(0.4, 3))
def test_a_ramp_stays_a_ramp_inside(n_in: int, scale: float) -> None:
    """To the letter where it grows; a stretched kernel, sampled, is a little off (MATLAB's as well)."""
    n_out = math.ceil(n_in * scale)
    centres = (np.arange(n_out) + 0.5) / scale - 0.5
    reach = 2 * max(1, 1 / scale) + 1
    inside = (centres >= reach) & (centres <= n_in - 1 - reach)
    np.testing.assert_allclose(
        (weights(n_in, n_out, scale) @ np.arange(n_in))[inside], centres[inside], atol=1e-3 if scale >= 1 else 0.06
    )


def test_what_changes_nothing_is_no_matrix() -> None:
    np.testing.assert_array_equal(weights(9, 9, 1.0), np.eye(9, dtype=np.float32))
    assert matrix(9, []) is None
    assert matrix(9, [Resize(size=9, scale=1.0)]) is None


def test_resizes_after_each_other_are_one_matrix() -> None:
    both = matrix(64, [Resize(size=28, scale=1 / 2.3), Resize(size=32, scale=32 / 28)])
    assert both is not None
    np.testing.assert_allclose(both, weights(28, 32, 32 / 28) @ weights(64, 28, 1 / 2.3), atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.tuples(*[st.integers(1, 21)] * 3), st.tuples(*[st.integers(1, 40)] * 3), st.booleans(), st.integers(0, 7))
def test_a_volume_is_three_products_in_any_order(
    shape: tuple[int, int, int], to: tuple[int, int, int], whole: bool, kept: int
) -> None:
    """kept: bits of the axes that stay."""
    values = np.random.default_rng(kept).integers(-1000, 1000, shape).astype(np.int16 if whole else np.float32)
    used = [None if kept >> i & 1 else weights(n, m, m / n) for i, (n, m) in enumerate(zip(shape, to, strict=True))]
    eyes = [np.eye(n) if w is None else w.astype(np.float64) for n, w in zip(shape, used, strict=True)]
    oracle = np.einsum("ai,bj,ck,ijk->abc", *eyes, values.astype(np.float64))
    found = resample(values, used)
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    np.testing.assert_allclose(found, oracle, atol=5e-3)


def test_a_line_between_samples_ends_half_a_sample_beyond_them() -> None:
    found = linear(3, 9, 0.5, -1.0) @ np.array([10.0, 20.0, 40.0])
    np.testing.assert_allclose(found, [0, 10, 10, 15, 20, 30, 40, 40, 0])
