"""The naive side of volume.py: xue2021's preparation as it is plainly written, with SciPy and scikit-image.

Run: python volume_naive.py VOXELS OUT   VOXELS: int16 [Z, Y, X] as .npy; OUT: where the cube goes. It prints JSON.
SciPy's own cubic spline in one zoom (kinder than two), floats of 64 bits as the division gives them, slice by slice.
"""

import json
import resource
import sys
import time

import numpy as np
from scipy import ndimage
from skimage import exposure, segmentation

SIZE = 224


def lung(pixels: np.ndarray) -> np.ndarray:
    """bool, Xue 2021 section 2.2.3."""
    low, high = np.percentile(pixels, (1, 99))
    stretched = exposure.rescale_intensity(pixels, in_range=(low, high), out_range=(0, 1))
    return ndimage.binary_fill_holes(segmentation.clear_border(stretched < 0.502))


def main() -> None:
    voxels = np.load(sys.argv[1])
    parts, start, cpu, at = {}, time.perf_counter(), time.process_time(), time.process_time()

    def lap(name: str) -> None:
        nonlocal at
        parts[name], at = time.process_time() - at, time.process_time()

    grey = (voxels - float(voxels.min())) / (float(voxels.max()) - float(voxels.min()))
    lap("grey")
    _, y, x = grey.shape
    fine = ndimage.zoom(grey, (2, SIZE / y, SIZE / x), order=3)
    lap("resample")
    masks = np.stack([lung(pixels) for pixels in fine])
    masked = fine * masks
    lap("lung")
    area = masks.sum(axis=(1, 2))
    kept = np.flatnonzero(area / area.max() >= 0.7)
    masked = masked[kept[0] : kept[-1] + 1]
    lap("select")
    cube = ndimage.zoom(masked, (SIZE / len(masked), 1, 1), order=3)
    lap("cube")
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    np.save(sys.argv[2], cube.astype(np.float32))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        json.dumps({"seconds": seconds, "cpu": cpu, "parts": parts, "memory": memory, "kept": kept[[0, -1]].tolist()})
    )


if __name__ == "__main__":
    main()
