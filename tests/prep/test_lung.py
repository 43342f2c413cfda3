"""The paper's mask, against definitions written out plainly, and against what phantoms and real masks know."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from pneumoscope.io.load import load_study
from pneumoscope.phantoms import phantom_ct
from pneumoscope.prep import lung

EIGHT = np.ones((3, 3))


def grey(voxels: np.ndarray) -> np.ndarray:
    low, high = max(int(voxels.min()), -1024), int(voxels.max())
    return np.clip((voxels.astype(np.float32) - low) / (high - low), 0, 1)


def plain(pixels: np.ndarray) -> np.ndarray:
    """The same by SciPy; scikit-image's clear_border is the labels that touch the border."""
    counts = np.histogram(np.rint(pixels * 255), bins=256, range=(-0.5, 255.5))[0]
    share = np.cumsum(counts) / counts.sum()
    low, high = np.argmax(share > 0.01) / 255, np.argmax(share >= 0.99) / 255
    labels, _ = ndimage.label((pixels - low) / (high - low) < 0.502, EIGHT)
    edge = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    return ndimage.binary_fill_holes((labels > 0) & ~np.isin(labels, edge))


@pytest.mark.parametrize("label", ["normal", "pneumonia"])
def test_a_phantom_is_masked_as_scipy_does(label: str) -> None:
    values = grey(phantom_ct(label, 3, size=160, slices=12).voxels)
    found = lung.paper_mask(values)
    assert found.dtype == np.uint8
    for pixels, mask in zip(values, found, strict=True):
        assert np.count_nonzero(mask != plain(pixels)) <= 1  # a pixel on the threshold


@pytest.mark.shared
@pytest.mark.parametrize("name", ["P001", "cap001"])
def test_real_slices_are_masked_as_scipy_does(shared_data: Path, name: str) -> None:
    volume = load_study(shared_data / "ct-series" / "covid-ct-md" / name).volume
    assert volume is not None
    values = grey(volume.voxels[::5])
    for pixels, mask in zip(values, lung.paper_mask(values), strict=True):
        assert np.count_nonzero(mask != plain(pixels)) <= 1


def test_limits_leave_one_percent_at_both_ends() -> None:
    pixels = np.zeros((40, 50), np.float32)
    pixels.ravel()[:1958] = 0.4  # and 21 of 0
    pixels.ravel()[-21:] = 1.0  # 1.05 %
    assert lung.limits(pixels) == pytest.approx((0, 1), abs=0.01)
    pixels.ravel()[-2:] = 0.4  # 19 of 2000 are 0.95 %
    assert lung.limits(pixels)[1] == pytest.approx(0.4, abs=0.01)
    assert lung.limits(np.full((8, 8), 0.3, np.float32)) == (0, 1)


def test_a_diagonal_touches_the_border_and_closes_no_hole() -> None:
    touching = np.zeros((5, 5), np.uint8)
    touching[0, 0] = touching[1, 1] = 1
    assert not lung.cleared(touching).any()
    ring = np.zeros((5, 5), np.uint8)
    ring[[1, 2, 2, 3], [2, 1, 3, 2]] = 1  # a diamond: over 4 neighbours its middle is closed in
    assert lung.filled(ring)[2, 2] == 1
    ring[1, 2] = 0
    assert lung.filled(ring)[2, 2] == 0


def test_the_stages_are_the_papers_figure() -> None:
    pixels = grey(phantom_ct("normal", 1, size=128, slices=9).voxels)[4]
    found = lung.stages(pixels)
    names = ["original", "contrast", "binary", "inverted", "border cleared", "holes filled", "masked"]
    assert list(found) == names
    assert all(
        p.shape == pixels.shape and p.dtype == np.float32 and 0 <= p.min() <= p.max() <= 1 for p in found.values()
    )
    np.testing.assert_array_equal(found["holes filled"], lung.paper_mask(pixels[np.newaxis])[0])
    np.testing.assert_array_equal(found["binary"] + found["inverted"], np.ones_like(pixels))
    np.testing.assert_array_equal(found["masked"] > 0, (found["holes filled"] * pixels) > 0)


def test_dense_lesions_at_the_pleura_are_lost() -> None:
    """The known failure of the paper's mask; `test_lung_ours` shows how much of it ours keeps."""
    phantom = phantom_ct("pneumonia", 1, size=160, slices=24, severity=0.9)
    mask = lung.paper_mask(grey(phantom.voxels)) > 0
    assert mask[phantom.lungs & ~phantom.lesions].mean() > 0.97
    assert mask[phantom.lesions].mean() < 0.6
