"""Write docs/results.md from the folders of finished runs; nothing in it is typed but the words around the figures.

Run: python tools/make_results.py RUNS   where RUNS holds the folders that docs/results.toml names. A section whose
folder is not there stays as it stands on the page, and is named; one that is on the page neither is an error.
"""

from __future__ import annotations

import csv
import json
import statistics
import sys
import tomllib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from results_plots import curve, histogram, history, whiskers

from pneumoscope.core.comparison import Comparison
from pneumoscope.core.recipe import OVERRIDE, Recipe, method_leaves
from pneumoscope.core.result import Evaluation
from pneumoscope.core.search import Search
from pneumoscope.core.serial import from_json
from pneumoscope.core.space import shown
from pneumoscope.report import levels, words
from pneumoscope.report.comparison import cautions_on, metric_title, ranking_words, title_on
from pneumoscope.report.search import difference_words, set_words, start_title

DOCS = Path(__file__).resolve().parents[1] / "docs"
NOTE = "<!-- Written by tools/make_results.py from run folders; change docs/results.toml, not this file. -->"
SHOWN = ("accuracy", "balanced_accuracy", "auc")


def page(runs: Path) -> str:
    """The whole page: the introduction, then a section for each entry of docs/results.toml."""
    asked = tomllib.loads((DOCS / "results.toml").read_text(encoding="utf-8"))
    parts = [NOTE, "# Results on real images", asked["introduction"].strip()]
    parts += [_part(runs, entry) for entry in asked["results"]]
    return "\n\n".join(parts) + "\n"


def _part(runs: Path, entry: dict[str, Any]) -> str:
    """The section of an entry: of its run folder, of words alone (kind "words"), or as the page has it."""
    kinds = {"run": _section, "comparison": _comparison, "search": _search}
    if entry.get("kind") == "words":
        return f"## {entry['title']}\n\n{entry['says'].strip()}"
    folder = runs / entry["run"]
    return kinds[entry.get("kind", "run")](folder, entry) if folder.exists() else _kept(entry)


def _kept(entry: dict[str, Any]) -> str:
    """The entry's section as it stands on the page: its run folder was on another machine."""
    text = (DOCS / "results.md").read_text(encoding="utf-8")
    ends = f"## {entry['title']}" if "title" in entry else f"` on {entry['data']}"
    found = [section for section in text.split("\n\n## ")[1:] if f"## {section.partition(chr(10))[0]}".endswith(ends)]
    if len(found) != 1:
        raise SystemExit(f"{entry['run']}: expected its run folder or one section on the page, found {len(found)}.")
    print(f"{entry['run']}: no run folder, its section stays as it stands")
    return f"## {found[0].rstrip()}"


def _section(folder: Path, entry: dict[str, Any]) -> str:
    """One run, or the two of `--protocol both`, as a table a protocol a row."""
    folders = [f for f in (folder / "honest", folder / "paper") if f.exists()] or [folder]
    found = [from_json(Evaluation, _json(f / "evaluation.json")) for f in folders]
    recipe = Recipe.from_json(_json(folders[0] / "recipe.json")["recipe"])
    titles = [words.metric_title(name).lower() for name in SHOWN]
    lines = [
        f"## `{recipe.title}` on {entry['data']}",
        "",
        f"| protocol | {words.NOUNS[found[0].judged]} / patients tested (by class) | {' | '.join(titles)} | patients "
        "on both sides | time |",
        f"| --- | --- | {'--- | ' * len(SHOWN)}--- | --- |",
        *[_row(e, f) for e, f in zip(found, folders, strict=True)],
    ]
    for evaluation in found:
        lines += ["", *_folds(evaluation)] if len(evaluation.folds) > 1 else []
    sensitivity = [f"{e.protocol}: {_by_class(e, 'sensitivity')}" for e in found]
    lines += ["", f"Sensitivity, {'; '.join(sensitivity)}."]
    for evaluation in found:
        lines += ["", *_levels(evaluation)] if evaluation.levels else []
    lines += [line for sentence in words.before(found[0]) for line in ("", sentence)]
    theirs = [f"{name} {value:.4g} ({r.where})" for r in found[0].reported for name, value in r.metrics.items()]
    lines += ["", f"The paper prints, for its own data: {', '.join(theirs) or 'nothing'}."]
    lines += ["", f"Set differently from the recipe: {_overrides(recipe)}."]
    if entry.get("thresholds"):
        lines += ["", *_thresholds(found[0], entry)]
    return "\n".join([*lines, "", entry["says"].strip()])


