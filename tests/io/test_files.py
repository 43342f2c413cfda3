from __future__ import annotations

import io
import struct
import tracemalloc
import warnings
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageOps

from pneumoscope.errors import InputError
from pneumoscope.io.files import read_image

RAMP = np.arange(40 * 30, dtype=np.uint16).reshape(40, 30)
GREY = (RAMP % 251).astype(np.uint8)


def png(array: np.ndarray, **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(array).save(out, "png", **options)
    return out.getvalue()


def raw_png(
    width: int, height: int, depth: int, colour: int, rows: Iterator[bytes], *more: tuple[bytes, bytes]
) -> bytes:
    """A PNG written chunk by chunk, row by row, so that its size costs no memory."""
    engine = zlib.compressobj(9)
    body = b"".join(engine.compress(b"\0" + row) for row in rows) + engine.flush()
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = [(b"IHDR", header), *more, (b"IDAT", body), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks
    )


def of_16_bits(array: np.ndarray, *more: tuple[bytes, bytes]) -> bytes:
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[1 if array.ndim == 2 else array.shape[2]]
    rows = (row.astype(">u2").tobytes() for row in array)
    return raw_png(array.shape[1], array.shape[0], 16, colour, rows, *more)


def refusal(data: bytes, rule: str = "") -> str:
    with pytest.raises(InputError) as caught:
        read_image(data, "x.png")
    text = str(caught.value)
    assert text.startswith("x.png: expected ")
    assert "\n" not in text
    assert rule in text
    return text


@settings(max_examples=40)
@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=20)))
def test_8_bit_grey_comes_back(array: np.ndarray) -> None:
    image = read_image(png(array), "x.png")
    np.testing.assert_array_equal(image.pixels, array.astype(np.float32) / np.float32(255))
    assert (image.unit, image.modality, image.steps, image.warnings) == ("unit", None, (), ())


@settings(max_examples=40)
@given(hnp.arrays(np.uint16, hnp.array_shapes(min_dims=2, max_dims=2, max_side=20)))
def test_16_bit_grey_is_stretched_aloud(array: np.ndarray) -> None:
    image = read_image(of_16_bits(array), "x.png")
    spread = max(int(array.max()) - int(array.min()), 1)
    np.testing.assert_allclose(image.pixels, (array.astype(float) - array.min()) / spread, atol=1e-6)
    assert "stretched" in image.warnings[0]
    assert image.steps[0].args == {"low": float(array.min()), "high": float(array.max())}


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_few_bits_of_grey(depth: int) -> None:
    top = 2**depth - 1
    values = np.arange(16).reshape(2, 8) % (top + 1)
    rows = [np.packbits(np.unpackbits(r.astype(np.uint8)[:, None], axis=1)[:, -depth:]).tobytes() for r in values]
    image = read_image(raw_png(8, 2, depth, 0, iter(rows)), "x.png")
    np.testing.assert_allclose(image.pixels, values / top, atol=1e-6)
    keyed = read_image(raw_png(8, 2, depth, 0, iter(rows), (b"tRNS", struct.pack(">H", top))), "x.png")
    np.testing.assert_allclose(keyed.pixels, np.where(values == top, 0, values / top), atol=1e-6)


def test_colour_becomes_luminance_and_says_how_coloured() -> None:
    rgb = np.zeros((2, 2, 3), np.uint8)
    rgb[0, 0], rgb[0, 1], rgb[1, 0], rgb[1, 1] = (255, 0, 0), (0, 255, 0), (0, 0, 255), (80, 80, 80)
    image = read_image(png(rgb), "x.png")
    np.testing.assert_allclose(image.pixels, [[76 / 255, 150 / 255], [29 / 255, 80 / 255]], atol=1e-6)
    assert image.steps[0].name == "grey"
    assert image.steps[0].args["colour"] == pytest.approx(0.75)


@settings(max_examples=20)
@given(hnp.arrays(np.uint8, (5, 7)))
def test_grey_stored_as_colour_is_the_same_grey(array: np.ndarray) -> None:
    image = read_image(png(np.stack([array] * 3, -1)), "x.png")
    np.testing.assert_array_equal(image.pixels, array.astype(np.float32) / np.float32(255))
    assert image.steps[0].args["colour"] == 0


