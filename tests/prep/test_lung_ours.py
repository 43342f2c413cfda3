"""Our mask: what phantoms know of their lungs, real masks, and the places where others go wrong."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from pneumoscope.io.load import load_study
from pneumoscope.phantoms import phantom_ct
from pneumoscope.prep.lung import paper_mask
from pneumoscope.prep.lung_air import MOST_REGIONS, air_of_lungs, regions
from pneumoscope.prep.lung_ours import our_mask

HU = (-1024.0, 1024.0)


def of_hu(voxels: np.ndarray) -> np.ndarray:
    return np.clip((voxels.astype(np.float32) - HU[0]) / (HU[1] - HU[0]), 0, 1)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


@pytest.mark.parametrize("label", ["normal", "pneumonia"])
def test_it_is_nearer_to_a_phantoms_lungs_than_the_papers(label: str) -> None:
    phantom = phantom_ct(label, 1, size=160, slices=30, severity=None if label == "normal" else 0.9)
    values = of_hu(phantom.voxels)
    ours = our_mask(values, HU, phantom.geometry.spacing_mm) > 0
    papers = paper_mask(values) > 0
    assert dice(ours, phantom.lungs) > max(0.955, dice(papers, phantom.lungs) + 0.008)
    if label == "pneumonia":
        assert ours[phantom.lesions].mean() > papers[phantom.lesions].mean() + 0.04


def ball(centre: tuple[float, float, float], radius: float) -> np.ndarray:
    z, y, x = np.indices((30, 64, 64))
    return sum(((a - c) / (radius * f)) ** 2 for a, c, f in zip((z, y, x), centre, (1, 1, 0.6), strict=True)) < 1


def chest() -> np.ndarray:
    """Two lungs in a body in air, 4 mm a voxel; Z from feet to head."""
    hu = np.full((30, 64, 64), -1000.0, np.float32)
    hu[:, 8:56, 4:60] = 40
    hu[ball((15, 32, 20), 12) | ball((15, 32, 44), 12)] = -850
    return hu


def mask_of(hu: np.ndarray) -> np.ndarray:
    return our_mask(of_hu(hu), HU, (4.0, 4.0, 4.0)) > 0


def test_lungs_are_found_and_nothing_else() -> None:
    hu = chest()
    lungs = hu == -850
    hu[1:6, 40:48, 28:36] = -990  # gas of the bowel
    hu[:, 58:60, 20:40] = -990  # below the body
    hu[20:, 30:33, 31:34] = -990  # the trachea, from the top
    found = mask_of(hu)
    assert dice(found, lungs) > 0.98
    assert not found[1:6, 40:48, 28:36].any()
    assert not found[28:, 30:33, 31:34].any()


def test_a_dense_lesion_at_the_ribs_is_filled_and_the_heart_is_not() -> None:
    hu = chest()
    lungs = hu == -850
    lesion = np.zeros_like(lungs)
    lesion[12:18, 28:37] = lungs[12:18, 28:37]
    lesion[:, :, 17:] = False  # at the right lung's outer side
    heart = lungs.copy()
    heart[:, :, :40] = heart[:, :, 46:] = False
    heart[:8] = heart[20:] = False
    heart[:, 28:40] = False  # in front of and behind the left lung's middle
    hu[lesion] = 40
    found = mask_of(hu)
    assert found[lesion].mean() > 0.85
    below = chest()
    below[:16] = 40  # nothing aerated below: as over the diaphragm
    assert not mask_of(below)[:15].any()


def test_a_volume_without_lungs_has_an_empty_mask() -> None:
    assert not mask_of(np.full((12, 40, 40), 40, np.float32)).any()
    assert not mask_of(np.full((12, 40, 40), -1000, np.float32)).any()


def test_noise_has_no_more_regions_than_a_slice_may() -> None:
    pixels = np.random.default_rng(0).random((256, 256), dtype=np.float32)
    found = regions(pixels, 0.5, 2.0)
    assert len(found.area) == MOST_REGIONS == found.labels.max()
    counts = np.bincount(found.labels.ravel())[1:]
    np.testing.assert_array_equal(counts, found.area)
    assert air_of_lungs(pixels[np.newaxis].repeat(3, 0), 0.5, 0.2, (1.0, 1.0)).shape == (3, 256, 256)


def reference(file: Path, shape: tuple[int, ...]) -> np.ndarray:
    """A NIfTI mask of the set, turned as its image is: its axes are stored from left, back and feet."""
    import gzip

    return np.frombuffer(gzip.decompress(file.read_bytes())[352:], np.uint8).reshape(shape)


@pytest.mark.shared
@pytest.mark.parametrize(("name", "least"), [("id001", 0.98), ("id002", 0.92), ("id004", 0.975)])
def test_real_volumes(shared_data: Path, name: str, least: float) -> None:
    folder = shared_data / "masks" / "ct-imlab3d"
    volume = load_study(folder / f"{name}.nii.gz").volume
    assert volume is not None
    values = of_hu(np.clip(volume.voxels, -1024, 1024))
    found = our_mask(values, HU, volume.geometry.spacing_mm) > 0
    papers = paper_mask(values) > 0
    stored = reference(folder / f"{name}-msk.nii.gz", volume.shape)
    # which way the file runs, its own image says: the mask that fits is the mask
    turned = max((stored[:, ::a, ::b] > 0 for a in (1, -1) for b in (1, -1)), key=lambda m: dice(m, papers))
    assert dice(found, turned) > max(least, dice(papers, turned))


@pytest.mark.shared
def test_single_real_slices(shared_data: Path) -> None:
    """Without neighbours, and in an unknown window, it has less to go by."""
    folder = shared_data / "masks" / "ct-lungsegdb"
    found = []
    for file in sorted((folder / "images").glob("*.png")):
        pixels = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE).astype(np.float32) / 255
        lungs = cv2.imread(str(folder / "masks" / file.name), cv2.IMREAD_GRAYSCALE) > 127
        mask = our_mask(pixels[np.newaxis], (-500.0, 775.0), (1.0, 0.7, 0.7))[0] > 0
        found.append(dice(mask, lungs))
    assert np.median(found) > 0.955
    assert min(found) > 0.8
