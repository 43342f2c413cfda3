"""Figures of some of the images that were evaluated: by modality, data set, source, view, sex and age.

Szalay et al. 2021 mix X-rays and CT, and images of four sets, and print one figure of them all; CLAIM 2024 (items 36
and 37) and TRIPOD+AI (items 20b and 23a) ask for the people of each, and its figures.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from pneumoscope.core.dataset import ClassSet, Sample
from pneumoscope.core.image import Modality
from pneumoscope.core.result import Part
from pneumoscope.evaluate.metrics import FEW_PATIENTS, evaluate
from pneumoscope.evaluate.paired import confusion

UNSTATED = "not stated"
MODALITIES: Mapping[Modality | None, str] = {"xray": "X-ray", "ct": "CT", None: UNSTATED}
SEXES: Mapping[str | None, str] = {"F": "female", "M": "male", None: UNSTATED}
# band -> years that it ends before
AGES: Mapping[str, float] = {
    "under 18": 18,
    "18 to 39": 40,
    "40 to 64": 65,
    "65 to 79": 80,
    "80 and over": math.inf,
}
MOST = 12  # sources, or views, with a line of their own


def band(age: float | None) -> str:
    """The name of the age band of somebody `age` years old."""
    return UNSTATED if age is None else next(name for name, end in AGES.items() if age < end)


def told_of(sample: Sample) -> dict[str, str]:
    """What images are told apart by -> its value for this one; "not stated" where nothing says it."""
    return {
        "modality": MODALITIES[sample.modality],
        "data set": sample.collection,
        "source": sample.source or UNSTATED,
        "view": sample.view or UNSTATED,
        "sex": SEXES[sample.sex],
        "age": band(sample.age),
    }


def by_part(
    samples: Sequence[Sample],
    probabilities: np.ndarray,
    labels: np.ndarray,
    decisions: np.ndarray,
    classes: ClassSet,
    *,
    seed: int = 0,
) -> dict[str, dict[str, Part]]:
    """Figures by "modality", "data set", "source", "view", "sex" and "age": each of its values -> those of its images.

    One entry a sample in each argument; the rest as in `metrics.evaluate`, over the part's own patients. What has one
    value only is left out; source, view, sex and age also where fewer than two values are stated, and source where it
    says the same as the data set. A source, view, sex or age of fewer than `FEW_PATIENTS` patients is counted, without
    figures; of more than `MOST` sources or views those of the fewest patients are one. A class that a part does not
    hold leaves its figures undefined there.

    Raises:
        DataError: lengths or values that do not fit.
    """
    found: dict[str, dict[str, Part]] = {}
    for by, values in _told(samples).items():
        found[by] = {}
        for name in dict.fromkeys(_ordered(by, values, samples)):
            at = np.flatnonzero(np.array(values) == name)
            groups = [samples[int(i)].group for i in at]
            whole = by in ("modality", "data set") or len(set(groups)) >= FEW_PATIENTS
            part = part_of if whole else _counted
            found[by][name] = part(probabilities[at], labels[at], decisions[at], groups, classes, seed)
    return found


def counted(samples: Sequence[Sample], kinds: Sequence[str]) -> dict[str, dict[str, int]]:
    """Of each kind that is stated of some images: value -> images, in the order of a table."""
    found = {}
    for by in kinds:
        values = [told_of(sample)[by] for sample in samples]
        if {*values} - {UNSTATED}:
            pooled = _pooled(values, samples) if by in ("source", "view") else values
            found[by] = {name: pooled.count(name) for name in dict.fromkeys(_ordered(by, pooled, samples))}
    return found


def _told(samples: Sequence[Sample]) -> dict[str, list[str]]:
    """What tells images apart -> its value for each, where it does."""
    rows = [told_of(sample) for sample in samples]
    told = {by: [row[by] for row in rows] for by in (rows[0] if rows else ())}
    found = {}
    for by, values in told.items():
        stated = {*values} - ({UNSTATED} if by not in ("modality", "data set") else set())
        if len(stated) > 1 and not (by == "source" and _same(values, told["data set"])):
            found[by] = _pooled(values, samples) if by in ("source", "view") else values
    return found


def _same(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether two sets of values tell images apart alike."""
    return len({*zip(one, other, strict=True)}) == len({*one}) == len({*other})


def _pooled(values: Sequence[str], samples: Sequence[Sample]) -> list[str]:
    """The values, those of the fewest patients as one where there are more than `MOST`."""
    names = [name for name in _by_patients(values, samples) if name != UNSTATED]
    rest = set(names[MOST - 1 :]) if len(names) > MOST else set()
    return [f"{len(rest)} others" if value in rest else value for value in values]


def _ordered(by: str, values: Sequence[str], samples: Sequence[Sample]) -> list[str]:
    """The values that occur, in the order of a table: what is not stated last."""
    known = {"modality": [*MODALITIES.values()], "sex": [*SEXES.values()], "age": [*AGES, UNSTATED]}
    if by == "data set":
        return sorted(set(values))
    order = known.get(by) or _by_patients(values, samples)
    others = [name for name in order if name == UNSTATED or name.endswith(" others")]
    return [name for name in [*(one for one in order if one not in others), *sorted(others)] if name in values]


def _by_patients(values: Sequence[str], samples: Sequence[Sample]) -> list[str]:
    """The values, that of the most patients first."""
    patients: dict[str, set[str]] = defaultdict(set)
    for value, sample in zip(values, samples, strict=True):
        patients[value].add(sample.group)
    return sorted(patients, key=lambda name: (-len(patients[name]), name))


def part_of(
    probabilities: np.ndarray,
    labels: np.ndarray,
    decisions: np.ndarray,
    groups: Sequence[str],
    classes: ClassSet,
    seed: int,
) -> Part:
    """Figures of some images; arguments as of `metrics.evaluate`."""
    whole = evaluate(probabilities, labels, decisions, groups, classes, seed=seed)
    return Part(
        counts={name: int((labels == k).sum()) for k, name in enumerate(classes.names)},
        n_patients=whole.n_patients,
        metrics=whole.metrics,
        confusion=whole.confusion,
    )


def _counted(
    probabilities: np.ndarray,
    labels: np.ndarray,
    decisions: np.ndarray,
    groups: Sequence[str],
    classes: ClassSet,
    seed: int,
) -> Part:
    """Some images too few for figures, counted."""
    return Part(
        counts={name: int((labels == k).sum()) for k, name in enumerate(classes.names)},
        n_patients=len(set(groups)),
        metrics={},
        confusion=confusion(labels, decisions, classes),
    )
