"""From folders to the data of a run: labels, roles, leaks looked for, and what a report must say about it.

Belongs to the api's layer; a file of its own so that neither grows long.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pneumoscope.audit.apart import keep_together
from pneumoscope.audit.leaks import check_leaks
from pneumoscope.core.dataset import ClassSet, Dataset
from pneumoscope.core.progress import Progress, silent
from pneumoscope.core.recipe import Recipe
from pneumoscope.core.registry import did_you_mean
from pneumoscope.core.role import MAIN, Role
from pneumoscope.errors import LeakError, UsageError
from pneumoscope.io import draw, manifest
from pneumoscope.io.said import with_headers
from pneumoscope.io.slice_labels import read_slices

Say = Callable[[str], None]


def read_roles(
    data: Sequence[str | Path], recipe: Recipe, *, mapping: Mapping[str, str], ungrouped: bool, say: Say
) -> tuple[dict[str, Dataset], tuple[str, ...]]:
    """The datasets of a recipe's roles, main first, and what a report must say about them.

    data: folders, or "ROLE=FOLDER". mapping: label -> class, in every role that has the class. No patient stands in two
    roles: main comes first, and the others leave its patients out.

    Raises:
        UsageError: a role without data, or a mapping to a class of no role.
        DataError: a folder, a manifest or a file that cannot be used.
        LeakError: the same image under two patients.
    """
    folders = _by_role(data, recipe)
    known = list(dict.fromkeys(name for role in recipe.roles for name in recipe.classes_of(role.name).names))
    manifest.check_mapping([root for roots in folders.values() for root in roots], known, mapping)
    found: dict[str, Dataset] = {}
    warnings: list[str] = []
    for role in sorted(recipe.roles, key=lambda role: role.name != MAIN):
        classes = recipe.classes_of(role.name)
        own = {label: name for label, name in mapping.items() if name in classes.names}
        dataset, said = read_data(
            folders[role.name],
            classes,
            mapping=own,
            modalities=recipe.modalities,
            ungrouped=ungrouped,
            say=say,
            role=role,
            others=tuple(found.values()),
        )
        manifest.check_complete(dataset)
        _check_apart(dataset, found, role.name)
        found[role.name] = dataset
        warnings += said
    return found, tuple(warnings)


def read_for_training(
    data: Sequence[str | Path],
    recipe: Recipe,
    out: Path,
    *,
    mapping: Mapping[str, str],
    ungrouped: bool,
    join_duplicates: bool = False,
    progress: Progress = silent,
    say: Say,
) -> tuple[dict[str, Dataset], tuple[str, ...]]:
    """As `read_roles`, and every picture of a role under one patient.

    join_duplicates: groups with one picture become one. out: of the run; where it has its folds, they were looked for
    before, and are not again.

    Raises:
        LeakError: one picture under two patients, of a recipe that parts data by patient.
    """
    datasets, warnings = read_roles(data, recipe, mapping=mapping, ungrouped=ungrouped, say=say)
    begun = any((folder / "split.json").exists() for folder in (out, out / "honest"))
    if begun and not join_duplicates:
        return datasets, warnings
    kept, found = {}, list(warnings)
    refuse = recipe.protocol.unit == "group"  # a paper's way by image has one patient on both sides anyway
    for name, dataset in datasets.items():
        kept[name], said = keep_together(
            dataset, join=join_duplicates, refuse=refuse, of_ct="ct" in recipe.modalities, progress=progress
        )
        for text in said:
            say(text)
        found += said
    return kept, tuple(found)


def read_data(
    roots: Sequence[Path],
    classes: ClassSet,
    *,
    mapping: Mapping[str, str],
    modalities: Sequence[str],
    ungrouped: bool = False,
    say: Say = lambda text: None,
    role: Role | None = None,
    others: Sequence[Dataset] = (),
) -> tuple[Dataset, tuple[str, ...]]:
    """One or several labelled folders as one dataset, its leaks looked for, and what a report must say about it.

    mapping: label -> class, checked already. role: how it is assembled; None takes every file whose label is a class.
    others: what stands in other roles already; its patients and files are left out.
    say: told the same, and which files are copies.

    Raises:
        DataError: a folder, a manifest or a file that cannot be used.
        LeakError: the same image under two patients.
    """
    warnings: list[str] = []
    drawn: Mapping[Path, Mapping[int, str]] | None = None
    if role is not None and (role.draws or role.name != MAIN):
        drawn = draw.draw(
            roots, role, classes, mapping=mapping, modalities=modalities, others=others, say=warnings.append
        )
    sets = [
        dataclasses.replace(
            manifest.read_dataset(
                root,
                classes,
                mapping=mapping,
                drawn=None if drawn is None else drawn[root],
                modalities=modalities,
                ungrouped=ungrouped,
            ),
            slices=read_slices(root.resolve()),
        )
        for root in roots
        if drawn is None or drawn[root] or not any(drawn.values())  # nothing at all: reading says what is there
    ]
    dataset = with_headers(manifest.join(sets) if len(sets) > 1 else sets[0])
    copies = check_leaks(dataset)
    for files in copies:  # said, and not stored: a file's name may be a patient's
        say(f"identical files of one patient: {', '.join(files)}")
    if copies:
        warnings.append(f"{len(copies)} file(s) stand more than once within one patient; each copy counts.")
    warnings += _absent(dataset, role, None if drawn is None else [len(drawn[root]) for root in roots])
    for warning in warnings:
        say(warning)
    return dataset, tuple(warnings)


def _absent(dataset: Dataset, role: Role | None, drawn: Sequence[int] | None) -> list[str]:
    """What is not in a dataset. drawn: files of each folder; None where labels, and no draw, say which are taken."""
    of = "" if role is None or role.name == MAIN else f"role {role.name}: "
    idle = [str(i + 1) for i, n in enumerate(drawn or ()) if not n]
    found = [f"{of}Nothing was drawn from folder {', '.join(idle)} of {len(drawn or ())}."] if idle else []
    if dataset.left_out:
        left = ", ".join(f"{n} '{label}'" for label, n in dataset.left_out.items())
        labels = "no class stands for their label, or they are of another modality"
        found.append(f"{of}Left out, since {labels if drawn is None else 'they were not drawn'}: {left}.")
    if not dataset.grouped:
        found.append(f"{of}No patient ids (--ungrouped): a patient with several images may stand on both sides.")
    return found


def _check_apart(dataset: Dataset, others: Mapping[str, Dataset], role: str) -> None:
    """The same picture in two roles is one patient's, whatever the patients are called."""
    for name, other in others.items():
        known = {mark: sample.file for sample in other.samples for mark in sample.marks}
        again = next((sample for sample in dataset.samples if sample.is_among(known)), None)
        if again is not None:
            of = next(known[mark] for mark in again.marks if mark in known)
            raise LeakError(
                f"{again.file}: expected other images in role {role} than in role {name}, found the bytes of "
                f"'{of}' under another patient. Give both one group_id."
            )


def _by_role(data: Sequence[str | Path], recipe: Recipe) -> dict[str, list[Path]]:
    """The folders of each role; a folder whose name holds "=" is one of main's unless a role stands before it."""
    names = [role.name for role in recipe.roles]
    folders: dict[str, list[Path]] = {name: [] for name in names}
    for given in data:
        role, equals, path = str(given).partition("=")
        if equals and role not in names and "/" not in role and not Path(given).exists():
            raise UsageError(
                f"--data {given}: expected a data role of {recipe.name} ({', '.join(names)}) before '=', "
                f"found '{role}'. {did_you_mean(role, names)}"
            )
        named = bool(equals) and role in names
        if named and not path:
            raise UsageError(f"--data {given}: expected a folder after '=', found none. Write --data {role}=DIR.")
        folders[role if named else MAIN].append(Path(path if named else given))
    for name, roots in folders.items():
        if not roots:
            what = "--data DIR" if name == MAIN else f"--data {name}=DIR"
            raise UsageError(
                f"{recipe.name}: expected data of the roles {', '.join(names)}, found none for '{name}'. Add {what}."
            )
    return folders
