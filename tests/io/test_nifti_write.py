"""A volume as NIfTI: what nibabel and our own reader find in it, in every turn of the scanner."""

from __future__ import annotations

import dataclasses
import gzip
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pneumoscope.core.image import Geometry
from pneumoscope.errors import PneumoscopeError
from pneumoscope.io.load import load_study
from pneumoscope.io.nifti import read_nifti
from pneumoscope.io.nifti_write import affine, nifti_bytes, write_nifti

PLAIN = Geometry(spacing_mm=(2.5, 0.75, 0.7), origin_mm=(-170.0, -160.0, -300.0), direction=(1, 0, 0, 0, 1, 0))
RAS = np.array([-1, -1, 1])
# nifti1.h leaves out the first of the four numbers: near a half turn, as LPS is one, little is left of it in floats
QUATERNION = 3e-3


def turned(angles: tuple[float, float, float]) -> np.ndarray:
    """A rotation [3, 3] about x, then y, then z, in radians."""
    result = np.eye(3)
    for axis, angle in enumerate(angles):
        c, s = np.cos(angle), np.sin(angle)
        step = np.eye(3)
        i, j = (axis + 1) % 3, (axis + 2) % 3
        step[[i, i, j, j], [i, j, i, j]] = c, -s, s, c
        result = step @ result
    return result


def lying(turn: np.ndarray) -> Geometry:
    return dataclasses.replace(PLAIN, direction=(*turn[:, 0].tolist(), *turn[:, 1].tolist()))


def opened(data: bytes) -> Any:
    nibabel = pytest.importorskip("nibabel", reason="expected nibabel, an independent reader, found none")
    return nibabel.Nifti1Image.from_bytes(gzip.decompress(data))


def test_the_affine_is_known() -> None:
    expected = [[-0.7, 0, 0, 170], [0, -0.75, 0, 160], [0, 0, 2.5, -300], [0, 0, 0, 1]]
    np.testing.assert_allclose(affine(PLAIN), expected)


@pytest.mark.parametrize("kind", ["uint8", "float32"])
def test_nibabel_finds_every_value_at_its_place(kind: str) -> None:
    values = np.random.default_rng(0).integers(0, 256, (4, 5, 6)).astype(kind)
    found = opened(nifti_bytes(values, PLAIN))
    assert found.get_data_dtype() == np.dtype(kind)
    np.testing.assert_array_equal(np.asarray(found.dataobj), values.transpose(2, 1, 0))
    np.testing.assert_allclose(found.affine, affine(PLAIN), rtol=1e-6)
    assert found.header.get_xyzt_units()[0] == "mm"
    np.testing.assert_allclose(found.header.get_zooms(), (0.7, 0.75, 2.5), rtol=1e-6)


def test_a_slope_makes_small_numbers_of_shares() -> None:
    values = np.arange(256, dtype=np.uint8).reshape(4, 8, 8)
    found = opened(nifti_bytes(values, PLAIN, slope=1 / 255)).get_fdata()
    np.testing.assert_allclose(found, values.transpose(2, 1, 0) / 255, atol=1e-7)


@given(st.tuples(*[st.floats(-3.2, 3.2)] * 3))
def test_sform_and_qform_are_one_in_every_turn(angles: tuple[float, float, float]) -> None:
    geometry = lying(turned(angles))
    head = opened(nifti_bytes(np.zeros((2, 3, 4), np.uint8), geometry)).header
    np.testing.assert_allclose(head.get_qform(), head.get_sform(), atol=QUATERNION)
    corner = head.get_sform() @ [3, 2, 1, 1]
    x, y = np.array(geometry.direction).reshape(2, 3)
    place = np.array(geometry.origin_mm) + 3 * 0.7 * x + 2 * 0.75 * y + 2.5 * np.cross(x, y)
    np.testing.assert_allclose(corner[:3], place * RAS, atol=1e-3)


