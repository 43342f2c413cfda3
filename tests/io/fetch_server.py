"""A server on loopback for the tests of io/fetch.py: a script of answers, good and bad."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pneumoscope.io import fetch as fetching
from pneumoscope.io.fetch import RemoteFile, fetch

CONTENT = bytes(range(256)) * 4096  # 1 MiB
OTHER = bytes(reversed(CONTENT))
SHA = hashlib.sha256(CONTENT).hexdigest()
Answer = Callable[[Any], None]


class Server(http.server.ThreadingHTTPServer):
    """Gives the n-th request the n-th answer, and those after the last the last; keeps what was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[Answer] = []
        self.asked: list[dict[str, str]] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}/set.zip"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that leave are part of the tests."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(dict(self.headers) | {"path": self.path})
        self.close_connection = True
        answers = self.server.answers
        answers[min(len(self.server.asked), len(answers)) - 1](self)

    def log_message(self, *args: Any) -> None:
        """Silent."""

    def head(self, status: int, **headers: object) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()


def good(content: bytes = CONTENT, *, ranges: bool = True, stop: int | None = None, **headers: object) -> Answer:
    """A server as RFC 9110 wants it; stop: bytes of the body after which the line goes dead."""

    def answer(at: Handler) -> None:
        asked, condition = at.headers.get("Range"), at.headers.get("If-Range")
        fits = condition is None or condition in (headers.get("ETag"), headers.get("Last_Modified"))
        if asked and ranges and fits:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                return at.head(416, Content_Range=f"bytes */{len(content)}", Content_Length=0)
            span = f"bytes {start}-{len(content) - 1}/{len(content)}"
            at.head(206, Content_Range=span, Content_Length=len(content) - start, **headers)
        else:
            start = 0
            at.head(200, Content_Length=len(content), **headers)
        at.wfile.write(content[start:] if stop is None else content[start : start + stop])
        return None

    return answer


def saying(status: int, body: bytes = b"", **headers: object) -> Answer:
    def answer(at: Handler) -> None:
        at.head(status, **{"Content_Length": len(body), **headers})
        at.wfile.write(body)

    return answer


def raw(data: bytes) -> Answer:
    return lambda at: at.wfile.write(data) and None


def chunked(content: bytes, *, ended: bool = True) -> Answer:
    def answer(at: Handler) -> None:
        at.head(200, Transfer_Encoding="chunked")
        for i in range(0, len(content), 2**16):
            block = content[i : i + 2**16]
            at.wfile.write(b"%x\r\n%b\r\n" % (len(block), block))
        if ended:
            at.wfile.write(b"0\r\n\r\n")

    return answer


def endless(at: Handler) -> None:
    at.head(200, Transfer_Encoding="chunked")
    while True:
        at.wfile.write(b"10000\r\n" + bytes(2**16) + b"\r\n")


@contextlib.contextmanager
def serving(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A running server; tries follow each other at once."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(fetching, "WAITS_S", (0.0, 0.0, 0.0))
    monkeypatch.setattr(fetching, "TIMEOUT_S", 5.0)
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def remote(server: Server, **changes: Any) -> RemoteFile:
    facts = {"url": server.url, "name": "set.zip", "sha256": SHA, "size": len(CONTENT), "licence": "", "citation": ""}
    return RemoteFile(**{**facts, **changes})


def got(server: Server, out: Path, **changes: Any) -> bytes:
    """What a fetch leaves under the file's name, with nothing beside it."""
    (path,) = fetch([remote(server, **changes)], out, digests={})
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    return path.read_bytes()


def left(out: Path) -> list[str]:
    return sorted(p.name for p in out.iterdir()) if out.exists() else []
