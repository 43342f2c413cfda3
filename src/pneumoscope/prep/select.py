"""The slices of a volume that hold most lung.

Source: Xue 2021, section 2.2.4 and Fig 3: the lung's area in each slice by the largest of them, and "only the '>= 0.7'
slices are extracted". The paper calls them a range; where a slice between such slices has less, as a consolidated one
may in the paper's mask, it stays, so that what is next to each other in the volume is so in the patient.
"""

from __future__ import annotations

import numpy as np

from pneumoscope.errors import InputError

LEAST_SLICES = 4  # of those to select from; fewer is no volume


def salient(mask: np.ndarray, share: float) -> slice:
    """From the first to the last slice whose area of lung is at least `share` of the largest; mask: `[Z, Y, X]`.

    Raises:
        InputError: fewer than `LEAST_SLICES` of them.
    """
    area = np.count_nonzero(mask, axis=(1, 2))
    wide = np.flatnonzero(area >= share * max(1, area.max()))
    count = int(wide[-1] - wide[0] + 1) if wide.size else 0
    if count < LEAST_SLICES:
        raise InputError(
            f"lung: expected at least {LEAST_SLICES} slices with {share:g} of the largest area of lung, found {count} "
            f"of {len(mask)}. Give the whole series."
        )
    return slice(int(wide[0]), int(wide[-1]) + 1)
