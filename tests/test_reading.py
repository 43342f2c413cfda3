"""From `--data [ROLE=]DIR` to the data of a run: which folder is whose, and that no patient stands in two roles."""

from __future__ import annotations

from pathlib import Path

import pytest

from pneumoscope.core.dataset import Dataset
from pneumoscope.core.resolve import resolve
from pneumoscope.errors import DataError, LeakError, UsageError
from pneumoscope.reading import read_data, read_roles
from pneumoscope.recipes import find

BASU = resolve(find("basu2020")[0])
ONE_ROLE = resolve(find("szalay2021")[0])
SIX = ("Atelectasis", "Cardiomegaly", "Infiltration", "Effusion", "Nodule", "Mass")
Row = tuple[str, str, str]  # label, patient, findings


def folder(root: Path, rows: list[Row], *, name: str = "", source: str = "nih", modality: str = "xray") -> Path:
    """Bytes of their own for each row; nothing here looks into an image."""
    root.mkdir(parents=True, exist_ok=True)
    lines = ["file,label,patient_id,source,modality,findings"]
    for i, (label, patient, findings) in enumerate(rows):
        (root / f"{i}.png").write_bytes(f"{name or root.name} {i}".encode())
        lines.append(f"{i}.png,{label},{patient},{source},{modality},{findings}")
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    return root


def main(root: Path, **options: str) -> Path:
    rows = [("normal", "m0", ""), ("pneumonia", "m1", "Pneumonia"), ("covid", "m2", "")]
    return folder(root, rows + [("disease", f"m{i + 3}", finding) for i, finding in enumerate(SIX)], **options)


def source(root: Path, **options: str) -> Path:
    return folder(root, [("normal", "s0", ""), ("disease", "s1", "Hernia"), ("disease", "s2", "Mass")], **options)


def read(*data: str | Path, mapping: dict[str, str] | None = None) -> tuple[dict[str, Dataset], list[str]]:
    said: list[str] = []
    found, _ = read_roles(data, BASU, mapping=mapping or {}, ungrouped=False, say=said.append)
    return found, said


def test_each_role_gets_its_folder_and_main_comes_first(tmp_path: Path) -> None:
    found, _ = read(f"source={source(tmp_path / 's')}", main(tmp_path / "m"))
    assert list(found) == ["main", "source"]
    assert found["main"].counts() == {"normal": 1, "other_disease": 6, "pneumonia": 1, "covid": 1}
    assert found["source"].counts() == {"normal": 1, "disease": 2}
    named, _ = read(f"main={tmp_path / 'm'}", f"source={tmp_path / 's'}")
    assert {role: data.digest for role, data in named.items()} == {role: data.digest for role, data in found.items()}


@pytest.mark.parametrize("name", ["a=b", "source=x", "=", "x="])
def test_a_folders_own_name_may_hold_an_equals_sign(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_equals = main(tmp_path / name, name="m")
    found, _ = read(with_equals, f"source={source(tmp_path / 's')}")
    assert len(found["main"]) == 9
    named, _ = read(f"main={with_equals}", f"source={tmp_path / 's'}")
    assert named["main"].digest == found["main"].digest
    if not name.startswith("source="):  # then a role's name stands before it, and it is the folder x
        monkeypatch.chdir(tmp_path)
        assert len(read(name, "source=s")[0]["main"]) == 9


def test_a_role_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"data role of basu2020 \(main, source\) before '=', found 'sorce'.*'source'"):
        read(main(tmp_path / "m"), "sorce=s")
    with pytest.raises(UsageError, match="expected a folder after '=', found none"):
        read(main(tmp_path / "m"), "source=")


def test_a_role_without_data_says_what_to_add(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"found none for 'source'. Add --data source=DIR"):
        read(main(tmp_path / "m"))
    with pytest.raises(UsageError, match=r"found none for 'main'. Add --data DIR"):
        read(f"source={source(tmp_path / 's')}")


