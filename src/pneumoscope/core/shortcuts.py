"""How much of what a model scores needs no lung: small models that see less than the picture, and a verdict in words.

After Maguolo & Nanni 2021 (lungs blacked out), DeGrave et al. 2021 (shortcuts over signal) and Zech et al. 2018 (the
hospital told from the picture). Balanced accuracy throughout, since guessing then scores 1 / classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pneumoscope.core.result import Interval


@dataclass(frozen=True, kw_only=True)
class Shortcut:
    """One small model, judged on patients that it did not learn from.

    name: a short one, as "borders". sees: what it is shown, one sentence. lung: whether any lung is in what it sees.
    answers: what it tells, the class, or the source that an image is from; `classes` are the names of those.
    balanced_accuracy, auc: 0..1 with intervals over patients. confusion: `[true][decided]` counts.
    share: of what the whole image scores above chance on the same images, what this scores above chance; 1 is all of
        it. None for what answers another question, and where the whole image scores no better than chance.
    """

    name: str
    sees: str
    lung: bool
    answers: Literal["class", "source"]
    classes: tuple[str, ...]
    balanced_accuracy: Interval
    auc: Interval
    confusion: tuple[tuple[int, ...], ...]
    n_images: int
    n_patients: int
    share: Interval | None = None

    @property
    def chance(self) -> float:
        """What guessing scores."""
        return 1 / len(self.classes)


@dataclass(frozen=True, kw_only=True)
class Headline:
    """The figure that the shortcuts are held against. of: what it is of, in words. classes: those that it tells."""

    of: str
    classes: tuple[str, ...]
    balanced_accuracy: Interval


@dataclass(frozen=True, kw_only=True)
class Shortcuts:
    """What shortcuts score on one data set, or on several together.

    of: the set's name. counts: class -> images. folds: number of test parts, no patient in two.
    learned_from: what pictures were turned into for the small models.
    without_lungs: class -> images of it in which no lung fields were found; they are in neither of the two views that
        need them.
    left_out: label or reason -> images. verdict, warnings: one sentence each.
    """

    of: str
    counts: Mapping[str, int]
    n_patients: int
    folds: int
    learned_from: str
    found: tuple[Shortcut, ...]
    headline: Headline | None = None
    without_lungs: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    verdict: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def chance(self) -> float:
        """What guessing the class scores."""
        return 1 / len(self.counts)

    def named(self, name: str) -> Shortcut | None:
        """The shortcut `name`, or None where it was not measured."""
        return next((s for s in self.found if s.name == name), None)


@dataclass(frozen=True, kw_only=True)
class Crossed:
    """A small model of whole images that learned from one set, tested on another; or within one, out of fold.

    classes: those that both sets have, and all that is compared. n_images, n_patients: of the test part, patients of
    the set learned from left out.
    """

    learned: str
    tested: str
    classes: tuple[str, ...]
    balanced_accuracy: Interval
    auc: Interval
    n_images: int
    n_patients: int


@dataclass(frozen=True, kw_only=True)
class Audited:
    """Shortcuts of all sets together and of each alone, and what a model of one set is worth on another."""

    shortcuts: tuple[Shortcuts, ...]
    crossed: tuple[Crossed, ...] = ()
