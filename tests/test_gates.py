"""The gates of `make test` can fail: licences, size, the constraints file, and the network guard of these tests."""

from __future__ import annotations

import importlib.util
import re
import socket
import tomllib
from itertools import chain
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
PIN = re.compile(r"[a-z0-9-]+==[\w.]+")


def tool(name: str):
    """The module tools/<name>.py, which is a script and no part of the package."""
    spec = importlib.util.spec_from_file_location(name, REPO / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "licence", ["GPL-3.0-or-later", "GNU AGPLv3", "LGPL-2.1-only", "GNU General Public License v3"]
)
def test_a_licence_of_the_gpl_family_is_a_fault(licence):
    assert "outside the GPL family" in tool("check_licences").faults_of("some", licence, [])[0]


@pytest.mark.parametrize("licence", ["", "Proprietary", "CC-BY-NC-4.0", "see LICENSE"])
def test_a_licence_nobody_accepted_is_a_fault(licence):
    assert "expected a licence that is accepted" in tool("check_licences").faults_of("some", licence, [])[0]


def test_bundled_gpl_text_nobody_has_read_is_a_fault():
    licences = tool("check_licences")
    assert "extend MENTIONS" in licences.faults_of("some", "MIT", ["some/LICENSE-3RD-PARTY.txt"])[0]
    assert licences.faults_of("numpy", "BSD-3-Clause", ["numpy/LICENSE.txt"]) == []


@pytest.mark.parametrize("licence", ["MIT", "BSD-3-Clause AND 0BSD", "Apache 2.0", "MPL-2.0 AND MIT", "PSF-2.0"])
def test_a_permissive_licence_passes(licence):
    assert tool("check_licences").faults_of("some", licence, []) == []


def test_the_size_gate_measures_and_fails(tmp_path, capsys):
    size = tool("check_size")
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "blob").write_bytes(b"x" * 3_000_000)
    assert size.size_of(tmp_path) == pytest.approx(3_000_000, rel=0.01)
    assert size.main(tmp_path, 2) == 1
    assert "expected at most 2 MB, found 3 MB" in capsys.readouterr().out
    assert size.main(tmp_path, 4) == 0


def test_constraints_are_written_from_pips_report():
    report = {
        "install": [{"metadata": {"name": n, "version": v}} for n, v in (("Zed_A", "2.0"), ("pneumoscope", "0.1"))]
    }
    text = tool("write_constraints").constraints(report)
    assert [line for line in text.splitlines() if not line.startswith("#")] == ["zed-a==2.0"]


def test_every_dependency_has_one_exact_version_in_constraints():
    lines = [n for n in (REPO / "constraints.txt").read_text().splitlines() if not n.startswith("#")]
    assert [n for n in lines if not PIN.fullmatch(n)] == []
    pinned = [n.split("==")[0] for n in lines]
    assert len(set(pinned)) == len(pinned)
    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *chain(*project["optional-dependencies"].values()), "hatchling"]
    assert {re.split(r"[^\w-]", name)[0] for name in wanted} <= set(pinned)


@pytest.mark.parametrize("html", [
    '<img alt="a" src="https://example.org/x.png">', "<script src=app.js></script>", "<style>@import 'x'</style>",
    '<link rel="icon" href="/x.ico">', "<p style='background: url(x.png)'>", "<img srcset='a.png 2x'>",
])  # fmt: skip
def test_a_report_that_fetches_is_a_fault(tmp_path, html):
    (tmp_path / "report.html").write_text(html)
    assert any("fetches nothing" in fault for fault in tool("base_check").faults_of(tmp_path, 0))


def test_a_report_in_one_file_passes(tmp_path):
    html = """<img src="data:image/png;base64,AA"><a href="https://example.org">paper</a>
        <svg><use fill="url(#g)"/></svg><script>image.src = other.src; const a = new URL(b)</script>"""
    (tmp_path / "report.html").write_text(html)
    assert not any("fetches" in fault for fault in tool("base_check").faults_of(tmp_path, 0))


def test_a_screening_that_fails_or_leaves_nothing_is_a_fault(tmp_path):
    faults = " ".join(tool("base_check").faults_of(tmp_path, 3))
    for word in ("expected exit code 0, found 3", "report: expected", "pictures: expected"):
        assert word in faults


def test_a_socket_is_refused_and_remembered_while_screening():
    check = tool("base_check")
    with pytest.raises(PermissionError, match="expected no socket"):
        check.refuse_sockets("socket.__new__", (None, socket.AF_INET, socket.SOCK_STREAM, 0))
    with pytest.raises(PermissionError, match="expected no socket"):
        check.refuse_sockets("socket.getaddrinfo", ("example.org", 443, 0, 0, 0))
    check.refuse_sockets("socket.__new__", (None, socket.AF_UNIX, socket.SOCK_STREAM, 0))
    check.refuse_sockets("open", ("file", "r", 0))
    assert len(check.attempts) == 2


def test_the_version_is_said_once():
    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    from pneumoscope import __version__

    assert project["version"] == __version__


@pytest.mark.parametrize("call", [
    lambda: socket.create_connection(("192.0.2.1", 80), timeout=1),
    lambda: socket.getaddrinfo("example.org", 443),
    lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("192.0.2.1", 53)),
])  # fmt: skip
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the refused socket is left to the collector
def test_tests_reach_no_network(call):
    with pytest.raises(PermissionError, match="expected loopback only"):
        call()


def test_tests_may_serve_on_loopback():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname(), timeout=5):
        pass


def test_tests_have_a_home_of_their_own():
    assert Path.home().name.startswith("pneumoscope-tests-")
