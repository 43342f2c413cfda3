"""Single values out of a DICOM data set, checked, since files hold text where numbers belong, and the reverse."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any

from pneumoscope.errors import InputError

if TYPE_CHECKING:
    from pydicom import Dataset


_ASCII = ("CS", "DS", "IS", "UI")  # plain text without a character set (PS3.5 6.2)


@cache
def _tag(keyword: str) -> int:
    from pydicom.datadict import tag_for_keyword

    return tag_for_keyword(keyword) or 0


def _value(ds: Dataset, keyword: str) -> Any:
    """The value as pydicom gives it, but plain text unparsed, which took most of the time of a header."""
    if _tag(keyword) not in ds:
        return None
    raw = ds.get_item(_tag(keyword))
    if getattr(raw, "is_raw", False) and raw.VR in _ASCII and isinstance(raw.value, bytes):
        parts = [part.strip(" \0") for part in raw.value.decode("ascii", "replace").split("\\")]
        return parts[0] if len(parts) == 1 else parts
    return ds.get(keyword)


def text(ds: Dataset, keyword: str, most: int = 64) -> str:
    """The (first) value as text, no control characters and at most `most` characters; "" where none is."""
    value = _value(ds, keyword)
    if value is None or isinstance(value, bytes):
        return ""
    if not isinstance(value, str) and hasattr(value, "__len__"):
        value = value[0] if len(value) else ""
    return printable(str(value))[:most]


def printable(value: str) -> str:
    """Text without padding and control characters."""
    return (value if value.isprintable() else "".join(c for c in value if c.isprintable())).strip()


def if_number(ds: Dataset, keyword: str) -> float | None:
    """The (first) value of an attribute that can be done without; None where there is no finite number."""
    try:
        return next(iter(numbers(ds, keyword)), None)
    except InputError:
        return None


def numbers(ds: Dataset, keyword: str) -> tuple[float, ...]:
    """All values as finite numbers; () where the attribute is absent or empty.

    Raises:
        InputError: a value that is no finite number.
    """
    value = _value(ds, keyword)
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
