"""Write docs/results.md from the folders of finished runs; nothing in it is typed but the words around the figures.

Run: python tools/make_results.py RUNS   where RUNS holds the folders that docs/results.toml names. A folder that is not
there is an error: a table with a row missing would not show it.
"""

from __future__ import annotations

import csv
import json
import statistics
import sys
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

from pneumoscope.core.recipe import Recipe, method_leaves, source_of
from pneumoscope.core.resolve import OVERRIDE
from pneumoscope.core.result import Evaluation
from pneumoscope.core.serial import from_json
from pneumoscope.report import words

DOCS = Path(__file__).resolve().parents[1] / "docs"
NOTE = "<!-- Written by tools/make_results.py from run folders; change docs/results.toml, not this file. -->"
SHOWN = ("accuracy", "balanced_accuracy", "auc")


def page(runs: Path) -> str:
    """The whole page: the introduction, then a section for each entry of docs/results.toml."""
    asked = tomllib.loads((DOCS / "results.toml").read_text(encoding="utf-8"))
    parts = [NOTE, "# Results on real images", asked["introduction"].strip()]
    parts += [_section(runs / entry["run"], entry) for entry in asked["results"]]
    return "\n\n".join(parts) + "\n"


def _section(folder: Path, entry: dict[str, Any]) -> str:
    """One run, or the two of `--protocol both`, as a table a protocol a row."""
    folders = [f for f in (folder / "honest", folder / "paper") if f.exists()] or [folder]
    found = [from_json(Evaluation, _json(f / "evaluation.json")) for f in folders]
    recipe = Recipe.from_json(_json(folders[0] / "recipe.json")["recipe"])
    titles = [words.metric_title(name).lower() for name in SHOWN]
    lines = [
        f"## `{recipe.title}` on {entry['data']}",
        "",
        f"| protocol | images / patients tested (by class) | {' | '.join(titles)} | patients on both sides | time |",
        f"| --- | --- | {'--- | ' * len(SHOWN)}--- | --- |",
        *[_row(e, f) for e, f in zip(found, folders, strict=True)],
    ]
    for evaluation in found:
        lines += ["", *_folds(evaluation)] if len(evaluation.folds) > 1 else []
    sensitivity = [f"{e.protocol}: {_by_class(e, 'sensitivity')}" for e in found]
    lines += ["", f"Sensitivity, {'; '.join(sensitivity)}."]
    lines += [line for sentence in words.before(found[0]) for line in ("", sentence)]
    theirs = [f"{name} {value:.4g} ({r.where})" for r in found[0].reported for name, value in r.metrics.items()]
    lines += ["", f"The paper prints, for its own data: {', '.join(theirs) or 'nothing'}."]
    lines += ["", f"Set differently from the recipe: {_overrides(recipe)}."]
    return "\n".join([*lines, "", entry["says"].strip()])


def _row(evaluation: Evaluation, folder: Path) -> str:
    figures = [words.interval(evaluation.metrics[name]) for name in SHOWN]  # type: ignore[arg-type]
    seconds = _json(folder / "environment.json")["seconds"]
    parts = ", ".join(f"{what} {value / 60:.0f}" for what, value in seconds.items() if value >= 30)
    time = f"{sum(seconds.values()) / 60:.0f} min ({parts})"
    folds = len(evaluation.folds)
    how = f"{folds}-fold" if folds > 1 else "one hold-out"
    shown = f"{how}: {evaluation.n_images} / {evaluation.n_patients} ({_patients(folder)})"
    return f"| {evaluation.protocol} | {shown} | {' | '.join(figures)} | {evaluation.shared_patients} | {time} |"


def _patients(folder: Path) -> str:
    """`normal 58, covid 9`: patients tested, by class; intervals over few of them are wide, or too narrow."""
    with (folder / "predictions.csv").open(newline="", encoding="utf-8") as file:
        pairs = {(row["label"], row["patient"]) for row in csv.DictReader(file)}
    counts = Counter(label for label, _ in pairs)
    return ", ".join(f"{label} {n}" for label, n in sorted(counts.items()))


def _folds(evaluation: Evaluation) -> list[str]:
    def spread(name: str) -> str:
        values = [fold[name] for fold in evaluation.folds]
        return f"{statistics.mean(values):.3f} +- {statistics.stdev(values):.3f}"

    names = evaluation.folds[0]
    listed = ", ".join(f"{name.replace('_', ' ').replace('.', ' of ')} {spread(name)}" for name in names)
    return [f"{len(evaluation.folds)} folds ({evaluation.protocol}), mean +- standard deviation: {listed}."]


def _by_class(evaluation: Evaluation, metric: str) -> str:
    by_class = evaluation.metrics[metric]
    return ", ".join(f"{name} {words.interval(value)}" for name, value in by_class.items())  # type: ignore[union-attr]


def _overrides(recipe: Recipe) -> str:
    changed = [f"`{path}={value}`" for path, value in method_leaves(recipe) if source_of(recipe, path) == OVERRIDE]
    return ", ".join(changed) or "nothing"


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    (DOCS / "results.md").write_text(page(Path(sys.argv[1])), encoding="utf-8")
