"""Figures of some of the images that were evaluated: those of one modality, those of one data set.

Szalay et al. 2021 mix X-rays and CT, and images of four sets, and print one figure of them all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pneumoscope.core.dataset import ClassSet, Sample
from pneumoscope.core.image import Modality
from pneumoscope.core.result import Part
from pneumoscope.evaluate.metrics import evaluate

MODALITIES: Mapping[Modality | None, str] = {"xray": "X-ray", "ct": "CT", None: "not stated"}


def by_part(
    samples: Sequence[Sample],
    probabilities: np.ndarray,
    labels: np.ndarray,
    decisions: np.ndarray,
    classes: ClassSet,
    *,
    seed: int = 0,
) -> dict[str, dict[str, Part]]:
    """Figures by "modality" and by "data set": each of its values -> those of its images, over their own patients.

    One entry a sample in each argument; the rest as in `metrics.evaluate`. What has one value only is left out. A
    class that a part does not hold leaves its figures undefined there.

    Raises:
        DataError: lengths or values that do not fit.
    """
    told = {"modality": [MODALITIES[s.modality] for s in samples], "data set": [s.collection for s in samples]}
    orders = {"modality": list(MODALITIES.values()), "data set": sorted(set(told["data set"]))}
    found: dict[str, dict[str, Part]] = {}
    for by, values in told.items():
        if len(set(values)) < 2:
            continue
        found[by] = {}
        for name in (name for name in orders[by] if name in values):
            at = np.flatnonzero(np.array(values) == name)
            groups = [samples[int(i)].group for i in at]
            found[by][name] = part_of(probabilities[at], labels[at], decisions[at], groups, classes, seed)
    return found


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