@pytest.mark.parametrize("axes", list(itertools.product((0, 1, 2, -1), repeat=3)))
def test_right_angles_have_a_quaternion_too(axes: tuple[int, int, int]) -> None:
    """Half turns, at which one part of the quaternion or another is 0."""
    a, b, c = (angle * np.pi / 2 for angle in axes)
    head = opened(nifti_bytes(np.zeros((2, 3, 4), np.uint8), lying(turned((a, b, c))))).header
    np.testing.assert_allclose(head.get_qform(), head.get_sform(), atol=QUATERNION)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    voxels = np.random.default_rng(1).integers(-1024, 3000, (9, 10, 11)).astype(np.int16)
    oblique = lying(turned((0.1, -0.05, 0.2)))
    for geometry in (PLAIN, oblique):
        write_nifti(tmp_path / "scan.nii.gz", voxels.astype(np.float32), geometry)
        volume = load_study(tmp_path / "scan.nii.gz").volume
        assert volume is not None
        np.testing.assert_array_equal(volume.voxels, voxels)
        for mine, its in (
            (geometry.spacing_mm, volume.geometry.spacing_mm),
            (geometry.origin_mm, volume.geometry.origin_mm),
            (geometry.direction, volume.geometry.direction),
        ):
            np.testing.assert_allclose(mine, its, atol=1e-4)
        assert not any("sform" in warning for warning in volume.warnings)


def test_the_same_values_give_the_same_bytes_in_any_order_of_memory(tmp_path: Path) -> None:
    values = np.random.default_rng(2).random((9, 5, 6), dtype=np.float32)
    data = nifti_bytes(values, PLAIN)
    assert data == nifti_bytes(np.asfortranarray(values), PLAIN)
    assert data == nifti_bytes(values.astype(">f4"), PLAIN)
    assert data[4:8] == bytes(4)  # no time
    assert not data[3] & 8  # no file name
    write_nifti(tmp_path / "a.nii.gz", values, PLAIN)
    assert (tmp_path / "a.nii.gz").read_bytes() == data
    assert [path.name for path in tmp_path.iterdir()] == ["a.nii.gz"]


def test_directions_that_were_rounded_are_straightened() -> None:
    rounded = dataclasses.replace(PLAIN, direction=(0.9998, 0.0175, 0, -0.0174, 0.9999, 0))
    head = opened(nifti_bytes(np.zeros((8, 3, 4), np.uint8), rounded)).header
    np.testing.assert_allclose(head.get_qform(), head.get_sform(), atol=QUATERNION)
    np.testing.assert_allclose(head.get_zooms(), (0.7, 0.75, 2.5), rtol=1e-6)


@pytest.mark.parametrize(
    ("values", "geometry", "says"),
    [
        (np.zeros((2, 2, 2)), PLAIN, "uint8 or float32"),
        (np.zeros((2, 2), np.uint8), PLAIN, r"\[Z, Y, X\], found uint8 \(2, 2\)"),
        (np.zeros((2, 2, 2), np.uint8), Geometry(spacing_mm=(1, 1, 1)), "with place and direction"),
        (np.zeros((2, 2, 2), np.uint8), dataclasses.replace(PLAIN, spacing_mm=(1, 1)), "that of a volume"),
    ],
)
def test_what_is_no_volume_is_refused(values: np.ndarray, geometry: Geometry, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        nifti_bytes(values, geometry)
    if geometry.origin_mm is None:
        with pytest.raises(ValueError, match="with place"):
            affine(geometry)


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PneumoscopeError, match="can be written"):
        write_nifti(tmp_path / "file" / "a.nii.gz", np.zeros((2, 2, 2), np.uint8), PLAIN)


@pytest.mark.shared
def test_a_real_series_comes_back(shared_data: Path) -> None:
    volume = load_study(shared_data / "ct-series" / "covid-ct-md" / "P001").volume
    assert volume is not None
    data = nifti_bytes(volume.voxels.astype(np.float32), volume.geometry)
    again = read_nifti(data, "x.nii.gz")
    np.testing.assert_array_equal(again.voxels, volume.voxels)
    np.testing.assert_allclose(again.geometry.spacing_mm, volume.geometry.spacing_mm, rtol=1e-5)
    assert again.geometry.origin_mm is not None
    assert volume.geometry.origin_mm is not None
    np.testing.assert_allclose(again.geometry.origin_mm, volume.geometry.origin_mm, atol=1e-3)
    found = opened(data)
    z, y, x = (n // 3 for n in volume.shape)
    assert found.dataobj[x, y, z] == volume.voxels[z, y, x]
