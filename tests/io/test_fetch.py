"""Downloading: whole, in pieces, and only what was meant."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fetch_server import (
    CONTENT,
    OTHER,
    SHA,
    Answer,
    Handler,
    Server,
    chunked,
    good,
    got,
    left,
    remote,
    saying,
    serving,
)

from pneumoscope import __version__
from pneumoscope.errors import DataError, IntegrityError, PneumoscopeError, UsageError
from pneumoscope.io.fetch import fetch


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with serving(monkeypatch) as running:
        yield running


def test_a_file_arrives_whole_with_its_progress(server: Server, tmp_path: Path) -> None:
    server.answers = [good()]
    said: list[tuple[str, int, int]] = []
    (path,) = fetch([remote(server, name="a/set.zip")], tmp_path, digests={}, progress=lambda *s: said.append(s))
    assert path == tmp_path / "a" / "set.zip"
    assert path.read_bytes() == CONTENT
    assert said[-1] == ("a/set.zip (bytes)", len(CONTENT), len(CONTENT))
    assert [done for _, done, _ in said] == sorted(done for _, done, _ in said)


def test_nothing_is_told_but_the_program_and_its_version(server: Server, tmp_path: Path) -> None:
    server.answers = [good()]
    got(server, tmp_path)
    assert set(server.asked[0]) == {"path", "Accept-Encoding", "Host", "User-Agent", "Connection"}
    assert server.asked[0]["User-Agent"] == f"pneumoscope/{__version__}"


def test_what_is_there_and_right_is_not_asked_for(server: Server, tmp_path: Path) -> None:
    (tmp_path / "set.zip").write_bytes(CONTENT)
    assert got(server, tmp_path) == CONTENT
    assert server.asked == []


def test_another_file_of_that_name_is_left_alone(server: Server, tmp_path: Path) -> None:
    (tmp_path / "set.zip").write_bytes(b"mine")
    with pytest.raises(IntegrityError, match="Move it away"):
        fetch([remote(server)], tmp_path, digests={})
    assert (tmp_path / "set.zip").read_bytes() == b"mine"


@pytest.mark.parametrize("headers", [{"ETag": '"1"'}, {"Last_Modified": "Mon, 02 Mar 2020 10:00:00 GMT"}, {}])
def test_a_line_that_goes_dead_is_taken_up_where_it_broke(server: Server, tmp_path: Path, headers: dict) -> None:
    server.answers = [good(stop=300_000, **headers), good(stop=300_000, **headers), good(**headers)]
    assert got(server, tmp_path) == CONTENT
    assert [a.get("Range") for a in server.asked] == [None, "bytes=300000-", "bytes=600000-"]
    assert [a.get("If-Range") for a in server.asked[1:]] == [next(iter(headers.values()), None)] * 2


def test_a_weak_etag_is_no_condition(server: Server, tmp_path: Path) -> None:
    headers = {"ETag": 'W/"1"', "Last_Modified": "Mon, 02 Mar 2020 10:00:00 GMT"}
    server.answers = [good(stop=1000, **headers), good(**headers)]
    assert got(server, tmp_path) == CONTENT
    assert "If-Range" not in server.asked[1]


def test_a_network_that_stays_bad_is_said_and_the_next_call_goes_on(server: Server, tmp_path: Path) -> None:
    server.answers = [good(stop=100_000)]
    with pytest.raises(DataError, match=r"400000 of 1048576 bytes\. Run the same command again"):
        fetch([remote(server)], tmp_path, digests={})
    assert len(server.asked) == 4
    assert left(tmp_path) == ["set.zip.part", "set.zip.part.json"]
    server.answers = [good()]
    assert got(server, tmp_path) == CONTENT
    assert server.asked[-1]["Range"] == "bytes=400000-"


def test_a_server_that_ignores_ranges_sends_it_all_again(server: Server, tmp_path: Path) -> None:
    server.answers = [good(stop=1000), good(ranges=False)]
    assert got(server, tmp_path) == CONTENT


def test_a_file_that_changed_between_two_tries_is_fetched_anew(server: Server, tmp_path: Path) -> None:
    server.answers = [good(OTHER, stop=1000, ETag='"old"'), good(ETag='"new"')]
    assert got(server, tmp_path) == CONTENT
    assert server.asked[1]["If-Range"] == '"old"'


def rest_of_another(at: Handler) -> None:
    """Heeds Range and not If-Range: the new version's rest, named as such."""
    if "Range" in at.headers:
        span = f"bytes 1000-{len(CONTENT) - 1}/{len(CONTENT)}"
        at.head(206, Content_Range=span, Content_Length=len(CONTENT) - 1000, ETag='"new"')
        at.wfile.write(CONTENT[1000:])
    else:
        good(ETag='"new"')(at)


def test_a_server_that_ignores_the_condition_is_found_out(server: Server, tmp_path: Path) -> None:
    server.answers = [good(OTHER, stop=1000, ETag='"old"'), rest_of_another]
    assert got(server, tmp_path) == CONTENT
    assert len(server.asked) == 3


