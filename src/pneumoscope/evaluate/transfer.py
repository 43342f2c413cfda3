"""A bundle's figures on its own patients, out of fold, beside those on patients it has not seen, and the difference.

A bundle holds its own figures with their intervals, not its answers; so the interval of a difference is put together
from the two intervals, which are of different patients and so independent (MOVER: Zou and Donner 2008, Statistics in
Medicine 27:1693; for shares Newcombe 1998, method 10).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from pneumoscope.core.result import Evaluation, Interval, Moved, Transfer

WHOLE = ("accuracy", "balanced_accuracy", "auc", "brier", "ece")
OF_ONE = ("sensitivity", "specificity", "precision")


def transfer(own: Evaluation, other: Evaluation) -> Transfer:
    """What becomes of the figures of `own` in `other`, an evaluation of the same classes on other patients.

    Where a class does not occur in one of the two, only the sensitivities of those that occur in both mean the same in
    both, and only they are compared. Nothing is compared where one judges studies and the other images.
    """
    absent = tuple(name for name in own.classes if not _counts(own)[name] or not _counts(other)[name])
    alike = (own.judged == "study") == (other.judged == "study")
    compared = {} if not alike else _both(own, other, absent)
    return Transfer(
        protocol=own.protocol,
        judged=own.judged,
        n_images=own.n_images,
        n_patients=own.n_patients,
        counts=_counts(own),
        leaky=own.shared_patients > 0 or not own.grouped,
        absent=absent,
        metrics=compared,
    )


def difference(here: Interval, there: Interval) -> Interval:
    """`here` less `there`, two independent figures with their 95 % intervals; NaN where one is undefined.

    A bootstrap interval may not hold its own figure (that of a calibration error at 0): the distance is then 0.
    """
    value = here.value - there.value
    down = math.hypot(_reach(here.value - here.low), _reach(there.high - there.value))
    up = math.hypot(_reach(here.high - here.value), _reach(there.value - there.low))
    return Interval(value=value, low=value - down, high=value + up)


def _reach(distance: float) -> float:
    return distance if math.isnan(distance) else max(0.0, distance)


def _both(own: Evaluation, other: Evaluation, absent: tuple[str, ...]) -> dict[str, Moved]:
    found = {}
    for name in _named(own, absent):
        there, here = _figure(own.metrics, name), _figure(other.metrics, name)
        if there is not None and here is not None and not math.isnan(there.value + here.value):
            found[name] = Moved(own=there, here=here, difference=difference(here, there))
    return found


def _named(own: Evaluation, absent: tuple[str, ...]) -> list[str]:
    """The figures that are compared: `metric`, or `metric.class`."""
    if absent:
        return [f"sensitivity.{name}" for name in own.classes if name not in absent]
    of = own.classes if own.positive is None else (own.positive,)
    each = OF_ONE[:1] if own.positive is None else OF_ONE
    return [*WHOLE[:3], *(f"{metric}.{name}" for metric in each for name in of), *WHOLE[3:]]


def _figure(metrics: Mapping[str, Interval | Mapping[str, Interval]], dotted: str) -> Interval | None:
    name, _, of = dotted.partition(".")
    found = metrics.get(name)
    if isinstance(found, Mapping):
        return found.get(of)
    return found if not of else None


def _counts(evaluation: Evaluation) -> dict[str, int]:
    return {name: sum(row) for name, row in zip(evaluation.classes, evaluation.confusion, strict=True)}