def _comparison(folder: Path, entry: dict[str, Any]) -> str:
    """Parts of a comparison in the order of their rank, then what the ranking says, plots, and who was left out."""
    c = from_json(Comparison, _json(folder / "comparison.json"))
    apart = [(kind, value) for kind, by in c.parts[0].by.items() for value in by]
    names = [c.by, *(name for name in c.parts[0].metrics if name != c.by)]
    titles = [metric_title(name).lower() for name in names]
    only = [f"{title_on(c, kind, value).lower()} on {value}" for kind, value in apart]
    lines = [
        f"## {entry['title']}",
        "",
        f"{c.n_images} images of {c.n_patients} patients, {c.protocol} protocol; labels: "
        f"{', '.join(f'{label} as {name}' for label, name in c.mapping.items()) or 'as they are'}.",
        "",
        f"| part | {' | '.join(titles)} | difference to the first | {' | '.join([*only, 'time'])} |",
        f"| --- | {'--- | ' * (len(titles) + len(only) + 2)}".rstrip(),
    ]
    for part in c.parts:
        figures = [words.interval(part.metrics[name]) for name in names]
        by = [words.interval(part.by[kind][value]) for kind, value in apart]
        difference = "" if part is c.parts[0] else words.difference(part.differences[c.by])
        time = f"{sum(part.seconds.values()) / 60:.1f} min{' *' if part.made else ''}"
        lines.append(f"| {part.name} | {' | '.join([*figures, difference, *by, time])} |")
    lines += ["", " ".join([*ranking_words(c), *(text for kind in c.parts[0].by for text in cautions_on(c, kind))])]
    if set_for_all := _common(c):
        lines += ["", f"Set differently from the recipe, for all parts: {set_for_all}."]
    if c.left_out:
        lines += ["", "Left out, since their pretrained weights are not here:", ""]
        lines += [f"- `{left.recipe}`: {left.why}" for left in c.left_out]
    rows = [(part.name, part.metrics[c.by]) for part in c.parts]
    lines += [
        "",
        _plot(f"{entry['run']}.svg", whiskers(rows, metric_title(c.by)), f"{metric_title(c.by)} of each part"),
    ]
    if field := entry.get("curve"):
        image = curve(c, field, entry["axis"])
        lines += ["", _plot(f"{entry['run']}-curve.svg", image, "Learning curve")]
    return "\n".join([*lines, "", entry["says"].strip()])


def _common(c: Comparison) -> str:
    shared = set.intersection(*({*part.overrides.items()} - {*part.varied.items()} for part in c.parts))
    return ", ".join(f"`{path}={value}`" for path, value in sorted(shared))


def _search(folder: Path, entry: dict[str, Any]) -> str:
    """A search: its best trials, what won, and what that is worth on the hold-out."""
    s = from_json(Search, _json(folder / "search.json"))
    finished = sorted(s.tried.finished, key=lambda trial: -trial.value)
    pruned = sum(trial.state == "pruned" for trial in finished)
    minutes = sum(trial.seconds for trial in finished) / 60
    fields = [path.split(".")[-1] for path in s.tried.space]
    lines = [
        f"## {entry['title']}",
        "",
        f"{len(finished)} trials, {pruned} of them pruned, in {minutes:.0f} min, on {s.tried.images} images of "
        f"{s.tried.patients} patients; {s.winner.n_images} images of {s.winner.n_patients} patients held out.",
        "",
        f"| trial | mean of {s.tried.inner} inner folds | {' | '.join(fields)} |",
        f"| --- | --- | {'--- | ' * len(s.tried.space)}".rstrip(),
    ]
    for trial in finished[:5]:
        values = " | ".join(shown(trial.settings[path]) for path in s.tried.space)
        lines.append(f"| {trial.number} | {trial.value:.3f} | {values} |")
    lines += ["", "| on the hold-out | accuracy | balanced accuracy | auc |", "| --- | --- | --- | --- |"]
    for name, found in (("the winner", s.winner), (start_title(s).lower(), s.as_written)):
        figures = " | ".join(words.interval(found.metrics[metric]) for metric in SHOWN)  # type: ignore[arg-type]
        lines.append(f"| {name} | {figures} |")
    if fixed := set_words(s):
        lines += ["", f"Set for the whole search: {fixed}."]
    if s.differences:
        lines += ["", difference_words(s)]
    shares = ", ".join(f"{path.split('.')[-1]} {share:.2f}" for path, share in s.tried.importance.items())
    told = f"{shares}. {s.tried.importance_note}" if shares else s.tried.importance_note
    lines += ["", f"Importance of the fields: {told[0].lower()}{told[1:]}"]
    lines += ["", _plot(f"{entry['run']}.svg", history(s), "The value of each trial")]
    return "\n".join([*lines, "", entry["says"].strip()])


