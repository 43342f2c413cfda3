"""Labelled folders as an audit reads them: every row, whatever its label, and nothing refused that can be reported.

Identifiers of patients become pseudonyms here, as in `io.manifest`, and go no further.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pneumoscope.core.dataset import ClassSet, Dataset, Sample
from pneumoscope.core.study import pseudonym
from pneumoscope.errors import UsageError
from pneumoscope.io import manifest, said


@dataclass(frozen=True, kw_only=True)
class Item:
    """One row of a labels.csv.

    file: from the data sets' common folder; `path` is the same on this machine. group: pseudonym of the patient or
    group; of the file itself where the row names neither (`named` is False then). patient: pseudonym of patient_id.
    years: age, None where the row gives none. problem: why the file cannot be opened, ends "files <problem>".
    """

    path: Path
    file: str
    label: str
    group: str
    named: bool
    patient: str | None
    data_set: str
    view: str
    source: str
    split: str
    modality: str
    sex: str
    years: float | None
    problem: str | None

    def sample(self, digest: str, members: tuple[str, ...] = ()) -> Sample:
        """As a sample of a dataset; digest: SHA-256 of its bytes."""
        split = self.split or None
        return Sample(
            file=self.file,
            label=self.label,
            group=self.group,
            view=self.view or None,
            source=self.source or None,
            modality=self.modality if self.modality in ("xray", "ct") else None,  # type: ignore[arg-type]
            collection=self.data_set,
            split=split,  # type: ignore[arg-type]
            digest=digest,
            members=members,
        )


def gather(roots: Sequence[Path], mapping: Mapping[str, str]) -> tuple[str, list[Item]]:
    """The data sets' common folder, and every row of their labels.csv in its order.

    mapping: label -> label. A file that is listed twice is taken once.

    Raises:
        DataError: no labels.csv, or one that does not hold together.
        UsageError: a folder given twice, or a mapping of a label that occurs nowhere.
    """
    rows = {root.resolve(): manifest.read_rows(root) for root in roots}
    if len(rows) < len(roots):
        raise UsageError("--data: expected different folders, found one given twice. Name each once.")
    _check_mapping(mapping, (row["label"] for found in rows.values() for row in found))
    common = os.path.commonpath(list(rows))
    names = Counter(root.name for root in rows)
    items = []
    for root, found in rows.items():
        folder = PurePosixPath(Path(os.path.relpath(root, common)).as_posix())
        name = root.name if names[root.name] == 1 else str(folder)
        known = set()
        for row in found:
            item = _item(root, folder, name, row, mapping)
            if item.file not in known:
                items.append(item)
            known.add(item.file)
    return common, items


def dataset(root: str, samples: Iterable[Sample]) -> Dataset | None:
    """The samples as a dataset of the labels that they have; None where there are not two labels."""
    kept = [s for s in samples if s.label != manifest.BLANK]
    names = tuple(sorted({s.label for s in kept}))
    if len(names) < 2:
        return None
    return Dataset(root=root, samples=tuple(kept), classes=ClassSet(names=names))


def _check_mapping(mapping: Mapping[str, str], labels: Iterable[str]) -> None:
    known = Counter(labels)
    for label, name in mapping.items():
        if label not in known:
            listed = ", ".join(f"{one or manifest.BLANK!r} ({n})" for one, n in known.most_common(20))
            raise UsageError(f"--map {label}={name}: expected a label that occurs, found none. Labels: {listed}.")


def _item(root: Path, folder: PurePosixPath, name: str, row: Mapping[str, str], mapping: Mapping[str, str]) -> Item:
    file = str(folder / PurePosixPath(row["file"]))
    key, patient = row.get("group_id") or row.get("patient_id") or "", row.get("patient_id", "")
    return Item(
        path=root / PurePosixPath(row["file"]),
        file=file,
        label=mapping.get(row["label"], row["label"]) or manifest.BLANK,
        group=pseudonym(key) if key else pseudonym(file, "f"),
        named=bool(key),
        patient=pseudonym(patient) if patient else None,
        data_set=name,
        view=row.get("view", ""),
        source=row.get("source", ""),
        split=row.get("split", ""),
        modality=said.modality(row),
        sex=said.sex(row.get("sex", "")) or "",
        years=said.age(row.get("age", "")),
        problem=manifest.file_problem(root, row["file"]),
    )
