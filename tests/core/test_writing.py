"""Nothing half-written is ever found."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from pneumoscope.core.files import new_folder, write_bytes, write_json
from pneumoscope.errors import PneumoscopeError, UsageError


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


def test_a_name_that_is_no_utf8_is_written_and_comes_back(tmp_path: Path) -> None:
    name = b"x\xff.png".decode(errors="surrogateescape")
    write_json(tmp_path / "x.json", {"path": name})
    assert json.loads((tmp_path / "x.json").read_text()) == {"path": name}


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for place in (tmp_path / "file" / "x", tmp_path / "file" / "x" / "y", tmp_path / ("x" * 300)):
        with pytest.raises(PneumoscopeError, match="expected a place that can be written") as caught:
            write_bytes(place, b"x")
        assert caught.value.exit_code == 3
        assert isinstance(caught.value.__cause__, OSError)
        says = r"expected a place that can be written.*Name another --out\."
        with pytest.raises(PneumoscopeError, match=says), new_folder(place):
            pytest.fail("entered")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_said_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "replace", full)
    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(PneumoscopeError, match="found 'No space left on device'"):
        write_bytes(tmp_path / "x", b"x")
    with pytest.raises(PneumoscopeError, match="found 'No space left on device'"), new_folder(tmp_path / "out"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_the_work_itself_raises_passes_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), new_folder(tmp_path / "out"):
        (tmp_path / "none").read_bytes()
    assert list(tmp_path.iterdir()) == []
