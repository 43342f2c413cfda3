"""Screen in a base environment, as a promise that is run: no framework, no network, no telemetry, one whole report.

Run it with the interpreter of an environment that holds the base package alone: ENV/bin/python tools/base_check.py
"""

from __future__ import annotations

import os
import re
import socket
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

FRAMEWORKS = ("torch", "torchvision", "timm", "monai", "tensorflow", "keras", "jax", "onnxruntime", "paddle")
# What makes a browser fetch something when the page is opened; a link that waits for a click does not.
FETCHES = re.compile(
    r"""<\w[^>]*\ssrc(?:set)?\s*=\s*(?!["']?data:)\S|<link\b[^>]*\shref\s*=\s*(?!["']?data:)\S"""
    r"""|@import|(?-i:url)\(\s*["']?(?!data:|#)[\w/.]""",
    re.IGNORECASE,
)

attempts: list[str] = []


def refuse_sockets(event: str, args: tuple[Any, ...]) -> None:
    """Audit hook: every socket but a Unix one is refused and remembered, since a library may swallow the refusal."""
    if not event.startswith("socket.") or event == "socket.gethostname":
        return
    family = args[1] if event == "socket.__new__" else getattr(args[0], "family", None)
    if family == socket.AF_UNIX:
        return
    attempts.append(f"{event} {[a for a in args if not isinstance(a, socket.socket)]}")
    raise PermissionError(f"network: expected no socket while screening, found {event}. Take the call out.")


def run_demo(out: Path) -> int:
    """Run `pneumoscope demo --out OUT` in this process, so that the audit hook sees all of it; its exit code."""
    from pneumoscope.app.cli import main

    sys.argv = ["pneumoscope", "demo", "--out", str(out)]
    try:
        main()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    return 0


def faults_of(out: Path, code: int) -> list[str]:
    """What the run shows to be broken, one line each."""
    faults = [f"{name}: expected no framework in the base install, found it." for name in FRAMEWORKS if find_spec(name)]
    if code != 0:
        faults.append(f"pneumoscope demo: expected exit code 0, found {code}.")
    faults += [f"network: expected no attempt, found {attempt}." for attempt in attempts]
    if "openvino" not in sys.modules:
        faults.append("openvino: expected the demo to screen with it, found it not loaded.")
    # it sends from a process of its own, which the audit hook does not see: it must not be loaded at all
    if sys.modules.get("openvino_telemetry") is not None:
        faults.append("openvino_telemetry: expected it never loaded, found it loaded. Block it before openvino.")
    reports = [path for path in out.rglob("*.html") if path.stat().st_size > 0]
    if not reports:
        faults.append(f"report: expected an HTML file under --out, found {sorted(p.name for p in out.rglob('*'))}.")
    for path in reports:
        fetch = FETCHES.search(path.read_text("utf-8"))
        if fetch:
            faults.append(f"{path.name}: expected one file that fetches nothing, found {fetch.group()!r}.")
    if not any(out.rglob("*.png")):
        faults.append("pictures: expected a PNG under --out, found none.")
    return faults


def main() -> int:
    """Run the demo in an empty home, print the faults; 1 where there is one."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(HOME=folder, XDG_CACHE_HOME=f"{folder}/cache", XDG_CONFIG_HOME=f"{folder}/config")
        sys.addaudithook(refuse_sockets)
        start = time.perf_counter()
        code = run_demo(Path(folder) / "demo")
        seconds = time.perf_counter() - start
        faults = faults_of(Path(folder) / "demo", code)
    for fault in faults:
        print(fault)
    print(f"base install: screened in {seconds:.1f} s without a network, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
