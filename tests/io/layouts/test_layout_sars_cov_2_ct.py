"""SARS-CoV-2-CT: numbers, their gaps, and blocks of 20 in place of patients."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from as_downloaded_tool import load_tool, put
from hypothesis import given
from hypothesis import strategies as st

from pneumoscope.errors import DataError
from pneumoscope.io.layouts.sars_cov_2_ct import LAYOUT, _gaps


def test_folders_blocks_and_gaps(tmp_path: Path) -> None:
    files = [f"COVID/Covid ({n}).png" for n in (1, 19, 20, 22)] + ["non-COVID/Non-Covid (1).png"]
    listing = LAYOUT.read(put(tmp_path / "archive (1)", *files).parent)
    assert [(e.file.rpartition("/")[2], e.label, e.group_id) for e in listing.entries] == [
        ("Covid (1).png", "covid", "sars-cov-2-ct:covid:0"),
        ("Covid (19).png", "covid", "sars-cov-2-ct:covid:0"),
        ("Covid (20).png", "covid", "sars-cov-2-ct:covid:1"),
        ("Covid (22).png", "covid", "sars-cov-2-ct:covid:1"),
        ("Non-Covid (1).png", "non-covid", "sars-cov-2-ct:non-covid:0"),
    ]
    assert {(e.modality, e.patient_id, e.split) for e in listing.entries} == {("ct", None, None)}
    gaps = [*range(2, 19), 21]
    assert set(listing.missing) == {f"archive (1)/COVID/Covid ({n}).png" for n in gaps}
    assert listing.extra == ()
    assert "blocks of 20 consecutive numbers" in listing.notes[0]


def test_names_of_another_kind_are_extra(tmp_path: Path) -> None:
    odd = ("COVID/Covid (99999999).png", "COVID/Non-Covid (3).png", "COVID/sub/Covid (2).png", "non-COVID/x.png")
    listing = LAYOUT.read(put(tmp_path, "COVID/Covid (1).png", "non-COVID/Non-Covid (1).png", *odd))
    assert len(listing.entries) == 2
    assert listing.missing == ()
    assert listing.extra == tuple(sorted(odd))


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected the folders COVID and non-COVID"):
        LAYOUT.read(put(tmp_path, "COVID/Covid (1).png"))
    with pytest.raises(DataError, match=r"found none\. Unpack"):
        LAYOUT.read(put(tmp_path / "empty", "COVID/a.txt", "non-COVID/a.png"))


@given(st.sets(st.integers(1, 300), min_size=1))
def test_gaps_and_numbers_make_a_whole(numbers: set[int]) -> None:
    gaps = {int(re.findall(r"\d+", name)[0]) for name in _gaps([f"COVID/Covid ({n}).png" for n in numbers])}
    assert gaps | numbers == set(range(1, max(numbers) + 1))
    assert not gaps & numbers


@pytest.mark.shared
def test_real_images_read_as_labels_csv_has_them(tmp_path: Path, shared_data: Path) -> None:
    tool = load_tool()
    rows = {r["orig_name"]: r for r in tool.rebuild("sars-cov-2-ct", tmp_path, shared_data)}
    listing = LAYOUT.read(tmp_path)
    assert len(listing.entries) == len(rows) == 1999
    assert len(listing.missing) + len(rows) == sum(LAYOUT.expected.values())
    for entry in listing.entries:
        row = rows[Path(entry.file).name]
        assert (entry.label, entry.patient_id) == (row["label"], None)
        assert entry.group_id is not None
        assert entry.group_id.rpartition(":")[2] == tool.noted(row, "block").partition(" ")[0]
