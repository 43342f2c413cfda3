"""What the evaluations of a bundle can say of items that reporting checklists ask for: its own, and one elsewhere.

As `report.from_run`: each function is one answer of plain text, "" where the evaluations say nothing of it.
"""

from __future__ import annotations

from collections.abc import Mapping

from pneumoscope.core.result import Evaluation
from pneumoscope.report import benefit, calibration, transfer, words
from pneumoscope.report.from_run import PEOPLE, Known, counts_of, size


def measures(k: Known) -> str:
    """Which figures are computed."""
    e = k.facts.evaluation
    if e is None:
        return ""
    names = [words.metric_title(name) for name in e.metrics]
    more = " Decision curve (net benefit)." if e.benefit else ""
    return f"{', '.join(names)}; confusion, ROC and reliability.{more}"


def uncertainty(k: Known) -> str:
    """How intervals are made."""
    e = k.facts.evaluation
    if e is None:
        return ""
    few = " The data names no patients, so that intervals are too narrow." if not e.grouped else ""
    return f"95 % percentile bootstrap intervals over {words.plural(e.n_patients, 'patient')}, 2,000 resamples.{few}"


def own(k: Known) -> str:
    """The bundle's own evaluation, in figures."""
    e = k.facts.evaluation
    return "" if e is None else f"Out of fold, {size(e)}: {_headline(e)}."


def performance(k: Known) -> str:
    """All figures of the bundle's own evaluation, and of the one elsewhere."""
    return " ".join(text for text in (own(k), external(k)) if text)


def external(k: Known) -> str:
    """The evaluation on data that it had not seen, and the drop."""
    e = k.elsewhere
    return "" if e is None else f"Elsewhere, {size(e)}: {_headline(e)}. {' '.join(transfer.said(e))}".strip()


def differences(k: Known) -> str:
    """How the data elsewhere differs from what was learned from."""
    e = k.elsewhere
    if e is None:
        return ""
    return f"Learned from {words.counts(k.facts.data.counts)}; evaluated elsewhere on {words.counts(counts_of(e))}."


def numbers(k: Known) -> str:
    """How many, and of which class."""
    e = k.facts.evaluation
    evaluated = f" Evaluated: {size(e)} ({words.counts(counts_of(e))})." if e is not None else ""
    there = f" Elsewhere: {size(k.elsewhere)} ({words.counts(counts_of(k.elsewhere))})." if k.elsewhere else ""
    return f"{words.trained_on(k.facts)} Classes: {words.counts(k.facts.data.counts)}.{evaluated}{there}"


def people(k: Known) -> str:
    """Sex, age and view of what was learned from, where the data states them."""
    told = [f"{by}: {words.tally(values)}" for by, values in k.facts.data.told.items()]
    elsewhere = [
        f"{by} elsewhere: {words.tally({name: sum(part.counts.values()) for name, part in parts.items()})}"
        for by, parts in (k.elsewhere.parts if k.elsewhere else {}).items()
        if by in PEOPLE
    ]
    return f"Images by {'; by '.join([*told, *elsewhere])}." if told or elsewhere else ""


def subgroups(k: Known) -> str:
    """Figures of parts: balanced accuracy of each."""
    found = [f"{of}{_parts(e)}" for of, e in (("", k.facts.evaluation), ("elsewhere, ", k.elsewhere)) if e and e.parts]
    return f"Balanced accuracy: {'; '.join(found)}." if found else ""


def told_apart(k: Known) -> str:
    """By what figures are told apart."""
    kinds = list(dict.fromkeys(by for e in (k.facts.evaluation, k.elsewhere) if e is not None for by in e.parts))
    return f"Figures with intervals are given by {words.listed(kinds)}." if kinds else ""


def of_classes(k: Known) -> str:
    """Sensitivity, specificity and precision of every class."""
    found = [(of, e) for of, e in (("out of fold", k.facts.evaluation), ("elsewhere", k.elsewhere)) if e is not None]
    return " ".join(f"{of[:1].upper()}{of[1:]}: {_of_classes(e)}." for of, e in found)


def failures(k: Known) -> str:
    """Counts of wrong answers."""
    e = k.facts.evaluation
    if e is None:
        return ""
    wrong = [
        f"{n:,} {true} called {said}"
        for true, row in zip(e.classes, e.confusion, strict=True)
        for said, n in zip(e.classes, row, strict=True)
        if n and true != said
    ]
    return f"Wrong answers: {', '.join(wrong) or 'none'}; each is in the run's predictions.csv."


def utility(k: Known) -> str:
    """What the decision curve says."""
    found = [(of, e) for of, e in (("elsewhere", k.elsewhere), ("out of fold", k.facts.evaluation)) if e is not None]
    said = [f"Decision curve, {of}: {benefit.said(e.benefit, e.positive or '')[0]}" for of, e in found if e.benefit]
    return " ".join(said)


def updating(k: Known) -> str:
    """How the network's probabilities are calibrated."""
    return "" if k.facts.trust is None else calibration.calibrator(k.facts.trust.calibrator)


def updated(k: Known) -> str:
    """What calibration came to on patients that it was not fitted on."""
    e = k.facts.evaluation
    return "" if e is None or e.calibration is None else calibration.said(e.calibration)


def _headline(e: Evaluation) -> str:
    return "; ".join(f"{title} {words.interval(found)}" for title, found in words.headline(e))


def _of_classes(e: Evaluation) -> str:
    cells = []
    for name in ("sensitivity", "specificity", "precision"):
        by_class = e.metrics.get(name)
        if isinstance(by_class, Mapping):
            cells += [f"{name} of {of} {words.interval(found)}" for of, found in by_class.items()]
    return "; ".join(cells)


def _parts(e: Evaluation) -> str:
    return "; ".join(
        f"by {by}, {', '.join(f'{name} {words.of_part(part)}' for name, part in parts.items())}"
        for by, parts in e.parts.items()
    )
