"""Several methods, or one with varied fields, on the same folds: `pneumoscope compare` (Szalay 2021, Fig. 2).

Belongs to the api's layer. Each part is an ordinary run under OUT/parts; what lies there is not redone.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pneumoscope import reading
from pneumoscope.core import vary as varying
from pneumoscope.core.comparison import Compared, Comparison, LeftOut, Planned
from pneumoscope.core.dataset import Dataset, Split
from pneumoscope.core.files import unfinished, write_json, write_text
from pneumoscope.core.progress import Progress, silent
from pneumoscope.core.recipe import Protocol, Recipe
from pneumoscope.core.resolve import resolve
from pneumoscope.core.role import MAIN
from pneumoscope.core.serial import digest, from_json, to_json
from pneumoscope.errors import MissingError, UsageError
from pneumoscope.evaluate import paired
from pneumoscope.evaluate.ranking import Result, ranked
from pneumoscope.evaluate.split import make_split
from pneumoscope.recipes import find
from pneumoscope.running import needs_training_extra, run_one

if TYPE_CHECKING:
    from pneumoscope.train.run import Ran

OWN = frozenset({"parts", "cache", "comparison.json", "comparison.csv", "report.html"})


def compare(
    recipes: Sequence[str],
    data: Sequence[str | Path],
    *,
    out: Path,
    vary: Mapping[str, Sequence[str]] | None = None,
    protocol: str = "honest",
    mapping: Mapping[str, str] | None = None,
    overrides: Mapping[str, str] | None = None,
    weights_dir: Path | None = None,
    ungrouped: bool = False,
    progress: Progress = silent,
    say: Callable[[str], None] = lambda text: None,
) -> Comparison:
    """Run every recipe with every combination of varied values, or find the run, and rank them on the same images.

    recipes: NAME, NAME:VARIANT, or NAME:all for every variant. vary: dotted field -> values as text. Other parameters
    are those of `api.train`. Every part has the first one's protocol, but for what is varied. `out` gets parts/<name>,
    comparison.json, comparison.csv and report.html; the same call resumes, and one with more parts reuses these.

    Raises:
        UsageError, RecipeError: names, values or an `out` that do not fit, parts that cannot be compared, or fewer
            than two of them; before anything is trained.
        DataError, LeakError: data that cannot be used or parted, or test parts that are not the same.
        MissingError: the extra [train] is not here, or no part's pretrained weights are.
    """
    vary, overrides, mapping = vary or {}, overrides or {}, mapping or {}
    varying.check_vary(vary, overrides)
    parts = _plan(recipes, vary, protocol, overrides)
    needs_training_extra("comparing")
    _check_out(out, parts)
    kept, left_out = _with_weights(parts, weights_dir, progress)
    for one in left_out:
        say(f"left out: {one.name}: {one.why}")
    read = _read(kept, data, mapping=mapping, ungrouped=ungrouped, say=say)
    for part in kept:
        make_split(read[part.name][0][MAIN], part.recipe.protocol)  # what cannot be parted is found before it trains
    results = []
    for i, part in enumerate(kept):
        say(f"part {i + 1} of {len(kept)}: {part.name}")
        datasets, warnings = read[part.name]
        ran = run_one(
            part.recipe,
            datasets,
            out / part.folder,
            weights_dir,
            _of(part.name, progress),
            warnings,
            prepared=out / "cache",
            export=False,
        )
        results.append(_result(part, ran, out / part.folder))
    from pneumoscope.report import words

    comparison = dataclasses.replace(
        ranked(results),
        left_out=left_out,
        grave=tuple(dict.fromkeys(text for r in results for text in words.grave(r.evaluation))),
        vary={field: tuple(values) for field, values in vary.items()},
        mapping=dict(mapping),
        ungrouped=ungrouped,
    )
    _write(comparison, out)
    return comparison


def train_command(
    comparison: Comparison, part: Compared, data: Sequence[str | Path], out: Path | str, weights_dir: Path | None = None
) -> list[str]:
    """The words of the command that goes on with a part's run until its bundle is made, for the same data."""
    known = {part.recipe: find(part.recipe)[0] for part in comparison.parts}
    return [
        *("pneumoscope", "train", part.recipe),
        *(word for given in _data_of(known[part.recipe], data, known.values()) for word in ("--data", str(given))),
        *("--out", str(Path(out) / part.folder), "--protocol", comparison.protocol),
        *(word for label, name in comparison.mapping.items() for word in ("--map", f"{label}={name}")),
        *(word for field, value in part.overrides.items() for word in ("--set", f"{field}={value}")),
        *(("--weights", str(weights_dir)) if weights_dir is not None else ()),
        *(("--ungrouped",) if comparison.ungrouped else ()),
    ]


