"""Planes of a volume: which way up, how long a millimetre is, where the cross stands, where the map lies."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pneumoscope.core.image import Geometry, Volume
from pneumoscope.report import figures, planes

SPACING = (5.0, 1.0, 2.0)
SHAPE = (12, 40, 30)  # 60 mm high, 40 mm from front to back, 60 mm across


def volume(voxels: np.ndarray | None = None, spacing: tuple[float, float, float] = SPACING) -> Volume:
    voxels = np.full(SHAPE, -1350, np.int16) if voxels is None else voxels
    return Volume(
        voxels=voxels, geometry=Geometry(spacing_mm=spacing), slices=tuple(str(n) for n in range(len(voxels)))
    )


def marked(z: int, y: int, x: int) -> np.ndarray:
    voxels = np.full(SHAPE, -1350, np.int16)
    voxels[z, y, x] = 150  # black to white in the lung window
    return voxels


def brightest(picture: np.ndarray) -> tuple[float, float]:
    """Middle of the bright pixels, as shares of height and width."""
    rows, columns = np.nonzero(picture > picture.max() / 2)
    return (rows.mean() + 0.5) / picture.shape[0], (columns.mean() + 0.5) / picture.shape[1]


@given(st.tuples(*[st.integers(0, n - 1) for n in SHAPE]))
def test_a_voxel_is_at_its_place_in_all_three_planes_and_so_is_the_cross(at: tuple[int, int, int]) -> None:
    z, y, x = ((n + 0.5) / size for n, size in zip(at, SHAPE, strict=True))
    shown = planes.planes(volume(marked(*at)), np.zeros(SHAPE, np.float32), at, side=120)
    for plane, expected in zip(shown, ((y, x), (1 - z, x), (1 - z, y)), strict=True):  # the head is at the top
        np.testing.assert_allclose(brightest(plane.grey), expected, atol=0.06)
        cross = tuple((n + 0.5) / size for n, size in zip(plane.at, plane.grey.shape, strict=True))
        np.testing.assert_allclose(cross, expected, atol=0.02)
    assert [plane.number for plane in shown] == list(at)


def test_a_millimetre_is_as_long_in_every_direction_of_every_plane() -> None:
    shown = planes.planes(volume(), np.zeros(SHAPE, np.float32), (0, 0, 0), side=120)
    assert [plane.grey.shape for plane in shown] == [(80, 120), (120, 120), (120, 80)]
    assert [plane.sides for plane in shown] == ["RLAP", "RLHF", "APHF"]
    thin = volume(np.zeros((8, 512, 512), np.int16), (0.1, 1, 1))
    assert planes.planes(thin, np.zeros((8, 512, 512)), (0, 0, 0))[1].grey.shape == (1, planes.SIDE)


def test_the_map_lies_over_the_voxels_that_it_is_of() -> None:
    values = np.zeros(SHAPE, np.float32)
    values[3, 30, 5] = 1
    for plane in planes.planes(volume(marked(3, 30, 5)), values, (3, 30, 5), side=120):
        np.testing.assert_allclose(brightest(plane.heat), brightest(plane.grey), atol=0.02)
        colour = planes.overlaid(plane).astype(int)
        hot = np.unravel_index(plane.heat.argmax(), plane.heat.shape)
        assert np.ptp(colour[hot]) > 30
    elsewhere = planes.planes(volume(), values, (9, 2, 25), side=120)
    assert not any(plane.heat.any() for plane in elsewhere)


def test_the_strongest_place_is_the_middle_of_a_plateau() -> None:
    values = np.zeros((9, 9, 9), np.float32)
    values[2:7, 4:9, 1:4] = 0.5
    assert planes.strongest(values) == (4, 6, 2)
    values[8, 0, 8] = 0.6
    assert planes.strongest(values) == (8, 0, 8)
    values[0, 0, 0] = 0.6  # two of them: one, not the place between them
    assert values[planes.strongest(values)] == np.float32(0.6)


def test_the_cross_leaves_its_middle_free() -> None:
    plane = planes.planes(volume(), np.zeros(SHAPE, np.float32), (6, 20, 15), side=300)[0]
    picture = planes.plain(plane)
    row, column = plane.at
    assert (picture[row - 10 : row + 11, column - 10 : column + 11] == 0).all()
    assert picture[row, column + 60].any()
    assert picture[row + 60, column].any()
    assert not picture[row + 60, column + 60].any()


def test_the_letters_stand_at_the_sides() -> None:
    plane = planes.planes(volume(), np.zeros(SHAPE, np.float32), (6, 20, 15), side=300)[0]
    drawn = planes.overlaid(plane).any(axis=2)
    h, w = drawn.shape
    for part in (drawn[:, :24], drawn[:, -24:], drawn[:24], drawn[-24:]):
        assert part.any()
    assert not drawn[30 : h // 3, 30 : w // 3].any()


def test_one_picture_holds_all_planes() -> None:
    values = np.ones(SHAPE, np.float32)
    data = planes.planes_png(volume(marked(6, 20, 15)), values, (6, 20, 15))
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    side, short = planes.SIDE, round(planes.SIDE * 40 / 60)
    assert picture.shape == (2 * side + planes.MARGIN, 2 * side + short + 2 * planes.MARGIN, 3)


def test_a_map_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected the volume's shape \(12, 40, 30\), found \(12, 40, 31\)"):
        planes.planes(volume(), np.zeros((12, 40, 31), np.float32), (0, 0, 0))


def test_the_lung_window_is_that_of_slices() -> None:
    hu = np.random.default_rng(0).integers(-1500, 500, (1, 64, 64)).astype(np.int16)
    found = planes.planes(volume(hu, (1, 1, 1)), np.zeros(hu.shape, np.float32), (0, 0, 0), side=64)[0]
    np.testing.assert_array_equal(found.grey, figures.grey(volume(hu, (1, 1, 1)).image(0)))
