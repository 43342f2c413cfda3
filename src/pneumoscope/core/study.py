"""A study: what one path on disk holds for one patient, once the choice among its images is made."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from pneumoscope.core.image import Image2D, Volume


def pseudonym(identifier: str, prefix: str = "p") -> str:
    """A stable stand-in for an identifier, so that logs, keys and reports need not carry it.

    A truncated SHA-256: the same identifier gives the same key on every machine, which keeps splits and
    predictions joinable. It hides an identifier from a casual reader; it is not anonymisation, since whoever
    holds the list of identifiers can make the keys again.
    """
    return prefix + hashlib.sha256(identifier.encode()).hexdigest()[:12]


@dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """Where a study came from.

    path: as the user named it, plus `!member` for a member of an archive or a file of a folder.
    format: "png", "jpeg", "dicom", ...
    series_uid: SeriesInstanceUID of the chosen series, None outside DICOM.
    rule: why this image or series and no other, one sentence.
    """

    path: str
    format: str
    series_uid: str | None = None
    rule: str = "the only image"


@dataclass(frozen=True, kw_only=True, eq=False)
class Study:
    """The images, or the one volume, that are judged together.

    volume: a CT series of several slices; there are no images then.
    key, patient: pseudonyms (see `pseudonym`); patient is None where the source names no patient.
    headers: the few non-identifying DICOM attributes a result needs, keyword -> text.
    """

    key: str
    source: Source
    images: tuple[Image2D, ...] = ()
    volume: Volume | None = None
    patient: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if bool(self.images) == (self.volume is not None):
            raise ValueError(f"study: expected images or a volume, found {len(self.images)} images and {self.volume}.")
