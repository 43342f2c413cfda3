"""One digest for a series, wherever it lies."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from pneumoscope.io import archive
from pneumoscope.io.contents import digests_of

FILES = {"a.dcm": b"one", "b.dcm": b"two" * 2**20, "c.dcm": b"three"}


def zipped(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as packed:
        for name, data in files.items():
            packed.writestr(name, data)
    return path


def test_a_zip_is_the_folder_that_was_packed(tmp_path: Path) -> None:
    folder = tmp_path / "scan"
    folder.mkdir()
    for name, data in FILES.items():
        (folder / name).write_bytes(data)
    hidden = {"deep/.DS_Store": b"x", "__MACOSX/a.dcm": b"y"}
    one = zipped(tmp_path / "1.zip", {f"deep/{name}": data for name, data in FILES.items()} | hidden)
    two = zipped(tmp_path / "2.dcm", {f"{i}": data for i, data in enumerate(reversed(FILES.values()))})
    assert digests_of(folder) == digests_of(one) == digests_of(two)
    assert digests_of(zipped(tmp_path / "3.zip", FILES | {"d": b"four"})) != digests_of(folder)


def test_a_file_and_an_archive_in_a_folder_are_their_bytes(tmp_path: Path) -> None:
    inner = zipped(tmp_path / "inner.zip", FILES).read_bytes()
    (tmp_path / "a").mkdir()
    (tmp_path / "a/x.zip").write_bytes(inner)
    assert digests_of(tmp_path / "a") == digests_of(zipped(tmp_path / "b.zip", {"y.zip": inner}))
    (tmp_path / "x.dcm").write_bytes(b"one")
    assert digests_of(tmp_path / "x.dcm") == (hashlib.sha256(b"one").hexdigest(), ())


def test_an_archive_that_is_not_read_is_its_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoilt = bytearray(zipped(tmp_path / "a.zip", FILES).read_bytes())
    spoilt[spoilt.index(b"three")] = 0  # its check sum is wrong
    bomb = zipped(tmp_path / "b.zip", {"a": bytes(2**22)}, zipfile.ZIP_DEFLATED).read_bytes()
    for data in (bytes(spoilt), bytes(spoilt[:-9]), bomb, b"PK\3\4 and no more"):
        (tmp_path / "x.zip").write_bytes(data)
        assert digests_of(tmp_path / "x.zip") == (hashlib.sha256(data).hexdigest(), ())
    monkeypatch.setattr(archive, "MAX_TOTAL", 100)
    good = zipped(tmp_path / "c.zip", FILES)
    assert digests_of(good) == (hashlib.sha256(good.read_bytes()).hexdigest(), ())
