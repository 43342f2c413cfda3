"""Axes are exchanged and reversed, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from pneumoscope.io.orient import spacing_of, turn


def test_what_lies_right_is_not_copied() -> None:
    voxels = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    steps = np.array([[0, 0, 5.0], [0, 2, 0], [3, 0, 0]])
    turned = turn(voxels, np.array([1.0, 2, 3]), steps, "1.2")
    assert np.shares_memory(turned.voxels, voxels)
    assert turned.axes == (0, 1, 2)
    assert turned.flipped == (False, False, False)
    assert turned.geometry.spacing_mm == (5, 2, 3)
    assert turned.geometry.origin_mm == (1, 2, 3)
    assert turned.geometry.direction == (1, 0, 0, 0, 1, 0)
    assert turned.geometry.frame_of_reference == "1.2"
    assert turned.skew == pytest.approx(0)


def test_slices_are_as_far_apart_as_along_their_normal() -> None:
    lean = 5 * np.array([0, np.sin(0.3), np.cos(0.3)])  # Z leans to the back
    turned = turn(np.zeros((2, 3, 4), np.int16), np.zeros(3), np.array([lean, [0, 2, 0], [3, 0, 0]]))
    assert turned.geometry.spacing_mm == pytest.approx((5 * np.cos(0.3), 2, 3))
    assert turned.skew == pytest.approx(np.degrees(0.3))
    across = np.array([[0, 0, 5.0], [0.3, 2, 0], [3, 0, 0]])  # Y leans: Z is as it was
    assert spacing_of(across) == pytest.approx((5, np.hypot(0.3, 2), 3))


def test_a_flip_moves_the_origin_to_the_other_end() -> None:
    voxels = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    turned = turn(voxels, np.zeros(3), np.array([[0, 0, -5.0], [0, 2, 0], [-3, 0, 0]]))
    np.testing.assert_array_equal(turned.voxels, voxels[::-1, :, ::-1])
    assert turned.voxels.flags.c_contiguous
    assert turned.geometry.origin_mm == (-9, 0, -5)
    assert turned.flipped == (True, False, True)
