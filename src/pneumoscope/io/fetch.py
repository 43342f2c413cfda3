"""Files from the network into a folder: nothing bears its name there before its SHA-256 is the expected one.

Where nobody states a SHA-256, the first call ends by saying what it is; a second one, given it, takes the file.
What has arrived lies in `<name>.part`, and `<name>.part.json` says what it belongs to, so that the same call goes on
where the last one stopped (RFC 9110, sections 13.1.5 If-Range and 14 Range). A server may stop, lie or never end:
what it says is compared with what it sends, and both with what was known before.
"""

from __future__ import annotations

import contextlib
import hashlib
import http
import os
import re
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

from pneumoscope import __version__
from pneumoscope.core.files import write_json
from pneumoscope.core.progress import Progress, silent
from pneumoscope.core.registry import did_you_mean
from pneumoscope.core.serial import Mismatch, from_json, parse_json
from pneumoscope.errors import DataError, IntegrityError, PneumoscopeError, UsageError

TIMEOUT_S = 30.0  # for an answer, and for each further piece of it
WAITS_S = (1.0, 3.0, 9.0)  # before each further try
MAX_BYTES = 64 * 2**30  # of a file whose size nobody knows
BLOCK = 2**18
MOST_REDIRECTS = 5
_AGAIN = "Run the same command again: it goes on where it stopped."
_REDIRECTS = {301, 302, 303, 307, 308}
_BUSY = {408, 425, 429, 500, 502, 503, 504}  # answers that another try may change


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file that may be downloaded freely.

    name: where it goes, relative, with `/`. size: in bytes; None where unknown. sha256: hex; None where the publisher
    states none: the user then has to vouch for the file. licence, citation: what the user agrees to by using it.
    inner: of a zip, the zips in it that are unpacked too, each where it lies.
    """

    url: str
    name: str
    sha256: str | None
    size: int | None
    licence: str
    citation: str
    inner: tuple[str, ...] = ()


def github_zip(
    repo: str, commit: str, *, name: str, licence: str, citation: str, inner: Sequence[str] = ()
) -> RemoteFile:
    """One commit of "owner/repository" as GitHub packs it, into the folder `repository-commit`; its digest is unknown.

    inner: as of RemoteFile, relative to that folder.
    """
    folder = f"{repo.partition('/')[2]}-{commit}"
    return RemoteFile(
        url=f"https://codeload.github.com/{repo}/zip/{commit}",
        name=name,
        sha256=None,
        size=None,
        licence=licence,
        citation=citation,
        inner=tuple(f"{folder}/{zipped}" for zipped in inner),
    )


class _Job(NamedTuple):
    file: RemoteFile
    sha256: str  # blank where nobody has stated it
    path: Path

    @property
    def part(self) -> Path:
        return self.path.with_name(f"{self.path.name}.part")

    @property
    def record(self) -> Path:
        return self.path.with_name(f"{self.path.name}.part.json")


@dataclass(frozen=True, kw_only=True)
class _Held:
    """What the part belongs to. sha256: blank: none was expected. validator: strong ETag, Last-Modified, or blank."""

    url: str
    sha256: str
    validator: str = ""
    total: int | None = None


class _Interrupted(Exception):
    """A try that another may better; the message is what was found."""


def fetch(
    files: Sequence[RemoteFile], out: Path, *, digests: Mapping[str, str], progress: Progress = silent
) -> tuple[Path, ...]:
    """Download `files` into the folder `out`; what is there already and is right is not fetched again.

    digests: name -> SHA-256 (hex) of files whose own is not known. progress: told bytes, for each file.

    Raises:
        UsageError: a digest that is malformed, or of no such file; nothing is downloaded then.
        DataError: a name that leads out of `out`, another scheme than http(s), a server or network that does not give
            the file; what has arrived is kept.
        IntegrityError: another file than the expected one, here or there, or one for which nobody vouches; nothing of
            it is kept under its name. A second and further one of the latter are notes of the error, a line each.
        PneumoscopeError: a place that cannot be written.
    """
    _check_digests(files, digests)
    jobs = [_Job(file, _sha256_of(file, digests), _place(out, file)) for file in files]
    try:
        paths = tuple(_fetch(job, progress) for job in jobs if job.sha256)
        unverified = [_unverified(job, progress) for job in jobs if not job.sha256]
    except OSError as error:  # the network's own are dealt with where they arise
        raise PneumoscopeError(
            f"{out}: expected a place that can be written, found '{error.strerror or type(error).__name__}'. "
            "Make room, or name another --out."
        ) from error
    if not unverified:
        return paths
    failure = IntegrityError(unverified[0])
    for further in unverified[1:]:
        failure.add_note(further)
    raise failure


def _check_digests(files: Sequence[RemoteFile], digests: Mapping[str, str]) -> None:
    names = [file.name for file in files]
    for name, given in digests.items():
        if name not in names:
            raise UsageError(f"--sha256: expected a file of this set, found '{name}'. {did_you_mean(name, names)}")
        if not re.fullmatch("[0-9a-fA-F]{64}", given):
            raise UsageError(f"--sha256 {name}: expected 64 hexadecimal digits, found '{given[:80]}'.")


def _sha256_of(file: RemoteFile, digests: Mapping[str, str]) -> str:
    given = digests.get(file.name, "").lower()
    known = (file.sha256 or given).lower()
    if given and given != known:
        raise UsageError(f"--sha256 {file.name}: expected {known}, found {given}. Leave it out.")
    return known


def _place(out: Path, file: RemoteFile) -> Path:
    parts = PurePosixPath(file.name)
    odd = parts.is_absolute() or ".." in parts.parts or not parts.parts or set(file.name) & set("\\:")
    if odd or not file.name.isprintable() or not (out / parts).resolve().is_relative_to(out.resolve()):
        raise DataError(f"{file.name!r}: expected a name inside {out}, found one that leads out of it.")
    if urlsplit(file.url).scheme not in ("http", "https"):
        raise DataError(f"{file.name}: expected an address of http or https, found '{file.url}'.")
    return out / parts


def _fetch(job: _Job, progress: Progress) -> Path:
    if job.path.exists():
        if _sha256(job.path) == job.sha256:
            return job.path
        raise IntegrityError(
            f"{job.path}: expected SHA-256 {job.sha256}, found another file. Move it away, or name another --out."
        )
    job.path.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(2):
        whole = _download(job, progress)
        found = _sha256(job.part)
        if found == job.sha256:
            os.replace(job.part, job.path)
            job.record.unlink(missing_ok=True)
            return job.path
        _drop(job)
        if whole:
            break  # otherwise once more from the start: pieces of two versions may have met
    raise IntegrityError(
        f"{job.file.name}: expected SHA-256 {job.sha256}, found {found}. It was not kept: the publisher's file has "
        f"changed, or it was altered on its way. Compare with what {urlsplit(job.file.url).hostname} states."
    )


def _unverified(job: _Job, progress: Progress) -> str:
    """Complete the part, and say what it is: whether it is the right file only the user can tell."""
    if job.path.exists():
        found = _sha256(job.path)
        said = f"the file that is already at {job.path} has {found}"
    else:
        job.path.parent.mkdir(parents=True, exist_ok=True)
        _download(job, progress)
        found = _sha256(job.part)
        # by its length a later call knows that all is here, though the server may have named none
        write_json(job.record, _Held(url=job.file.url, sha256="", total=job.part.stat().st_size))
        said = f"the file from {job.file.url} has {found} and lies unverified in {job.part}"
    return (
        f"{job.file.name}: expected a SHA-256 that somebody vouches for, found none published; {said}. Compare it with "
        "the publisher's, or, if the fixed commit over https is enough for you, run again with "
        f"--sha256 {job.file.name}={found}"
    )


def _download(job: _Job, progress: Progress) -> bool:
    """Complete the part, with a few tries; True where another download would give the same."""
    for wait in (*WAITS_S, None):
        try:
            return _try(job, progress)
        except _Interrupted as error:
            if wait is None:
                host = urlsplit(job.file.url).hostname
                raise DataError(f"{job.file.name}: expected the file from {host}, found {error}. {_AGAIN}") from error
            time.sleep(wait)
    return False


def _try(job: _Job, progress: Progress) -> bool:
    held = _held(job)
    start = job.part.stat().st_size if held else 0
    if held and start == (held.total if job.file.size is None else job.file.size):
        # all here: from a call that was stopped before it looked at it, or from one that had no digest to compare with
        return not held.sha256
    if held and not job.sha256 and not held.validator:
        _drop(job)  # pieces that may be of two versions: no digest would tell
        held, start = None, 0
    with contextlib.closing(_ask(job, held, start)) as response:
        if response.status == http.HTTPStatus.PARTIAL_CONTENT and held:
            total = _continued(job, held, start, response)
        elif response.status == http.HTTPStatus.OK:
            start, total = 0, response.length
            _drop(job)
            kept = _Held(url=job.file.url, sha256=job.sha256, validator=_validator(response.headers), total=total)
            write_json(job.record, kept)
        else:
            raise _Interrupted(f"status {response.status}")
        _check_size(job, total, response)
        _receive(job, response, start, job.file.size if total is None else total, progress)
    return start == 0


def _held(job: _Job) -> _Held | None:
    """What the part on disk belongs to; None, and no part, where it does not belong to this file."""
    if job.part.is_file() and job.record.is_file():
        with contextlib.suppress(Mismatch):  # a record that cannot be read is as good as none: the part goes
            held = from_json(_Held, parse_json(job.record.read_bytes(), job.record.name))
            one_digest = held.sha256 == job.sha256 or not (held.sha256 and job.sha256)
            if held.url == job.file.url and one_digest and job.part.stat().st_size:
                return held
    _drop(job)
    return None


def _drop(job: _Job) -> None:
    job.part.unlink(missing_ok=True)
    job.record.unlink(missing_ok=True)


def _ask(job: _Job, held: _Held | None, start: int) -> HTTPResponse:
    """The server's answer, 200 or 206, to a request for the file from byte `start` on."""
    headers = {"User-Agent": f"pneumoscope/{__version__}"}
    if held:
        headers["Range"] = f"bytes={start}-"
        if held.validator:
            headers["If-Range"] = held.validator
    url = job.file.url
    for _ in range(MOST_REDIRECTS + 1):
        response = _answer(url, headers)
        if response.status in (http.HTTPStatus.OK, http.HTTPStatus.PARTIAL_CONTENT):
            return response
        response.close()
        if response.status not in _REDIRECTS:
            raise _refusal(job, response.status)
        url = _onward(job, url, response.headers.get("Location", ""))
    raise DataError(f"{job.file.name}: expected at most {MOST_REDIRECTS} redirects, found more. Get the file by hand.")


