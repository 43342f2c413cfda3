"""The shortcuts that cost next to nothing, to stand beside a model's figure wherever one is reported.

Metadata, thumbnails and the name of the source: no network, no masks. A reason why they could not be measured stands in
the result in their place, since a report must not fail for them.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path, PurePosixPath

import numpy as np

from pneumoscope.audit.shortcuts import measured_or_said
from pneumoscope.audit.shown import Rows, show
from pneumoscope.audit.verdict import sentences
from pneumoscope.core.dataset import Dataset, Sample
from pneumoscope.core.files import write_json
from pneumoscope.core.progress import Progress, silent
from pneumoscope.core.result import Evaluation, Interval
from pneumoscope.core.serial import from_json, parse_json
from pneumoscope.core.shortcuts import Headline, Shortcuts
from pneumoscope.io import manifest

FORMAT = 1  # raised when what is measured changes, so that old files are not taken for new ones
MOST = 2000  # images: more would cost more than they tell


def baselines(
    dataset: Dataset, headline: Headline | None, *, cache: Path | None = None, progress: Progress = silent
) -> Shortcuts:
    """What metadata, thumbnails and sources score on the images of a data set, beside a model's `headline`.

    Of more than `MOST` images as many are drawn, by patient. cache: a folder where they are found again for the same
    data set, whatever the headline.
    """
    path = None if cache is None else cache / f"shortcuts-{FORMAT}-{dataset.digest[:16]}.json"
    if path is not None and path.exists():
        return against(from_json(Shortcuts, parse_json(path.read_bytes(), path.name)), headline)
    few = drawn(dataset, MOST)
    shown = show(few, rows_of(few), deep=False, progress=progress)
    found = said_drawn(measured_or_said(shown, Path(dataset.root).name), dataset, few)
    if path is not None:
        write_json(path, found)
    return against(found, headline)


def against(found: Shortcuts, headline: Headline | None) -> Shortcuts:
    """The same shortcuts, held against another headline."""
    held = dataclasses.replace(found, headline=headline)
    return dataclasses.replace(held, verdict=sentences(held)) if found.found else held


def headline_of(evaluation: Evaluation | None, of: str) -> Headline | None:
    """An evaluation's balanced accuracy as what shortcuts are held against; None without one."""
    found = None if evaluation is None else evaluation.metrics.get("balanced_accuracy")
    if evaluation is None or not isinstance(found, Interval) or found.value != found.value:
        return None
    what = {"image": "", "slice": " (of slices)", "study": " (of studies)"}[evaluation.judged]
    return Headline(of=of + what, classes=evaluation.classes, balanced_accuracy=found)


def drawn(dataset: Dataset, most: int, seed: int = 0) -> Dataset:
    """All of a data set, or patients drawn at random until they have at least `most` images."""
    if len(dataset) <= most:
        return dataset
    order = np.random.default_rng(seed).permutation(len(dataset.groups))
    images = dict.fromkeys(dataset.groups, 0)
    for sample in dataset.samples:
        images[sample.group] += 1
    kept: set[str] = set()
    count = 0
    for i in order:
        if count >= most:
            break
        kept.add(dataset.groups[i])
        count += images[dataset.groups[i]]
    return dataclasses.replace(dataset, samples=tuple(s for s in dataset.samples if s.group in kept), slices={})


def said_drawn(found: Shortcuts, dataset: Dataset, few: Dataset) -> Shortcuts:
    """The same, with a warning where not all images were looked at."""
    if len(few) == len(dataset):
        return found
    said = f"Measured on {len(few):,} of {len(dataset):,} images, patients drawn at random."
    return dataclasses.replace(found, warnings=(*found.warnings, said))


def rows_of(dataset: Dataset) -> Rows:
    """The line of labels.csv of each sample, as it stands; of several sets, each set's own."""
    root = Path(dataset.root)
    found: dict[str, dict[str, str]] = {}
    for folder in {_folder_of(root, s) for s in dataset.samples} - {None}:
        for row in manifest.read_rows(root / str(folder)):
            found[str(PurePosixPath(str(folder)) / row["file"])] = dict(row)
    return {s.file: found[s.file] for s in dataset.samples if s.file in found}


def _folder_of(root: Path, sample: Sample) -> PurePosixPath | None:
    """The nearest folder above a file that has a labels.csv, relative to the root."""
    return next((f for f in PurePosixPath(sample.file).parents if (root / f / manifest.NAME).is_file()), None)
