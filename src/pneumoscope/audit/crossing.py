"""What a small model of whole images that learned from one data set is worth on another.

Both sets must have two classes in common; nothing else is compared. A patient of the set learned from is taken out of
the one tested, since several public sets hold the same patients. On the diagonal, answers out of fold.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from pneumoscope.audit import small, views
from pneumoscope.audit.shortcuts import FEWEST, NO_CLASS, RESAMPLES, answer, task_of
from pneumoscope.audit.shown import Shown
from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.shortcuts import Crossed
from pneumoscope.errors import DataError
from pneumoscope.evaluate import paired


def cross(shown: Shown) -> tuple[Crossed, ...]:
    """Every pair of the data sets that `shown` holds, by the sets' names; none of one set alone."""
    of: dict[str, list[int]] = defaultdict(list)
    for i, sample in enumerate(shown.samples):
        of[sample.collection].append(i)
    if len(of) < 2 or views.WHOLE not in shown.features:
        return ()
    sets = {name: shown.only(kept) for name, kept in of.items()}
    pairs = [(one, other) for one in sets for other in sets]
    return tuple(c for a, b in pairs if (c := _cell(a, sets[a], b, sets[b])) is not None)


def _cell(learned: str, one: Shown, tested: str, other: Shown) -> Crossed | None:
    """As `_crossed`; None, too, where the patients of one set cannot be parted."""
    try:
        return _crossed(learned, one, tested, other)
    except DataError:
        return None  # the cell stays blank, which the report explains


def _crossed(learned: str, one: Shown, tested: str, other: Shown) -> Crossed | None:
    """One cell of the matrix; None where fewer than two classes have patients enough in each, those of both apart."""
    names = tuple(sorted(_enough(one) & _enough(other)))
    if len(names) < 2:
        return None
    classes = ClassSet(names=names)
    one = one.only([i for i, s in enumerate(one.samples) if s.label in names])
    if learned == tested:
        task, _ = task_of(one.samples, [s.label for s in one.samples], "labels")
        answers, groups, y = answer(task, small.regression, one.features[views.WHOLE][task.rows]), task.groups, task.y
    else:
        known = {s.group for s in one.samples}
        other = other.only([i for i, s in enumerate(other.samples) if s.label in names and s.group not in known])
        y = _numbered(other, names)
        groups = tuple(s.group for s in other.samples)
        if _enough(other) < set(names):
            return None
        answers = _transferred(one, other, names)
    found = paired.intervals(paired.sample([answers], y, groups, classes, resamples=RESAMPLES)[0])
    return Crossed(
        learned=learned,
        tested=tested,
        classes=names,
        balanced_accuracy=found["balanced_accuracy"],
        auc=found["auc"],
        n_images=len(y),
        n_patients=len(set(groups)),
    )


def _enough(shown: Shown) -> set[str]:
    groups: dict[str, set[str]] = defaultdict(set)
    for sample in shown.samples:
        groups[sample.label].add(sample.group)
    return {label for label, of in groups.items() if label.lower() not in NO_CLASS and len(of) >= FEWEST}


def _numbered(shown: Shown, names: Sequence[str]) -> np.ndarray:
    return np.array([names.index(s.label) for s in shown.samples])


def _transferred(one: Shown, other: Shown, names: Sequence[str]) -> paired.Answers:
    """Learned from all of one set, its penalty chosen on a fifth of its patients; asked of all of another."""
    task, _ = task_of(one.samples, [s.label for s in one.samples], "labels")
    x = one.features[views.WHOLE][task.rows]
    chooses = np.zeros(len(task.rows), dtype=bool)
    chooses[task.folds[0][2]] = True  # a test part of the set's own folds: patients of their own
    learned = small.Learned(x, task.y, chooses, len(names))
    p = small.regression(learned, other.features[views.WHOLE])
    return paired.Answers(probabilities=p, decisions=p.argmax(axis=1))
