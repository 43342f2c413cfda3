"""Which images a stage learns from on one fold, and what they are taught as (Garg 2021, section III-C1)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pneumoscope.core.stage import Stage
from pneumoscope.errors import DataError
from pneumoscope.nets.build import Net, probabilities
from pneumoscope.train import loop
from pneumoscope.train.data import Prepared
from pneumoscope.train.units import UNKNOWN, truths


class Lesson(NamedTuple):
    """train, val: positions. labels: int64 `[N]`, what each of those is taught as; of others it says nothing."""

    train: np.ndarray
    val: np.ndarray
    labels: Tensor


def lesson(net: Net, stage: Stage, data: Prepared, train: list[int], val: list[int]) -> Lesson:
    """What a stage learns from, of these positions; `net` as the stage begins. An empty `train` has nothing to teach.

    Raises:
        DataError: no slice of which it is known what it shows, in what is learned from or in what chooses; or those of
            one class alone in what is learned from.
    """
    if stage.level in ("image", "volume"):
        return Lesson(np.asarray(train, dtype=np.int64), np.asarray(val, dtype=np.int64), data.labels)
    truth, clean = truths(data)
    known = (truth != UNKNOWN) & clean
    chosen_on = _those(val, known & ~data.between)
    if stage.learns == "called_infected":
        unlabelled = _those(train, truth == UNKNOWN)
        found = unlabelled[_called_infected(net, stage, data, unlabelled)]
        taught = torch.from_numpy(truth.copy())
        taught[found] = data.labels[found]
        return Lesson(found, chosen_on, taught)
    learned = _those(train, known)
    for part, positions in (("training", learned), ("validation", chosen_on)):
        if not len(positions):
            raise DataError(
                f"stages.{stage.name}: expected slices of the {part} part of which it is known whether they show an "
                "infection, found none. Add slices.csv (file,infection), or studies of the normal class."
            )
    if len(shown := np.unique(truth[learned])) == 1:  # all infected slices unlabelled: it would call everything normal
        raise DataError(
            f"stages.{stage.name}: expected slices of the training part of two classes or more, found those of "
            f"'{data.dataset.classes.names[shown[0]]}' alone. Say in slices.csv (file,infection) which slices of "
            "infected studies show an infection."
        )
    return Lesson(learned, chosen_on, torch.from_numpy(truth))


def _those(positions: list[int], wanted: np.ndarray) -> np.ndarray:
    at = np.asarray(positions, dtype=np.int64)
    return np.asarray(at[wanted[at]])


def _called_infected(net: Net, stage: Stage, data: Prepared, positions: np.ndarray) -> np.ndarray:
    """Whether the network calls each image another class than normal, bool `[n]`."""
    if not len(positions):
        return np.zeros(0, dtype=bool)
    classes = data.dataset.classes
    answers = probabilities(loop.logits_of(net, data.take, positions, stage.batch), classes)
    return np.asarray(answers.argmax(dim=1).numpy() != classes.index(str(classes.normal)))