def test_palette() -> None:
    image = Image.fromarray(GREY % 4).convert("L")
    image.putpalette([0, 0, 0, 10, 10, 10, 200, 200, 200, 255, 255, 255])
    out = io.BytesIO()
    image.save(out, "png", transparency=b"\xff\xff\xff\x80")  # the last colour is half transparent
    read = read_image(out.getvalue(), "x.png")
    np.testing.assert_allclose(read.pixels, np.array([0, 10, 200, 128])[GREY % 4] / 255, atol=1e-6)
    assert [s.name for s in read.steps] == ["composite", "grey"]


def test_alpha_is_composed_on_black() -> None:
    alpha = np.where(np.arange(30) < 15, 255, 51)[None, :].repeat(40, 0).astype(np.uint8)
    read = read_image(png(np.stack([GREY] * 3 + [alpha], -1)), "x.png")
    np.testing.assert_allclose(read.pixels, np.rint(GREY.astype(float) * alpha / 255) / 255, atol=1e-6)
    assert read.steps[0].name == "composite"
    opaque = read_image(png(np.stack([GREY, np.full_like(GREY, 255)], -1)), "x.png")
    assert [s.name for s in opaque.steps] == ["grey"]


def test_16_bit_colour_and_alpha_keep_their_bits() -> None:
    deep = RAMP * 3 + 1000  # 12 bits: the upper byte alone would leave 14 levels
    expected = (deep - 1000.0) / (deep.max() - 1000.0)
    rgb = read_image(of_16_bits(np.stack([deep] * 3, -1)), "x.png")
    np.testing.assert_allclose(rgb.pixels, expected, atol=1e-3)
    full = np.full_like(deep, 65535)
    for channels in ([deep, full], [deep, deep, deep, full]):
        np.testing.assert_allclose(read_image(of_16_bits(np.stack(channels, -1)), "x.png").pixels, expected, atol=1e-3)
    half = read_image(of_16_bits(np.stack([deep] * 3 + [full // 2], -1)), "x.png")
    np.testing.assert_allclose(half.pixels, expected, atol=2e-3)
    assert [s.name for s in half.steps] == ["composite", "grey", "stretch"]


def test_16_bit_transparency_key_is_black() -> None:
    data = of_16_bits(RAMP + 7, (b"tRNS", struct.pack(">H", 1000)))
    read = read_image(data, "x.png")
    assert read.pixels[(RAMP + 7) == 1000] == 0
    assert read.steps[0].name == "composite"


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_exif_orientation(turn: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    out = io.BytesIO()
    Image.fromarray(GREY).save(out, kind, exif=exif)
    oracle = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(out.getvalue()))))
    read = read_image(out.getvalue(), "x")
    np.testing.assert_array_equal(read.pixels, oracle.astype(np.float32) / np.float32(255))
    assert [s.args for s in read.steps] == ([] if turn == 1 else [{"exif": turn}])


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0", b"Exif\0\0II*\0", b"Exif\0\0MM\0*\0\0\0\x08\0\x05" + b"\x01" * 30, b"junk"]
)
def test_broken_exif_is_no_reason_to_warn_or_fail_otherwise(exif: bytes) -> None:
    out = io.BytesIO()
    Image.fromarray(GREY).save(out, "jpeg", exif=exif)
    before = list(warnings.filters)
    try:
        assert read_image(out.getvalue(), "x.png").shape == (40, 30)
    except InputError:
        refusal(out.getvalue())
    assert list(warnings.filters) == before


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg_modes(mode: str) -> None:
    smooth = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(smooth).convert(mode).save(out, "jpeg", quality=98)
    read = read_image(out.getvalue(), "x.jpg")
    assert np.abs(read.pixels * 255 - smooth).max() <= 4
    assert [s.name for s in read.steps] == ([] if mode == "L" else ["grey"])


def test_progressive_jpeg() -> None:
    out = io.BytesIO()
    Image.fromarray(GREY).save(out, "jpeg", progressive=True)
    assert read_image(out.getvalue(), "x.jpg").shape == (40, 30)


@pytest.mark.parametrize("data", [b"", b"GIF89a....", b"%PDF-1.7", b"plain text", b"\0" * 300, b"II*\0" + b"\0" * 50])
def test_other_content_is_named(data: bytes) -> None:
    refusal(data, "PNG or JPEG, found ")


def test_truncated_png_at_every_length() -> None:
    data = png(GREY)
    for cut in range(8, len(data)):
        refusal(data[:cut])


def test_truncated_jpeg_at_many_lengths() -> None:
    out = io.BytesIO()
    Image.fromarray(GREY).save(out, "jpeg")
    data = out.getvalue()
    for cut in range(3, len(data) - 8, 3):
        refusal(data[:cut])


@settings(max_examples=100)
@given(st.data())
def test_a_flipped_byte_of_a_png_never_passes_as_another_image(data: st.DataObject) -> None:
    whole = png(GREY)
    at = data.draw(st.integers(8, len(whole) - 1))
    broken = whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :]
    try:
        pixels = read_image(broken, "x.png").pixels
    except InputError:
        refusal(broken)
    else:  # only what nothing depends on, such as the last check sum, may differ
        np.testing.assert_array_equal(pixels, GREY.astype(np.float32) / np.float32(255))


