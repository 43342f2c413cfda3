"""Views: what is blacked is black, what is kept is kept, and of a mask no outline is left."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pneumoscope.audit import views
from pneumoscope.audit.slice_lungs import slice_lungs

SIDE = 200


def ellipse(y: float, x: float, ry: float, rx: float, side: int = SIDE) -> np.ndarray:
    rows, columns = np.mgrid[0:side, 0:side] / side
    return ((rows - y) / ry) ** 2 + ((columns - x) / rx) ** 2 < 1


LUNGS = ellipse(0.5, 0.3, 0.25, 0.12) | ellipse(0.5, 0.7, 0.25, 0.12)


def test_no_lung_is_left_without_lungs_and_nothing_else_with_them() -> None:
    pixels = np.where(LUNGS, 1.0, 0.25).astype(np.float32)
    found = views.views(pixels, LUNGS)
    assert found[views.OUT].max() <= 0.25 + 1e-6
    assert found[views.OUT][0, 0] == np.float32(0.25)
    assert found[views.ONLY].max() == 1.0
    assert found[views.ONLY][0].max() == 0
    # grown by a fiftieth: all of the lungs, and not much more
    kept = (found[views.ONLY] > 0).mean() / LUNGS.mean()
    assert 1 < kept < 1.4


@given(st.integers(0, 10_000))
def test_lungs_out_tells_nothing_of_an_outline(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pixels = rng.random((SIDE, SIDE), dtype=np.float32)
    other = LUNGS & (rng.random(LUNGS.shape) < 0.5)
    rows, columns = np.flatnonzero(LUNGS.any(axis=1)), np.flatnonzero(LUNGS.any(axis=0))
    other[rows[0], columns[0]] = other[rows[-1], columns[-1]] = True  # the same rectangle around it
    one = views.views(pixels, LUNGS)[views.OUT]
    assert np.array_equal(one, views.views(pixels, other)[views.OUT])


def test_borders_are_a_tenth_at_each_edge() -> None:
    found = views.views(np.ones((SIDE, 2 * SIDE), np.float32), None)
    assert set(found) == {views.WHOLE, views.BORDERS}
    assert np.isclose(found[views.BORDERS].mean(), 1 - 0.8**2, atol=0.01)
    assert found[views.BORDERS][views.SIDE // 2, views.SIDE // 2] == 0


def test_coverage_of_lungs_in_the_middle() -> None:
    framed, blacked = views.coverage(LUNGS)
    assert framed == 0
    assert np.isclose(blacked, (0.5 + 0.1) * (0.4 + 0.24 + 0.1), atol=0.03)


def test_an_unknown_modality_or_an_absurd_mask_has_no_lungs() -> None:
    body = np.full((SIDE, SIDE), 0.8, np.float32)
    assert views.lungs_of(np.where(LUNGS, 0.1, body).astype(np.float32), None) is None
    assert views.lungs_of(body, "ct") is None


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


def test_lungs_of_a_slice_are_found_within_the_body_and_not_around_it() -> None:
    body = ellipse(0.5, 0.5, 0.42, 0.48)
    pixels = np.where(body, 0.8, 0.0).astype(np.float32)
    pixels[LUNGS] = 0.15
    pixels[ellipse(0.45, 0.3, 0.02, 0.03)] = 0.9  # a vessel belongs to them
    assert overlap(slice_lungs(pixels), LUNGS) > 0.93


def test_a_slice_cropped_into_the_lungs_still_has_them() -> None:
    pixels = np.where(LUNGS, 0.1, 0.8).astype(np.float32)[40:160, 45:155]
    assert overlap(slice_lungs(pixels), LUNGS[40:160, 45:155]) > 0.9