def test_patients_of_main_are_left_out_of_the_source(tmp_path: Path) -> None:
    """One NIH folder for both roles, as the paper has it."""
    rows: list[Row] = [("normal", f"n{i // 2}", "") for i in range(800)]
    rows += [("disease", f"d{i}", "Hernia") for i in range(5)] + [("disease", "n0", "Hernia")]
    nih = folder(tmp_path / "nih", rows)
    found, said = read(main(tmp_path / "m"), nih, f"source={nih}")
    assert found["main"].counts()["normal"] == 350
    assert not set(found["main"].groups) & set(found["source"].groups)
    assert found["source"].counts()["normal"] > 0
    assert any("of patients of another role, and left out" in text for text in said)
    assert any("they were not drawn" in text for text in said)


def test_the_same_picture_in_two_roles_is_a_leak_whatever_the_patients_are_called(tmp_path: Path) -> None:
    kept = main(tmp_path / "m")
    other = source(tmp_path / "s")
    (other / "2.png").write_bytes((kept / "3.png").read_bytes())
    with pytest.raises(LeakError, match="expected other images in role source than in role main") as caught:
        read(kept, f"source={other}")
    assert not any(patient in str(caught.value) for patient in ("m3", "s2"))


def test_a_mapping_goes_to_every_role_that_has_the_class(tmp_path: Path) -> None:
    kept = folder(
        tmp_path / "m",
        [("gesund", "m0", ""), ("pneumonia", "m1", ""), ("covid", "m2", ""), ("krank", "m3", "")],
    )
    other = folder(tmp_path / "s", [("gesund", "s0", ""), ("disease", "s1", "Hernia")])
    found, _ = read(kept, f"source={other}", mapping={"gesund": "normal", "krank": "other_disease"})
    assert found["main"].counts() == {"normal": 1, "other_disease": 1, "pneumonia": 1, "covid": 1}
    assert found["source"].counts() == {"normal": 1, "disease": 1}


def test_a_mapping_to_a_class_of_no_role_is_refused(tmp_path: Path) -> None:
    data = (main(tmp_path / "m"), f"source={source(tmp_path / 's')}")
    with pytest.raises(UsageError, match="expected a class of this recipe, found 'diseased'"):
        read(*data, mapping={"normal": "diseased"})
    with pytest.raises(UsageError, match="expected a label that occurs, found none"):
        read(*data, mapping={"gesund": "normal"})


def test_a_class_that_a_role_lacks_is_an_error(tmp_path: Path) -> None:
    without = folder(tmp_path / "s", [("normal", "s0", "")])
    with pytest.raises(DataError, match=r"roles\.source\.draws\.disease: expected files with"):
        read(main(tmp_path / "m"), f"source={without}")
    mapped = folder(tmp_path / "t", [("normal", "m0", ""), ("krank", "m0", "")])  # all are main's patients
    with pytest.raises(DataError):
        read(main(tmp_path / "m"), f"source={mapped}", mapping={"krank": "disease"})


def test_the_modality_that_a_row_names_is_kept_to(tmp_path: Path) -> None:
    root = folder(tmp_path / "m", [("covid", "a", ""), ("non-covid", "b", "")])
    ct = folder(tmp_path / "c", [("covid", "c", ""), ("non-covid", "d", "")], modality="ct")
    both, _ = read_data([root, ct], ONE_ROLE.classes, mapping={}, modalities=ONE_ROLE.modalities)
    assert len(both) == 4
    said: list[str] = []
    xrays = folder(tmp_path / "x", [("covid", "e", ""), ("non-covid", "f", "")])
    rows = (xrays / "labels.csv").read_text() + "x.png,covid,g,nih,ct,\n"  # its file need not be there
    (xrays / "labels.csv").write_text(rows)
    one, _ = read_data([xrays], ONE_ROLE.classes, mapping={}, modalities=("xray",), say=said.append)
    assert len(one) == 2
    assert one.left_out == {"covid (ct)": 1}
    assert any("of another modality" in text and "'covid (ct)'" in text for text in said)


def test_a_recipe_of_one_role_reads_as_before(tmp_path: Path) -> None:
    root = folder(tmp_path / "m", [("covid", "a", "Mass"), ("non-covid", "b", ""), ("other", "c", "")])
    found, warnings = read_roles([root], ONE_ROLE, mapping={}, ungrouped=False, say=lambda text: None)
    assert found["main"].counts() == {"non-covid": 1, "covid": 1}
    assert any("no class stands for their label" in text and "1 'other'" in text for text in warnings)