def test_100_megapixels_are_refused_before_decoding() -> None:
    row = bytes(10_000)
    data = raw_png(10_000, 10_000, 8, 0, (row for _ in range(10_000)))
    assert len(data) < 2**20
    tracemalloc.start()
    refusal(data, "at most 50 megapixels, found 10000 x 10000")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_headers_that_lie() -> None:
    small = raw_png(30, 40, 8, 0, iter([bytes(30)] * 40))
    taller = raw_png(30, 4000, 8, 0, iter([bytes(30)] * 40))
    assert read_image(small, "x.png").shape == (40, 30)
    refusal(taller, "bytes of image data missing")
    refusal(raw_png(2**31 - 1, 2**31 - 1, 8, 0, iter([])), "at most 50 megapixels")
    refusal(raw_png(0, 5, 8, 0, iter([])))
    refusal(raw_png(5, 5, 7, 0, iter([bytes(5)] * 5)))


def test_text_bombs_are_refused() -> None:
    text = b"Comment\0\0" + zlib.compress(bytes(80 * 2**20))
    refusal(raw_png(3, 3, 8, 0, iter([bytes(3)] * 3), (b"zTXt", text)))


@pytest.mark.parametrize(("width", "height"), [(1, 1), (3, 2), (5, 9), (8, 8), (17, 33)])
@pytest.mark.parametrize("mode", ["L", "RGB", "1"])
def test_interlaced_png_is_read_and_measured(width: int, height: int, mode: str) -> None:
    import cv2

    grey = np.random.default_rng(width).integers(0, 256, (height, width)).astype(np.uint8)
    array = grey if mode == "L" else np.stack([grey] * 3, -1)
    if mode == "1":
        grey = array = np.where(grey > 99, 255, 0).astype(np.uint8)[:height]
    data = _interlaced(array)
    oracle = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    np.testing.assert_array_equal(oracle, grey)
    np.testing.assert_allclose(read_image(data, "x.png").pixels, grey / 255, atol=1e-6)
    refusal(_with_header(data, struct.pack(">II", width, height + 1) + data[24:29]), "bytes of image data missing")


def _interlaced(array: np.ndarray) -> bytes:
    """Adam7 (PNG 8.2): seven passes over ever denser grids."""
    grids = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    passes = [array[y::dy, x::dx] for x, y, dx, dy in grids]
    rows = (row.tobytes() for grid in passes if grid.size for row in grid)
    data = raw_png(array.shape[1], array.shape[0], 8, 2 if array.ndim == 3 else 0, rows)
    return _with_header(data, data[16:28] + b"\1")


def _with_header(data: bytes, header: bytes) -> bytes:
    return data[:16] + header + struct.pack(">I", zlib.crc32(b"IHDR" + header)) + data[33:]


def test_an_animation_is_refused() -> None:
    out = io.BytesIO()
    frames = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    frames[0].save(out, "png", save_all=True, append_images=frames[1:])
    refusal(out.getvalue(), "one image, found an animation")
