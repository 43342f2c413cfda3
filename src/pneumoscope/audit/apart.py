"""Before training: one picture under two patients would stand on both sides of a split, however it was stored.

Single images alone are compared; of series, identical files are found elsewhere (`audit.leaks`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from pneumoscope.audit import duplicates
from pneumoscope.audit.duplicates import Found
from pneumoscope.audit.gather import Item
from pneumoscope.audit.look import look
from pneumoscope.core.dataset import Dataset, Sample
from pneumoscope.core.progress import Progress, silent
from pneumoscope.errors import LeakError


def together(dataset: Dataset, *, of_ct: bool, progress: Progress = silent) -> tuple[list[Found], list[Found]]:
    """Pairs of samples, by position, in different groups: those that hold one picture, and those that are alike.

    X-rays are not called alike here: of one kind of body in one position they may be, of real ones hardly any pair is.
    of_ct: an image that does not say what it is may be a slice of a CT.
    """
    kept = [i for i, sample in enumerate(dataset.samples) if not (Path(dataset.root) / sample.file).is_dir()]
    looked = look([_item(dataset.root, dataset.samples[i]) for i in kept], text=False, progress=progress)
    pairs = [found._replace(a=kept[found.a], b=kept[found.b]) for found in duplicates.find(looked, progress)]
    across = [one for one in pairs if dataset.samples[one.a].group != dataset.samples[one.b].group]
    alike = [one for one in across if one.kind == "alike" and not _of_xrays(dataset, one, of_ct)]
    return [one for one in across if one.kind != "alike"], alike


def _of_xrays(dataset: Dataset, found: Found, of_ct: bool) -> bool:
    unstated = None if of_ct else "xray"
    return any((dataset.samples[i].modality or unstated) == "xray" for i in (found.a, found.b))


def keep_together(
    dataset: Dataset, *, join: bool, refuse: bool = True, of_ct: bool = True, progress: Progress = silent
) -> tuple[Dataset, tuple[str, ...]]:
    """The dataset, and what a report must say of pictures that stand under several patients.

    join: the groups of such pictures, and of those that are alike, become one. refuse: they are an error, else said.

    Raises:
        LeakError: one picture under two groups, where they are neither joined nor allowed.
    """
    copies, alike = together(dataset, of_ct=of_ct, progress=progress)
    if join:
        return _joined(dataset, [*copies, *alike])
    said = []
    if copies:
        if refuse:
            raise LeakError(
                f"leaks: expected each picture under one patient, found {len(copies)} pair(s) of files that hold one "
                f"under two: {_some(dataset, copies)}. Give each pair one group_id, or say --join-duplicates. All of "
                "them: pneumoscope audit"
            )
        # without names: it is kept in reports, and a file's name may be a patient's
        said.append(f"{len(copies)} pair(s) of files hold one picture under different patients. See pneumoscope audit.")
    if alike:
        said.append(
            f"{len(alike)} pair(s) of files under different patients are so alike that they are most likely one "
            "patient's: figures may be too good. See pneumoscope audit, or say --join-duplicates."
        )
    return dataset, tuple(said)


def _joined(dataset: Dataset, pairs: Sequence[Found]) -> tuple[Dataset, tuple[str, ...]]:
    """The dataset with the groups of each pair made one; a set of groups is named by its least."""
    groups = dataset.groups
    number = {group: i for i, group in enumerate(groups)}
    sets = duplicates.Sets(len(groups))
    for one in pairs:
        sets.join(number[dataset.samples[one.a].group], number[dataset.samples[one.b].group])
    samples = tuple(dataclasses.replace(s, group=groups[sets.root(number[s.group])]) for s in dataset.samples)
    joined = dataclasses.replace(dataset, samples=samples)
    left = len(joined.groups)
    if left == len(groups):
        return dataset, ()
    return joined, (
        f"Groups with copies of one picture, or slices so alike that they are most likely one patient's, were joined "
        f"(--join-duplicates): {len(groups)} groups became {left}.",
    )


def _some(dataset: Dataset, pairs: Sequence[Found]) -> str:
    named = [f"'{dataset.samples[one.a].file}' and '{dataset.samples[one.b].file}' ({one.how})" for one in pairs[:3]]
    return "; ".join(named) + ("; ..." if len(pairs) > 3 else "")


def _item(root: str, sample: Sample) -> Item:
    return Item(
        path=Path(root) / sample.file,
        file=sample.file,
        label=sample.label,
        group=sample.group,
        named=True,
        patient=None,
        data_set=sample.collection,
        view=sample.view or "",
        source=sample.source or "",
        split=sample.split or "",
        modality=sample.modality or "",
        sex="",
        years=None,
        problem=None,
    )
