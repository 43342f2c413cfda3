"""COVIDx CT: its lists and their versions, whose slice is whose, and counts against those published."""

from __future__ import annotations

from pathlib import Path

import pytest
from as_downloaded_tool import put

from pneumoscope.errors import DataError
from pneumoscope.io.layouts import covidx_ct
from pneumoscope.io.layouts.covidx_ct import LAYOUT

TRAIN = """NCP_1013_2577_0000.png 2 0 173 512 404
CP_0_3136_0207.png 1 9 38 505 469
Normal_7_12_0001.png 0 1 2 3 4
"""
VAL = "COVIDCTMD-normal074-IM0128.png 0 0 15 502 473\nHUST-Patient457-0012.png 2 0 0 5 5\n"
TEST = "LIDC-IDRI-0234-1.3.6.1.4-0035.png 0 9 38 505 469\n\nodd_0003.png 1 0 0 1 1\n"
METADATA = """patient id,source,country,sex,age,finding,verified finding,slice selection,view,modality
NCP_1013,CNCB,China,,,COVID-19,Yes,Automatic,Axial,CT
NCP_10,CNCB,Nowhere,,,COVID-19,Yes,Expert,Axial,CT
other-9,New Source,Chad,F,50,Normal,Yes,Expert,Axial,CT
"""


def tree(root: Path, version: str = "2A", **lists: str) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    folder, ending = ("images", "-CT") if version == "1" else (f"{version}_images", f"_CT-{version}")
    for part, text in {"train": TRAIN, "val": VAL, "test": TEST, **lists}.items():
        (root / f"{part}_COVIDx{ending}.txt").write_text(text)
        put(root, *(f"{folder}/{line.split()[0]}" for line in text.splitlines() if line))
    return root


def test_lists_classes_parts_and_patients(tmp_path: Path) -> None:
    root = tree(tmp_path / "archive")
    (root / "metadata.csv").write_text(METADATA)
    listing = LAYOUT.read(tmp_path)
    found = [(e.file.rpartition("/")[2], e.label, e.split, e.patient_id, e.source) for e in listing.entries]
    assert found == [
        ("NCP_1013_2577_0000.png", "covid", "train", "cncb:NCP_1013", "cncb"),
        ("CP_0_3136_0207.png", "pneumonia", "train", "cncb:CP_0", "cncb"),
        ("Normal_7_12_0001.png", "normal", "train", "cncb:Normal_7", "cncb"),
        ("COVIDCTMD-normal074-IM0128.png", "normal", "val", "ctmd:normal074", "covid-ct-md"),
        ("HUST-Patient457-0012.png", "covid", "val", "ictcf:Patient457", "ictcf"),
        ("LIDC-IDRI-0234-1.3.6.1.4-0035.png", "normal", "test", "lidc:LIDC-IDRI-0234", "lidc-idri"),
        ("odd_0003.png", "pneumonia", "test", None, "covidx-ct"),
    ]
    assert (
        listing.entries[0].notes == "box=0 173 512 404; country=China; verified finding=Yes; slice selection=Automatic"
    )
    assert listing.entries[1].notes == "box=9 38 505 469"
    assert (listing.entries[-1].group_id, listing.entries[0].group_id) == ("covidx-ct:odd", None)
    assert {(e.modality, e.view, e.series) for e in listing.entries} == {("ct", "axial", False)}
    assert (listing.missing, listing.extra, listing.release) == ((), (), "COVIDx CT-2A")
    assert any("published for COVIDx CT-2A: train normal 1 for 35,996" in note for note in listing.notes)


@pytest.mark.parametrize(
    ("stem", "patient"),
    [
        ("radiopaedia_4_85506_1-0004", "radiopaedia:study:85506"),
        ("radiopaedia-75329-86491-1-0014", "radiopaedia:75329"),
        ("volume-covid19-A-0003_ct-0012", "tcia-covid:volume-covid19-A-0003"),
        ("volume-covid19-A-0580-0012", "tcia-covid:volume-covid19-A-0580"),
        ("STOIC-1042-0031", "stoic:1042"),
        ("A002304-CT-CHEST-3-0010", "nysbu:A002304"),
        ("coronacases_001-0100", "coronacases:coronacases_001"),
        ("study_0341-0010", "mosmed:study_0341"),
        ("137covid_patient12_SR_2_IM00010", "covid-ctset:patient12"),
        ("COVIDCTMD-P001-98C14734-ASSH_1", "ctmd:P001"),
    ],
)
def test_a_name_tells_its_patient(stem: str, patient: str) -> None:
    assert covidx_ct._patient(stem)[1] == patient


def test_metadata_names_a_patient_that_no_pattern_knows(tmp_path: Path) -> None:
    root = tree(tmp_path, test="other-9-0012.png 0 1 1 2 2\n")
    (root / "metadata.csv").write_text(METADATA)
    last = LAYOUT.read(root).entries[-1]
    assert (last.patient_id, last.source, last.group_id) == ("new source:other-9", "new source", None)
    assert (last.sex, last.age) == ("F", "50")


def test_the_first_version_has_other_names_and_no_metadata(tmp_path: Path) -> None:
    listing = LAYOUT.read(tree(tmp_path, "1", train="CP_1_2_3.png 1\n"))
    assert (listing.release, sum(listing.expected.values())) == ("COVIDx CT-1", 104009)
    assert listing.entries[0].notes == ""


def test_published_counts_add_up() -> None:
    totals = {version: sum(covidx_ct._expected(version).values()) for version in covidx_ct.PUBLISHED}
    assert totals == {"1": 104009, "2A": 194922, "3A": 425024, "3B": 431205}
    assert LAYOUT.expected == {"normal": 60083, "pneumonia": 40291, "covid": 94548}  # as Garg 2021 prints them
    assert sum(covidx_ct.PUBLISHED["2A"]["test"]) == 25658


def test_missing_extra_repeated_and_patients_in_two_parts_are_said(tmp_path: Path) -> None:
    root = tree(tmp_path, val="CP_0_3136_0208.png 1 0 0 1 1\nCP_0_3136_0207.png 1 0 0 1 1\n../up.png 1 0 0 1 1\n")
    (root / "2A_images" / "Normal_7_12_0001.png").unlink()
    put(root, "2A_images/stray.png")
    listing = LAYOUT.read(root)
    assert listing.missing == ("Normal_7_12_0001.png",)
    assert "2A_images/stray.png" in listing.extra
    notes = " ".join(listing.notes)
    for said in ("second time, the first counts: 1", "inside the folder: 1", "in more than one part: 1"):
        assert said in notes


@pytest.mark.parametrize(
    "line", ["a.png 3 0 0 1 1", "a.png", "a.png 1 0 0 1", "a.png covid 0 0 1 1", "a.png 1 0 0 1 -1"]
)
def test_a_line_that_is_none_is_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(DataError, match=r"train_COVIDx_CT-2A\.txt, line 4"):
        LAYOUT.read(tree(tmp_path, train=TRAIN + line + "\n"))


def test_lists_of_one_version_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected lists such as"):
        LAYOUT.read(put(tmp_path / "none", "2A_images/a.png"))
    root = tree(tmp_path / "two")
    (root / "val_COVIDx_CT-3A.txt").write_text(VAL)
    with pytest.raises(DataError, match="2 for val"):
        LAYOUT.read(root)
    for path in root.glob("val*"):
        path.unlink()
    with pytest.raises(DataError, match="none for val"):
        LAYOUT.read(root)
    with pytest.raises(DataError):
        LAYOUT.read(tmp_path / "nowhere")
