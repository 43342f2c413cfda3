"""A dataset's images, prepared once and kept in one file that training maps into memory."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pneumoscope.core.dataset import Dataset, Sample
from pneumoscope.core.files import write_json
from pneumoscope.core.progress import Progress
from pneumoscope.core.recipe import Recipe
from pneumoscope.core.result import Sizes
from pneumoscope.core.serial import digest, to_json
from pneumoscope.errors import DataError, PneumoscopeError
from pneumoscope.io import load
from pneumoscope.prep import pipeline
from pneumoscope.runtime import gate

AHEAD = 256  # images that may be ready and wait for the disk


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared:
    """A dataset as the network takes it.

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

    The array lies in a file under `folder`, named by the data and the steps; it is made once.

    Raises:
        DataError: files that cannot be read or that the recipe does not take; the first ones are named.
    """
    name = digest([[s.digest for s in dataset.samples], to_json(recipe.prep), to_json(recipe.modalities)])[:20]
    path, about = folder / f"prepared-{name}.npy", folder / f"prepared-{name}.json"
    if not (path.exists() and about.exists()):
        folder.mkdir(parents=True, exist_ok=True)
        write_json(about, _prepare_into(path, dataset, recipe, progress))
    found = json.loads(about.read_text(encoding="utf-8"))
    return Prepared(
        dataset=dataset,
        images=np.load(path, mmap_mode="r", allow_pickle=False),
        pixels=np.array(found["pixels"], dtype=np.int64),
        notes=tuple(found["notes"]),
    )


def _prepare_into(path: Path, dataset: Dataset, recipe: Recipe, progress: Progress) -> dict[str, list[str] | list[int]]:
    height, width = pipeline.input_size(recipe)
    part = path.with_suffix(".part")
    images = np.lib.format.open_memmap(part, mode="w+", dtype=np.float32, shape=(len(dataset), height, width))
    bad: list[str] = []
    notes: Counter[str] = Counter()
    areas: list[int] = []

    def one(sample: Sample) -> tuple[np.ndarray | None, int, tuple[str, ...]]:
        try:
            return read_prepared(Path(dataset.root) / sample.file, recipe)
        except PneumoscopeError as error:
            return None, 0, (str(error),)

    with ThreadPoolExecutor(max_workers=2) as pool:
        for start in range(0, len(dataset), AHEAD):
            found = pool.map(one, dataset.samples[start : start + AHEAD])
            for i, (pixels, area, said) in enumerate(found, start):
                if pixels is None:
                    bad.append(said[0])
                else:
                    images[i] = pixels
                    areas.append(area)
                    notes.update(said)
                progress("reading images", i + 1, len(dataset))
    images.flush()
    del images
    if bad:
        part.unlink()
        raise DataError(
            f"labels.csv: expected every file to be an image that {recipe.name} takes, found {len(bad)} of "
            f"{len(dataset)} that are not: {' | '.join(bad[:3])} Mend the files, or take their lines out of labels.csv."
        )
    part.replace(path)
    lines = [f"{count} of {len(dataset)} images: {note}" for note, count in sorted(notes.items())]
    return {"notes": lines, "pixels": areas}


def read_prepared(path: Path, recipe: Recipe) -> tuple[np.ndarray, int, tuple[str, ...]]:
    """One file as the network takes it, `[H, W]`, its size as read, and the warnings of reading and of the gate."""
    study = load.load_study(path)
    image = study.images[0]
    verdict = gate.judge(study, recipe.modalities)
    if verdict.reasons:
        raise DataError(f"{path.name}: {verdict.reasons[0]}")
    prepared = pipeline.run(image, recipe.prep)
    return prepared.pixels, image.shape[0] * image.shape[1], (*study.warnings, *image.warnings, *verdict.warnings)
