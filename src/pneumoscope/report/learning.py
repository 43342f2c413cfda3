"""The learning curves as the evaluation report draws them: loss by epoch, a chart a stage, a colour a fold."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

from pneumoscope.core.result import Evaluation, Learned

WIDTH, HEIGHT = 400, 200
COLOURS = 6
TOP_SHARE = 0.98  # of the losses drawn in full: one that leaps must not flatten all others


def curves(evaluation: Evaluation) -> list[dict[str, Any]]:
    """One chart a stage, in units of the drawing; none where nothing was learned."""
    runs = itertools.groupby(evaluation.learned, key=lambda one: one.stage)
    charts = (_chart(stage, list(folds)) for stage, folds in runs)
    return [chart for chart in charts if chart is not None]


def _chart(stage: str, folds: Sequence[Learned]) -> dict[str, Any] | None:
    losses = sorted(v for f in folds for v in (*f.train_loss, *f.val_loss) if math.isfinite(v))
    if not losses:
        return None
    epochs = max(len(f.train_loss) for f in folds)
    ticks = _ticks(losses[math.ceil(TOP_SHARE * len(losses)) - 1])
    top = ticks[-1]
    return {
        "stage": stage,
        "width": WIDTH,
        "height": HEIGHT,
        "epochs": sorted({1, (epochs + 1) // 2, epochs}),
        "x": {epoch: _x(epoch - 1, epochs) for epoch in range(1, epochs + 1)},
        "ticks": [(f"{value:g}", _y(value, top)) for value in ticks],
        "folds": [_fold(f, epochs, top) for f in folds],
    }


def _fold(f: Learned, epochs: int, top: float) -> dict[str, Any]:
    best = f.val_loss[f.best_epoch] if 0 <= f.best_epoch < len(f.val_loss) else math.nan
    return {
        "number": f.fold + 1,
        "colour": f.fold % COLOURS,
        "train": _line(f.train_loss, epochs, top),
        "val": _line(f.val_loss, epochs, top),
        "best": (_x(f.best_epoch, epochs), _y(best, top)) if math.isfinite(best) else None,
        "epoch": f.best_epoch + 1,
    }


def _line(losses: Sequence[float], epochs: int, top: float) -> str:
    """An SVG point list; a loss that is not finite is left out."""
    return " ".join(f"{_x(i, epochs)},{_y(value, top)}" for i, value in enumerate(losses) if math.isfinite(value))


def _ticks(highest: float) -> list[float]:
    """From 0 to at least `highest` in at most five round steps."""
    rough = max(highest, 1e-6) / 5
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * m for m in (1, 2, 5, 10) if unit * m >= rough * (1 - 1e-9))
    return [round(k * step, 10) for k in range(math.ceil(highest / step - 1e-9) + 1)]


def _x(epoch: int, epochs: int) -> float:
    return round(WIDTH * epoch / max(1, epochs - 1), 1)


def _y(loss: float, top: float) -> float:
    """From the upper edge; what lies above the drawing lies on its upper edge."""
    return round(HEIGHT * (1 - min(loss, top) / max(top, 1e-9)), 1)
