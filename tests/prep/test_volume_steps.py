"""A volume's way to the network and back: known answers, places that can be followed, and what is refused."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pneumoscope.core.image import Geometry, Volume
from pneumoscope.core.stage import Step
from pneumoscope.core.voxels import Voxels
from pneumoscope.errors import InputError, RecipeError, UsageError
from pneumoscope.io.load import load_study
from pneumoscope.phantoms import phantom_ct
from pneumoscope.prep.volume_steps import prepare_volume, to_source_volume

GREY = Step(name="grey")


def step(name: str, **args: bool | float | str) -> Step:
    return Step(name=name, args=args)


def recipe(size: int, method: str = "paper") -> tuple[Step, ...]:
    return (
        GREY,
        step("resample", in_plane=2.3, slices=0.5),
        step("fit", size=size),
        step("lung", method=method),
        step("select", share=0.7),
        step("cube", size=size),
    )


def volume_of(voxels: np.ndarray, spacing: tuple[float, float, float] = (2.0, 1.0, 1.0)) -> Volume:
    names = tuple(str(n) for n in range(len(voxels)))
    return Volume(voxels=voxels, geometry=Geometry(spacing_mm=spacing), slices=names)


def noise(shape: tuple[int, int, int], seed: int = 0) -> Volume:
    return volume_of(np.random.default_rng(seed).integers(-1000, 1000, shape).astype(np.int16))


@pytest.fixture(scope="module")
def phantom() -> Volume:
    made = phantom_ct("covid", 2, size=128, slices=24)
    return volume_of(made.voxels, made.geometry.spacing_mm)


@pytest.mark.parametrize("method", ["paper", "ours"])
def test_the_papers_way(phantom: Volume, method: str) -> None:
    found = prepare_volume(phantom, recipe(48, method))
    assert found.values.shape == (48, 48, 48)
    assert found.values.dtype == np.float32
    assert found.values.min() == 0
    assert 0.2 < found.values.max() <= 1
    assert found.mask is not None
    assert found.mask.shape == (48, 48, 48)
    assert [s.name for s in found.steps] == ["grey", "resample", "fit", "lung", "select", "cube"]
    assert found.steps[1].args["shape"] == [48, 56, 56]  # 128 / 2.3 = 55.65
    assert 2 < found.steps[3].args["litres"] < 9
    kept = found.steps[4].args
    assert found.spacing_mm[0] == pytest.approx(phantom.geometry.spacing_mm[0] / 2 * kept["slices"] / 48)


def test_grey_is_from_the_lowest_to_the_highest_that_is_no_padding_and_no_metal() -> None:
    voxels = np.full((8, 4, 4), -3000, np.int16)
    voxels[1], voxels[2], voxels[3] = -1024, 1000, 9000
    found = prepare_volume(volume_of(voxels), [GREY])
    assert found.steps[0].args == {"low_hu": -1024, "high_hu": 3071}
    np.testing.assert_allclose(found.values[:4, 0, 0], [0, 0, 2024 / 4095, 1], atol=1e-6)
    with pytest.raises(InputError, match="volume: expected lighter and darker voxels, found all at 5 HU"):
        prepare_volume(volume_of(np.full((8, 4, 4), 5, np.int16)), [GREY])


def test_resizes_in_a_row_are_as_one_after_the_other() -> None:
    steps = (step("resample", in_plane=2.3, slices=0.5), step("fit", size=20), step("cube", size=16))
    voxels = np.random.default_rng(0).integers(-200, 200, (12, 40, 44)).astype(np.int16)
    voxels[0, 0, :2] = -900, 900  # far from the rest, so that nothing swings beyond 0..1 and is clipped
    joined = prepare_volume(volume_of(voxels), (GREY, *steps))
    # a crop of everything between them keeps them apart
    apart = prepare_volume(volume_of(voxels), (GREY, *(s for one in steps for s in (one, step("crop", share=1.0)))))
    np.testing.assert_allclose(joined.values, apart.values, atol=1e-5)
    np.testing.assert_allclose(joined.to_source, apart.to_source)
    np.testing.assert_allclose(joined.spacing_mm, apart.spacing_mm)


@settings(max_examples=15, deadline=None)
@given(st.floats(0.5, 2.5), st.floats(0.4, 1.6), st.integers(30, 70), st.floats(0.6, 1), st.integers(20, 40))
def test_every_voxel_knows_where_it_was(in_plane: float, slices: float, size: int, share: float, cube: int) -> None:
    """On a ramp along an axis, the value tells the place."""
    for axis in range(3):
        shape = tuple(90 if a == axis else 4 for a in range(3))
        ramp = np.broadcast_to(np.indices(shape)[axis] * 40 - 1000, shape).astype(np.int16)
        steps = (step("resample", in_plane=in_plane, slices=slices), step("fit", size=size), step("crop", share=share))
        found = prepare_volume(volume_of(ramp), (GREY, *steps, step("cube", size=cube)))
        line = np.moveaxis(found.values, axis, 0)[:, 0, 0] * 89
        scale, offset = found.to_source[axis]
        place = scale * np.arange(cube) + offset
        reach = 8 + 3 * scale  # in which mirrored edges have a part
        inside = (place > place[0] + reach) & (place < place[-1] - reach)
        assert inside.any()
        np.testing.assert_allclose(line[inside], place[inside], atol=0.1)
        assert found.spacing_mm[axis] == pytest.approx(scale * (2.0, 1.0, 1.0)[axis])


def test_a_crop_is_the_middle() -> None:
    found = prepare_volume(noise((8, 40, 20)), (GREY, step("crop", share=0.75)))
    whole = prepare_volume(noise((8, 40, 20)), (GREY,))
    np.testing.assert_array_equal(found.values, whole.values[:, 5:35, 2:17])
    assert found.to_source == ((1, 0), (1, 5), (1, 2))


def test_the_mask_goes_with_the_voxels(phantom: Volume) -> None:
    found = prepare_volume(phantom, (*recipe(48), step("crop", share=0.8)))
    assert found.mask is not None
    assert found.mask.shape == found.values.shape == (48, 38, 38)
    inside = found.mask > 0
    assert (found.values[~inside] > 0.02).mean() < 0.06  # a cubic blurs the edge


def test_a_map_comes_back_where_it_was(phantom: Volume) -> None:
    found = prepare_volume(phantom, recipe(48))
    lit = np.zeros((6, 6, 6), np.float32)
    lit[3, 2, 4] = 1
    back = to_source_volume(lit, found, phantom.shape)
    assert back.shape == phantom.shape
    assert back.dtype == np.float32
    assert 0 <= back.min() <= back.max() <= 1.0001
    peak = np.unravel_index(back.argmax(), back.shape)
    for at, cell, (scale, offset) in zip(peak, (3, 2, 4), found.to_source, strict=True):
        assert at == pytest.approx(scale * ((cell + 0.5) * 8 - 0.5) + offset, abs=1.01)


def test_a_map_is_zero_outside_what_was_selected(phantom: Volume) -> None:
    found = prepare_volume(phantom, (*recipe(48), step("crop", share=0.5)))
    back = to_source_volume(np.ones((2, 2, 2), np.float32), found, phantom.shape)
    assert set(np.unique(back).round(5)) == {0, 1}
    for axis, (scale, offset) in enumerate(found.to_source):
        lit = np.flatnonzero(np.moveaxis(back, axis, 0).any(axis=(1, 2)))
        first, last = offset - scale / 2, scale * (found.values.shape[axis] - 0.5) + offset
        assert first <= lit[0] < first + 1
        assert last - 1 < lit[-1] <= last


def test_a_constant_map_over_a_whole_volume_is_constant() -> None:
    prepared = Voxels(values=np.zeros((5, 6, 7), np.float32), spacing_mm=(1, 1, 1))
    np.testing.assert_allclose(to_source_volume(np.full((2, 3, 1), 0.3), prepared, (5, 6, 7)), 0.3, atol=1e-6)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ((), "prep: expected grey as the first step of a volume, without arguments, found none"),
        ((step("lung"),), "prep: expected grey as the first step"),
        ((step("grey", low=3),), "prep: expected grey as the first step of a volume, without arguments"),
        ((GREY, step("fit", size=0)), r"prep\.fit\.size: expected a whole number above 0, found 0"),
        ((GREY, step("cube", size=8.0)), r"prep\.cube\.size: expected a whole number above 0, found 8\.0"),
        ((GREY, step("cube", size=4096)), r"prep\.cube: expected at most 268,435,456 voxels, found 4096 x 4096 x 4096"),
        ((GREY, step("resample", in_plane=0.0, slices=1.0)), r"prep\.resample\.in_plane: expected a factor of 0\.1 to"),
        ((GREY, step("resample", in_plane=1.0, slices=float("nan"))), r"prep\.resample\.slices: expected a factor"),
        ((GREY, step("resample", size=3)), r"prep\.resample: expected its own arguments, found \{'size': 3\}"),
        ((GREY, step("crop", share=1.2)), r"prep\.crop\.share: expected above 0, at most 1, found 1\.2"),
        ((GREY, step("select", share=0.7)), r"prep\.select: expected a mask of the lungs, found none"),
        ((GREY, step("lung", method="best")), r"prep\.lung\.method: expected 'paper' or 'ours', found 'best'"),
    ],
)
def test_steps_that_do_not_hold_together(steps: tuple[Step, ...], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        prepare_volume(noise((8, 16, 16)), steps)


def test_an_unknown_step_gets_a_hint() -> None:
    with pytest.raises(UsageError, match=r"prep step of a volume: .* found 'lungs'. Did you mean 'lung'"):
        prepare_volume(noise((8, 16, 16)), (GREY, step("lungs")))


@pytest.mark.parametrize("method", ["paper", "ours"])
def test_no_lungs_and_lungs_of_a_giant_are_refused(phantom: Volume, method: str) -> None:
    flesh = np.random.default_rng(0).integers(20, 60, (12, 48, 48)).astype(np.int16)
    flesh[:, :4] = -1000
    with pytest.raises(InputError, match=r"lung: expected 0\.5 to 12 litres, found 0\.0\d\. Give a CT of the whole"):
        prepare_volume(volume_of(flesh), (GREY, step("lung", method=method)))
    large = volume_of(phantom.voxels, tuple(mm * 2 for mm in phantom.geometry.spacing_mm))  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"lung: expected 0\.5 to 12 litres, found [2-6]\d"):
        prepare_volume(large, (GREY, step("lung", method=method)))


def test_no_float_copy_of_the_whole_volume() -> None:
    volume = noise((120, 256, 256))
    whole = 4 * volume.voxels.size
    tracemalloc.start()
    prepare_volume(volume, (GREY, step("resample", in_plane=2.3, slices=0.5), step("fit", size=112)))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 0.75 * whole  # 0.38 of it is what comes out


@pytest.mark.shared
@pytest.mark.parametrize("name", ["P001", "cap001", "cap002", "normal002"])
def test_real_series(shared_data: Path, name: str) -> None:
    volume = load_study(shared_data / "ct-series" / "covid-ct-md" / name).volume
    assert volume is not None
    kept = []
    for method in ("paper", "ours"):
        found = prepare_volume(volume, recipe(64, method))
        assert found.values.shape == (64, 64, 64)
        assert 3.5 < found.steps[3].args["litres"] < 7
        kept.append(found.steps[4].args)
        assert 0.4 < kept[-1]["slices"] / (2 * len(volume.voxels)) < 0.65
    assert abs(kept[0]["first"] - kept[1]["first"]) <= 2


@pytest.mark.shared
def test_an_abdomen_is_refused(shared_data: Path) -> None:
    """Its lungs are cut off at their bases: 0.12 litres, and bowel gas."""
    volume = load_study(shared_data / "masks" / "ct-totalsegmentator" / "example_ct_sm.nii.gz").volume
    assert volume is not None
    with pytest.raises(InputError, match=r"lung: expected 0\.5 to 12 litres, found 0\.3"):
        prepare_volume(volume, (GREY, step("lung", method="ours")))
