import cv2
import numpy as np
import pytest

from pneumoscope.core.image import Image2D
from pneumoscope.core.result import Explanation, Picture
from pneumoscope.report import figures


def decoded(data):
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


def image(h=30, w=50, **kw):
    pixels = np.random.default_rng(0).random((h, w), dtype=np.float32)
    return Image2D(pixels=pixels, unit="unit", **kw)


def explanation(values):
    return Explanation(method="grad-cam", layer="last", target="covid", map=values.astype(np.float32))


def test_the_png_is_the_image():
    x = image()
    assert np.array_equal(decoded(figures.image_png(x)), np.round(x.pixels * 255).astype(np.uint8))


@pytest.mark.parametrize(
    ("h", "w", "shape"), [(2048, 1024, (1024, 512)), (500, 3000, (171, 1024)), (1, 5000, (1, 1024))]
)
def test_the_long_side_is_limited_and_the_aspect_kept(h, w, shape):
    x = image(h, w)
    assert decoded(figures.image_png(x)).shape == shape
    assert decoded(figures.overlay_png(x, None)).shape == (*shape, 3)


def test_hounsfield_units_go_through_the_lung_window():
    hu = np.array([[-3000, -1350, -600, 150, 3000]], np.float32)
    assert figures.grey(Image2D(pixels=hu, unit="HU")).tolist() == [[0, 0, 128, 255, 255]]


def test_the_overlay_is_the_plain_image_where_the_map_is_zero_and_coloured_elsewhere():
    x, values = image(), np.zeros((30, 50))
    values[:, 25:] = np.linspace(0.2, 1, 25)
    over = decoded(figures.overlay_png(x, explanation(values)))
    grey = figures.grey(x)[..., np.newaxis]
    assert np.array_equal(over[:, :25], np.repeat(grey[:, :25], 3, axis=2))
    assert (over[:, 25:].astype(int).max(axis=2) > over[:, 25:].astype(int).min(axis=2)).all()


def test_no_map_and_an_empty_map_leave_the_image_alone():
    x = image()
    assert figures.overlay_png(x, None) == figures.overlay_png(x, explanation(np.zeros((30, 50))))


def test_a_hot_place_is_red_in_the_file_that_others_read():
    pixels = Image2D(pixels=np.full((8, 8), 0.5, np.float32), unit="unit")
    b, _, r = decoded(figures.overlay_png(pixels, explanation(np.ones((8, 8)))))[0, 0].astype(int)
    assert r > b + 30


def test_the_heat_map_grows_opaque_with_the_map_and_is_clear_at_zero():
    alpha = figures.heat(np.linspace(0, 1, 101)[np.newaxis])[0, :, 3]
    assert alpha[0] == 0
    assert alpha[-1] == 255
    assert (np.diff(alpha.astype(int)) >= 0).all()


def test_the_heat_map_is_a_small_rgba_picture_of_the_same_aspect():
    heat = decoded(figures.heat_png(explanation(np.ones((2000, 1000)))))
    assert heat.shape == (figures.HEAT_SIDE, figures.HEAT_SIDE // 2, 4)
    assert decoded(figures.scale_png()).shape == (1, 128, 4)


def test_the_map_is_written_whole_and_fine():
    values = np.random.default_rng(1).random((1500, 7), dtype=np.float32)
    written = decoded(figures.map_png(explanation(values)))
    assert (written.dtype, written.shape) == (np.uint16, values.shape)
    assert np.abs(written / 65535 - values).max() < 1e-5


def test_a_map_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"\(30, 50\), found \(50, 30\)"):
        figures.overlay_png(image(), explanation(np.ones((50, 30))))


def test_the_jpeg_is_close_to_the_image():
    smooth = cv2.GaussianBlur(image(64, 64).pixels, (0, 0), 4)
    x = Image2D(pixels=smooth, unit="unit")
    difference = decoded(figures.image_jpeg(x)).astype(int) - figures.grey(x)
    assert np.abs(difference).max() <= 6


def test_a_picture_without_heat_is_grey_and_small():
    pixels = np.linspace(0, 1, 600 * 400, dtype=np.float32).reshape(600, 400)
    found = decoded(figures.picture_jpeg(Picture(pixels=pixels, caption="")))
    assert found.shape == (figures.GALLERY_SIDE, round(figures.GALLERY_SIDE * 400 / 600))
    assert abs(int(found[0, 0]) - 0) <= 3
    assert abs(int(found[-1, -1]) - 255) <= 3


def test_heat_on_its_own_grid_lies_over_the_same_place_of_the_picture():
    heat = np.zeros((4, 4), np.float32)
    heat[3, 0] = 0.001  # scaled to its own maximum
    pixels = np.full((96, 64), 0.5, np.float32)
    found = decoded(figures.picture_jpeg(Picture(pixels=pixels, caption="", heat=heat))).astype(int)
    assert found.shape == (96, 64, 3)
    hot, cold = found[90, 4], found[4, 60]
    assert hot[2] > hot[0] + 30
    assert np.ptp(cold) <= 3
    assert np.abs(cold - 128).max() <= 3
    again = figures.picture_jpeg(Picture(pixels=pixels, caption="", heat=heat * 1024))
    assert again == figures.picture_jpeg(Picture(pixels=pixels, caption="", heat=heat))


def test_a_picture_with_heat_of_zeros_is_plain():
    pixels = np.full((8, 8), 0.5, np.float32)
    empty = Picture(pixels=pixels, caption="", heat=np.zeros((2, 2), np.float32))
    assert figures.picture_jpeg(empty) == figures.picture_jpeg(Picture(pixels=pixels, caption=""))


def test_the_png_of_a_picture_has_its_own_pixels():
    pixels = np.linspace(0, 1, 1500 * 3, dtype=np.float32).reshape(3, 1500)
    png = decoded(figures.picture_png(Picture(pixels=pixels, caption="")))
    assert np.array_equal(png, np.round(pixels * 255).astype(np.uint8))
