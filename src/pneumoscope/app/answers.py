"""Predictions on the terminal: an answer a path, of a CT study the slices that matter, and what to be warned of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pneumoscope.app.console import result, say, table

if TYPE_CHECKING:
    from pneumoscope.core.result import Prediction


def print_predictions(predictions: Sequence[Prediction]) -> None:
    """Print them: answers on stdout, each warning once on stderr."""
    rows = [
        [p.path, p.decision or "refused", "  ".join(f"{k} {v:.3f}" for k, v in p.probabilities.items()) or p.reasons[0]]
        for p in predictions
    ]
    columns = ["path", "decision", "probabilities, or why it was refused"]
    if any(p.set for p in predictions):
        columns.append("not ruled out")
        rows = [[*row, ", ".join(p.set)] for row, p in zip(rows, predictions, strict=True)]
    table("", columns, rows)
    for p in predictions:
        if p.slices and p.series is not None:  # else judged as a whole
            result(f"{p.path}: {_slices(p)}")
    warned = Counter(warning for p in predictions for warning in p.warnings)
    for warning, n in warned.items():
        say(f"note: {warning}" + (f" ({n} of {len(predictions)})" if len(predictions) > 1 else ""))


def _slices(p: Prediction) -> str:
    """How many slices a study has, and which matter, the first one first, counted from the feet."""
    mattering = [(s.probabilities[p.focus], n) for n, s in enumerate(p.slices, 1) if s.matters and p.focus is not None]
    listed = ", ".join(f"{n} ({value:.3f})" for value, n in sorted(mattering, key=lambda one: (-one[0], one[1])))
    return f"{len(p.slices)} slices, counted from the feet; the most like {p.focus}: {listed}"
