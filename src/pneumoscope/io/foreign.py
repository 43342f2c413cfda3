"""Running other people's parsers (Pillow, pydicom, zipfile) on bytes from strangers.

Whatever they raise becomes one `InputError` of one line, and what they warn about stays inside. `warnings` can
only be silenced for the whole process, so that is done under a lock and for the shortest time.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from pneumoscope.errors import InputError, PneumoscopeError

MAX_PIXELS = 50_000_000  # the largest chest detectors have about 20 megapixels
MAX_BYTES = 512 * 2**20  # of one file, or one member of an archive

_LOCK = threading.RLock()


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Python warnings raised by code inside, one thread at a time, and put the filters back."""
    with _LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def named(what: str, rule: str, advice: str = "Export or copy the file again.") -> Iterator[None]:
    """Turn every exception inside into `InputError("<what>: expected <rule>, found <it>. <advice>")`.

    Our own errors pass as they are. Only the kind of a foreign exception is told: its text may quote the file,
    and with it a patient's name.
    """
    try:
        yield
    except (PneumoscopeError, ImportError):
        raise
    except MemoryError as error:
        raise InputError(f"{what}: expected {rule}, found more than memory holds. {advice}") from error
    except OSError as error:
        found = error.strerror.lower() if error.strerror else "damaged data"  # Pillow's own have no number and no text
        raise InputError(f"{what}: expected {rule}, found {found}. {advice}") from error
    except Exception as error:  # parsers of hostile bytes raise anything: struct.error, KeyError, RecursionError ...
        raise InputError(f"{what}: expected {rule}, found damaged data ({type(error).__name__}). {advice}") from error


def beginning(file: BinaryIO, count: int | None) -> bytes:
    """The first `count` bytes of an open file; None for all, up to `MAX_BYTES`."""
    file.seek(0)
    return file.read(MAX_BYTES if count is None else count)


def check_size(what: str, height: int, width: int) -> None:
    """Refuse an image by the size in its header, before anything is decoded.

    Raises:
        InputError: a side of 0, or more than `MAX_PIXELS`.
    """
    if height < 1 or width < 1:
        raise InputError(f"{what}: expected at least 1 x 1 pixels, found {width} x {height}. Export the image again.")
    if height * width > MAX_PIXELS:
        raise InputError(
            f"{what}: expected at most {MAX_PIXELS // 10**6} megapixels, found {width} x {height}. "
            "Export one image at its own resolution."
        )
