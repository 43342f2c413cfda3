"""A dataset's images, prepared once and kept in one file that training maps into memory."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from pneumoscope.core.dataset import Dataset, Sample
from pneumoscope.core.files import write_text
from pneumoscope.core.progress import Progress
from pneumoscope.core.recipe import Recipe
from pneumoscope.core.serial import digest, to_json
from pneumoscope.errors import DataError, PneumoscopeError
from pneumoscope.io import load
from pneumoscope.prep import pipeline
from pneumoscope.runtime import gate


def prepare(dataset: Dataset, recipe: Recipe, folder: Path, progress: Progress) -> tuple[np.ndarray, tuple[str, ...]]:
    """All images as the network takes them, float32 `[N, H, W]` in 0..1, and what was noticed while reading.

    The array lies in a file under `folder`, named by the data and the steps; it is made once.

    Raises:
        DataError: files that cannot be read or that the recipe does not take; the first ones are named.
    """
    name = digest([[s.digest for s in dataset.samples], to_json(recipe.prep), to_json(recipe.modalities)])[:20]
    path, notes = folder / f"prepared-{name}.npy", folder / f"prepared-{name}.txt"
    if not (path.exists() and notes.exists()):
        folder.mkdir(parents=True, exist_ok=True)
        found = _prepare_into(path, dataset, recipe, progress)
        write_text(notes, "\n".join(found))
    images = np.load(path, mmap_mode="r", allow_pickle=False)
    return images, tuple(notes.read_text(encoding="utf-8").splitlines())


def _prepare_into(path: Path, dataset: Dataset, recipe: Recipe, progress: Progress) -> list[str]:
    height, width = pipeline.input_size(recipe)
    part = path.with_suffix(".part")
    images = np.lib.format.open_memmap(part, mode="w+", dtype=np.float32, shape=(len(dataset), height, width))
    bad: list[str] = []
    notes: Counter[str] = Counter()

    def one(sample: Sample) -> tuple[np.ndarray | None, tuple[str, ...]]:
        try:
            return read_prepared(Path(dataset.root) / sample.file, recipe)
        except PneumoscopeError as error:
            return None, (str(error),)

    with ThreadPoolExecutor(max_workers=2) as pool:
        for i, (pixels, said) in enumerate(pool.map(one, dataset.samples)):
            if pixels is None:
                bad.append(said[0])
            else:
                images[i] = pixels
                notes.update(said)
            progress("reading images", i + 1, len(dataset))
    images.flush()
    del images
    if bad:
        part.unlink()
        raise DataError(
            f"labels.csv: expected every file to be an image that {recipe.name} takes, found {len(bad)} of "
            f"{len(dataset)} that are not: {' | '.join(bad[:3])}"
        )
    part.replace(path)
    return [f"{count} of {len(dataset)} images: {note}" for note, count in sorted(notes.items())]


def read_prepared(path: Path, recipe: Recipe) -> tuple[np.ndarray, tuple[str, ...]]:
    """One file as the network takes it, `[H, W]`, with the warnings of reading and of the gate."""
    study = load.load_study(path)
    image = study.images[0]
    verdict = gate.judge(study, recipe.modalities)
    if verdict.reasons:
        raise DataError(f"{path.name}: {verdict.reasons[0]}")
    prepared = pipeline.run(image, recipe.prep)
    return prepared.pixels, (*study.warnings, *image.warnings, *verdict.warnings)