def test_pieces_of_two_versions_that_nothing_tells_apart_are_fetched_anew(server: Server, tmp_path: Path) -> None:
    server.answers = [good(OTHER, stop=1000), good()]
    assert got(server, tmp_path) == CONTENT
    assert [a.get("Range") for a in server.asked] == [None, "bytes=1000-", None]


def test_a_rest_that_starts_elsewhere_is_not_taken(server: Server, tmp_path: Path) -> None:
    def shifted(at: Handler) -> None:
        if "Range" in at.headers:
            saying(206, CONTENT[5:], Content_Range=f"bytes 5-{len(CONTENT) - 1}/{len(CONTENT)}")(at)
        else:
            good()(at)

    server.answers = [good(stop=1000), shifted]
    assert got(server, tmp_path) == CONTENT


def test_a_part_of_another_file_is_not_used(server: Server, tmp_path: Path) -> None:
    server.answers = [good(OTHER, stop=1000), saying(404)]
    with pytest.raises(DataError):
        fetch([remote(server, sha256=hashlib.sha256(OTHER).hexdigest())], tmp_path, digests={})
    server.answers = [good()]
    assert got(server, tmp_path) == CONTENT
    assert "Range" not in server.asked[-1]


@pytest.mark.parametrize("record", [b"", b"[]", b"{", b'{"url": 1}', b'{"url": "x", "sha256": "y", "more": 1}'])
def test_a_part_with_a_broken_record_is_not_used(server: Server, tmp_path: Path, record: bytes) -> None:
    (tmp_path / "set.zip.part").write_bytes(b"junk")
    (tmp_path / "set.zip.part.json").write_bytes(record)
    server.answers = [good()]
    assert got(server, tmp_path) == CONTENT
    assert "Range" not in server.asked[0]


def test_a_part_that_is_complete_is_not_asked_for(server: Server, tmp_path: Path) -> None:
    (tmp_path / "set.zip.part").write_bytes(CONTENT)
    (tmp_path / "set.zip.part.json").write_text(json.dumps({"url": server.url, "sha256": SHA}))
    assert got(server, tmp_path) == CONTENT
    assert server.asked == []


def test_a_part_that_is_longer_than_the_file_is_dropped(server: Server, tmp_path: Path) -> None:
    (tmp_path / "set.zip.part").write_bytes(CONTENT + b"more")
    (tmp_path / "set.zip.part.json").write_text(json.dumps({"url": server.url, "sha256": SHA}))
    server.answers = [good()]
    assert got(server, tmp_path, size=None) == CONTENT


@pytest.mark.parametrize("size", [None, len(CONTENT)])
def test_another_file_is_not_kept(server: Server, tmp_path: Path, size: int | None) -> None:
    server.answers = [good(OTHER)]
    found = hashlib.sha256(OTHER).hexdigest()
    with pytest.raises(IntegrityError, match=f"set.zip: expected SHA-256 {SHA}, found {found}"):
        fetch([remote(server, size=size)], tmp_path, digests={})
    assert len(server.asked) == 1
    assert left(tmp_path) == []


def test_a_server_that_mixes_pieces_for_ever_is_left(server: Server, tmp_path: Path) -> None:
    server.answers = [good(OTHER, stop=500_000), good(OTHER)] * 5
    with pytest.raises(IntegrityError, match="It was not kept"):
        fetch([remote(server)], tmp_path, digests={})
    assert len(server.asked) == 4
    assert left(tmp_path) == []


def unvouched(server: Server, out: Path, **changes: object) -> str:
    """What is said of a file without a digest."""
    with pytest.raises(IntegrityError) as caught:
        fetch([remote(server, sha256=None, **changes)], out, digests={})
    return str(caught.value)


@pytest.mark.parametrize("size", [None, len(CONTENT)])
@pytest.mark.parametrize("answer", [good(), good(ETag='"1"'), chunked(CONTENT)])
def test_a_file_without_a_digest_is_taken_in_two_steps(
    server: Server, tmp_path: Path, size: int | None, answer: Answer
) -> None:
    server.answers = [answer]
    said = unvouched(server, tmp_path, size=size)
    assert said == (
        f"set.zip: expected a SHA-256 that somebody vouches for, found none published; the file from {server.url} has "
        f"{SHA} and lies unverified in {tmp_path / 'set.zip.part'}. Compare it with the publisher's, or, if the fixed "
        f"commit over https is enough for you, run again with --sha256 set.zip={SHA}"
    )
    assert left(tmp_path) == ["set.zip.part", "set.zip.part.json"]
    assert unvouched(server, tmp_path, size=size) == said
    (path,) = fetch([remote(server, sha256=None, size=size)], tmp_path, digests={"set.zip": SHA.upper()})
    assert path.read_bytes() == CONTENT
    assert left(tmp_path) == ["set.zip"]
    assert len(server.asked) == 1


