"""What a labelled folder holds, in numbers: what `io.describe` makes, and reports draw.

The resolution of an image is its width times its height: the statistics of Berrimi et al. 2021, Tables I and II.
Findings that occur together: Basu & Mitra 2020, Fig. 2. No identifier of a patient is in here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pneumoscope.core.result import Sizes
from pneumoscope.core.serial import Undefinable
from pneumoscope.errors import UsageError
from pneumoscope.io.tells import Tell

MOST = 50  # values of a column, and findings, that are listed one by one
MOST_SIZES = 300  # different sizes that are listed one by one
MOST_NAMES = 20  # files that are named for one problem
PROFILE = 20  # parts of a scan from feet to head


@dataclass(frozen=True, kw_only=True)
class Tally:
    """How often each value occurs: the `MOST` most frequent, and how many different ones there are."""

    top: Mapping[str, int]
    distinct: int


@dataclass(frozen=True, kw_only=True)
class Size:
    """A size in pixels, and how many images have it."""

    width: int
    height: int
    images: int


@dataclass(frozen=True, kw_only=True)
class Extent:
    """The sizes of some images.

    resolution: width times height, in pixels; the standard deviation is the sample's (divided by n - 1). sizes: the
    most frequent first; beyond `MOST_SIZES` thinned evenly. distinct: how many different ones there are.
    """

    resolution: Sizes
    sizes: tuple[Size, ...]
    distinct: int


@dataclass(frozen=True, kw_only=True)
class PerPatient:
    """Images per patient. histogram: (images, number of patients with so many), ascending."""

    min: int
    median: Undefinable
    max: int
    histogram: tuple[tuple[int, int], ...]


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Least, median and greatest of some numbers."""

    min: Undefinable
    median: Undefinable
    max: Undefinable


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Where along the body infected slices lie: Xue & Abhayaratne 2021, Fig. 1, of the column infection of slices.csv.

    labelled, infected: slices in each of `PROFILE` equal parts of the scan from feet to head, of all studies together.
    studies: those with any labelled slice.
    """

    studies: int
    labelled: tuple[int, ...]
    infected: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Scans:
    """The CT scans of one label.

    slices: a study. step_mm: from slice to slice. pixel_mm: from column to column. thicknesses: SliceThickness in mm,
    as text. unlike: scans whose pixels are not square. profile: None where no slice is labelled.
    """

    studies: int
    slices: Spread
    step_mm: Spread
    pixel_mm: Spread
    unlike: int
    thicknesses: Tally
    kernels: Tally
    manufacturers: Tally
    profile: Profile | None


@dataclass(frozen=True, kw_only=True)
class Label:
    """What is known of the images of one label.

    patients: different group_id, else patient_id. unidentified: images with neither. per_patient: None without
    patients. formats, depths: of the files that can be read ("8-bit grey"), and the formats of the others. stored:
    the files' own sizes; original: those of orig_w and orig_h; None where there are none. blanks: column -> blank
    fields. parts: official parts ("train", "val", "test"). scans: None where none of the files is a scan.
    """

    name: str
    images: int
    patients: int
    unidentified: int
    per_patient: PerPatient | None
    formats: Mapping[str, int]
    depths: Mapping[str, int]
    stored: Extent | None
    original: Extent | None
    blanks: Mapping[str, int]
    views: Tally
    sources: Tally
    parts: Mapping[str, int]
    scans: Scans | None


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What is said to be seen in the images, from the column `findings`: the `MOST` most frequent, these first.

    together: images with both, `[finding][finding]`; on the diagonal, images with the finding. alone: images with it
    and no other. images: those with any finding. distinct: how many different findings there are.
    """

    names: tuple[str, ...]
    together: tuple[tuple[int, ...], ...]
    alone: tuple[int, ...]
    images: int
    distinct: int


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Files that cannot be used. why: ends "files <why>". files: the first `MOST_NAMES` of `images`."""

    why: str
    images: int
    files: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a labelled folder holds.

    images: rows of labels.csv. series: those of them that are CT scans of several slices. unplaced: slices that
    slices.csv labels and that are no slice of these. labels: as they stand, most images first. mixed: labels, joined by
    " + " -> patients with images of just these. across: patients with images in more than one official part.
    repeated: files that are listed more than once. tells: facts beside the picture that tell labels apart, each
    measured, striking or not. warnings: what a user should know, one sentence or two each.
    """

    root: str
    images: int
    series: int
    unplaced: int
    patients: int
    per_patient: PerPatient | None
    columns: tuple[str, ...]
    labels: tuple[Label, ...]
    mixed: Mapping[str, int]
    across: int
    repeated: int
    findings: Findings | None
    problems: tuple[Problem, ...]
    tells: tuple[Tell, ...]
    warnings: tuple[str, ...]


def resolution(description: Description, label: str) -> Sizes | None:
    """Width times height of the images of `label`: of the originals where the set gives them, else of the files.

    None where no size is known.

    Raises:
        UsageError: a label that does not occur.
    """
    found = next((one for one in description.labels if one.name == label), None)
    if found is None:
        names = ", ".join(one.name for one in description.labels[:20])
        raise UsageError(f"label: expected one of {names}, found '{label}'.")
    extent = found.original or found.stored
    return None if extent is None else extent.resolution
