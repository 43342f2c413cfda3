"""Known answers for the drawing in centimetres, on grids of several sizes."""

from __future__ import annotations

import numpy as np
import pytest

from pneumoscope.phantoms.draw import (
    REACH_CM,
    blotches,
    dome,
    ellipse,
    grid_axis,
    profile,
    ribbon,
    soft_step,
    soften,
    stream,
)


@pytest.mark.parametrize("n", [64, 333])
def test_a_ribbon_covers_its_length_times_its_width(n: int) -> None:
    canvas = np.zeros((n, n), np.uint8)
    ribbon(canvas, [(-8.0, -3.0), (0.0, 3.0), (8.0, 9.0)], [2.0, 2.0, 2.0], 1.0)
    area = soften(canvas, 0.1).sum() * (2 * REACH_CM / n) ** 2
    # the antialiased outline is up to a pixel wide on each side
    assert area == pytest.approx(20 * 4, rel=0.02 + 2 * REACH_CM / n / 2)


def test_a_ribbon_lies_where_it_was_asked_for() -> None:
    canvas = np.zeros((520, 520), np.uint8)
    ribbon(canvas, [(10.0, -12.0), (10.0, -8.0)], [0.5, 0.5], 1.0)
    rows, columns = np.nonzero(canvas > 127)
    axis = grid_axis(520)
    assert (axis[columns].mean(), axis[rows].mean()) == pytest.approx((10, -10), abs=0.06)


def test_an_ellipse_is_one_on_its_border_and_turns_clockwise() -> None:
    axis = np.array([0.0, 3.0, 4.0], np.float32)
    assert ellipse(axis, 0, 0, 3, 4)[0, 1] == pytest.approx(1)
    assert ellipse(axis, 0, 0, 3, 4)[2, 0] == pytest.approx(1)
    assert ellipse(axis, 0, 0, 5, 1, np.rad2deg(np.arctan2(4, 3)))[2, 1] == pytest.approx(1)


def test_an_ellipsoid_is_thick_in_the_middle_and_nothing_outside() -> None:
    assert dome(np.array([0.0, 0.6, 1.0, 2.0])) == pytest.approx([1, 0.8, 0, 0])


def test_a_profile_keeps_constants_and_straight_lines() -> None:
    axis = grid_axis(200)
    assert profile(axis, ((-5, 2.0), (5, 2.0)), 1.0) == pytest.approx(2.0)
    line = profile(axis, ((-26, -26.0), (26, 26.0)), 1.0)
    assert line[30:-30] == pytest.approx(axis[30:-30], abs=1e-4)


def test_a_soft_step_rises_from_zero_to_one() -> None:
    assert soft_step(np.array([-2.0, -1, 0, 1, 2])) == pytest.approx([0, 0, 0.5, 1, 1])


def test_streams_of_one_seed_differ_and_repeat() -> None:
    assert stream(3, 0).random() == stream(3, 0).random()
    assert len({stream(seed, number).random() for seed in range(3) for number in range(3)}) == 9


def test_blotches_have_no_preferred_sign() -> None:
    noise = blotches(stream(1, 0), 200, 40)
    assert abs(noise.mean()) < 0.1
    assert 0.5 < noise.std() < 1.0
