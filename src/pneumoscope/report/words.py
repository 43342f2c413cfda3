"""How figures and facts are put in words: one wording for the HTML reports and the model card.

Probabilities are never printed as 0 or 100 %: no model is that sure. What is undefined is called so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from pneumoscope.bundle import DataCard, Facts
from pneumoscope.core.dataset import ClassSet
from pneumoscope.core.paper import Paper
from pneumoscope.core.recipe import Recipe
from pneumoscope.core.result import Evaluation, Interval, Part, Prediction

DISCLAIMER = (
    "For research use only. This is not a medical device: nothing here is a diagnosis, and no decision about a "
    "patient may rest on it."
)

# name -> title, what it is
METRICS: Mapping[str, tuple[str, str]] = {
    "accuracy": ("Accuracy", "share decided rightly"),
    "balanced_accuracy": ("Balanced accuracy", "mean of the classes' sensitivities"),
    "auc": ("AUC", "area under the ROC curve; 0.5 is guessing"),
    "auc_ovr": ("AUC, one against the rest", "area under the ROC curve of one class"),
    "sensitivity": ("Sensitivity", "share of the class that was found"),
    "specificity": ("Specificity", "share of the others that was left alone"),
    "precision": ("Precision", "share of those decided for that were right"),
    "f1": ("F1", "harmonic mean of sensitivity and precision"),
    "brier": ("Brier score", "squared error of the probabilities; 0 is best"),
    "ece": ("Calibration error", "ECE, debiased: how far probabilities are off; 0 is best"),
}


# what is judged, or learned from -> its plural
NOUNS: Mapping[str, str] = {"image": "images", "slice": "slices", "study": "studies"}


def probability(p: float) -> str:
    """`12.3 %`; the ends are open."""
    if math.isnan(p):
        return "undefined"
    if p < 0.0005:
        return "< 0.1 %"
    return "> 99.9 %" if p >= 0.9995 else f"{100 * p:.1f} %"


def share(value: float) -> str:
    """`30 %`, `43.2 %`: a share or a threshold that somebody chose."""
    return f"{100 * value:.3g} %"


def listed(names: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def figure(value: float) -> str:
    """`0.873`, or `undefined`."""
    return "undefined" if math.isnan(value) else f"{value:.3f}"


def interval(found: Interval) -> str:
    """`0.873 (0.841 to 0.902)`; an interval that is undefined is left out."""
    if math.isnan(found.value):
        return "undefined"
    bounds = "interval undefined" if math.isnan(found.low + found.high) else f"{found.low:.3f} to {found.high:.3f}"
    return f"{found.value:.3f} ({bounds})"


def signed(value: float) -> str:
    """`+0.021`, with a real minus sign, or `undefined`."""
    return "undefined" if math.isnan(value) else f"{value:+.3f}".replace("-", "\N{MINUS SIGN}")


def difference(found: Interval) -> str:
    """`+0.021 (-0.010 to +0.052)`; an interval that is undefined is said to be."""
    if math.isnan(found.value):
        return "undefined"
    lacking = math.isnan(found.low + found.high)
    bounds = "interval undefined" if lacking else f"{signed(found.low)} to {signed(found.high)}"
    return f"{signed(found.value)} ({bounds})"


def plural(n: int, one: str, many: str | None = None) -> str:
    """`1 image`, `1,204 images`."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def amount(n: int, noun: str) -> str:
    """`1 study`, `1,204 slices`: of a noun of `NOUNS`."""
    return plural(n, noun, NOUNS[noun])


def judged(evaluation: Evaluation) -> str:
    """`1,204 images`, or `98 studies (14,210 slices)`: what the figures are of."""
    slices = f" ({amount(evaluation.n_slices, 'slice')})" if evaluation.n_slices else ""
    return amount(evaluation.n_images, evaluation.judged) + slices


def seen(evaluation: Evaluation) -> str:
    """The noun for what networks saw one by one: `image`, or `slice` where slices or studies are judged."""
    return "image" if evaluation.judged == "image" else "slice"


def metric_title(name: str) -> str:
    """The title of a metric; a name that is not known stands for itself."""
    return METRICS[name][0] if name in METRICS else name.replace("_", " ").capitalize()


def verdict(prediction: Prediction, classes: ClassSet) -> str:
    """The decision as what the image looks like, never as what the patient has."""
    if not prediction.accepted or prediction.decision is None:
        return "Not judged"
    positive = classes.positive
    if len(classes.names) == 2 and positive is not None and prediction.decision != positive:
        return f"Does not look like {positive}"
    return f"Looks like {prediction.decision}"


def threshold_title(name: str) -> str:
    """`Sensitivity 0.95`: a rule for a threshold, named as an evaluation names it."""
    return "Most probable class" if name == "argmax" else f"{name[:1].upper()}{name[1:]}"


