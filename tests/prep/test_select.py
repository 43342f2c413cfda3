"""Which slices stay."""

from __future__ import annotations

import numpy as np
import pytest

from pneumoscope.errors import InputError
from pneumoscope.prep.select import salient


def mask(areas: list[int]) -> np.ndarray:
    found = np.zeros((len(areas), 4, 25), np.uint8)
    for one, area in zip(found, areas, strict=True):
        one.ravel()[:area] = 1
    return found


def test_from_the_first_to_the_last_wide_slice() -> None:
    assert salient(mask([0, 10, 69, 70, 80, 100, 90, 71, 69, 0]), 0.7) == slice(3, 8)


def test_a_slice_between_stays_though_a_lesion_made_it_narrow() -> None:
    assert salient(mask([0, 80, 100, 20, 90, 75, 10]), 0.7) == slice(1, 6)


def test_the_bound_itself_is_enough() -> None:
    assert salient(mask([70, 100, 70, 70, 69]), 0.7) == slice(0, 4)


@pytest.mark.parametrize("areas", [[0] * 20, [0, 100, 90, 80, 0, 0], [5]])
def test_too_few_slices_are_an_error(areas: list[int]) -> None:
    with pytest.raises(InputError, match=r"lung: expected at least 4 slices .* found [0-3] of"):
        salient(mask(areas), 0.7)
