"""What is known of an image before a pixel is decoded, as numbers that a small model can learn from.

The header (`io.headers`), the quantisation tables of a JPEG (ITU-T T.81 B.2.4.1), the bytes that the file takes, what
DICOM says of scanner and exposure, and the original size where labels.csv gives it (`orig_w`, `orig_h`, `orig_name`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from pneumoscope.io.dicom import facts_of
from pneumoscope.io.foreign import beginning, quiet
from pneumoscope.io.headers import Header, read_header

Facts = Mapping[str, float | str]
# the groups, and what each one is called in a report
ORIGINAL, FILE, DICOM, BYTES = "original size", "file", "DICOM headers", "bytes"
GROUPS: Mapping[str, str] = {
    ORIGINAL: "width, height and format that the original had, by labels.csv; no picture",
    FILE: "size, aspect, format, depth and compression of the file; no picture",
    DICOM: "what DICOM says of scanner and series; no picture",
    # not free of lung: a compressed file grows with the detail of what it shows
    BYTES: "bytes of the file, in all and a pixel; with compression they tell of detail, in the lungs too",
}
_MOST = 12  # values of one fact that count by themselves, the most frequent ones
_SPACING = ("spacing z", "spacing y", "spacing x")


def facts_about(path: Path, row: Mapping[str, str]) -> dict[str, Facts]:
    """Group -> fact -> number or text, of one file or folder of a series; a group that nothing is known of is absent.

    row: its line in labels.csv, empty where there is none.
    """
    header = read_header(path, path.name)
    found = {
        ORIGINAL: _original(row),
        FILE: _file(path, header),
        DICOM: _dicom(path, header),
        BYTES: _bytes(path, header),
    }
    return {group: facts for group, facts in found.items() if facts}


def table(facts: Sequence[Facts]) -> np.ndarray:
    """Facts of N images as float32 `[N, D]`: a number is a column, a frequent text is one, too. -1 is unknown."""
    columns: list[np.ndarray] = []
    for name in dict.fromkeys(name for one in facts for name in one):
        values = [one.get(name) for one in facts]
        if any(isinstance(value, str) for value in values):
            often = Counter(str(v) for v in values if v is not None).most_common(_MOST)
            columns += [np.array([str(v) == value for v in values], dtype=np.float32) for value, _ in often]
        else:
            columns.append(np.array([-1.0 if v is None else v for v in values], dtype=np.float32))
    return np.stack(columns, axis=1) if columns else np.zeros((len(facts), 0), np.float32)


def _size(width: int, height: int) -> dict[str, float | str]:
    return {"width": width, "height": height, "aspect": width / height, "pixels": width * height}


def _original(row: Mapping[str, str]) -> Facts:
    width, height = row.get("orig_w", ""), row.get("orig_h", "")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        return {}
    suffix = PurePosixPath(row.get("orig_name", "")).suffix.lower()
    return _size(int(width), int(height)) | ({"format": suffix} if suffix else {})


def _file(path: Path, header: Header) -> Facts:
    if header.problem or path.is_dir():
        return {}
    found = _size(header.width, header.height) | {"format": header.format, "depth": header.depth}
    return found | (_quantisation(path) if header.format == "jpeg" else {})


def _bytes(path: Path, header: Header) -> Facts:
    if header.problem or path.is_dir():
        return {}
    size = path.stat().st_size
    return {"bytes": size, "bytes per pixel": size / (header.width * header.height)}


def _quantisation(path: Path) -> dict[str, float | str]:
    """The sum of each table and the tables as a whole: what quality an encoder worked with, and which encoder."""
    from PIL.JpegImagePlugin import JpegImageFile

    with quiet(), path.open("rb") as file:
        tables = JpegImageFile(file).quantization
    sums: dict[str, float | str] = {f"table {i}": float(sum(values)) for i, values in tables.items()}
    return sums | {"tables": " ".join(f"{sum(v)}:{v[0]}" for _, v in sorted(tables.items())), "encoded": len(tables)}


def _dicom(path: Path, header: Header) -> Facts:
    if header.problem:
        return {}
    if header.scan is not None:
        scan = header.scan
        spacing = dict(zip(_SPACING, scan.spacing_mm, strict=True))
        named = {"kernel": scan.kernel or "", "manufacturer": scan.manufacturer or ""}
        return {"slices": scan.slices, "thickness": scan.thickness_mm or -1.0, **spacing, **named}
    if header.format != "dicom":
        return {}
    with path.open("rb") as file:
        facts = facts_of(partial(beginning, file), path.name)
    found: dict[str, float | str] = {"kernel": facts.kernel or "", "thickness": facts.thickness or -1.0}
    return found | {name: _number(text) for name, text in facts.headers.items()}


def _number(text: str) -> float | str:
    try:
        value = float(text)
    except ValueError:
        return text[:64]
    return value if math.isfinite(value) else text[:64]