def decision_rule(value: float | None, classes: ClassSet) -> str:
    """How probabilities become a decision, one sentence."""
    if value is None or classes.positive is None:
        return "Decided for the most probable class."
    rest = "" if len(classes.names) == 2 else "; below it, for the most probable of the others"
    return f"Decided for {classes.positive} from a probability of {share(value)} up{rest}."


def citation(paper: Paper) -> str:
    """The paper as it is cited."""
    return f"{paper.authors} ({paper.year}). {paper.title}. {paper.where}."


def trained_on(facts: Facts) -> str:
    """How much a bundle was trained on, one sentence."""
    data = facts.data
    if not data.grouped:
        return f"{_taken(facts, data)}; which patient each is of is not known."
    return f"{_taken(facts, data)} of {plural(data.n_patients, 'patient')}."


def _taken(facts: Facts, data: DataCard) -> str:
    recipe = facts.recipe
    return amount(data.n_images, "study" if recipe.of_volumes else "slice" if recipe.of_studies else "image")


def learned_before(facts: Facts) -> list[str]:
    """What networks learned from before they were trained on the data, one sentence a data role."""
    return [
        f"Before that, it learned from {_taken(facts, card)} of "
        f"{plural(card.n_patients, 'patient') if card.grouped else 'unknown patients'} "
        f"(role {role}: {counts(card.counts)})."
        for role, card in facts.before.items()
    ]


def before(evaluation: Evaluation) -> list[str]:
    """What the networks of an evaluation learned from first, and how well, one sentence a stage of another role."""
    return [
        f"First, stage {b.stage} learned from {counts(b.counts)} (role {b.role}, {plural(b.n_patients, 'patient')}): "
        f"accuracy {figure(b.val_accuracy)} on its {plural(b.n_validation, f'validation {seen(evaluation)}')} at the "
        f"epoch that was kept, {b.best_epoch} of {b.epochs}."
        for b in evaluation.before
    ]


def counts(by_name: Mapping[str, int]) -> str:
    """`1,000 normal, 200 covid`."""
    return ", ".join(f"{n:,} {name}" for name, n in by_name.items())


def of_part(part: Part, metric: str = "balanced_accuracy") -> str:
    """A figure of some of the images, and what it is worth where they are few, or of one class."""
    found = part.metrics.get(metric)
    if not isinstance(found, Interval):
        return "too few patients"
    alone = sum(n > 0 for n in part.counts.values()) == 1
    return f"{interval(found)}{', one class only' if alone else ''}"


def tally(by_name: Mapping[str, int]) -> str:
    """`18 to 39 (1,000), 40 to 64 (200)`: of names that are numbers themselves."""
    return ", ".join(f"{name} ({n:,})" for name, n in by_name.items())


def protocol_title(protocol: str | None) -> str:
    """What an evaluation is headed with."""
    return {"honest": "Honest protocol", "paper": "The paper's protocol"}.get(protocol or "", "Evaluation")


def parting(evaluation: Evaluation, recipe: Recipe) -> str:
    """How the data was parted, in one or two sentences."""
    if evaluation.protocol is None:
        those = NOUNS[evaluation.judged]
        return f"Nothing was trained here: a finished model was asked about all {those} of this data set."
    found = next((p for p in recipe.protocols if p.name == evaluation.protocol), None)
    if found is None:
        return "How the data was parted is not on record here."
    unit = "by patient" if found.unit == "group" else f"by {evaluation.judged}, whoever the patient"
    how = f"{found.folds}-fold cross-validation" if found.folds > 1 else f"One hold-out of {share(found.test_share)}"
    chosen = (
        f"{share(found.val_share)} of each training part chose the weights."
        if found.val_share
        else "The weights were chosen on the very part that is reported."
    )
    return f"{how}, parted {unit}. {chosen}"


def grave(evaluation: Evaluation) -> list[str]:
    """What makes the figures of an evaluation too good; its own warnings stand beside these."""
    found = []
    n = evaluation.shared_patients
    if n > 0:
        stand = "patient stands" if n == 1 else "patients stand"
        found.append(f"{n:,} {stand} on both sides of this split: these figures are too good.")
    if not evaluation.grouped:
        found.append(
            f"Which {NOUNS[evaluation.judged]} belong to one patient is not known: a patient may stand on both sides "
            "of a split, "
            "and the intervals are too narrow."
        )
    return found


def headline(evaluation: Evaluation) -> list[tuple[str, Interval]]:
    """The figures that are looked at first: title and interval."""
    found = []
    positive = evaluation.positive
    for name in ("accuracy", "balanced_accuracy", "auc", "sensitivity", "specificity"):
        value = evaluation.metrics.get(name)
        if isinstance(value, Interval):
            found.append((metric_title(name), value))
        elif value is not None and positive is not None and positive in value:
            found.append((f"{metric_title(name)}, {positive}", value[positive]))
    return found


def origin(facts: Facts) -> str:
    """Which weights training started from."""
    if facts.pretrained is None:
        return "Trained from random weights."
    p = facts.pretrained
    return f"Training started from {p.name} ({p.origin}; licence: {p.licence})."
