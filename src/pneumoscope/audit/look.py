"""Each file read once, on all cores: its digest, that of its pixels, and its picture squeezed into a small square.

Of a series, the slices at a quarter, half and three quarters of its length stand for it. HU are shown through the lung
window (centre -600, width 1500), as in reports.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from pneumoscope.audit.gather import Item
from pneumoscope.audit.marks import has_text
from pneumoscope.audit.signatures import SIDE, square
from pneumoscope.core.dataset import MARK, Sample
from pneumoscope.core.image import Image2D
from pneumoscope.core.progress import Progress, silent
from pneumoscope.errors import InputError
from pneumoscope.io import load, said
from pneumoscope.io.contents import digests_of
from pneumoscope.prep import intensity

OF_SERIES = (0.25, 0.5, 0.75)
IN_MEMORY = 512 * 2**20  # bytes of squares; more lie in a temporary file
T = TypeVar("T")
R = TypeVar("R")


class Picture(NamedTuple):
    """One picture of a file. item: number of the file. pixels: digest of its pixels. shape: `(H, W)`."""

    item: int
    pixels: bytes
    shape: tuple[int, int]


@dataclass(frozen=True, kw_only=True, eq=False)
class Looked:
    """What was seen of some files; view, sex and age of the items as a DICOM file has them where labels.csv does not.

    samples, problems, patients, text: item by item. problems: why it could not be looked at, "" where it could.
    patients: pseudonym of what a DICOM file names. text: whether there seems to be text burned in, None where nobody
    looked. pictures: of all files, one after the other; squares: uint8 `[pictures, SIDE, SIDE]`.
    """

    items: tuple[Item, ...]
    samples: tuple[Sample, ...]
    problems: tuple[str, ...]
    patients: tuple[str | None, ...]
    text: tuple[bool | None, ...]
    pictures: tuple[Picture, ...]
    squares: np.ndarray


class _Seen(NamedTuple):
    item: Item
    sample: Sample
    problem: str = ""
    patient: str | None = None
    text: bool | None = None
    shown: tuple[tuple[bytes, tuple[int, int], np.ndarray], ...] = ()


def look(items: Sequence[Item], *, text: bool = True, progress: Progress = silent) -> Looked:
    """Read every file of the items. text: look for burned-in text, too."""
    seen: list[_Seen] = []
    pictures: list[Picture] = []
    squares = _Squares(len(items))
    for i, one in enumerate(mapped(lambda item: _look(item, text), items)):
        for pixels, shape, small in one.shown:
            squares.append(small)
            pictures.append(Picture(i, pixels, shape))
        seen.append(one._replace(shown=()))
        progress("reading files", i + 1, len(items))
    return Looked(
        items=tuple(one.item for one in seen),
        samples=tuple(one.sample for one in seen),
        problems=tuple(one.problem for one in seen),
        patients=tuple(one.patient for one in seen),
        text=tuple(one.text for one in seen),
        pictures=tuple(pictures),
        squares=squares.all(),
    )


def mapped(work: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    """`work` of each item in order, on all cores: decoders and OpenCV let other threads run."""
    cores = os.cpu_count() or 1
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(cores) as pool:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > 4 * cores:  # results that nobody has taken yet do not pile up
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def shown_grey(image: Image2D) -> np.ndarray:
    """A picture as uint8 grey `[H, W]`, HU through the lung window."""
    values = image.pixels if image.unit == "unit" else intensity.window(image, center_hu=-600.0, width_hu=1500.0).pixels
    return np.asarray(np.clip(values * 255 + 0.5, 0, 255), dtype=np.uint8)


def _look(item: Item, text: bool) -> _Seen:
    blank = item.sample("")
    if item.problem:
        return _Seen(item, blank, item.problem)
    try:
        digest, within = digests_of(item.path)
        study = load.read(load.only(load.discover(item.path), item.path))
    except OSError as error:
        return _Seen(item, blank, f"that cannot be read: {error.strerror}")
    except InputError as error:  # named in the report, as a file that nobody could look at
        why = str(error).removeprefix(str(item.path)).lstrip(":, !").replace(f"{item.path.parent}{os.sep}", "")
        return _Seen(item, blank, f"that cannot be read: {why}")
    volume = study.volume
    if volume is None:
        images = list(study.images)
    else:
        images = [volume.image(int(part * len(volume.slices))) for part in OF_SERIES]
    greys = [shown_grey(image) for image in images]
    shown = tuple((_digest(i.pixels), i.shape, square(g)) for i, g in zip(images, greys, strict=True))
    found = has_text(greys[0]) if text and volume is None else None
    item = _with_headers(item, study.headers, images[0].view)
    return _Seen(item, item.sample(digest, tuple(one[:MARK] for one in within)), "", study.patient, found, shown)


def _with_headers(item: Item, headers: Mapping[str, str], view: str | None) -> Item:
    """The item with what its file says where labels.csv says nothing."""
    return dataclasses.replace(
        item,
        view=item.view or view or "",
        sex=item.sex or said.sex(headers.get("PatientSex", "")) or "",
        years=said.age(headers.get("PatientAge", "")) if item.years is None else item.years,
    )


def _digest(pixels: np.ndarray) -> bytes:
    return hashlib.sha256(f"{pixels.shape}".encode() + np.ascontiguousarray(pixels).tobytes()).digest()


class _Squares:
    """Squares one after the other, in a temporary file so that memory does not grow with their number."""

    def __init__(self, expected: int) -> None:
        # no context manager: the file lives as long as the squares in it, and has no name that could outlive it
        many = expected * SIDE * SIDE > IN_MEMORY
        self._file = tempfile.TemporaryFile() if many else None  # noqa: SIM115
        self._list: list[np.ndarray] = []
        self._count = 0

    def append(self, small: np.ndarray) -> None:
        self._count += 1
        if self._file is None:
            self._list.append(small)
        else:
            self._file.write(small.tobytes())

    def all(self) -> np.ndarray:
        shape = (self._count, SIDE, SIDE)
        if self._file is None:
            return np.stack(self._list) if self._list else np.zeros(shape, np.uint8)
        self._file.flush()
        return np.memmap(self._file, np.uint8, "r", shape=shape) if self._count else np.zeros(shape, np.uint8)


def read_grey(path: Path) -> np.ndarray:
    """The picture that stands for a file, uint8 grey `[H, W]`: of a series the middle slice.

    Raises:
        InputError: a file that cannot be read.
    """
    study = load.read(load.only(load.discover(path), path))
    image = study.images[0] if study.volume is None else study.volume.image(len(study.volume.slices) // 2)
    return shown_grey(image)
