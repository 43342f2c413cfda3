"""An evaluation on the terminal: its figures, those of each level of a method of studies, and what was noticed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pneumoscope.app.console import say, table

if TYPE_CHECKING:
    from pneumoscope.core.result import Evaluation, Interval


def print_evaluation(evaluation: Evaluation) -> None:
    """Print it: figures on stdout, notes on stderr."""
    rows = [[name, *_cells(value)] for name, value in _figures(evaluation).items()]
    table(_title(evaluation), ("metric", "value", "95 % interval over patients"), rows)
    _print_rest(evaluation)


def print_evaluations(evaluations: Sequence[Evaluation]) -> None:
    """Print several of one method, as of both protocols: one table with a column each, then what is said of each."""
    if len(evaluations) == 1:
        print_evaluation(evaluations[0])
        return
    columns = [_figures(evaluation) for evaluation in evaluations]
    names = dict.fromkeys(name for figures in columns for name in figures)
    rows = [[name, *(_cell(figures.get(name)) for figures in columns)] for name in names]
    table("95 % intervals over patients", ("metric", *map(_title, evaluations)), rows)
    for evaluation in evaluations:
        say(f"{_title(evaluation)}:")
        _print_rest(evaluation)


def _title(evaluation: Evaluation) -> str:
    from pneumoscope.report import words

    how = f"{evaluation.protocol} protocol, " if evaluation.protocol else ""
    return f"{how}{words.judged(evaluation)} of {words.plural(evaluation.n_patients, 'patient')}"


def _figures(evaluation: Evaluation) -> dict[str, Interval]:
    """`metric`, or `metric of class` -> its figure."""
    from pneumoscope.core.result import Interval

    found: dict[str, Interval] = {}
    for name, value in evaluation.metrics.items():
        if isinstance(value, Interval):
            found[name] = value
        else:
            found |= {f"{name} of {of}": one for of, one in value.items()}
    return found


def _print_rest(evaluation: Evaluation) -> None:
    from pneumoscope.report import transfer

    _print_levels(evaluation)
    if evaluation.calibration is not None:
        from pneumoscope.report.calibration import said

        say(said(evaluation.calibration))
    for sentence in transfer.said(evaluation):
        say(sentence)
    for warning in evaluation.warnings:
        say(f"note: {warning}")
    if evaluation.shared_patients:
        say(
            f"warning: {evaluation.shared_patients} patients stand on both sides of the split; the figures are too good"
        )


def _print_levels(evaluation: Evaluation) -> None:
    from pneumoscope.report import levels

    if evaluation.levels:
        sensitivities = [f"sensitivity of {name}" for name in evaluation.classes]
        columns = ("level", "of", "accuracy", *sensitivities, "accuracy less the answer's")
        table("each level by itself", columns, levels.rows(evaluation))
        say(" ".join(levels.said(evaluation)))


def _cells(interval: Interval) -> list[str]:
    return [f"{interval.value:.3f}", f"{interval.low:.3f} to {interval.high:.3f}"]


def _cell(interval: Interval | None) -> str:
    return "" if interval is None else "{} ({})".format(*_cells(interval))
