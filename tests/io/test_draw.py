"""Draws from lists: how many, of what, one after the other, the same ones every time, and no file opened."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pneumoscope.core.dataset import ClassSet, Dataset, Sample
from pneumoscope.core.role import Draw, Role
from pneumoscope.core.study import pseudonym
from pneumoscope.errors import DataError
from pneumoscope.io.draw import draw

CLASSES = ClassSet(names=("well", "sick"), positive="sick")
WELL = Draw(name="well", label="well", findings=("No Finding", "normal"), match="only")
SICK = Draw(name="sick", label="sick", findings=("Mass",), match="any", count=3)


def folder(root: Path, rows: list[tuple[str, str]], *, more: str = "", of: str = "p") -> Path:
    """Rows of (label, findings), each of a patient of its own; no image is there."""
    root.mkdir(parents=True, exist_ok=True)
    lines = [f"{i}.png,{label},{of}{i},{findings}" for i, (label, findings) in enumerate(rows)]
    (root / "labels.csv").write_text("\n".join(["file,label,patient_id,findings", *lines, *more.splitlines()]) + "\n")
    return root


def other(root: Path, *, group: str, file: str = "elsewhere.png") -> Dataset:
    """What stands in another role: one file of one patient."""
    return Dataset(root=str(root), samples=(Sample(file=file, label="well", group=group),), classes=CLASSES)


def drawn(roots: list[Path], *draws: Draw, **changed: Any) -> dict[tuple[str, int], str]:
    """(folder's name, number of the row) -> class."""
    options: dict[str, Any] = {"mapping": {}, "modalities": (), "others": (), "say": lambda text: None}
    role = Role(name="main", draws=draws, seed=changed.pop("seed", 0))
    found = draw(roots, role, CLASSES, **(options | changed))
    return {(root.name, line - 2): label for root, lines in found.items() for line, label in lines.items()}


def test_a_label_counts_as_the_finding_where_a_row_lists_none(tmp_path: Path) -> None:
    root = folder(
        tmp_path / "a", [("normal", ""), ("normal", "Mass"), ("mass", ""), ("normal", "No Finding"), ("x", "")]
    )
    assert drawn([root], WELL, SICK) == {
        ("a", 0): "well",
        ("a", 1): "sick",  # what it lists goes before its label
        ("a", 2): "sick",
        ("a", 3): "well",
    }


def test_so_many_are_drawn_by_the_seed_and_the_rest_stays(tmp_path: Path) -> None:
    root = folder(tmp_path / "a", [("disease", "Mass|Edema")] * 40)
    one, same, other = (drawn([root], SICK, seed=seed) for seed in (1, 1, 2))
    assert len(one) == 3
    assert one == same
    assert one != other


def test_fewer_than_asked_for_are_all_taken_and_said(tmp_path: Path) -> None:
    said: list[str] = []
    root = folder(tmp_path / "a", [("disease", "Mass")] * 2)
    assert len(drawn([root], SICK, say=said.append)) == 2
    assert said == ["roles.main.draws.sick: 3 files wanted, 2 found, all taken."]


def test_each_draw_takes_from_what_those_before_it_left(tmp_path: Path) -> None:
    root = folder(tmp_path / "a", [("disease", "Mass|Edema")] * 5)
    edema = Draw(name="edema", label="well", findings=("Edema",), match="any", count=5)
    assert Counter(drawn([root], SICK, edema).values()) == {"sick": 3, "well": 2}


def test_a_draw_that_finds_nothing_names_what_it_wants(tmp_path: Path) -> None:
    root = folder(tmp_path / "a", [("normal", "")])
    with pytest.raises(DataError, match=r"roles\.main\.draws\.sick: expected files with Mass \(any\) of any source"):
        drawn([root], WELL, SICK)


def test_what_the_user_maps_is_taken_whole_and_may_stand_for_a_draw(tmp_path: Path) -> None:
    root = folder(tmp_path / "a", [("normal", ""), *[("ill", "Hernia")] * 7])
    found = drawn([root], WELL, SICK, mapping={"ill": "sick"})
    assert Counter(found.values()) == {"well": 1, "sick": 7}


def test_patients_of_another_role_are_left_out_with_all_their_files(tmp_path: Path) -> None:
    said: list[str] = []
    more = "again.png,disease,p1,Mass\nmapped.png,ill,p1,"
    root = folder(tmp_path / "a", [("disease", "Mass")] * 3, more=more)
    found = drawn([root], SICK, others=[other(root, group=pseudonym("p1"))], mapping={"ill": "sick"}, say=said.append)
    assert set(found) == {("a", 0), ("a", 2)}
    assert said[0] == "role main: 3 files are of patients of another role, and left out."


def test_files_without_patients_stand_in_one_role_only(tmp_path: Path) -> None:
    lines = "\n".join(["file,label,findings", *(f"{i}.png,disease,Mass" for i in range(3))])
    (tmp_path / "labels.csv").write_text(lines + "\n")
    found = drawn([tmp_path], SICK, others=[other(tmp_path, group="f1", file="1.png")])
    assert {number for _, number in found} == {0, 2}


def test_the_order_of_the_folders_does_not_change_what_is_drawn(tmp_path: Path) -> None:
    roots = [folder(tmp_path / name, [("disease", "Mass")] * 9, of=name) for name in ("a", "b")]
    assert drawn(roots, SICK) == drawn(roots[::-1], SICK)


def test_without_draws_every_label_that_is_a_class_is_taken(tmp_path: Path) -> None:
    root = folder(tmp_path / "a", [("well", "Mass"), ("sick", ""), ("other", ""), ("ill", "")])
    found = drawn([root], mapping={"ill": "sick", "well": "sick"})
    assert found == {("a", 0): "sick", ("a", 1): "sick", ("a", 3): "sick"}


def test_other_modalities_are_not_drawn(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(
        "file,label,patient_id,modality\na.png,mass,1,xray\nb.png,mass,2,ct\nc.png,mass,3,\n"
    )
    found = drawn([tmp_path], SICK, modalities=("xray",))
    assert {number for _, number in found} == {0, 2}


@settings(max_examples=25)
@given(
    sick=st.integers(1, 12),
    well=st.integers(1, 12),
    count=st.integers(1, 15),
    seed=st.integers(0, 2**32 - 1),
    data=st.data(),
)
def test_counts_classes_and_the_order_of_rows(
    tmp_path_factory: pytest.TempPathFactory, sick: int, well: int, count: int, seed: int, data: st.DataObject
) -> None:
    rows = [("disease", "Mass")] * sick + [("normal", "")] * well
    one, other = (tmp_path_factory.mktemp(name) for name in ("one", "other"))
    folder(one, rows)
    head, *lines = (one / "labels.csv").read_text().splitlines()
    (other / "labels.csv").write_text("\n".join([head, *data.draw(st.permutations(lines))]) + "\n")
    taking = Draw(name="sick", label="sick", findings=("Mass",), match="any", count=count)
    files = []
    for root in (one, other):
        found = drawn([root], WELL, taking, seed=seed)
        listed = (root / "labels.csv").read_text().splitlines()[1:]
        files.append({(listed[number].split(",")[0], label) for (_, number), label in found.items()})
    assert Counter(label for _, label in files[0]) == {"well": well, "sick": min(sick, count)}
    assert files[0] == files[1]
