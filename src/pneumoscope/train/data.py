"""A dataset's images, prepared once and kept in one file that training maps into memory."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import os
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
from pneumoscope.core.image import Modality, Volume
from pneumoscope.core.progress import Progress
from pneumoscope.core.recipe import Recipe
from pneumoscope.core.result import Sizes
from pneumoscope.core.serial import digest, from_json, to_json
from pneumoscope.errors import DataError, PneumoscopeError
from pneumoscope.io import load
from pneumoscope.prep import pipeline
from pneumoscope.prep.sizes import input_size
from pneumoscope.prep.slices import interpolated
from pneumoscope.prep.volume_steps import prepare_volume
from pneumoscope.runtime import gate, looks
from pneumoscope.train.copies import copies_of
from pneumoscope.train.notes import together

FORMAT = 5  # raised when what lies in a prepared file changes
AHEAD = 256  # images that may be ready and wait for the disk


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared:
    """A dataset as the network takes it, without the images that the gate refused.

    dataset: a sample an image; each slice of a series is a sample of its own, named `<file>#<number from the feet>`,
    and so is a changed copy of a volume, `<file>#<name>`. images: float32 `[N, H, W]` in 0..1, or `[N, D, H, W]` of
    volumes, mapped from a file. pixels: width times height of each image as it was read,
    `[N]`. infection: of each image 1, 0, or -1 where nobody said, as slices.csv has it, `[N]`. given: the samples as
    they were given, a series whole; origin: which of them each image is of, `[N]`. between: of each image whether it is
    none of the scan's but one between two slices, or a copy, to be learned from alone, `[N]`. notes: what was noticed.
    """

    dataset: Dataset
    images: np.ndarray
    pixels: np.ndarray
    infection: np.ndarray
    given: Dataset
    origin: np.ndarray
    between: np.ndarray
    notes: tuple[str, ...]

    @property
    def labels(self) -> Tensor:
        """int64 `[N]`, the class of each sample."""
        classes = self.dataset.classes
        return torch.tensor([classes.index(s.label) for s in self.dataset.samples])

    @property
    def input_size(self) -> tuple[int, ...]:
        """Height and width; of volumes, depth before them."""
        return tuple(self.images.shape[1:])

    def take(self, positions: np.ndarray) -> Tensor:
        """Images as `[n, 1, H, W]`, volumes as `[n, 1, D, H, W]`."""
        x = torch.from_numpy(np.ascontiguousarray(self.images[positions])).unsqueeze(1)
        return x.contiguous(memory_format=torch.channels_last if x.ndim == 4 else torch.channels_last_3d)

    def positions(self, files: Sequence[str]) -> list[int]:
        """Positions of the samples of these files."""
        wanted = set(files)
        return [i for i, s in enumerate(self.dataset.samples) if s.file in wanted]

    def sizes(self) -> dict[str, Sizes]:
        """Class -> sizes of its images, as papers tabulate them."""
        labels = np.array([s.label for s in self.dataset.samples])
        read = {name: (labels == name) & ~self.between for name in self.dataset.classes.names}
        found = {name: self.pixels[rows].astype(np.float64) for name, rows in read.items()}
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
    name = digest([FORMAT, *_named_by(dataset, recipe)])[:20]
    path, about = folder / f"prepared-{name}.f32", folder / f"prepared-{name}.json"
    if not (path.exists() and about.exists()):
        folder.mkdir(parents=True, exist_ok=True)
        write_json(about, _prepare_into(path, dataset, recipe, progress))
    found = from_json(_Read, json.loads(about.read_text(encoding="utf-8")))
    samples = [
        dataclasses.replace(_row(dataset.samples[at], found.slices[i], found.modalities[i], name), looks=found.looks[i])
        for i, at in enumerate(found.taken)
    ]
    images: np.ndarray = np.memmap(path, np.float32, "r", shape=(len(samples), *input_size(recipe)))
    # samples stand in the order of their names; so do images, but for names with a blank or such after another's end
    order = sorted(range(len(samples)), key=lambda i: samples[i].file)
    if order != list(range(len(samples))):
        images = images[order]
    kept = dataclasses.replace(dataset, samples=tuple(samples))
    _check_complete(kept, found.notes)
    given = sorted(set(found.taken))
    numbers = {at: i for i, at in enumerate(given)}
    infection = [-1 if (seen := dataset.slices.get(name)) is None else int(seen) for name in found.names]
    return Prepared(
        dataset=kept,
        images=images,
        pixels=np.array(found.pixels, dtype=np.int64)[order],
        infection=np.array(infection, dtype=np.int64)[order],
        given=dataclasses.replace(dataset, samples=tuple(dataset.samples[at] for at in given)),
        origin=np.array([numbers[at] for at in found.taken], dtype=np.int64)[order],
        between=np.array([_is_between(n) for n in found.slices], dtype=bool)[order],
        notes=found.notes,
    )


def _named_by(dataset: Dataset, recipe: Recipe) -> list[object]:
    """What prepared images depend on: the files, the steps, and what decides which are made beside the scans' own."""
    files = [s.digest for s in dataset.samples]
    found: list[object] = [files, to_json(recipe.prep), to_json(recipe.modalities), looks.digest()]
    if recipe.of_volumes and recipe.copies:
        return [*found, to_json(recipe.copies), recipe.protocol.seed, [s.label for s in dataset.samples]]
    if recipe.slices_between and not recipe.of_volumes:
        healthy = [sample.label == dataset.classes.normal for sample in dataset.samples]
        return [*found, recipe.slices_between, healthy, sorted(dataset.slices.items())]
    return found