def _thresholds(e: Evaluation, entry: dict[str, Any]) -> list[str]:
    """What other thresholds would decide, and the histogram of predictions."""
    of = str(e.positive)
    names = ("sensitivity", "specificity", "precision", "accuracy", "balanced_accuracy")
    columns = " | ".join(name.replace("_", " ") for name in names)
    lines = [
        f"| threshold | at | {columns} | {of}: found / missed | others: cleared / alarmed |",
        f"| --- | {'--- | ' * (len(names) + 3)}".rstrip(),
    ]
    k = e.classes.index(of)
    for t in e.studied:
        figures = [m.get(of) if isinstance(m := t.metrics[name], Mapping) else m for name in names]
        texts = " | ".join(words.interval(figure) for figure in figures)  # type: ignore[arg-type]
        at = f"{min(t.thresholds):.3f} to {max(t.thresholds):.3f}" if len(set(t.thresholds)) > 1 else t.thresholds[0]
        missed = sum(n for i, n in enumerate(t.confusion[k]) if i != k)
        alarms = sum(row[k] for i, row in enumerate(t.confusion) if i != k)
        cleared = sum(sum(row) for i, row in enumerate(t.confusion) if i != k) - alarms
        title = words.threshold_title(t.name)
        lines.append(f"| {title} | {at} | {texts} | {t.confusion[k][k]} / {missed} | {cleared} / {alarms} |")
    image = histogram(e.histogram, (0.3, 0.5), of)
    return [*lines, "", _plot(f"{entry['run'].replace('/', '-')}-histogram.svg", image, "Histogram of predictions")]


def _plot(name: str, svg: str, alt: str) -> str:
    """Write a plot beside the page, and what shows it there."""
    (DOCS / "images" / "results").mkdir(parents=True, exist_ok=True)
    (DOCS / "images" / "results" / name).write_text(svg, encoding="utf-8")
    return f"![{alt}](images/results/{name})"


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


def _levels(evaluation: Evaluation) -> list[str]:
    """What each level of a method of studies answers by itself, and what that says."""
    columns = " | ".join(f"sensitivity of {name}" for name in evaluation.classes)
    return [
        f"| level ({evaluation.protocol}) | of | accuracy | {columns} | accuracy less the answer's |",
        f"| --- | {'--- | ' * (len(evaluation.classes) + 3)}".rstrip(),
        *[f"| {' | '.join(row)} |" for row in levels.rows(evaluation)],
        "",
        " ".join(levels.said(evaluation)),
    ]


def _by_class(evaluation: Evaluation, metric: str) -> str:
    by_class = evaluation.metrics[metric]
    return ", ".join(f"{name} {words.interval(value)}" for name, value in by_class.items())  # type: ignore[union-attr]


def _overrides(recipe: Recipe) -> str:
    known = {"stages": ",".join(stage.name for stage in recipe.stages)} | dict(method_leaves(recipe))
    changed = [path for path, text in recipe.sources.items() if text == OVERRIDE and path in known]
    return ", ".join(f"`{path}={known[path]}`" for path in changed) or "nothing"


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    (DOCS / "results.md").write_text(page(Path(sys.argv[1])), encoding="utf-8")
