"""labels.csv <-> Dataset: which file has which label and which patient (design section 4, "A dataset").

The file is input from strangers: nothing outside the dataset's folder is opened. No identifier of a patient gets
past this module: groups are pseudonyms, and messages name lines and files.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple, cast

from pneumoscope.core.dataset import MARK, ClassSet, Dataset, Sample
from pneumoscope.core.files import write_bytes
from pneumoscope.core.image import Modality
from pneumoscope.core.registry import did_you_mean
from pneumoscope.core.study import pseudonym
from pneumoscope.errors import DataError, UsageError
from pneumoscope.io import said
from pneumoscope.io.contents import digests_of, folder_problem, inside_another

NAME = "labels.csv"
BLANK = "(blank)"  # how an empty label is counted among those left out
MAX_BYTES = 256 * 2**20  # 250,000 rows of 1,000 bytes; one field may have 128 KiB, the csv module's own limit
_PARTS = ("train", "val", "test")


class _Row(NamedTuple):
    line: int
    values: Mapping[str, str]

    @property
    def key(self) -> str:
        return self.values.get("group_id") or self.values.get("patient_id") or ""


def read_dataset(
    root: Path,
    classes: ClassSet,
    *,
    mapping: Mapping[str, str] | None = None,
    drawn: Mapping[int, str] | None = None,
    modalities: Sequence[str] = (),
    ungrouped: bool = False,
) -> Dataset:
    """The dataset in the folder `root`, as its labels.csv says; every file is read once, for its digest.

    A row's file may be a folder that holds a series: its digest is that of all files in it (`contents.digests_of`).

    mapping: label -> class. A label that is not in it stands for the class of its name; where there is none, the
    row is left out and counted. drawn: line of labels.csv -> class, instead of what labels say; other lines are left
    out. modalities: rows of another (see `said.modality`) are left out and counted; none for all. A group is
    `group_id`, else `patient_id`. ungrouped: the set has neither, and every file may stand for itself.

    Raises:
        UsageError: `ungrouped` where there are ids.
        DataError: no labels.csv, or one that does not hold together; a file that is missing, not a regular file or
            outside `root`; no identifiers without `ungrouped`; no file of any class.
    """
    root = _folder(root)
    rows = _read(root)
    others = [row for row in rows if not _is_of(row, modalities)]
    rows = [row for row in rows if _is_of(row, modalities)]
    labels = _classes_of(rows, classes, mapping or {}) if drawn is None else [drawn.get(row.line) for row in rows]
    kept = [(row, label) for row, label in zip(rows, labels, strict=True) if label is not None]
    left_out = Counter(row.values["label"] or BLANK for row, label in zip(rows, labels, strict=True) if label is None)
    left_out.update(f"{row.values['label'] or BLANK} ({said.modality(row.values)})" for row in others)
    if not kept:
        raise DataError(
            f"{root / NAME}: expected labels of {', '.join(classes.names)}, found only "
            f"{', '.join(_show(label) for label in list(left_out)[:20])}. Map them with --map LABEL=CLASS."
        )
    kept_rows = [row for row, _ in kept]
    groups = _groups(kept_rows, ungrouped)
    _check_files(root, [row.values["file"] for row in kept_rows])
    samples = tuple(_sample(root, row, label, group) for (row, label), group in zip(kept, groups, strict=True))
    return Dataset(root=str(root), samples=samples, classes=classes, left_out=dict(left_out), grouped=not ungrouped)


class Candidate(NamedTuple):
    """A row that a draw may take: where it stands, its group key (None without one), and what it says of the file."""

    root: Path
    line: int
    file: str
    group: str | None
    label: str
    source: str
    view: str
    findings: tuple[str, ...]


def candidates(root: Path, modalities: Sequence[str] = ()) -> list[Candidate]:
    """The rows of the folder's labels.csv of these modalities (see `read_dataset`), none of their files opened.

    Raises:
        DataError: no labels.csv, or one that does not hold together.
    """
    rows = _read(_folder(root))
    _check_patients(rows)  # of all rows: those of one patient may be drawn for two roles
    return [
        Candidate(
            root,
            row.line,
            row.values["file"],
            pseudonym(row.key) if row.key else None,
            row.values["label"],
            row.values.get("source", ""),
            row.values.get("view", ""),
            said.findings(row.values),
        )
        for row in rows
        if _is_of(row, modalities)
    ]


def _is_of(row: _Row, modalities: Sequence[str]) -> bool:
    return not modalities or said.modality(row.values) in ("", *modalities)


def read_rows(root: Path) -> list[Mapping[str, str]]:
    """Every row of the folder's labels.csv as it stands, in its order: column -> text, without blanks around it.

    The files are not looked at, and identifiers are as they are written: they are for counting, not for showing.

    Raises:
        DataError: no labels.csv, or one that does not hold together.
    """
    return [row.values for row in _read(_folder(root))]


def check_mapping(roots: Sequence[Path], names: Sequence[str], mapping: Mapping[str, str]) -> None:
    """See that each mapped label occurs in one of the folders and means one of the classes `names`.

    Raises:
        UsageError: a mapping to an unknown class or of a label that occurs nowhere.
        DataError: a labels.csv that cannot be read.
    """
    found = Counter(row.values["label"] for root in roots for row in _read(_folder(root)))
    listed = ", ".join(f"{_show(label) if label else BLANK} ({n})" for label, n in found.most_common(20))
    for label, name in mapping.items():
        if name not in names:
            hint = did_you_mean(name, list(names))
            raise UsageError(f"--map {label}={name}: expected a class of this recipe, found '{name}'. {hint}")
        if label not in found:
            raise UsageError(f"--map {label}={name}: expected a label that occurs, found none. Labels: {listed}.")


def check_complete(dataset: Dataset) -> None:
    """See that there is something to learn of every class.

    Raises:
        DataError: a class without files.
    """
    for name, count in dataset.counts().items():
        if not count:
            left = ", ".join(f"{_show(label)} ({n})" for label, n in dataset.left_out.items())
            raise DataError(
                f"{NAME}: expected files of each class, found none of '{name}'. Map a label with --map LABEL=CLASS; "
                f"labels that no class stands for: {left or 'none'}."
            )


def write_labels(out: Path, rows: Sequence[Mapping[str, str]]) -> None:
    """Write `out`/labels.csv, whole or not at all: the columns of all rows, file and label first, absent ones blank.

    Raises:
        DataError: no rows, one without file or label, or text that UTF-8 cannot hold.
    """
    lacking = next((i for i, row in enumerate(rows) if not row.get("file") or "label" not in row), None)
    if not rows or lacking is not None:
        raise DataError(f"{NAME}: expected rows with file and label, found {'none' if not rows else f'row {lacking}'}.")
    columns = list(dict.fromkeys(["file", "label", *(name for row in rows for name in row)]))
    text = io.StringIO(newline="")
    # lines end in CRLF (RFC 4180): the csv module does not quote "\r" where they end in "\n" alone
    writer = csv.DictWriter(text, columns, restval="")
    writer.writeheader()
    writer.writerows(rows)
    try:
        data = text.getvalue().encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{NAME}: expected text that UTF-8 can hold, found {_show(error.object)}.") from error
    write_bytes(out / NAME, data)


def join(datasets: Sequence[Dataset]) -> Dataset:
    """Several sets as one: files named from the common parent folder, patients joined where their group is the same.

    The collection of each of several is the name of its folder, or its path from the common parent where two have one
    name.

    Raises:
        DataError: none, sets with different classes, or a file that is in two of them.
    """
    if not datasets or any(d.classes != datasets[0].classes for d in datasets):
        raise DataError("datasets: expected at least one, all with the same classes, found none or others.")
    root = os.path.commonpath([d.root for d in datasets])
    samples = []
    names = Counter(Path(d.root).name for d in datasets)
    for dataset in datasets:
        folder = _under(dataset, root)
        for sample in dataset.samples:
            file = str(folder / sample.file)
            # files that stand for themselves are no one patient only because two sets name them alike
            group = sample.group if dataset.grouped else _own_group(file)
            name = Path(dataset.root).name
            collection = "" if len(datasets) == 1 else name if names[name] == 1 else str(folder)
            samples.append(dataclasses.replace(sample, file=file, group=group, collection=collection))
    return Dataset(
        root=root,
        samples=tuple(samples),
        classes=datasets[0].classes,
        slices={str(_under(d, root) / file): seen for d in datasets for file, seen in d.slices.items()},
        left_out=dict(sum((Counter(d.left_out) for d in datasets), Counter())),
        grouped=all(d.grouped for d in datasets),
    )


def _under(dataset: Dataset, root: str) -> PurePosixPath:
    return PurePosixPath(Path(os.path.relpath(dataset.root, root)).as_posix())


def _folder(root: Path) -> Path:
    if not root.is_dir():
        raise DataError(f"{root}: expected a folder with {NAME}, found none. Check the path.")
    return root.resolve()


def _read(root: Path) -> list[_Row]:
    path = root / NAME
    if file_problem(root, NAME) is not None:
        raise DataError(f"{path}: expected a regular file, found none. Write one with the columns file and label.")
    if path.stat().st_size > MAX_BYTES:
        raise DataError(f"{path}: expected at most {MAX_BYTES} bytes, found {path.stat().st_size}. Split the set.")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: expected UTF-8, found byte {error.start} that is not. Save it as UTF-8.") from error
    # strict: a quote that is never closed would otherwise swallow the rows after it
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    try:
        table = [(reader.line_num, [field.strip() for field in fields]) for fields in reader]
    except csv.Error as error:
        raise DataError(f"{path} line {reader.line_num}: expected comma-separated values, found {error}.") from error
    table = [(line, fields) for line, fields in table if any(fields)]
    columns = table[0][1] if table else []
    _check_columns(path, columns)
    for line, fields in table[1:]:
        if len(fields) != len(columns):
            raise DataError(f"{path} line {line}: expected {len(columns)} fields, found {len(fields)}. Quote commas.")
    rows = [_Row(line, dict(zip(columns, fields, strict=True))) for line, fields in table[1:]]
    _check_rows(path, rows)
    return rows


def _check_columns(path: Path, columns: list[str]) -> None:
    found = ", ".join(_show(name) for name in columns[:10]) or "nothing"
    if not {"file", "label"} <= set(columns):
        raise DataError(f"{path}: expected the columns file and label, separated by commas, found {found}.")
    if len(set(columns)) != len(columns):
        raise DataError(f"{path}: expected each column once, found {found}. Rename one.")


def _check_rows(path: Path, rows: list[_Row]) -> None:
    if not rows:
        raise DataError(f"{path}: expected at least one row, found none. List the files and their labels.")
    for row in rows:
        if not row.values["file"]:
            raise DataError(f"{path} line {row.line}: expected a file, found a blank. Name it, or remove the line.")
        split = row.values.get("split", "")
        if split and split not in _PARTS:
            raise DataError(
                f"{path} line {row.line}: split: expected {', '.join(_PARTS)} or blank, found {_show(split)}."
            )


def _classes_of(rows: list[_Row], classes: ClassSet, mapping: Mapping[str, str]) -> list[str | None]:
    """The class of each row, None where no class stands for its label."""
    known = {name: name for name in classes.names} | dict(mapping)
    return [known.get(row.values["label"]) for row in rows]


def _groups(rows: list[_Row], ungrouped: bool) -> list[str]:
    """The group key of each row."""
    named = any(row.key for row in rows)
    if ungrouped and named:
        raise UsageError(
            f"--ungrouped: expected a set without identifiers, found some in {NAME}. Leave --ungrouped out: the files "
            "of one patient stay together."
        )
    if ungrouped:
        return [_own_group(str(PurePosixPath(row.values["file"]))) for row in rows]
    if not named:
        raise DataError(
            f"{NAME}: expected a group_id or a patient_id on every line, found none from line {rows[0].line} on. Add "
            "them, or say --ungrouped: files of one patient may then stand on both sides of a split."
        )
    blank = [row.line for row in rows if not row.key]
    if blank:
        raise DataError(
            f"{NAME} line {blank[0]}: expected a group_id or a patient_id, found neither, as on {len(blank)} line(s). "
            "Fill it in, or remove the line."
        )
    _check_patients(rows)
    return [pseudonym(row.key) for row in rows]


def _check_patients(rows: list[_Row]) -> None:
    """A patient under two keys would stand on both sides of a split unseen."""
    first: dict[str, _Row] = {}
    for row in rows:
        patient = row.values.get("patient_id")
        if patient and first.setdefault(patient, row).key != row.key:
            raise DataError(
                f"{NAME} line {row.line}: expected one group for all files of one patient, found another than on "
                f"line {first[patient].line}. Give both lines one group_id."
            )


def _own_group(file: str) -> str:
    return pseudonym(file, prefix="f")


def _check_files(root: Path, files: list[str]) -> None:
    problems: dict[str, list[str]] = {}
    for file in files:
        problem = file_problem(root, file)
        if problem is not None:
            problems.setdefault(problem, []).append(file)
    for problem, bad in problems.items():
        shown = ", ".join(_show(file) for file in bad[:3]) + (", ..." if len(bad) > 3 else "")
        raise DataError(f"{NAME}: expected files in {root}, found {len(bad)} of {len(files)} {problem}: {shown}.")
    twice = inside_another(files)
    if twice is not None:
        raise DataError(f"{NAME}: expected each file once, found {_show(twice)} in a folder that is listed too.")


def file_problem(root: Path, file: str) -> str | None:
    """Why `file`, relative to the resolved folder `root`, may not be opened; None where it may."""
    parts = PurePosixPath(file)
    if "\0" in file or parts.is_absolute() or ".." in parts.parts:
        return "that lead out of it (write paths relative to the folder, without '..')"
    real = Path(os.path.realpath(root / parts))
    if not real.is_relative_to(root):
        return "that are links out of it (copy the files there)"
    if os.path.isdir(real):
        return folder_problem(real)
    if not os.path.exists(real):
        return "missing (check the paths)"
    return None if os.path.isfile(real) else "that are not regular files"


def _sample(root: Path, row: _Row, label: str, group: str) -> Sample:
    file = str(PurePosixPath(row.values["file"]))
    try:
        digest, within = digests_of(root / file)
    except OSError as error:
        raise DataError(
            f"{_show(file)}: expected a readable file, found {error.strerror}. Check its rights."
        ) from error
    return Sample(
        file=file,
        label=label,
        group=group,
        view=row.values.get("view") or None,
        source=row.values.get("source") or None,
        modality=cast(Modality, told) if (told := said.modality(row.values)) in ("xray", "ct") else None,
        split=cast(Literal["train", "val", "test"] | None, row.values.get("split") or None),
        findings=said.findings(row.values),
        sex=said.sex(row.values.get("sex", "")),
        age=said.age(row.values.get("age", "")),
        digest=digest,
        members=tuple(one[:MARK] for one in within),
    )


def _show(text: str) -> str:
    """A stranger's text on one line and of bearable length, control characters escaped."""
    return repr(text if len(text) <= 80 else text[:77] + "...")
