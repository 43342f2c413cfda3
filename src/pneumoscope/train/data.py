"""A dataset's images, prepared once and kept in one file that training maps into memory."""

from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pneumoscope.core.dataset import Dataset, Sample
from pneumoscope.core.files import write_json
from pneumoscope.core.image import Modality
from pneumoscope.core.progress import Progress
from pneumoscope.core.recipe import Recipe
from pneumoscope.core.result import Sizes
from pneumoscope.core.serial import digest, from_json, to_json
from pneumoscope.errors import DataError, PneumoscopeError
from pneumoscope.io import load
from pneumoscope.prep import pipeline
from pneumoscope.runtime import gate

FORMAT = 2  # raised when what lies in a prepared file changes
AHEAD = 256  # images that may be ready and wait for the disk


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared:
    """A dataset as the network takes it, without the images that the gate refused.

    images: float32 `[N, H, W]` in 0..1, mapped from a file. pixels: width times height of each image as it was read,
    `[N]`. notes: what was noticed while reading.
    """

    dataset: Dataset
    images: np.ndarray
    pixels: np.ndarray
    notes: tuple[str, ...]

    @property
    def labels(self) -> Tensor:
        """int64 `[N]`, the class of each sample."""
        classes = self.dataset.classes
        return torch.tensor([classes.index(s.label) for s in self.dataset.samples])

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width."""
        return (self.images.shape[1], self.images.shape[2])

    def take(self, positions: np.ndarray) -> Tensor:
        """Images as `[n, 1, H, W]`."""
        x = torch.from_numpy(np.ascontiguousarray(self.images[positions])).unsqueeze(1)
        return x.contiguous(memory_format=torch.channels_last)

    def positions(self, files: Sequence[str]) -> list[int]:
        """Positions of the samples of these files."""
        wanted = set(files)
        return [i for i, s in enumerate(self.dataset.samples) if s.file in wanted]

    def sizes(self) -> dict[str, Sizes]:
        """Class -> sizes of its images, as papers tabulate them."""
        labels = np.array([s.label for s in self.dataset.samples])
        found = {name: self.pixels[labels == name].astype(np.float64) for name in self.dataset.classes.names}
        return {
            name: Sizes(
                images=len(n),
                min=float(n.min()),
                max=float(n.max()),
                mean=float(n.mean()),
                sd=float(n.std(ddof=1)) if len(n) > 1 else math.nan,
            )
            for name, n in found.items()
            if len(n)
        }


def prepare(dataset: Dataset, recipe: Recipe, folder: Path, progress: Progress) -> Prepared:
    """All images of a dataset as the network takes them.

    The array lies in a file under `folder`, named by the data and the steps; it is made once. Images that the gate
    refuses, as it would when screening, are left out, and the notes say so.

    Raises:
        DataError: files that cannot be read, of which the first ones are named, or no image left of a class.
    """
    named_by = [[s.digest for s in dataset.samples], to_json(recipe.prep), to_json(recipe.modalities)]
    name = digest([FORMAT, *named_by])[:20]
    path, about = folder / f"prepared-{name}.npy", folder / f"prepared-{name}.json"
    if not (path.exists() and about.exists()):
        folder.mkdir(parents=True, exist_ok=True)
        write_json(about, _prepare_into(path, dataset, recipe, progress))
    found = from_json(_Read, json.loads(about.read_text(encoding="utf-8")))
    # what labels.csv says is not among what a prepared file is named by: it is read anew
    told = [found.modalities[i] or dataset.samples[at].modality for i, at in enumerate(found.taken)]
    taken = [dataclasses.replace(dataset.samples[at], modality=m) for at, m in zip(found.taken, told, strict=True)]
    kept = dataclasses.replace(dataset, samples=tuple(taken))
    _check_complete(kept, found.notes)
    return Prepared(
        dataset=kept,
        images=np.load(path, mmap_mode="r", allow_pickle=False)[: len(taken)],
        pixels=np.array(found.pixels, dtype=np.int64),
        notes=found.notes,
    )


def _check_complete(kept: Dataset, notes: tuple[str, ...]) -> None:
    for name, count in kept.counts().items():
        if not count:
            why = f"once {notes[0]}" if notes else "Add some, or map a label with --map LABEL=CLASS."
            raise DataError(f"--data: expected images of each class, found none of '{name}' {why}")


@dataclass(frozen=True, kw_only=True)
class _Read:
    """What reading found. taken: positions of the samples that the gate lets pass; pixels, modalities: of those.

    modalities: what the files say; None where they do not.
    """

    taken: tuple[int, ...]
    pixels: tuple[int, ...]
    modalities: tuple[Modality | None, ...]
    notes: tuple[str, ...]


class _One(NamedTuple):
    """One file, read: its image `[H, W]`, or why the gate refuses it, or why it cannot be read."""

    image: np.ndarray | None = None
    pixels: int = 0
    modality: Modality | None = None
    notes: tuple[str, ...] = ()
    refused: str = ""
    bad: str = ""


def _prepare_into(path: Path, dataset: Dataset, recipe: Recipe, progress: Progress) -> _Read:
    height, width = pipeline.input_size(recipe)
    part = path.with_suffix(".part")
    # rows of refused images are left over at the end, and take no room on the disk
    images = np.lib.format.open_memmap(part, mode="w+", dtype=np.float32, shape=(len(dataset), height, width))
    bad: list[str] = []
    notes: Counter[str] = Counter()
    refused: list[str] = []
    taken: dict[int, _One] = {}

    with ThreadPoolExecutor(max_workers=2) as pool:
        for start in range(0, len(dataset), AHEAD):
            found = pool.map(lambda s: _read(dataset, s, recipe), dataset.samples[start : start + AHEAD])
            for i, one in enumerate(found, start):
                bad += [one.bad] if one.bad else []
                refused += [one.refused] if one.refused else []
                if one.image is not None:
                    images[len(taken)] = one.image
                    taken[i] = one._replace(image=None)
                    notes.update(one.notes)
                progress("reading images", i + 1, len(dataset))
    images.flush()
    del images
    if bad:
        part.unlink()
        raise DataError(
            f"labels.csv: expected every file to be an image that can be read, found {len(bad)} of "
            f"{len(dataset)} that are not: {' | '.join(bad[:3])} Mend the files, or take their lines out of labels.csv."
        )
    part.replace(path)
    lines = [f"{count} of {len(dataset)} images: {note}" for note, count in sorted(notes.items())]
    if refused:
        lines.insert(0, f"{len(refused)} of {len(dataset)} images were left out, the first one for: {refused[0]}")
    return _Read(
        taken=tuple(taken),
        pixels=tuple(one.pixels for one in taken.values()),
        modalities=tuple(one.modality for one in taken.values()),
        notes=tuple(lines),
    )


def _read(dataset: Dataset, sample: Sample, recipe: Recipe) -> _One:
    try:
        study = load.load_study(Path(dataset.root) / sample.file)
        verdict = gate.judge(study, recipe.modalities)
        if verdict.reasons:
            return _One(refused=verdict.reasons[0])  # without the file's name, which may be a patient's
        image = study.images[0]
        prepared = pipeline.run(image, recipe.prep)
    except PneumoscopeError as error:
        return _One(bad=str(error))
    return _One(
        image=prepared.pixels,
        pixels=image.shape[0] * image.shape[1],
        modality=image.modality,
        notes=(*study.warnings, *image.warnings, *verdict.warnings),
    )
