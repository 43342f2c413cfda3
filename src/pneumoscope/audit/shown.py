"""All that the small models are shown of a data set, each picture read once and none kept.

Views of pictures become the pooled features of a frozen MobileNetV2 (Sandler et al. 2018) where its pretrained weights
are at hand, else hand-made ones that always are: 32 x 32 pixels and a histogram of oriented gradients (Dalal & Triggs
2005). Which it was stands in the result. Nothing is downloaded for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from pneumoscope.audit import views
from pneumoscope.audit.metadata import GROUPS, Facts, facts_about, table
from pneumoscope.core.dataset import Dataset, Sample
from pneumoscope.core.progress import Progress, silent
from pneumoscope.errors import InputError

BACKBONE = "mobilenetv2_100"
HAND_MADE = "hand-made features (32 x 32 pixels, oriented gradients)"
BATCH = 16  # pictures
NOTHING = np.zeros(0, np.float32)
PIXELS, CELLS, DIRECTIONS = 32, 8, 9  # of the hand-made features

Rows = Mapping[str, Mapping[str, str]]  # file of a sample -> its line in labels.csv
Embed = Callable[[np.ndarray], np.ndarray]  # float32 `[N, H, W]` in 0..1 -> `[N, D]`


@dataclass(frozen=True, kw_only=True, eq=False)
class Shown:
    """What is known of the samples of a data set that could be read, in their order.

    samples: N of them. facts: group of metadata -> of each, None where nothing is known. thumbnails: `[N, 24 * 24]`, or
    `[N, 0]`. features: view -> float32 `[N, D]`, NaN in rows where lungs were wanted and not found. masks: `[N, 2]`,
    the share of the lung fields that "borders" leaves visible and the share of the picture that "lungs out" blacks, NaN
    where none were found. by: what made the features. unread: why -> number of files that could not be read.
    """

    samples: tuple[Sample, ...]
    facts: Mapping[str, Sequence[Facts | None]]
    thumbnails: np.ndarray
    features: Mapping[str, np.ndarray]
    masks: np.ndarray
    by: str
    unread: Mapping[str, int]

    def only(self, kept: Sequence[int]) -> Shown:
        """The same of some samples, by position."""
        return Shown(
            samples=tuple(self.samples[i] for i in kept),
            facts={group: [facts[i] for i in kept] for group, facts in self.facts.items()},
            thumbnails=self.thumbnails[kept],
            features={view: found[kept] for view, found in self.features.items()},
            masks=self.masks[kept],
            by=self.by,
            unread=self.unread,
        )

    def tables(self) -> dict[str, np.ndarray]:
        """Group of metadata -> `[N, D]`, those that something is known of."""
        known = {group: [one or {} for one in facts] for group, facts in self.facts.items() if any(facts)}
        return {group: table(facts) for group, facts in known.items()}


def show(
    dataset: Dataset,
    rows: Rows,
    *,
    weights_dir: Path | None = None,
    deep: bool = True,
    progress: Progress = silent,
) -> Shown:
    """Look at every sample of a data set once.

    deep: also at the views that need features. False for what is cheap: then no thumbnails of series either, since each
    would have to be read whole.
    """
    embed, by = _embedder(weights_dir) if deep else (None, "")
    decoded = deep or not any((Path(dataset.root) / s.file).is_dir() for s in dataset.samples)
    samples: list[Sample] = []
    facts: dict[str, list[Facts | None]] = {group: [] for group in GROUPS}
    small: list[np.ndarray] = []
    masks: list[tuple[float, float]] = []
    unread: Counter[str] = Counter()
    features: dict[str, list[np.ndarray]] = {view: [] for view in views.SEEN} if embed else {}
    for batch in _batches(dataset, decoded, unread, progress):
        pictures: list[dict[str, np.ndarray]] = []
        for sample, pixels in batch:
            samples.append(sample)
            about = facts_about(Path(dataset.root) / sample.file, rows.get(sample.file, {}))
            for group, found in facts.items():
                found.append(about.get(group))
            small.append(views.thumbnail(pixels).ravel() if decoded else NOTHING)
            lungs = views.lungs_of(pixels, sample.modality) if embed else None
            masks.append((np.nan, np.nan) if lungs is None else views.coverage(lungs))
            pictures.append(views.views(pixels, lungs) if embed else {})
        if embed:
            _append(features, pictures, embed)
    return Shown(
        samples=tuple(samples),
        facts=facts,
        thumbnails=np.array(small, dtype=np.float32),
        features={view: np.concatenate(found) for view, found in features.items() if found},
        masks=np.array(masks),
        by=by,
        unread=dict(unread),
    )


def _batches(
    dataset: Dataset, decoded: bool, unread: Counter[str], progress: Progress
) -> Iterator[list[tuple[Sample, np.ndarray]]]:
    """Samples with their pixels, a few at a time; what cannot be read is counted, without its name."""
    batch: list[tuple[Sample, np.ndarray]] = []
    for i, sample in enumerate(dataset.samples):
        path = Path(dataset.root) / sample.file
        try:
            batch.append((sample, views.picture(path).pixels if decoded else NOTHING))
        except InputError as error:
            unread[str(error).replace(str(path), "").replace(path.name, "").lstrip(" :,")] += 1
        if len(batch) == BATCH:
            yield batch
            batch = []
        progress("looking at pictures", i + 1, len(dataset))
    if batch:
        yield batch


def _append(features: dict[str, list[np.ndarray]], pictures: list[dict[str, np.ndarray]], embed: Embed) -> None:
    """Add the features of a batch, all views in one pass."""
    flat = [(i, view, pixels) for i, found in enumerate(pictures) for view, pixels in found.items()]
    answers = embed(np.stack([pixels for _, _, pixels in flat]))
    for view, found in features.items():
        of_view = np.full((len(pictures), answers.shape[1]), np.nan, np.float32)
        for (i, name, _), values in zip(flat, answers, strict=True):
            if name == view:
                of_view[i] = values
        found.append(of_view)


def _embedder(weights_dir: Path | None) -> tuple[Embed, str]:
    """What turns views into features, and its name for the record."""
    import torch

    from pneumoscope.nets import weights
    from pneumoscope.nets.backbones import build_backbone
    from pneumoscope.train.loop import autocast, bf16_is_fast

    if weights.find(BACKBONE, weights_dir) is None:
        return hand_made, HAND_MADE
    backbone, used = build_backbone(BACKBONE, init="imagenet", weights_dir=weights_dir)
    backbone.eval().to(memory_format=torch.channels_last)

    def embed(pictures: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(pictures).unsqueeze(1).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode(), autocast(bf16_is_fast()):
            pooled = backbone(x).mean(dim=(2, 3))
        return np.asarray(pooled.float().numpy())

    return embed, f"frozen {BACKBONE} at {views.SIDE} pixels ({used.origin})"


def hand_made(pictures: np.ndarray) -> np.ndarray:
    """Features of pictures in 0..1 that need no weights: float32 `[N, H, W]` -> `[N, 1600]`."""
    return np.stack([np.concatenate([_pixels(one), _gradients(one)]) for one in pictures])


def _pixels(picture: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.resize(picture, (PIXELS, PIXELS), interpolation=cv2.INTER_AREA)).ravel()


def _gradients(picture: np.ndarray) -> np.ndarray:
    """How much of the gradient runs in each of 9 directions, in 8 x 8 cells, each cell over its length."""
    down, across = cv2.Sobel(picture, cv2.CV_32F, 0, 1), cv2.Sobel(picture, cv2.CV_32F, 1, 0)
    size, angle = cv2.cartToPolar(across, down)
    which = (angle / np.pi * DIRECTIONS).astype(int) % DIRECTIONS
    cells = [
        cv2.resize(np.where(which == i, size, 0).astype(np.float32), (CELLS, CELLS), interpolation=cv2.INTER_AREA)
        for i in range(DIRECTIONS)
    ]
    found = np.stack(cells, axis=2)
    return np.asarray(found / (np.linalg.norm(found, axis=2, keepdims=True) + 1e-3)).ravel()
