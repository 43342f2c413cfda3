"""Downloading from servers that lie about lengths, never end, say garbage, or send one elsewhere."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fetch_server import CONTENT, SHA, Handler, Server, chunked, endless, good, got, left, raw, remote, saying, serving

from pneumoscope import __version__
from pneumoscope.errors import DataError, IntegrityError
from pneumoscope.io import fetch as fetching
from pneumoscope.io.fetch import fetch


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with serving(monkeypatch) as running:
        yield running


@pytest.mark.parametrize("announced", [10, len(CONTENT) - 1, len(CONTENT) + 1, 10**15])
def test_a_length_that_is_not_the_files_is_refused_before_its_bytes(
    server: Server, tmp_path: Path, announced: int
) -> None:
    server.answers = [saying(200, CONTENT, Content_Length=announced, Content_Type="text/html")]
    with pytest.raises(IntegrityError, match=f"expected {len(CONTENT)} bytes, found {announced} of text/html"):
        fetch([remote(server)], tmp_path, digests={})
    assert left(tmp_path) == []


def test_a_length_above_every_limit_is_refused(server: Server, tmp_path: Path) -> None:
    server.answers = [saying(200, b"", Content_Length=10**15)]
    with pytest.raises(IntegrityError, match="expected at most"):
        fetch([remote(server, size=None)], tmp_path, digests={})


def test_a_length_that_is_too_long_never_ends_well(server: Server, tmp_path: Path) -> None:
    server.answers = [saying(200, CONTENT, Content_Length=len(CONTENT) + 5)]
    with pytest.raises(DataError, match=f"{len(CONTENT)} of {len(CONTENT) + 5} bytes"):
        fetch([remote(server, size=None)], tmp_path, digests={})


def test_a_length_that_is_too_short_gives_another_file(server: Server, tmp_path: Path) -> None:
    server.answers = [saying(200, CONTENT, Content_Length=1000)]
    with pytest.raises(IntegrityError, match="SHA-256"):
        fetch([remote(server, size=None)], tmp_path, digests={})
    assert left(tmp_path) == []


@pytest.mark.parametrize("length", ["", "-5", "a lot"])
def test_a_length_that_is_none_is_done_without(server: Server, tmp_path: Path, length: str) -> None:
    server.answers = [saying(200, CONTENT, Content_Length=length)]
    assert got(server, tmp_path, size=None) == CONTENT


@pytest.mark.parametrize("size", [None, len(CONTENT)])
def test_chunks_are_put_together(server: Server, tmp_path: Path, size: int | None) -> None:
    server.answers = [chunked(CONTENT[:100_000], ended=False), chunked(CONTENT)]
    assert got(server, tmp_path, size=size) == CONTENT


def test_a_server_that_never_ends_is_cut(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.answers = [endless]
    with pytest.raises(IntegrityError, match=f"expected {len(CONTENT)} bytes, found more. It was cut"):
        fetch([remote(server)], tmp_path, digests={})
    monkeypatch.setattr(fetching, "MAX_BYTES", 2**20)
    with pytest.raises(IntegrityError, match=f"expected at most {2**20} bytes, found more"):
        fetch([remote(server, size=None)], tmp_path, digests={})
    assert left(tmp_path) == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_a_refusal_is_not_asked_twice(server: Server, tmp_path: Path, status: int) -> None:
    server.answers = [saying(status, b"\x1b[31mwords of theirs\n")]
    with pytest.raises(DataError, match=rf"found status {status} \(") as caught:
        fetch([remote(server)], tmp_path, digests={})
    assert "theirs" not in str(caught.value)
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(server: Server, tmp_path: Path, status: int) -> None:
    server.answers = [saying(status), good()]
    assert got(server, tmp_path) == CONTENT
    server.answers = [saying(status)]
    with pytest.raises(DataError, match=rf"found status {status} \(.*Run the same command again"):
        fetch([remote(server, name="b.zip")], tmp_path, digests={})


@pytest.mark.parametrize("status", [204, 206, 299, 300, 999])
def test_an_answer_that_was_not_asked_for_is_none(server: Server, tmp_path: Path, status: int) -> None:
    server.answers = [saying(status)]
    with pytest.raises(DataError, match=f"found status {status}"):
        fetch([remote(server)], tmp_path, digests={})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00\xff" * 500,
        b"SSH-2.0-OpenSSH_9\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnot a number\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://[::1\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_garbage_is_an_error_of_ours(server: Server, tmp_path: Path, data: bytes) -> None:
    server.answers = [raw(data)]
    with pytest.raises(DataError) as caught:
        fetch([remote(server)], tmp_path, digests={})
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_server_that_says_nothing_is_left_in_time(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "TIMEOUT_S", 0.1)

    def slow(at: Handler) -> None:
        good(stop=1000)(at)
        at.wfile.flush()
        time.sleep(0.5)

    server.answers = [slow, slow, lambda at: time.sleep(0.5)]
    with pytest.raises(DataError, match="no answer in time"):
        fetch([remote(server)], tmp_path, digests={})
    assert (tmp_path / "set.zip.part").stat().st_size == 2000


def test_nobody_there_is_said(server: Server, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(DataError, match=r"from 127\.0\.0\.1, found 'Connection refused'"):
        fetch([remote(server, url=f"http://127.0.0.1:{port}/x")], tmp_path, digests={})


def test_a_redirect_is_followed_with_the_range(server: Server, tmp_path: Path) -> None:
    server.answers = [good(stop=1000), saying(302, Location="/elsewhere.zip"), good()]
    assert got(server, tmp_path) == CONTENT
    assert server.asked[2]["path"] == "/elsewhere.zip"
    assert server.asked[2]["Range"] == "bytes=1000-"
    assert server.asked[2]["User-Agent"] == f"pneumoscope/{__version__}"


@pytest.mark.parametrize("to", ["ftp://127.0.0.1/x", "file:///etc/passwd", "data:,x", "javascript:x"])
def test_a_redirect_to_another_scheme_is_not_followed(server: Server, tmp_path: Path, to: str) -> None:
    server.answers = [saying(302, Location=to)]
    with pytest.raises(DataError):
        fetch([remote(server)], tmp_path, digests={})
    assert len(server.asked) == 1
    assert left(tmp_path) == []


def test_no_redirect_leads_from_https_to_http(server: Server) -> None:
    job = fetching._Job(remote(server), SHA, Path("set.zip"))
    assert fetching._onward(job, "https://example.org/x", "/y") == "https://example.org/y"
    assert fetching._onward(job, "http://example.org/x", "https://example.org/y") == "https://example.org/y"
    with pytest.raises(DataError, match="found one to 'http:'"):
        fetching._onward(job, "https://example.org/x", "http://example.org/x")


def test_a_ring_of_redirects_ends(server: Server, tmp_path: Path) -> None:
    server.answers = [saying(302, Location="/set.zip")]
    with pytest.raises(DataError, match="at most 5 redirects"):
        fetch([remote(server)], tmp_path, digests={})


def test_the_words_beside_a_redirect_are_not_read(server: Server, tmp_path: Path) -> None:
    def endless_redirect(at: Handler) -> None:
        at.head(302, Location="/elsewhere.zip", Transfer_Encoding="chunked")
        while True:
            at.wfile.write(b"10000\r\n" + bytes(2**16) + b"\r\n")

    server.answers = [endless_redirect, good()]
    assert got(server, tmp_path) == CONTENT
