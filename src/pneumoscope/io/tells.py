"""What beside the picture tells the labels apart: a file's size, format or source, one fact at a time.

A decision is made for each value of the fact, and counted on the very images it was made from: an upper bound on
what the fact gives away, and quite enough to warn with. Values that few images have are taken as one, since a value
that one image has "tells" that image's label whatever the label is.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np

from pneumoscope.io.archive import shown

ENOUGH = 30  # images that a label, or a value, must have to count by itself
STEPS = 10
STRIKING = 0.25  # of the way from guessing to never failing

_RARE = "something rarer"
V = TypeVar("V", bound=Hashable)


@dataclass(frozen=True, kw_only=True)
class Tell:
    """How well one fact beside the picture tells the labels apart.

    by: the fact, "original size". values: number of different ones. balanced_accuracy: 0..1, mean over the labels of
    the share decided rightly, by the label that most favours each value, counted on the images it was made from.
    chance: what guessing scores, 1 / number of labels. value: the one that gives most away. having: label -> images
    that have it. images: label -> images.
    """

    by: str
    values: int
    balanced_accuracy: float
    chance: float
    value: str
    having: Mapping[str, int]
    images: Mapping[str, int]

    @property
    def striking(self) -> bool:
        """Whether a user should be told."""
        return self.balanced_accuracy - self.chance >= STRIKING * (1 - self.chance)

    @property
    def sentence(self) -> str:
        """The tell in words."""
        having = [f"{n:,} of {self.images[name]:,} '{shown(name)[:60]}'" for name, n in self.having.items()]
        return (
            f"The {self.by} alone tells labels apart: deciding by it scores a balanced accuracy of "
            f"{self.balanced_accuracy:.2f} on these images, guessing {self.chance:.2f}. Most telling: "
            f"{shown(self.value)[:60]} ({', '.join(having[:4])}). A network may learn what goes with it in place of "
            "the disease."
        )


def tell(by: str, values: Sequence[str], labels: Sequence[str]) -> Tell | None:
    """How well `values` tell `labels` apart, position by position; None where fewer than two labels have images enough.

    Of labels with `ENOUGH` images alone.
    """
    images = {name: n for name, n in Counter(labels).most_common() if n >= ENOUGH}
    if len(images) < 2:
        return None
    pairs = [(value, label) for value, label in zip(values, labels, strict=True) if label in images]
    often = Counter(value for value, _ in pairs)
    cells: dict[str, Counter[str]] = defaultdict(Counter)
    for value, label in pairs:
        cells[value if often[value] >= ENOUGH else _RARE][label] += 1
    shares = {value: [cell[name] / n for name, n in images.items()] for value, cell in cells.items()}
    loudest = max(shares, key=lambda value: max(shares[value]) - min(shares[value]))
    return Tell(
        by=by,
        values=len(often),
        balanced_accuracy=sum(max(share) for share in shares.values()) / len(images),
        chance=1 / len(images),
        value=loudest,
        having={name: cells[loudest][name] for name in images},
        images=images,
    )


def steps(numbers: Sequence[int]) -> list[str]:
    """Each number as the step it falls in: `STEPS` steps of about as many numbers, fewer where there are few."""
    found = np.asarray(numbers, dtype=np.int64)
    count = max(1, min(STEPS, len(found) // ENOUGH))
    if count == 1:
        return ["any number"] * len(found)
    edges = np.unique(np.quantile(found, np.arange(1, count) / count).astype(np.int64))
    between = [f"{low + 1:,} to {high:,}" for low, high in pairwise(edges)]
    names = [f"up to {edges[0]:,}", *between, f"more than {edges[-1]:,}"]
    return [names[i] for i in np.searchsorted(edges, found, side="left")]