def _row(sample: Sample, number: float | str | None, modality: Modality | None, made: str) -> Sample:
    """The sample that one image is: itself, or a slice of it. What labels.csv says is read anew, not from the cache.

    made: name of the file it lies in; a slice between two, or a copy, is another where it was made from others.
    """
    sample = dataclasses.replace(sample, modality=modality or sample.modality)
    if number is None:
        return sample
    of = [sample.digest, number, made] if _is_between(number) else [sample.digest, number]
    return dataclasses.replace(sample, file=slice_name(sample.file, number), digest=digest(of))


def _is_between(number: float | str | None) -> bool:
    """Of a slice's number, or a copy's name."""
    return isinstance(number, str) or (number is not None and number % 1 != 0)


def slice_name(file: str, number: float | str) -> str:
    """What a slice of a series is called, or one between two, or a copy; sorted, slices run from feet to head."""
    return f"{file}#{number}" if isinstance(number, str) else f"{file}#{number:09.4f}"


def _check_complete(kept: Dataset, notes: tuple[str, ...]) -> None:
    for name, count in kept.counts().items():
        if not count:
            why = f"once {notes[0]}" if notes else "Add some, or map a label with --map LABEL=CLASS."
            raise DataError(f"--data: expected images of each class, found none of '{name}' {why}")


@dataclass(frozen=True, kw_only=True)
class _Read:
    """What reading found, of each image that the gate lets pass, in the order of the names that they are sorted by.

    taken: position of its sample. slices: its number in a series, the name of a copy, None for an image or a volume.
    names: of the file that a slice came from, relative to the dataset's folder. modalities: what the files say; None
    where they do not. looks: what the gate takes the pictures for.
    """

    taken: tuple[int, ...]
    slices: tuple[float | str | None, ...]
    names: tuple[str, ...]
    pixels: tuple[int, ...]
    modalities: tuple[Modality | None, ...]
    looks: tuple[Modality | None, ...]
    notes: tuple[str, ...]


class _One(NamedTuple):
    """One file, read: its images `[n, H, W]`, or why the gate refuses it, or why it cannot be read.

    numbers, names: of the slices of a series, and the files they came from; none for an image. A slice between two has
    the name of the one below. Of a volume and its copies: None, and their names.
    """

    images: np.ndarray | None = None
    numbers: tuple[float | str | None, ...] = ()
    names: tuple[str, ...] = ()
    pixels: int = 0
    modality: Modality | None = None
    looks: Modality | None = None
    notes: tuple[str, ...] = ()
    refused: str = ""
    bad: str = ""


def _prepare_into(path: Path, dataset: Dataset, recipe: Recipe, progress: Progress) -> _Read:
    part = path.with_suffix(".part")
    bad: list[str] = []
    notes: Counter[str] = Counter()
    refused: list[str] = []
    taken: list[tuple[int, float | str | None, str, int, Modality | None, Modality | None]] = []
    # images are written as they are read, and samples stand in the order of their names: so must slices among them
    order = sorted(range(len(dataset)), key=lambda i: slice_name(dataset.samples[i].file, 0))
    looks.make_ready()  # before two threads ask for it
    with part.open("wb") as file, ThreadPoolExecutor(max_workers=2) as pool:
        for start in range(0, len(dataset), AHEAD):
            chunk = order[start : start + AHEAD]
            for i, one in zip(
                chunk, pool.map(lambda at: _read(dataset, dataset.samples[at], recipe), chunk), strict=True
            ):
                bad += [one.bad] if one.bad else []
                refused += [one.refused] if one.refused else []
                if one.images is not None:
                    file.write(np.ascontiguousarray(one.images, dtype=np.float32).tobytes())
                    numbers = one.numbers or (None,)
                    names = one.names or ("",)
                    about = one.pixels, one.modality, one.looks
                    taken += [(i, n, name, *about) for n, name in zip(numbers, names, strict=True)]
                    notes.update(one.notes)
                start += 1
                progress("reading images", start, len(dataset))
    if bad:
        part.unlink()
        raise DataError(
            f"labels.csv: expected every file to be an image that can be read, found {len(bad)} of "
            f"{len(dataset)} that are not: {' | '.join(bad[:3])} Mend the files, or take their lines out of labels.csv."
        )
    part.replace(path)
    noun = "studies" if recipe.of_volumes or any(number is not None for _, number, *_ in taken) else "images"
    lines = together(notes, len(dataset), noun)
    if refused:
        lines.insert(0, f"{len(refused)} of {len(dataset)} {noun} were left out, the first one for: {refused[0]}")
    columns = list(zip(*taken, strict=True)) or [(), (), (), (), (), ()]
    return _Read(
        taken=columns[0],
        slices=columns[1],
        names=columns[2],
        pixels=columns[3],
        modalities=columns[4],
        looks=columns[5],
        notes=tuple(lines),
    )


