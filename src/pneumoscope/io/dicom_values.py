"""Single values out of a DICOM data set, checked, since files hold text where numbers belong, and the reverse."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pneumoscope.errors import InputError

if TYPE_CHECKING:
    from pydicom import Dataset


def text(ds: Dataset, keyword: str) -> str:
    """The (first) value as text without padding, control characters and more than 64 characters; "" where none is."""
    value = ds.get(keyword)
    if value is None or isinstance(value, bytes):
        return ""
    if not isinstance(value, str) and hasattr(value, "__len__"):
        value = value[0] if len(value) else ""
    return "".join(c for c in str(value) if c.isprintable()).strip()[:64]


def numbers(ds: Dataset, keyword: str) -> tuple[float, ...]:
    """All values as finite numbers; () where the attribute is absent or empty.

    Raises:
        InputError: a value that is no finite number.
    """
    value = ds.get(keyword)
    if value is None or value == "":
        return ()
    values = [value] if isinstance(value, (str, int, float)) or not hasattr(value, "__iter__") else list(value)
    try:
        found = tuple(float(v) for v in values)
    except (TypeError, ValueError) as error:
        raise InputError(f"{keyword}: expected a number, found none. Export the image again.") from error
    if not all(math.isfinite(v) for v in found):
        raise InputError(f"{keyword}: expected a finite number, found {found}. Export the image again.")
    return found
