"""Writing so that nothing half-written is ever found: a temporary name in the same folder, then a rename."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pneumoscope.core.serial import to_json
from pneumoscope.errors import PneumoscopeError, UsageError


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path`, whole or not at all.

    Raises:
        PneumoscopeError: a place that cannot be written.
    """
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.chmod(name, 0o666 & ~_umask())
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def unfinished(path: Path) -> bool:
    """Whether a file has the name of one that `write_bytes` was killed over."""
    return re.fullmatch(r"\..+\.[a-z0-9_]{8}", path.name) is not None


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 `text` to `path`, whole or not at all."""
    # the name of a file may hold bytes that are no UTF-8: Python's stand-ins for them become JSON's own escapes
    write_bytes(path, text.encode(errors="backslashreplace"))


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON with a final newline, whole or not at all."""
    write_text(path, json.dumps(to_json(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A temporary folder that becomes `path` when the block ends well, and is gone when it does not.

    Raises:
        UsageError: `path` is a file, or a folder with something in it.
        PneumoscopeError: a place that cannot be written.
    """
    with _writing(path):
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise UsageError(f"--out: expected a new or empty folder, found '{path}' in use. Name another.")
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield temporary
        with _writing(path):
            temporary.chmod(0o777 & ~_umask())
            if path.exists():
                path.rmdir()
            temporary.rename(path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        found = error.strerror or type(error).__name__
        raise PneumoscopeError(
            f"{path}: expected a place that can be written, found '{found}'. Name another --out."
        ) from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