# --- which parts there are -----------------------------------------------------------------------------------------


def _plan(
    recipes: Sequence[str], vary: Mapping[str, Sequence[str]], protocol: str, overrides: Mapping[str, str]
) -> list[Planned]:
    titles = [title for name in recipes for title in _titles(name)]
    parts: list[Planned] = []
    for title in titles:
        for chosen in varying.combinations(vary):
            first = parts[0].recipe if parts else None
            part = _part(title, chosen, protocol, overrides, vary, first, alone=len(set(titles)) == 1)
            for other in parts:
                _check_pair(other, part)
            parts.append(part)
    if len(parts) < 2:
        raise UsageError(
            f"compare: expected at least two parts, found {len(parts)}. Name another recipe, or use --vary FIELD=A,B."
        )
    return parts


def _titles(name: str) -> list[str]:
    recipe, variant = find(name)
    if variant != "all":
        return [name]
    if not recipe.variants:
        raise UsageError(f"{name}: expected a recipe with variants, found none. Write {recipe.name}.")
    return [f"{recipe.name}:{variant}" for variant in recipe.variants]


def _part(
    title: str,
    chosen: Mapping[str, str],
    protocol: str,
    overrides: Mapping[str, str],
    vary: Mapping[str, Sequence[str]],
    first: Recipe | None,
    *,
    alone: bool,
) -> Planned:
    """alone: all parts are of one recipe and variant, so that what is varied names them."""
    found, variant = find(title)
    own = {**overrides, **chosen}
    recipe = resolve(found, variant=variant, protocol=protocol, overrides=own)
    alike = {} if first is None else _alike(recipe.protocol, first.protocol, vary)
    if alike:
        own |= alike
        recipe = resolve(found, variant=variant, protocol=protocol, overrides=own)
    label = varying.label(chosen, recipe)
    return Planned(
        name=label if alone and label else f"{title} {label}".strip(),
        folder=f"parts/{varying.folder_name(title, label)}",
        title=title,
        recipe=recipe,
        overrides=own,
        varied=dict(chosen),
        alike=tuple(path.rpartition(".")[2] for path in alike),
    )


def _alike(own: Protocol, first: Protocol, vary: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Overrides that give a part the first one's protocol, but for the fields that are varied."""
    found = {}
    for field in dataclasses.fields(Protocol):
        path, value = f"protocols.{own.name}.{field.name}", getattr(first, field.name)
        if field.name != "name" and path not in vary and getattr(own, field.name) != value:
            found[path] = value if isinstance(value, str) else json.dumps(to_json(value))
    return found


def _check_pair(one: Planned, other: Planned) -> None:
    if one.recipe.classes != other.recipe.classes:
        found = " and ".join(f"{', '.join(p.recipe.classes.names)} ({p.name})" for p in (one, other))
        raise UsageError(f"compare: expected parts with the same classes, found {found}. Compare one kind at a time.")
    if one.recipe.digest == other.recipe.digest or one.folder == other.folder:
        raise UsageError(
            f"compare: expected each part once, found '{one.name}' and '{other.name}', which are the same. "
            "Leave one out."
        )


def _check_out(out: Path, parts: Sequence[Planned]) -> None:
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out: expected a folder, found the file '{out}'. Name another.")
    if out.is_dir() and {path.name for path in out.iterdir() if not unfinished(path)} - OWN:
        raise UsageError(
            f"--out: expected a new or empty folder or a comparison to resume, found other files in '{out}'."
        )
    for part in parts:
        path = out / part.folder / "recipe.json"
        if path.exists() and _digest_in(path) != part.recipe.digest:
            raise UsageError(
                f"--out: expected in '{out / part.folder}' a run of '{part.name}' as it is asked for now, found one "
                "by other settings. Name another --out."
            )


def _digest_in(path: Path) -> str:
    """The digest of a run's recipe, "" where the file does not hold one."""
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["digest"])
    except (ValueError, KeyError, TypeError):
        return ""