def test_another_digest_than_that_of_the_part_is_refused(server: Server, tmp_path: Path) -> None:
    server.answers = [good()]
    unvouched(server, tmp_path, size=None)
    with pytest.raises(IntegrityError, match=f"expected SHA-256 {'0' * 64}, found {SHA}. It was not kept"):
        fetch([remote(server, sha256=None, size=None)], tmp_path, digests={"set.zip": "0" * 64})
    assert left(tmp_path) == []
    assert len(server.asked) == 1


def test_a_part_that_was_changed_after_its_digest_was_said_is_refused(server: Server, tmp_path: Path) -> None:
    server.answers = [good()]
    unvouched(server, tmp_path)
    (tmp_path / "set.zip.part").write_bytes(OTHER)
    with pytest.raises(IntegrityError, match="It was not kept"):
        fetch([remote(server, sha256=None)], tmp_path, digests={"set.zip": SHA})
    assert left(tmp_path) == []


def test_a_part_of_another_address_is_not_vouched_for(server: Server, tmp_path: Path) -> None:
    server.answers = [good(OTHER), good()]
    unvouched(server, tmp_path, url=f"{server.url}?old")
    (path,) = fetch([remote(server, sha256=None)], tmp_path, digests={"set.zip": SHA})
    assert path.read_bytes() == CONTENT
    assert len(server.asked) == 2


def test_without_a_digest_pieces_are_joined_only_where_the_server_tells_versions_apart(
    server: Server, tmp_path: Path
) -> None:
    server.answers = [good(OTHER, stop=1000), good()]
    assert SHA in unvouched(server, tmp_path)
    assert [a.get("Range") for a in server.asked] == [None, None]
    server.asked.clear()
    server.answers = [good(stop=1000, ETag='"1"'), good(ETag='"1"')]
    assert SHA in unvouched(server, tmp_path / "b")
    assert [a.get("Range") for a in server.asked] == [None, "bytes=1000-"]


def test_a_download_goes_on_when_a_digest_joins_it_or_leaves_it(server: Server, tmp_path: Path) -> None:
    server.answers = [good(stop=1000, ETag='"1"')] * 4 + [good(ETag='"1"')]
    with pytest.raises(DataError, match="Run the same command again"):
        fetch([remote(server, sha256=None)], tmp_path, digests={"set.zip": SHA})
    assert SHA in unvouched(server, tmp_path)
    (path,) = fetch([remote(server, sha256=None)], tmp_path, digests={"set.zip": SHA})
    assert path.read_bytes() == CONTENT
    assert [a.get("Range") for a in server.asked[1:]] == [f"bytes={n}000-" for n in (1, 2, 3, 4)]


def test_a_file_that_is_there_without_a_digest_is_said_and_left(server: Server, tmp_path: Path) -> None:
    (tmp_path / "set.zip").write_bytes(CONTENT)
    said = unvouched(server, tmp_path)
    assert f"the file that is already at {tmp_path / 'set.zip'} has {SHA}. Compare" in said
    assert left(tmp_path) == ["set.zip"]
    assert server.asked == []


def test_files_without_a_digest_have_a_line_each_and_the_others_are_taken(server: Server, tmp_path: Path) -> None:
    server.answers = [good()]
    files = [remote(server, name=f"{n}.zip", sha256=SHA if n == "b" else None) for n in "abc"]
    with pytest.raises(IntegrityError, match=r"^a\.zip: ") as caught:
        fetch(files, tmp_path, digests={})
    (note,) = caught.value.__notes__
    assert note.startswith("c.zip: expected a SHA-256")
    assert {"a.zip.part", "b.zip", "c.zip.part"} <= set(left(tmp_path))
    a, b, c = fetch(files, tmp_path, digests={"a.zip": SHA, "c.zip": SHA})
    assert a.read_bytes() == b.read_bytes() == c.read_bytes() == CONTENT
    assert [path.name for path in (a, b, c)] == ["a.zip", "b.zip", "c.zip"]
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("digests", "says"),
    [
        ({"sett.zip": SHA}, r"Did you mean 'set\.zip'"),
        ({"set.zip": "abc"}, "64 hexadecimal digits"),
        ({"set.zip": "0" * 64}, f"expected {SHA}, found 000"),
    ],
)
def test_a_digest_that_cannot_be_is_wrong_usage(server: Server, tmp_path: Path, digests: dict, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        fetch([remote(server)], tmp_path, digests=digests)
    assert server.asked == []


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "", ".", "a\\b", "C:x", "a\nb", "a\0b", "link/x"])
def test_names_stay_inside_the_folder(server: Server, tmp_path: Path, name: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "link").symlink_to(tmp_path)
    with pytest.raises(DataError, match="expected a name inside"):
        fetch([remote(server, name=name)], out, digests={})
    assert server.asked == []


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "set.zip", "HTTPX://x/"])
def test_only_http_is_spoken(server: Server, tmp_path: Path, url: str) -> None:
    with pytest.raises(DataError, match="address of http or https"):
        fetch([remote(server, url=url)], tmp_path, digests={})


def test_a_place_that_cannot_be_written_is_said(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    server.answers = [good()]
    with pytest.raises(PneumoscopeError, match="expected a place that can be written"):
        fetch([remote(server)], tmp_path / "file", digests={})
