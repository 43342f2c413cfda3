"""An evaluation on the terminal: its figures, those of each level of a method of studies, and what was noticed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pneumoscope.app.console import say, table

if TYPE_CHECKING:
    from pneumoscope.core.result import Evaluation, Interval


def print_evaluation(evaluation: Evaluation) -> None:
    """Print it: figures on stdout, notes on stderr."""
    from pneumoscope.core.result import Interval
    from pneumoscope.report import transfer, words

    rows = []
    for name, value in evaluation.metrics.items():
        if isinstance(value, Interval):
            rows.append([name, *_cells(value)])
        else:
            rows += [[f"{name} of {of}", *_cells(one)] for of, one in value.items()]
    how = f"{evaluation.protocol} protocol, " if evaluation.protocol else ""
    title = f"{how}{words.judged(evaluation)} of {words.plural(evaluation.n_patients, 'patient')}"
    table(title, ("metric", "value", "95 % interval over patients"), rows)
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