def _with_weights(
    parts: Sequence[Planned], weights_dir: Path | None, progress: Progress
) -> tuple[list[Planned], tuple[LeftOut, ...]]:
    """The parts that can start, and those whose pretrained weights are not here."""
    from pneumoscope.train.stages import pretrained

    kept: list[Planned] = []
    missing: dict[str, MissingError] = {}
    for i, part in enumerate(parts):
        progress("looking for weights", i, len(parts))
        try:
            pretrained(part.recipe, weights_dir)
            kept.append(part)
        except MissingError as error:
            missing[part.name] = error
    progress("looking for weights", len(parts), len(parts))
    if not kept:
        raise next(iter(missing.values()))
    if len(kept) < 2:
        name, why = next(iter(missing.items()))
        raise UsageError(
            f"compare: expected at least two parts whose weights are here, found '{kept[0].name}' alone. {name}: {why}"
        )
    titles = {part.name: part.title for part in parts}
    return kept, tuple(LeftOut(name=n, recipe=titles[n], why=str(why)) for n, why in missing.items())


# --- their data and runs -------------------------------------------------------------------------------------------


def _read(
    parts: Sequence[Planned],
    data: Sequence[str | Path],
    *,
    mapping: Mapping[str, str],
    ungrouped: bool,
    say: reading.Say,
) -> dict[str, tuple[dict[str, Dataset], tuple[str, ...]]]:
    """The data of each part by its name, read once for all parts that ask for the same."""
    known: dict[str, tuple[dict[str, Dataset], tuple[str, ...]]] = {}
    found = {}
    for part in parts:
        recipe = part.recipe
        asked = digest([recipe.modalities, to_json(recipe.classes), to_json(recipe.roles)])
        if asked not in known:
            own = _data_of(recipe, data, [p.recipe for p in parts])
            known[asked] = reading.read_roles(own, recipe, mapping=mapping, ungrouped=ungrouped, say=say)
        found[part.name] = known[asked]
    return found


def _data_of(recipe: Recipe, data: Sequence[str | Path], recipes: Iterable[Recipe]) -> list[str | Path]:
    """What of --data is for a recipe: not what names a role that only another one has."""
    own = {role.name for role in recipe.roles}
    others = {role.name for other in recipes for role in other.roles} - own
    return [given for given in data if "=" not in str(given) or str(given).partition("=")[0] not in others]


def _of(name: str, progress: Progress) -> Progress:
    return lambda what, done, total: progress(f"{name}: {what}", done, total)


def _result(part: Planned, ran: Ran, folder: Path) -> Result:
    dataset, positions = ran.dataset, ran.answers.positions
    split = from_json(Split, json.loads((folder / "split.json").read_text(encoding="utf-8")))
    learned = [
        len({dataset.samples[i].group for i in split.part(dataset, k, "train")}) for k in range(len(split.folds))
    ]

    def name(position: int) -> str:
        return str(Path(dataset.root) / dataset.samples[position].file)

    return Result(
        part=part,
        evaluation=ran.evaluation,
        answers=paired.Answers(probabilities=ran.answers.probabilities, decisions=ran.answers.decisions),
        rows={name(position): row for row, position in enumerate(positions)},
        known=frozenset(name(i) for i in range(len(dataset))),
        folds=ran.answers.folds,
        labels=np.array([dataset.classes.index(dataset.samples[i].label) for i in positions]),
        groups=tuple(dataset.samples[i].group for i in positions),
        digests=tuple(dataset.samples[i].digest for i in positions),
        learned=float(np.mean(learned)),
        seconds=dict(ran.seconds),
    )


def _write(comparison: Comparison, out: Path) -> None:
    from pneumoscope.report.comparison import comparison_csv, comparison_report

    write_json(out / "comparison.json", comparison)
    write_text(out / "comparison.csv", comparison_csv(comparison))
    commands = {part.name: train_command(comparison, part, ["DIR"], "OUT") for part in comparison.parts}
    write_text(out / "report.html", comparison_report(comparison, commands))