def _answer(url: str, headers: Mapping[str, str]) -> HTTPResponse:
    # these handlers speak http and https alone, raise for no status, and follow no redirect: urllib's own redirects
    # read a body of any length into memory
    opener = urllib.request.OpenerDirector()
    for kind in (urllib.request.ProxyHandler, urllib.request.HTTPHandler, urllib.request.HTTPSHandler):
        opener.add_handler(kind())
    request = urllib.request.Request(url, headers=dict(headers))  # noqa: S310 - its scheme was looked at
    try:
        answer: HTTPResponse = opener.open(request, timeout=TIMEOUT_S)
    except (OSError, HTTPException, ValueError) as error:
        raise _Interrupted(_trouble(error)) from error
    return answer


def _refusal(job: _Job, status: int) -> Exception:
    # not the server's own words, which may be anything
    known = status in set(http.HTTPStatus)
    found = f"status {status}" + (f" ({http.HTTPStatus(status).phrase})" if known else "")
    if status == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        _drop(job)
    elif status not in _BUSY:
        return DataError(
            f"{job.file.name}: expected the file at {job.file.url}, found {found}. Look there with a browser: it may "
            "have moved, or ask for a login."
        )
    return _Interrupted(found)


def _onward(job: _Job, url: str, location: str) -> str:
    """The address that a redirect leads to: http or https, and never from https to http."""
    try:
        to = urljoin(url, location)
        scheme = urlsplit(to).scheme
    except ValueError:  # an address that is none
        to, scheme = "", ""
    if scheme == "https" or (scheme == "http" and urlsplit(url).scheme == "http"):
        return to
    raise DataError(
        f"{job.file.name}: expected a redirect to https, or from http to http, found one to '{scheme[:20]}:'. "
        "Get the file by hand."
    )


