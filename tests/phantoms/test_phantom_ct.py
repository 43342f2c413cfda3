"""What a phantom CT series must be: the same for the same seed, chest-like in HU and shape, and without a shortcut."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pneumoscope.errors import UsageError
from pneumoscope.phantoms import CT_LABELS, CtPhantom, phantom_ct

SEEDS = range(6)
AIR = -1024
KNOWN = [
    -1006.4, -863.4, -925.8, -1016.4, -333.8, 36.7, -132.4, -591.6,
    -376.8, -10.7, -145.4, -540.7, -976.5, -771.1, -751.7, -981.8,
]  # fmt: skip


@cache
def ct(label: str, seed: int, *, size: int = 96, slices: int | None = 20, severity: float | None = None) -> CtPhantom:
    return phantom_ct(label, seed, size=size, slices=slices, severity=severity)


def _widened(mask: np.ndarray, pixels: int) -> np.ndarray:
    """The mask and what lies within some pixels of it in its slice."""
    kernel = np.ones((2 * pixels + 1, 2 * pixels + 1), np.uint8)
    return np.stack([cv2.dilate(m.astype(np.uint8), kernel) for m in mask]) > 0


def _core(mask: np.ndarray, pixels: int) -> np.ndarray:
    return ~_widened(~mask, pixels)


def _litres(phantom: CtPhantom) -> float:
    return float(phantom.lungs.sum() * np.prod(phantom.geometry.spacing_mm) / 1e6)


@settings(max_examples=8, deadline=None)
@given(
    label=st.sampled_from(CT_LABELS),
    seed=st.integers(0, 2**64),
    size=st.integers(64, 140),
    slices=st.integers(8, 20),
    soft=st.booleans(),
)
def test_any_series_holds_the_contract(label: str, seed: int, size: int, slices: int, soft: bool) -> None:
    phantom = phantom_ct(label, seed, size=size, slices=slices, soft=soft)
    shape = (slices, size, size)
    assert phantom.voxels.shape == phantom.lungs.shape == phantom.lesions.shape == shape
    assert [str(a.dtype) for a in (phantom.voxels, phantom.lungs, phantom.lesions)] == ["int16", "bool", "bool"]
    assert phantom.voxels.min() >= AIR
    assert phantom.voxels.max() <= 3071
    assert (phantom.voxels[:, ~phantom.scan.scanned] == AIR).all()
    assert not (phantom.lesions & ~phantom.lungs).any()
    assert phantom.lesions.any() == (label != "normal")
    assert 0 <= phantom.severity <= 1
    z, y, x = phantom.geometry.spacing_mm
    assert 250 < z * slices < 420
    assert 280 < y * size == x * size < 460
    assert 1.5 < _litres(phantom) < 9


def test_the_same_seed_makes_the_same_series_and_another_seed_another() -> None:
    first, again, other = (phantom_ct("covid", seed, size=64, slices=12) for seed in (5, 5, 6))
    assert np.array_equal(first.voxels, again.voxels)
    assert np.array_equal(first.lesions, again.lesions)
    assert first.geometry == again.geometry
    assert np.abs(first.voxels.astype(int) - other.voxels).mean() > 20
    assert first.geometry != other.geometry


def test_the_series_are_those_of_every_other_machine() -> None:
    # block means rather than a digest: builds of OpenCV round the last bit differently
    lowest = phantom_ct("covid", 2020, size=64, slices=16).voxels[:4].reshape(4, 4, 16, 4, 16)
    assert lowest.mean((0, 2, 4)).ravel() == pytest.approx(KNOWN, abs=1)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_label_changes_the_lesions_and_nothing_else(seed: int) -> None:
    normal, *ill = (ct(label, seed) for label in CT_LABELS)
    for phantom in ill:
        assert phantom.geometry == normal.geometry
        assert phantom.female == normal.female
        for name in ("size", "slices", "thickness_mm", "kernel", "noise_hu", "blur_mm", "edge", "head_first", "first"):
            assert getattr(phantom.scan, name) == getattr(normal.scan, name)
        assert np.array_equal(phantom.lungs, normal.lungs)
        changed = np.abs(phantom.voxels.astype(int) - normal.voxels)
        assert changed[phantom.lesions].mean() > 100
        # the kernel smears an edge over two pixels; below 8 % of the air a lesion does not count as one
        beyond = ~_widened(phantom.lesions, 3)
        assert changed[beyond].max() < 0.12 * 900
        assert changed[beyond].mean() < 1
        never = ~_widened(phantom.lungs.any(0)[None], 3)[0]
        assert changed[:, never].max() == 0


def test_slices_kernels_and_sizes_are_drawn_without_the_label() -> None:
    scans = {label: [phantom_ct(label, seed, size=64, slices=8).scan for seed in range(5)] for label in CT_LABELS}
    drawn = {label: [(s.kernel, s.thickness_mm, s.spacing_mm) for s in of] for label, of in scans.items()}
    assert drawn["normal"] == drawn["pneumonia"] == drawn["covid"]
    assert len({s.kernel for s in scans["normal"]}) > 2


def test_the_number_of_slices_follows_from_the_thickness() -> None:
    for seed in range(3):
        scan = ct("normal", seed, size=64, slices=8).scan
        assert scan.thickness_mm == 5
        assert scan.spacing_mm[0] > 30  # few slices leave gaps
    phantom = phantom_ct("normal", 0, size=64, soft=True)
    assert 3 <= phantom.scan.thickness_mm <= 5
    assert phantom.scan.thickness_mm == pytest.approx(phantom.geometry.spacing_mm[0])
    assert 250 < len(phantom.voxels) * phantom.scan.thickness_mm < 420


@pytest.mark.parametrize("seed", SEEDS)
def test_tissues_have_their_hounsfield_units(seed: int) -> None:
    phantom = ct("normal", seed, size=160, slices=16)
    hu, inside = phantom.voxels, phantom.scan.scanned
    corner = hu[:, :12][np.broadcast_to(inside[:12], hu[:, :12].shape)]
    assert np.median(corner) == pytest.approx(-1000, abs=20)
    lung = hu[_core(phantom.lungs, 2)]
    assert -900 < np.median(lung) < -760
    body = hu[(hu > -300) & inside]
    counts, edges = np.histogram(body, np.arange(-200, 301, 10))
    peaks = edges[:-1] + 5
    fat, flesh = peaks < -50, (peaks > 0) & (peaks < 120)
    assert peaks[fat][counts[fat].argmax()] == pytest.approx(-102, abs=20)
    assert peaks[flesh][counts[flesh].argmax()] == pytest.approx(52, abs=20)
    assert 0.01 < (body > 250).mean() < 0.15  # bone
    assert np.percentile(body, 99.9) > 500


@pytest.mark.parametrize("seed", SEEDS)
def test_the_lungs_lie_where_lungs_lie(seed: int) -> None:
    phantom = ct("normal", seed)
    lungs, middle = phantom.lungs, phantom.lungs.shape[2] // 2
    z, y, x = np.nonzero(lungs)
    n, size = lungs.shape[0], lungs.shape[1]
    assert 2 < _litres(phantom) < 8
    assert 0.35 < z.mean() / n < 0.6  # wider at the base
    assert abs(x.mean() - middle) < 0.06 * size
    assert abs(y.mean() - size / 2) < 0.12 * size
    right, left = lungs[:, :, :middle].sum(), lungs[:, :, middle:].sum()
    assert 0.65 < left / right < 1.05  # the heart takes its room from the left lung
    area = lungs.sum((1, 2)) / size**2
    assert area[n // 2] > 0.15
    assert area[-2:].max() < area[n // 2] / 3  # apex
    # the right dome stands higher
    low = lungs[: n // 3]
    assert low[:, :, middle:].sum() > 0.8 * low[:, :, :middle].sum()
    # the windpipe: air in the middle, above the carina, that is no lung
    upper = phantom.voxels[round(0.8 * n), :, middle - 8 : middle + 8][size // 3 : 2 * size // 3]
    assert upper.min() < -800


def test_there_is_a_table_behind_the_patient_and_nothing_in_front() -> None:
    for seed in SEEDS:
        middle = ct("normal", seed).voxels[:, :, 40:56].mean((0, 2))
        body = np.flatnonzero(middle > -300)
        chest = np.flatnonzero(middle > -970)
        assert (middle[4 : chest[0] - 2] < -985).all()
        assert (middle[body[-1] + 4 : -4] > -960).any()


def test_opacities_of_the_two_kinds_differ_as_they_should() -> None:
    shares, heights, depths = [], [], []
    for seed in SEEDS:
        covid, pneumonia = (ct(label, seed, severity=1.0) for label in ("covid", "pneumonia"))
        middle = round(float(np.nonzero(covid.lungs)[2].mean()))
        for phantom, both in ((covid, True), (pneumonia, False)):
            sides = [int(phantom.lesions[:, :, s].sum()) for s in (slice(None, middle - 2), slice(middle + 2, None))]
            assert (min(sides) > 0.05 * sum(sides)) == both
        heights.append(np.nonzero(covid.lesions)[0].mean() - np.nonzero(covid.lungs)[0].mean())
        depths.append(np.nonzero(covid.lesions)[1].mean() - np.nonzero(covid.lungs)[1].mean())
        shares.append([np.percentile(p.voxels[p.lesions], 50) for p in (covid, pneumonia)])
    assert np.mean(heights) < -1  # low
    assert np.mean(depths) > 3  # behind
    glass, dense = np.mean(shares, 0)
    assert -750 < glass < -350
    assert glass + 100 < dense < 60


def test_consolidation_holds_fluid_and_leaves_air_in_the_bronchi() -> None:
    phantom = phantom_ct("pneumonia", 2, size=256, slices=12, severity=1.0)
    dense = phantom.voxels[_core(phantom.lesions, 3)]
    assert (np.abs(dense - 40) < 120).mean() > 0.25
    smooth = np.stack([cv2.medianBlur(v, 5) for v in phantom.voxels])
    assert ((smooth > -150) & (phantom.voxels < smooth - 250) & phantom.lesions).sum() > 5


def test_severity_makes_lesions_larger() -> None:
    for label in ("pneumonia", "covid"):
        mild, severe = (
            np.mean([p.lesions.sum() / p.lungs.sum() for p in (ct(label, s, severity=v) for s in SEEDS)])
            for v in (0.0, 1.0)
        )
        assert mild < 0.06
        assert severe > 2 * mild


def test_the_soft_series_shows_the_same_patient_thicker_and_smoother() -> None:
    lung, soft = (phantom_ct("covid", 4, size=96, slices=20, soft=s) for s in (False, True))
    assert lung.scan.kernel != soft.scan.kernel
    assert np.array_equal(lung.lesions, soft.lesions)
    assert lung.geometry == soft.geometry
    corner = np.s_[:, 4:14, 40:56]
    assert soft.voxels[corner].std() < lung.voxels[corner].std()


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({"label": "tuberculosis"}, "label: expected one of normal, pneumonia, covid, found 'tuberculosis'"),
        ({"seed": -1}, "seed: expected 0 or more, found -1"),
        ({"size": 63}, "size: expected 64 to 1024 pixels, found 63"),
        ({"size": 2000}, "size: expected 64 to 1024 pixels, found 2000"),
        ({"slices": 7}, "slices: expected 8 to 600, found 7"),
        ({"severity": 1.5}, "severity: expected 0 to 1, found 1.5"),
    ],
)
def test_what_cannot_be_made_is_refused(arguments: dict[str, object], what: str) -> None:
    with pytest.raises(UsageError, match=what):
        phantom_ct(**{"label": "covid", "seed": 0, **arguments})
