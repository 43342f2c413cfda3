"""The view in space: which way it is turned, what shines through what, and the map's colours."""

from __future__ import annotations

import time

import cv2
import numpy as np
import pytest

from pneumoscope.core.voxels import Voxels
from pneumoscope.report import render

SIZE = 40
LUNG, DENSE = 0.1, 0.9
COMPASS = 50  # columns on the left that hold the compass


@pytest.fixture(autouse=True)
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render, "GRID", 40)


def haze() -> np.ndarray:
    return np.full((SIZE, SIZE, SIZE), LUNG, np.float32)


def seen(values: np.ndarray, heat: np.ndarray | None = None) -> np.ndarray:
    return render.rendered(Voxels(values=values, spacing_mm=(2.0, 2.0, 2.0)), heat)[-1].astype(int)


def shift(*, z: int = 0, y: int = 0, x: int = 0) -> np.ndarray:
    """How far (right, down) a dense ball in the haze moves in the picture when it moves in the volume."""
    where = []
    for n in (0, 1):
        values = haze()
        at = [SIZE // 2 + n * by for by in (z, y, x)]
        values[tuple(slice(a - 3, a + 4) for a in at)] = DENSE
        more = (seen(values) - seen(haze())).sum(axis=2)
        rows, columns = np.nonzero(more > more.max() / 2)
        where.append((columns.mean(), rows.mean()))
    return np.array(where[1]) - where[0]


def test_the_head_is_up_the_left_is_right_and_the_front_comes_nearer() -> None:
    head, left, front = shift(z=10), shift(x=10), shift(y=-10)
    assert head[1] < -15
    assert abs(head[0]) < 4
    assert left[0] > 15
    assert 2 < left[1] < left[0]  # the patient's left is turned to the viewer, who looks from above
    assert front[0] < -8
    assert front[1] > 4


def test_what_is_in_front_hides_what_is_behind() -> None:
    c, s = np.cos(np.radians(render.TURN)), np.sin(np.radians(render.TURN))
    red, shown = np.zeros((SIZE,) * 3, np.float32), []
    for n in (10, -10):  # a wall before the hot place, or behind it
        values = haze()
        y, x = np.mgrid[:SIZE, :SIZE] - SIZE / 2
        along = s * x - c * y  # towards the viewer
        values[:, np.abs(along - n) < 3] = DENSE
        red[:] = 0
        red[17:23, 17:23, 17:23] = 1
        picture = seen(values, red)
        shown.append(np.ptp(picture[:, COMPASS:], axis=2).max())
    assert shown[1] > 2 * shown[0]


def test_nothing_is_dark_and_a_map_glows_in_it() -> None:
    empty = np.zeros((SIZE,) * 3, np.float32)
    ground = (render.BACKGROUND * 255).round()
    picture = seen(empty)
    assert np.abs(picture[:20, -20:] - ground).max() <= 1
    heat = empty.copy()
    heat[10:30, 10:30, 10:30] = 1
    glowing = seen(empty, heat)
    assert (glowing[..., 0] - glowing[..., 2]).max() > 40  # red


def test_a_map_changes_nothing_where_it_is_low() -> None:
    values, heat = haze(), np.full((SIZE,) * 3, render.FROM / 2, np.float32)
    plain, over = render.rendered(Voxels(values=values, spacing_mm=(2.0, 2.0, 2.0)), heat)
    np.testing.assert_array_equal(plain, over)


def test_a_millimetre_is_as_long_in_every_direction() -> None:
    fine = np.full((20, SIZE, SIZE), LUNG, np.float32)
    a = render.rendered(Voxels(values=fine, spacing_mm=(4.0, 2.0, 2.0)))[0]
    b = render.rendered(Voxels(values=haze(), spacing_mm=(2.0, 2.0, 2.0)))[0]
    assert a.shape == b.shape
    flat = render.rendered(Voxels(values=haze(), spacing_mm=(0.5, 2.0, 2.0)))[0]
    assert flat.shape[0] < 0.75 * b.shape[0]


def test_only_the_box_around_what_is_shown_is_drawn() -> None:
    wide = np.zeros((60, 60, 60), np.float32)
    wide[10:50, 10:50, 10:50] = LUNG
    np.testing.assert_array_equal(seen(wide), seen(haze()))


def test_a_map_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="map: expected the shape"):
        seen(haze(), np.zeros((3, 3, 3), np.float32))


def test_the_file_holds_both_views() -> None:
    prepared = Voxels(values=haze(), spacing_mm=(2.0, 2.0, 2.0))
    plain, over = render.rendered(prepared, haze())
    data = cv2.imdecode(np.frombuffer(render.render_png(prepared, haze()), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    np.testing.assert_array_equal(data[:, : plain.shape[1]], plain)
    np.testing.assert_array_equal(data[:, -over.shape[1] :], over)


def test_a_full_size_volume_takes_about_a_second_of_work(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    values = rng.random((224, 224, 224), dtype=np.float32)
    monkeypatch.undo()
    start = time.process_time()
    render.rendered(Voxels(values=values, spacing_mm=(0.8, 1.6, 1.6)))
    assert time.process_time() - start < 2  # a bound for busy machines: 0.4 s were measured
