"""What other thresholds on the positive class's probability would decide (Szalay et al. 2021, Figs. 3 and 4).

The paper moves its threshold from 0.5 to 0.3 and looks at the test images again. Here a rule that is fitted is fitted
in each fold on what chose its weights, and measured on the fold's test part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.recipe import Decision
from pneumoscope.core.result import HISTOGRAM, Threshold
from pneumoscope.core.trust import OperatingPoint
from pneumoscope.errors import RecipeError, UsageError
from pneumoscope.evaluate.decide import check_value, decide, fit_threshold
from pneumoscope.evaluate.metrics import of_decisions

FIXED = (Decision(rule="fixed", value=0.5), Decision(rule="fixed", value=0.3))
FITTED = (
    Decision(rule="youden"),
    Decision(rule="sensitivity", value=0.95),
    Decision(rule="cost", value=5.0),
)
WAYS = "0.4, youden, sensitivity=0.9 or cost=10"

Chosen = tuple[np.ndarray, np.ndarray]  # probabilities [m, K], and labels: integers [m]
Found = Mapping[str, Sequence[float | None]]  # rule -> its threshold in each fold, None for the most probable class


def read_rules(texts: Sequence[str], classes: ClassSet, *, fitted: bool) -> tuple[Decision, ...]:
    """The rules that a user asks for with --at: a threshold as `0.4`, `youden`, `sensitivity=0.9` or `cost=10`.

    fitted: whether there is something to fit a rule on that is not reported.

    Raises:
        UsageError: text that is no rule, a value outside its range, a rule to be fitted where none can be, or rules
            where no class is positive.
    """
    if texts and classes.positive is None:
        raise UsageError(
            f"--at: expected a method with a positive class, found one of {', '.join(classes.names)} without. "
            "Leave --at out."
        )
    rules = tuple(_rule(text) for text in texts)
    for text, rule in zip(texts, rules, strict=True):
        if rule.rule != "fixed" and not fitted:
            raise UsageError(
                f"--at {text}: expected a threshold as 0.4, found a rule to be fitted on the very images that are "
                "reported. Give it to pneumoscope train, which has other images for it."
            )
    return rules


def _rule(text: str) -> Decision:
    name, _, number = text.partition("=")
    try:
        if text == "youden":
            return Decision(rule="youden")
        if name == "sensitivity":
            rule = Decision(rule="sensitivity", value=float(number))
        elif name == "cost":
            rule = Decision(rule="cost", value=float(number))
        else:
            rule = Decision(rule="fixed", value=float(text))
        check_value(rule)
    except RecipeError as error:
        raise UsageError(f"--at {text}: {str(error).partition(': ')[2]} Write {WAYS}.") from error
    except ValueError as error:
        raise UsageError(f"--at: expected {WAYS}, found '{text}'.") from error
    return rule


def name_of(rule: Decision) -> str:
    """`fixed 0.3`, `youden`, `sensitivity 0.95`, `cost 5` or `argmax`: what a rule is called in an evaluation."""
    valued = rule.rule in ("fixed", "sensitivity", "cost")
    return f"{rule.rule} {repr(rule.value).removesuffix('.0')}" if valued else rule.rule


def fit(
    own: Decision, at: Sequence[Decision], chosen: Sequence[Chosen], classes: ClassSet
) -> tuple[Found, tuple[str, ...]]:
    """The thresholds of the usual rules, of the recipe's own and of those asked for, and what a reader must know.

    chosen: of each fold, answers for images that it is not reported on. A rule to be fitted is left out, and said to
    be, where a fold has positive images alone, or none of them.
    """
    if classes.positive is None:
        return {}, ()
    rules = {name_of(rule): rule for rule in (*FIXED, *FITTED, own, *at)}
    positive = classes.positive_index
    known = [(p[:, positive], labels == positive) for p, labels in chosen]
    lacking = next((k for k, (_, truth) in enumerate(known) if truth.all() or not truth.any()), None)
    if lacking is None:
        return {name: [fit_threshold(rule, *fold) for fold in known] for name, rule in rules.items()}, ()
    left = [name for name, rule in rules.items() if rule.rule not in ("fixed", "argmax")]
    n, of = int(known[lacking][1].sum()), len(known[lacking][1])
    said = (
        f"The thresholds {', '.join(left)} were not studied: what fold {lacking + 1} could fit them on holds {n} "
        f"{classes.positive} among {of} images."
    )
    return {name: [fit_threshold(r, *fold) for fold in known] for name, r in rules.items() if name not in left}, (said,)


def of_bundle(
    own: Decision, threshold: float | None, at: Sequence[Decision], points: Sequence[OperatingPoint] = ()
) -> Found:
    """The thresholds of a finished bundle: fixed ones, and its own, fitted long before what is reported was seen."""
    return {
        **{point.name: [point.thresholds[0]] for point in points if point.thresholds},
        **{name_of(rule): [rule.value] for rule in FIXED},
        name_of(own): [threshold],
        **{name_of(rule): [rule.value] for rule in at},
    }


def study(
    found: Found,
    probabilities: np.ndarray,
    labels: np.ndarray,
    groups: Sequence[str],
    classes: ClassSet,
    *,
    folds: np.ndarray,
    seed: int = 0,
) -> tuple[Threshold, ...]:
    """What each rule decides, measured: only figures that a threshold changes, with intervals over patients.

    probabilities: `[N, K]`. labels: integers `[N]`. groups: the patient of each image. folds: the fold of each image,
    integers `[N]`. Nothing where no class is positive.
    """
    if classes.positive is None:
        return ()
    by_rule = decided(found, probabilities, classes, folds)
    measured = of_decisions([d for _, d in by_rule.values()], labels, groups, classes, seed=seed)
    return tuple(
        Threshold(
            name=name, thresholds=tuple(t for t in thresholds if t is not None), metrics=metrics, confusion=confusion
        )
        for (name, thresholds), (metrics, confusion) in zip(found.items(), measured, strict=True)
    )


def decided(
    found: Found, probabilities: np.ndarray, classes: ClassSet, folds: np.ndarray
) -> dict[str, tuple[Sequence[float | None], np.ndarray]]:
    """Rule -> its thresholds, and what they decide, integers `[N]`; folds: the fold of each image, integers `[N]`."""
    decisions = {}
    for name, thresholds in found.items():
        said = np.zeros(len(probabilities), dtype=np.int64)
        for k, threshold in enumerate(thresholds):
            said[folds == k] = decide(threshold, probabilities[folds == k], classes)
        decisions[name] = (thresholds, said)
    return decisions


def promising(found: Found, own: Decision) -> Found:
    """The rules that promise something, and the recipe's own."""
    return {
        name: at
        for name, at in found.items()
        if name == name_of(own) or name.partition(" ")[0] not in ("fixed", "argmax")
    }


def histogram(probabilities: np.ndarray, labels: np.ndarray, classes: ClassSet) -> dict[str, tuple[int, ...]]:
    """Class -> how many of its images had a probability of the positive class in each of `HISTOGRAM` parts of 0..1.

    A part holds its lower end; the last one its upper end, too. Nothing where no class is positive.
    """
    if classes.positive is None:
        return {}
    positive = probabilities[:, classes.positive_index]
    counted = {name: np.histogram(positive[labels == k], HISTOGRAM, (0, 1))[0] for k, name in enumerate(classes.names)}
    return {name: tuple(int(n) for n in counts) for name, counts in counted.items()}