def _read(dataset: Dataset, sample: Sample, recipe: Recipe) -> _One:
    try:
        study = load.load_study(Path(dataset.root) / sample.file)
        verdict = gate.judge(study, recipe.modalities, series=recipe.of_studies, whole=recipe.of_volumes)
        if verdict.reasons:
            return _One(refused=verdict.reasons[0])  # without the file's name, which may be a patient's
        if study.volume is not None and recipe.of_volumes:
            one = _whole(study.volume, dataset, sample, recipe, (*study.warnings, *verdict.warnings))
            return one._replace(looks=verdict.looks)
        if study.volume is not None:
            one = _series(study.volume, dataset, sample, recipe, (*study.warnings, *verdict.warnings))
            return one._replace(looks=verdict.looks)
        image = study.images[0]
        prepared = pipeline.run(image, recipe.prep)
    except PneumoscopeError as error:
        return _One(bad=str(error))
    return _One(
        images=prepared.pixels[np.newaxis],
        pixels=image.shape[0] * image.shape[1],
        modality=image.modality,
        looks=verdict.looks,
        notes=(*study.warnings, *image.warnings, *verdict.warnings),
    )


def _series(volume: Volume, dataset: Dataset, sample: Sample, recipe: Recipe, notes: tuple[str, ...]) -> _One:
    """Every slice of a series, prepared as an image by itself, and those between that are to be learned from."""
    above = f"{dataset.root}{os.sep}"
    names = [Path(name.removeprefix(above)).as_posix() for name in volume.slices]
    numbers: list[float] = [float(z) for z in range(len(names))]
    if recipe.slices_between and len(names) > 1:
        keep = _alike(names, dataset, sample)
        new, places = interpolated(volume.voxels, keep, recipe.slices_between)
        order = np.argsort([*numbers, *places], kind="stable")
        volume = dataclasses.replace(
            volume,
            voxels=np.concatenate([volume.voxels, new])[order],
            slices=tuple(([*volume.slices, *(volume.slices[int(place)] for place in places)])[i] for i in order),
        )
        names = [Path(name.removeprefix(above)).as_posix() for name in volume.slices]
        numbers = [float(number) for number in np.concatenate([numbers, places])[order]]
    return _One(
        images=np.stack([pipeline.run(image, recipe.prep).pixels for image in volume.images()]),
        numbers=tuple(numbers),
        names=tuple(names),
        pixels=volume.shape[1] * volume.shape[2],
        modality="ct",
        notes=(*notes, *volume.warnings),
    )


def _whole(volume: Volume, dataset: Dataset, sample: Sample, recipe: Recipe, notes: tuple[str, ...]) -> _One:
    """A series as one volume, and its copies."""
    made = [prepare_volume(volume, recipe.prep).values]
    copies = copies_of(sample, dataset, recipe)
    made += [prepare_volume(volume, steps).values for steps in copies.values()]
    return _One(
        images=np.stack(made),
        numbers=(None, *copies),
        names=("",) * len(made),
        pixels=volume.shape[1] * volume.shape[2],
        modality="ct",
        notes=(*notes, *volume.warnings),
    )


def _alike(names: list[str], dataset: Dataset, sample: Sample) -> np.ndarray:
    """Which gaps lie between two slices that are known to be both infected or both not, bool `[Z-1]`."""
    healthy = sample.label == dataset.classes.normal
    seen = [False if healthy else dataset.slices.get(name) for name in names]
    return np.array([a is not None and a == b for a, b in itertools.pairwise(seen)], dtype=bool)
