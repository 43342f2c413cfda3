"""What layouts read folders with: finding the set's folder, plain names, tables that are none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from as_downloaded_tool import put
from hypothesis import given
from hypothesis import strategies as st

from pneumoscope.errors import DataError
from pneumoscope.io.layouts import layouts
from pneumoscope.io.layouts.tree import below, home, images, in_several_parts, is_plain, table


def has_x(folder: Path) -> bool:
    return (folder / "x").is_file()


def test_home_is_the_folder_or_the_only_one_below(tmp_path: Path) -> None:
    put(tmp_path, "a/b/x", "a/c/y")
    assert home(tmp_path, has_x, expected="x") == tmp_path / "a/b"
    assert home(tmp_path / "a/b", has_x, expected="x") == tmp_path / "a/b"
    put(tmp_path, "a/c/x")
    with pytest.raises(DataError, match=r"found 2\. Point at one of them"):
        home(tmp_path, has_x, expected="x")
    put(tmp_path, "a/x")
    assert home(tmp_path, has_x, expected="x") == tmp_path / "a"


def test_home_follows_no_link_and_goes_no_deeper_than_two(tmp_path: Path) -> None:
    put(tmp_path, "out/x", "set/1/2/3/x")
    os.symlink(tmp_path / "out", tmp_path / "set" / "link")
    for root in (tmp_path / "set", tmp_path / "nowhere"):
        with pytest.raises(DataError, match="expected x, found neither there nor below"):
            home(root, has_x, expected="x")


def test_images_leaves_links_and_hidden_files_out(tmp_path: Path) -> None:
    put(tmp_path, "b.PNG", "a/c.jpeg", ".hidden.png", "__MACOSX/d.png", "e.txt")
    os.symlink(tmp_path / "b.PNG", tmp_path / "link.png")
    assert images(tmp_path) == ("a/c.jpeg", "b.PNG")


def test_below_gives_both_paths() -> None:
    assert below(Path("/s"), Path("/s/a"), ["a/b.png", "ab/c.png"]) == [("a/b.png", "b.png")]
    assert below(Path("/s"), Path("/s"), ["a/b.png"]) == [("a/b.png", "a/b.png")]


@given(st.text())
def test_a_plain_name_leads_nowhere_else(name: str) -> None:
    if is_plain(name):
        assert Path("/s") / name != Path("/s")
        assert (Path("/s") / name).resolve().parent == Path("/s")


def test_patients_in_several_parts_are_counted() -> None:
    pairs = [("a", "train"), ("a", "test"), ("b", "train"), ("b", "train"), (None, "test"), ("c", None)]
    assert in_several_parts(pairs) == 1


def test_a_table_with_a_monstrous_cell_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n" + "x" * 200_000 + ",1\n")
    with pytest.raises(DataError, match=r"t\.csv: expected a table"):
        table(tmp_path / "t.csv", ("a",))


def test_every_layout_says_what_a_user_must_know() -> None:
    registry = layouts()
    mine = {"covid-19-x-ray-10000-images", "covid19-radiography-database", "kermany", "nih-chestxray"}
    assert mine | {"sars-cov-2-ct", "ucsd-covid-ct"} <= set(registry)
    for layout in map(registry.resolve, registry):
        said = (layout.title, layout.citation, layout.licence, layout.obtain, layout.release, layout.patients)
        assert all(said), layout.name
        assert layout.home.startswith("https://")
        assert layout.traps
        assert all(count > 0 for count in layout.expected.values())