def _continued(job: _Job, held: _Held, start: int, response: HTTPResponse) -> int | None:
    """Length of the whole file, of which the answer is the rest; None where the server does not say."""
    span = re.fullmatch(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)", response.headers.get("Content-Range", ""))
    total = int(span[2]) if span and span[2] != "*" else held.total
    same = held.total in (None, total) and (not held.validator or _validator(response.headers) in ("", held.validator))
    if not span or int(span[1]) != start or not same:
        _drop(job)
        raise _Interrupted("the rest of another version of the file")
    return total


def _validator(headers: HTTPMessage) -> str:
    # a weak ETag (W/"...") may not stand in If-Range, and where there is one a date may not either
    etag, date = headers.get("ETag", ""), headers.get("Last-Modified", "")
    found = (etag if etag.startswith('"') else "") if etag else date
    return found if found.isascii() and found.isprintable() and len(found) <= 200 else ""


def _check_size(job: _Job, total: int | None, response: HTTPResponse) -> None:
    if total is None:
        return
    if total != job.file.size if job.file.size is not None else total > MAX_BYTES:
        _drop(job)
        kind = response.headers.get_content_type()  # text/html where a page of words stands for the file
        raise IntegrityError(
            f"{job.file.name}: expected {_rule(job)}, found {total} of {kind}. Nothing was downloaded: the publisher's "
            "file has changed, or a page was sent in its place."
        )


def _rule(job: _Job) -> str:
    return f"at most {MAX_BYTES} bytes" if job.file.size is None else f"{job.file.size} bytes"


def _receive(job: _Job, response: HTTPResponse, start: int, total: int | None, progress: Progress) -> None:
    done = start
    most = MAX_BYTES if total is None else total
    with open(job.part, "ab") as part:
        for block in _blocks(response):
            done += len(block)
            if done > most:
                break
            part.write(block)
            progress(f"{job.file.name} (bytes)", done, total or 0)
    if done > most:
        _drop(job)
        raise IntegrityError(f"{job.file.name}: expected {_rule(job)}, found more. It was cut and not kept.")
    if total is not None and done < total:
        raise _Interrupted(f"the connection's end after {done} of {total} bytes")


def _blocks(response: HTTPResponse) -> Iterator[bytes]:
    try:
        # read1 gives what has arrived: a read of a whole block would lose what came before the line went dead
        while block := response.read1(BLOCK):
            yield block
    except (OSError, HTTPException, ValueError) as error:
        raise _Interrupted(_trouble(error)) from error


def _trouble(error: Exception) -> str:
    reason = getattr(error, "reason", error)
    said = reason.strerror if isinstance(reason, OSError) and reason.strerror else type(reason).__name__
    return "no answer in time" if isinstance(reason, TimeoutError) else f"'{said}'"


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
