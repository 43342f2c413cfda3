from __future__ import annotations

import io
import stat
import struct
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from pneumoscope.errors import InputError
from pneumoscope.io.archive import members, open_archive, read_member


def pack(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return path


def read_all(path: Path) -> list[bytes]:
    with open_archive(path) as archive:
        return [read_member(archive, info.filename) for info in members(archive)]


def refusal(path: Path, rule: str = "") -> str:
    with pytest.raises(InputError) as caught:
        read_all(path)
    text = str(caught.value)
    assert text.startswith(str(path))
    assert "\n" not in text
    assert rule in text
    return text


def test_members_come_back(tmp_path: Path) -> None:
    files = {"b.png": b"two", "a/c.dcm": b"one" * 1000, ".hidden": b"", "__MACOSX/x": b"", "a/.x/y": b""}
    with open_archive(pack(tmp_path / "x.zip", files)) as archive:
        names = [i.filename for i in members(archive)]
        assert names == ["a/c.dcm", "b.png"]
        assert [read_member(archive, n) for n in names] == [b"one" * 1000, b"two"]
        assert read_member(archive, "a/c.dcm", 5) == b"oneon"
    assert list(tmp_path.iterdir()) == [tmp_path / "x.zip"]


@pytest.mark.parametrize(
    "name", ["../x.png", "a/../../x.png", "/etc/x.png", "\\x.png", "C:\\x.png", "a\\..\\x.png", ".."]
)
def test_names_that_leave_the_archive(tmp_path: Path, name: str) -> None:
    assert "a name inside the archive" in refusal(pack(tmp_path / "x.zip", {"ok.png": b"", name: b"x"}))


def test_names_cannot_break_the_line(tmp_path: Path) -> None:
    refusal(pack(tmp_path / "x.zip", {"a\n\x1b[31m/../b": b"x"}))


def test_a_name_twice(tmp_path: Path) -> None:
    data = pack(tmp_path / "x.zip", {"aaaa": b"1", "bbbb": b"2"}).read_bytes()
    (tmp_path / "x.zip").write_bytes(data.replace(b"bbbb", b"aaaa"))
    refusal(tmp_path / "x.zip", "each member's name once")


def test_a_link(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("link.png")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    refusal(tmp_path / "x.zip", "found a symbolic link")


def test_encryption(tmp_path: Path) -> None:
    data = bytearray(pack(tmp_path / "x.zip", {"a.png": b"x"}).read_bytes())
    data[6] |= 1
    data[data.index(b"PK\1\2") + 8] |= 1
    (tmp_path / "x.zip").write_bytes(data)
    refusal(tmp_path / "x.zip", "found an encrypted member")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compression(tmp_path: Path, method: int) -> None:
    refusal(pack(tmp_path / "x.zip", {"a.png": b"x"}, method), "compression method")


def test_a_bomb_by_its_ratio(tmp_path: Path) -> None:
    refusal(pack(tmp_path / "x.zip", {"a.png": bytes(2 * 2**20)}), "compression up to 200 times")
    small = pack(tmp_path / "y.zip", {"a.png": bytes(2**20)})
    with open_archive(small) as archive:
        assert len(read_member(archive, "a.png")) == 2**20


def stated(path: Path, size: int, count: int = 1) -> Path:
    """An archive of stored members whose directory states `size` for each."""
    pack(path, {f"{i}.png": b"x" * 10 for i in range(count)}, zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    at = 0
    while (at := data.find(b"PK\1\2", at + 1)) > 0:
        data[at + 24 : at + 28] = struct.pack("<I", size)
    path.write_bytes(data)
    return path


def test_stated_sizes(tmp_path: Path) -> None:
    refusal(stated(tmp_path / "x.zip", 600 * 2**20), "at most 512 MiB, found 600 MiB")
    refusal(stated(tmp_path / "x.zip", 500 * 2**20, 20), "at most 8 GiB of content")
    refusal(stated(tmp_path / "x.zip", 2**20), "found 10")
    refusal(stated(tmp_path / "x.zip", 3))


def test_too_many_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack(tmp_path / "x.zip", {f"{i}": b"" for i in range(101)}, zipfile.ZIP_STORED)
    monkeypatch.setattr("pneumoscope.io.archive.MAX_MEMBERS", 100)
    refusal(tmp_path / "x.zip", "at most 100 members")


def test_a_huge_directory_takes_no_memory(tmp_path: Path) -> None:
    entry = b"PK\1\2" + bytes(42)
    count = 700_000  # 31 MiB of directory, within what may be read at once
    directory = entry * count
    tail = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 65535, 65535, len(directory), 0, 0)
    (tmp_path / "x.zip").write_bytes(directory + tail)
    (tmp_path / "y.zip").write_bytes(
        directory + directory + tail.replace(struct.pack("<L", len(directory)), struct.pack("<L", 2 * len(directory)))
    )
    tracemalloc.start()
    refusal(tmp_path / "x.zip", "at most 100,000 members, found more")
    refusal(tmp_path / "y.zip")
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    assert peak < 80


def test_truncated_and_corrupt(tmp_path: Path) -> None:
    data = pack(tmp_path / "x.zip", {"a.png": b"abc" * 100, "b.png": b"x" * 50}).read_bytes()
    for cut in range(0, len(data) - 1, 5):
        (tmp_path / "y.zip").write_bytes(data[:cut])
        refusal(tmp_path / "y.zip")
    broken = bytearray(data)
    broken[40] ^= 0xFF
    (tmp_path / "y.zip").write_bytes(broken)
    refusal(tmp_path / "y.zip")


def test_absent_and_unreadable(tmp_path: Path) -> None:
    refusal(tmp_path / "none.zip", "no such file")
    refusal(tmp_path)


def test_zip_inside_is_a_plain_member(tmp_path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("a.png", b"x")
    with open_archive(pack(tmp_path / "x.zip", {"inner.zip": inner.getvalue()})) as archive:
        assert read_member(archive, "inner.zip") == inner.getvalue()
