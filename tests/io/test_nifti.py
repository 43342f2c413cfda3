"""NIfTI into a volume: every orientation, units, forms, types, and input from strangers."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from series_making import body, nifti

from pneumoscope.core.image import Volume
from pneumoscope.errors import InputError
from pneumoscope.io import nifti as module
from pneumoscope.io.load import load_study
from pneumoscope.io.nifti import read_nifti

# a chest as [I, J, K], axes to the left, back and head: what a volume is, turned round
CHEST = np.ascontiguousarray(body().transpose(2, 1, 0))
LPS = np.array([[-0.5, 0, 0, 10], [0, -0.75, 0, 20], [0, 0, 2, -100], [0, 0, 0, 1]])  # to RAS


def refusal(data: bytes) -> str:
    with pytest.raises(InputError) as caught:
        read_nifti(data, "x.nii")
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith("x.nii")
    assert "expected" in text
    assert "found" in text
    return text


def places(volume: Volume, index: np.ndarray) -> np.ndarray:
    """Millimetres, LPS, of voxels [N, (z, y, x)]."""
    g = volume.geometry
    assert g.direction is not None
    assert g.origin_mm is not None
    x, y = np.array(g.direction).reshape(2, 3)
    axes = np.stack([np.cross(x, y), y, x]) * np.array(g.spacing_mm)[:, np.newaxis]
    return np.array(g.origin_mm) + index @ axes


TURNS = list(itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3)))


@pytest.mark.parametrize(("axes", "signs"), TURNS)
def test_each_of_48_orientations_keeps_every_voxel_in_its_place(axes: tuple, signs: tuple) -> None:
    rng = np.random.default_rng(0)
    stored = rng.permutation(8 * 9 * 10).reshape(8, 9, 10).astype(np.int16)  # each value once
    affine = np.eye(4)
    affine[:3, 3] = rng.uniform(-300, 300, 3)
    affine[:3, :3] = 0
    for axis, (world, sign) in enumerate(zip(axes, signs, strict=True)):
        affine[world, axis] = sign * (0.7, 1.1, 2.5)[axis]
    affine = np.float32(affine).astype(float)
    volume = read_nifti(nifti(stored, affine), "x.nii")
    index = np.argwhere(volume.voxels >= 0)
    found = places(volume, index)
    before = {value: where for where, value in np.ndenumerate(stored)}
    origins = np.array([before[value] for value in volume.voxels[tuple(index.T)]])
    expected = (origins @ affine[:3, :3].T + affine[:3, 3]) * [-1, -1, 1]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert volume.geometry.direction == (1, 0, 0, 0, 1, 0)
    assert sorted(volume.voxels.ravel()) == list(range(720))


def test_an_oblique_scan_goes_to_the_nearest_axes() -> None:
    turn = np.array([[np.cos(0.3), -np.sin(0.3), 0], [np.sin(0.3), np.cos(0.3), 0], [0, 0, 1]])
    affine = LPS.copy()
    affine[:3, :3] = turn @ LPS[:3, :3]
    volume = read_nifti(nifti(CHEST, affine), "x.nii")
    np.testing.assert_array_equal(volume.voxels, body())
    np.testing.assert_allclose(
        places(volume, np.array([[3, 5, 7]])), [(affine @ [7, 5, 3, 1])[:3] * [-1, -1, 1]], atol=1e-4
    )
    assert volume.warnings == ()


def test_axes_off_the_right_angle_are_told() -> None:
    affine = LPS.copy()
    affine[1, 2] = 2 * np.tan(np.radians(10))
    volume = read_nifti(nifti(CHEST, affine), "x.nii")
    assert "10.0 degrees off the right angle; the volume has its slices straight above" in volume.warnings[0]
    assert volume.geometry.spacing_mm == pytest.approx((2, 0.75, 0.5))  # along the normal, not along the slant


def test_where_the_block_may_begin() -> None:
    plain, far = nifti(CHEST, LPS), bytearray(nifti(CHEST, LPS, at_108=("f", 2**20))[:352])
    far += bytes(2**20 - 352) + plain[352:]
    np.testing.assert_array_equal(read_nifti(bytes(far), "x.nii").voxels, body())
    assert "vox_offset: expected 348 to 1048576" in refusal(nifti(CHEST, LPS, at_108=("f", 2**20 + 1)))


def test_order_of_bytes_packing_names_and_steps(tmp_path: Path) -> None:
    for order, pack in itertools.product("<>", (bytes, gzip.compress)):
        (tmp_path / "scan").write_bytes(pack(nifti(CHEST, LPS, order=order)))
        study = load_study(tmp_path / "scan")
        assert study.volume is not None
        np.testing.assert_array_equal(study.volume.voxels, body())
        assert study.volume.slices[2] == f"{tmp_path}/scan k=2"
        assert study.volume.warnings == ()
        assert (study.source.format, study.source.rule, study.patient) == ("nifti", "the only scan", None)


@pytest.mark.parametrize("kind", ["i2", "i4", "f4", "f8"])
def test_types_and_scaling(kind: str) -> None:
    stored = (CHEST.astype(np.int32) + 1024).astype(kind)
    volume = read_nifti(nifti(stored, LPS, inter=-1024), "x.nii")
    np.testing.assert_array_equal(volume.voxels, body())
    assert volume.warnings == ()
    for slope in (0.0, float("nan")):  # not stated
        np.testing.assert_array_equal(read_nifti(nifti(CHEST, LPS, slope=slope), "x.nii").voxels, body())


def test_what_is_lost_is_told() -> None:
    stored = CHEST.astype(np.float32)
    stored[0, 0, 0], stored[1, 1, 1], stored[2, 2, 2], stored[3, 3, 3] = np.nan, np.inf, 0.5, -1e30
    volume = read_nifti(nifti(stored, LPS), "x.nii")
    assert volume.voxels[0, 0, 0] == -1024
    assert (volume.voxels[1, 1, 1], volume.voxels[3, 3, 3]) == (32767, -32768)
    assert [w.split(" ")[0] for w in volume.warnings] == ["1", "Values", "2"]


def test_units() -> None:
    for code, scale in ((1, 1e-3), (2, 1), (3, 1e3), (2 + 8, 1)):
        affine = LPS.copy()
        affine[:3] *= scale
        np.testing.assert_allclose(
            read_nifti(nifti(CHEST, affine, units=code), "x").geometry.spacing_mm, (2, 0.75, 0.5), rtol=1e-6
        )
    assert "millimetres were assumed" in read_nifti(nifti(CHEST, LPS, units=0), "x").warnings[0]
    assert "xyzt_units" in refusal(nifti(CHEST, LPS, units=5))


def test_the_qform_counts_where_there_is_no_sform_and_is_compared() -> None:
    # half a turn about z: the quaternion (0, 0, 0, 1) of LPS in RAS
    form: dict[str, Any] = {"qform": 1, "quaternion": (0, 0, 1, 10, 20, -100), "pixdim": (1, 0.5, 0.75, 2, 0, 0, 0, 0)}
    volume = read_nifti(nifti(CHEST, np.zeros((4, 4)), sform=0, **form), "x.nii")
    np.testing.assert_array_equal(volume.voxels, body())
    assert volume.geometry.origin_mm == (-10, -20, -100)
    assert read_nifti(nifti(CHEST, LPS, **form), "x.nii").warnings == ()
    form["pixdim"] = (-1, 0.5, 0.75, 2, 0, 0, 0, 0)  # the third axis reversed
    volume = read_nifti(nifti(CHEST, LPS, **form), "x.nii")
    assert "up to 36 mm apart; the sform was taken" in volume.warnings[0]
    for pixdim in ((1, -0.5, 0.75, 2), (1, 0.5, 0, 2), (1, 0.5, 0.75, float("nan"))):  # flips to some readers
        spoiled = nifti(CHEST, LPS, sform=0, qform=1, quaternion=(0, 0, 1, 0, 0, 0), pixdim=(*pixdim, 0, 0, 0, 0))
        assert "pixdim: expected lengths above 0" in refusal(spoiled)
    volume = read_nifti(nifti(CHEST, LPS, sform=0, **form), "x.nii")
    np.testing.assert_array_equal(volume.voxels, body()[::-1])
    assert volume.slices[0] == "x.nii k=9"


def test_a_known_quaternion() -> None:
    """Values that nibabel 5.4 gives for the same header."""
    head = nifti(CHEST, LPS, sform=0, qform=1, quaternion=(0.1, 0.2, 0.3, 5, 6, 7), pixdim=(1, 2, 3, 4, 0, 0, 0, 0))
    affine = module._qform(head, "<")
    np.testing.assert_allclose(affine[0], [1.48, -1.54925138, 1.72377899, 5], atol=1e-6)


def test_a_quaternion_may_be_longer_than_one_by_rounding_alone() -> None:
    for scale, fits in ((1.0001, True), (1.02, False)):
        head = nifti(CHEST, LPS, qform=1, quaternion=(0, scale, 0, 5, 6, 7), pixdim=(1, 2, 3, 4, 0, 0, 0, 0))
        affine = module._qform(head, "<")
        assert np.isfinite(affine).all() == fits
        if fits:
            np.testing.assert_allclose(np.linalg.norm(affine[:3, :3], axis=0), (2, 3, 4), rtol=1e-6)
    assert "expected three axes" in refusal(
        nifti(CHEST, LPS, sform=0, qform=1, quaternion=(1, 1, 0, 0, 0, 0), pixdim=(1, 2, 3, 4, 0, 0, 0, 0))
    )


@pytest.mark.parametrize("column", [0, 2])
def test_axes_that_lean_are_a_warning(column: int) -> None:
    affine = LPS.copy()
    affine[1, column] += 0.15 if column == 0 else 0.6
    assert "degrees off the right angle" in read_nifti(nifti(CHEST, affine), "x.nii").warnings[0]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (nifti(CHEST, LPS, sform=0), "expected an orientation (sform or qform), found none"),
        (nifti(CHEST, np.zeros((4, 4))), "expected three axes in space"),
        (nifti(CHEST, LPS * np.nan), "expected three axes in space"),
        (nifti(CHEST, np.ones((4, 4))), "expected three axes in space"),
        (nifti(np.stack([CHEST] * 2, axis=3), LPS), "found 16 x 16 x 10 x 2. Give one scan"),
        (nifti(CHEST[..., 0], LPS), "expected three axes, found 16 x 16"),
        (nifti(CHEST[..., :7], LPS), "at least 8 slices from feet to head, found 7"),
        (nifti(CHEST, LPS, at_70=("h", 128)), "found code 128"),
        (nifti(CHEST, LPS, at_108=("f", 3)), "vox_offset: expected 348"),
        (nifti(CHEST, LPS, at_108=("f", float("nan"))), "vox_offset: expected 348"),
        (nifti(CHEST, LPS, inter=float("inf")), "scl_inter"),
        (nifti(CHEST, LPS, at_42=("h", -3)), "dim: expected three axes"),
        (nifti(CHEST, LPS, at_42=("h", 0)), "dim: expected three axes"),
        (nifti(CHEST, LPS, at_0=("i", 540)), "expected a NIfTI-1 header"),
        (nifti(CHEST, LPS)[:-1], "expected 5,472 bytes, found 5,471"),
        (gzip.compress(nifti(CHEST, LPS))[:-1], "cut off"),
        (gzip.compress(nifti(CHEST, LPS)[:900]) + gzip.compress(nifti(CHEST, LPS)[900:]), "one gzip stream"),
        (gzip.compress(nifti(CHEST, LPS))[:-9], "found"),
        (gzip.compress(nifti(CHEST, LPS))[:-8] + bytes(8), "damaged data (error)"),
    ],
)
def test_what_is_refused(data: bytes, says: str) -> None:
    assert says in refusal(data)


def test_a_scan_that_is_no_chest_is_told() -> None:
    assert "Hounsfield" in read_nifti(nifti((CHEST > 0).astype("u1"), LPS), "x.nii").warnings[0]


def test_too_much_is_refused_before_it_is_unpacked() -> None:
    huge = bytearray(nifti(CHEST, LPS)[:352])
    struct.pack_into("<3h", huge, 42, 2048, 2048, 300)
    assert "less than 2 GiB" in refusal(bytes(huge))
    struct.pack_into("<3h", huge, 42, 16, 16, 5000)
    assert "at most 4,096 slices" in refusal(bytes(huge))
    struct.pack_into("<3h", huge, 42, 512, 512, 1100)
    struct.pack_into("<h", huge, 70, 64)  # as float64
    assert "less than 2 GiB" in refusal(bytes(huge))
    struct.pack_into("<h", huge, 70, 4)
    packer = zlib.compressobj(wbits=31)
    bomb = packer.compress(bytes(huge)) + b"".join(packer.compress(bytes(2**20)) for _ in range(64)) + packer.flush()
    assert "expected compression up to 200 times" in refusal(bomb)


@given(st.data())
def test_spoiled_headers_never_crash(data: st.DataObject) -> None:
    head = bytearray(nifti(CHEST, LPS))
    for _ in range(data.draw(st.integers(1, 6))):
        head[data.draw(st.integers(0, 351))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(InputError):  # any other error fails, and so does a warning
        read_nifti(bytes(head), "x.nii")


@pytest.mark.shared
def test_real_scans(shared_data: Path) -> None:
    volume = load_study(shared_data / "masks" / "ct-totalsegmentator" / "example_ct_sm.nii.gz").volume
    assert volume is not None
    assert volume.shape == (30, 101, 122)
    assert volume.warnings == ("The file does not state the unit of its spacing; millimetres were assumed.",)
    for number in ("001", "002", "004"):
        volume = load_study(shared_data / "masks" / "ct-imlab3d" / f"id{number}.nii.gz").volume
        assert volume is not None
        assert volume.shape == (64, 128, 128)
        # a patient on the back, on a table: bone is nearer to the back than to the front
        bone = np.argwhere(volume.voxels[10:50] > 300)[:, 1]
        assert bone.mean() > 64
