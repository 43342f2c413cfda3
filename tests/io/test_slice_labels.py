"""slices.csv: what is written is read, blanks and other columns are passed over, what is odd is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pneumoscope.errors import DataError
from pneumoscope.io.slice_labels import read_slices, write_slices


def test_a_folder_without_slice_labels_has_none(tmp_path: Path) -> None:
    assert read_slices(tmp_path) == {}


def test_blanks_and_other_columns_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "slices.csv").write_text("\ufefffile,LLL,infection\na/1.dcm,1, 1\n./a/2.dcm,0,0\na/3.dcm,,\n", "utf-8")
    assert read_slices(tmp_path) == {"a/1.dcm": True, "a/2.dcm": False}


names = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=8)


@given(st.dictionaries(names, st.booleans(), min_size=1, max_size=20))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, labels: dict[str, bool]) -> None:
    root = tmp_path_factory.mktemp("labels")
    write_slices(root, [{"file": f"s/{name}", "infection": str(int(one))} for name, one in labels.items()])
    assert read_slices(root) == {f"s/{name}": one for name, one in labels.items()}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "file\na\n",
        "file,infection\na,2\n",
        "file,infection\n,1\n",
        "file,infection\na,1\na,1\n",
        "file,infection\na,1\n./a,0\n",
        'file,infection\n"a,1\n',
        "file,infection\na\n,\n",
        "file,infection\na,1\nb,yes\n",
    ],
)
def test_a_table_that_does_not_hold_together_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "slices.csv").write_text(text)
    with pytest.raises(DataError, match=r"slices\.csv"):
        read_slices(tmp_path)


def test_bytes_that_are_no_text_and_links_are_refused(tmp_path: Path) -> None:
    (tmp_path / "slices.csv").write_bytes(b"file,infection\n\xff,1\n")
    with pytest.raises(DataError, match="UTF-8"):
        read_slices(tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "slices.csv").symlink_to(tmp_path / "slices.csv")
    with pytest.raises(DataError, match="regular file"):
        read_slices(tmp_path / "other")


def test_a_table_without_rows_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="found none"):
        write_slices(tmp_path, [])
