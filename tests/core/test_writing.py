"""Nothing half-written is ever found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pneumoscope.core.files import new_folder, write_bytes, write_json
from pneumoscope.errors import UsageError


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "a" / "x.bin"
    write_bytes(path, b"one")
    write_bytes(path, b"two")
    assert path.read_bytes() == b"two"
    assert [p.name for p in path.parent.iterdir()] == ["x.bin"]


def test_json_that_json_cannot_say_is_not_written(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"a": (1, float("nan"))})
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": [1, None]}
    with pytest.raises(ValueError, match="Out of range"):
        write_json(tmp_path / "y.json", {"a": float("inf")})
    assert not (tmp_path / "y.json").exists()


def test_a_new_folder_appears_only_when_the_work_ends_well(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(RuntimeError, match="stop"), new_folder(out) as folder:
        (folder / "x").write_text("x")
        raise RuntimeError("stop")
    assert list(tmp_path.iterdir()) == []
    with new_folder(out) as folder:
        (folder / "x").write_text("x")
        assert not out.exists()
    assert (out / "x").read_text() == "x"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_folder_in_use_is_refused_and_an_empty_one_is_taken(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with new_folder(out) as folder:
        (folder / "x").write_text("x")
    with pytest.raises(UsageError, match="expected a new or empty folder"), new_folder(out):
        pass
    assert (out / "x").exists()
    with pytest.raises(UsageError, match="expected a new or empty folder"), new_folder(out / "x"):
        pass
