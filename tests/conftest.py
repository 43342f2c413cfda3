"""What every test stands on: no network, no home folder, and ../shared/data where it is there."""

from __future__ import annotations

import ipaddress
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

pytest_plugins = ["fixtures_trained", "fixtures_study"]  # made with our own package, after the home folder is empty

REPO = Path(__file__).resolve().parents[1]
SHARED = REPO.parent / "shared" / "data"
NO_SHARED = f"expected the shared data at {SHARED}, found none"
HOME = Path(tempfile.mkdtemp(prefix="pneumoscope-tests-"))

# No deadline, since machines are shared; the same examples on every run, so that a failure can be repeated.
settings.register_profile("pneumoscope", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("pneumoscope")


def is_loopback(host: object) -> bool:
    """True for an address on this machine, and for no address at all."""
    name = host.decode() if isinstance(host, bytes) else host
    if name in (None, "", "localhost"):
        return True
    try:
        return ipaddress.ip_address(str(name)).is_loopback
    except ValueError:
        return False


def refuse_network(event: str, args: tuple) -> None:
    """Audit hook: only loopback may be looked up or spoken to. A hook sees C extensions' use of `socket` too."""
    if event in ("socket.connect", "socket.sendto"):
        address = args[1]
        host = address[0] if isinstance(address, tuple) else None  # a Unix socket's address is a path
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = args[0]
    else:
        return
    if not is_loopback(host):
        raise PermissionError(f"network: expected loopback only in tests, found {host!r}.")


def isolate() -> None:
    """An empty home, no settings of the user's, no network."""
    for name in [n for n in os.environ if n.startswith("PNEUMOSCOPE_")]:
        del os.environ[name]
    os.environ["HOME"] = str(HOME)
    for kind in ("cache", "config", "data", "state"):
        os.environ[f"XDG_{kind.upper()}_HOME"] = str(HOME / kind)
    os.environ["HF_HUB_OFFLINE"] = "1"
    # tiny networks on a busy machine spend their time waiting for a second thread
    os.environ["OMP_NUM_THREADS"] = "1"
    sys.addaudithook(refuse_network)


isolate()  # here and not in a hook: the plugins named above import our package before any hook runs


def pytest_unconfigure() -> None:
    shutil.rmtree(HOME, ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not SHARED.is_dir():
        for item in items:
            if item.get_closest_marker("shared"):
                item.add_marker(pytest.mark.skip(reason=NO_SHARED))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder ../shared/data; a test that asks for it is marked `shared`, or is skipped here all the same."""
    if not SHARED.is_dir():
        pytest.skip(NO_SHARED)
    return SHARED
