"""Where the trials of a search are kept: an optuna study in a journal file or a database, that processes may share.

Optuna's journal is JSON lines: a file backend without snapshots never pickles. OUT/study.json says what the study is
of, and the study says it too, so that neither is gone on with for something else.
"""

from __future__ import annotations

import contextlib
import json
import logging
import secrets
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pneumoscope.core.files import write_json
from pneumoscope.core.serial import Mismatch, from_json
from pneumoscope.errors import IntegrityError, PneumoscopeError, UsageError

if TYPE_CHECKING:
    from filelock import BaseFileLock
    from optuna import Study
    from optuna.storages import BaseStorage

NAME = "pneumoscope tune"  # one study a storage
LOCKS = "locks"
STARTUP = 5  # trials that are finished before one is pruned
PATIENCE = 60  # seconds that a write to a database which another process writes to waits

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class _Facts:
    facts: Mapping[str, str]


def claim_out(out: Path, facts: Mapping[str, str]) -> dict[str, str]:
    """Make `out` the folder of this search, or find that it is; returns the facts with the folder's own id.

    facts: name -> digest of what the search is of. To be called by one process at a time: under `lock(out, "study")`.

    Raises:
        UsageError: a folder of another search. IntegrityError: a study.json that is none.
    """
    path = out / "study.json"
    if not path.exists():
        write_json(path, {**facts, "out": secrets.token_hex(8)})
    try:
        found = from_json(_Facts, {"facts": json.loads(path.read_text(encoding="utf-8"))}).facts
    except (Mismatch, ValueError) as error:
        raise IntegrityError(
            f"study.json: expected what a search is of, found something else. {error} Name another --out."
        ) from error
    _check_same(found, facts, f"--out: '{out}'", "Name another --out.")
    return dict(found)


def check_out(out: Path, facts: Mapping[str, str]) -> None:
    """See that `out` is new, or the folder of this search; `facts` as for `claim_out`.

    Raises:
        UsageError: it is something else. IntegrityError: a study.json that is none.
    """
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out: expected a folder, found the file '{out}'. Name another.")
    if out.exists() and not (out / LOCKS).exists() and any(out.iterdir()):
        raise UsageError(f"--out: expected a new or empty folder or a search to resume, found other files in '{out}'.")
    if (out / "study.json").exists():
        claim_out(out, facts)


def lock(out: Path, name: str) -> BaseFileLock:
    """A lock of a search's folder, which goes with the process that holds it."""
    from filelock import FileLock

    (out / LOCKS).mkdir(parents=True, exist_ok=True)
    return FileLock(out / LOCKS / f"{name}.lock")


@contextlib.contextmanager
def alone(out: Path, name: str) -> Iterator[bool]:
    """Whether nobody else holds a lock, which is held here then, while the block runs."""
    from filelock import Timeout

    held = lock(out, name)
    try:
        held.acquire(blocking=False)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        held.release()


@contextlib.contextmanager
def opened(storage: str, facts: Mapping[str, str], say: Say) -> Iterator[Study]:
    """The study in a storage, made where there is none. To be opened by one process at a time.

    storage: a database URL as optuna takes it (`sqlite:///file.db`), or the path of a journal file. facts: as
    `claim_out` returns them. say: told what optuna warns of.

    Raises:
        UsageError: a storage that cannot be opened, or that holds a study of something else.
        IntegrityError: what is there, now or while the block runs, cannot be read.
        PneumoscopeError: a storage that answers no more; the search is resumed by the same command.
    """
    import optuna

    with _said(say), _answering():
        backend = _database(storage) if "://" in storage else _journal(Path(storage))
        try:
            study = optuna.create_study(
                study_name=NAME,
                storage=backend,
                direction="maximize",
                load_if_exists=True,
                pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP),
            )
            if not study.get_trials(deepcopy=False):  # whoever made it may have been stopped before it said all
                for name, value in facts.items():
                    if name not in study.user_attrs:
                        study.set_user_attr(name, value)
            _check_same(study.user_attrs, facts, "--storage: the study there", "Name another --storage.")
            yield study
        finally:
            if isinstance(backend, optuna.storages.RDBStorage):
                backend.remove_session()
                backend.engine.dispose()


def _check_same(found: Mapping[str, Any], facts: Mapping[str, str], where: str, fix: str) -> None:
    words = {"recipe": "recipe and settings", "data": "data", "space": "fields to search", "out": "folder (--out)"}
    for name, value in facts.items():
        if found.get(name) != value:
            raise UsageError(f"{where}: expected a search of the same {words[name]}, found one of others. {fix}")


def _database(url: str) -> BaseStorage:
    import sqlalchemy.exc
    from optuna.storages import RDBStorage

    options = {"connect_args": {"timeout": PATIENCE}} if url.startswith("sqlite") else None
    kind = url.partition("://")[0]  # the rest may hold a password
    try:
        return RDBStorage(url, engine_kwargs=options)
    except (sqlalchemy.exc.SQLAlchemyError, ImportError, RuntimeError, ValueError) as error:
        raise UsageError(
            f"--storage: expected a database that optuna can use, found {kind}://... that it cannot "
            f"({type(error).__name__}). Check the URL, its driver and its server, or name a journal file."
        ) from error


def _journal(path: Path) -> BaseStorage:
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock, JournalStorage

    name = str(path.resolve())
    try:
        path.resolve().parent.mkdir(parents=True, exist_ok=True)
        # a lock without a link: those need rights on some systems
        return JournalStorage(JournalFileBackend(name, lock_obj=JournalFileOpenLock(name)))
    except OSError as error:
        raise UsageError(
            f"--storage: expected a database URL or a journal file, found '{path}' ({error.strerror}). Name another."
        ) from error


@contextlib.contextmanager
def _answering() -> Iterator[None]:
    """Errors of a storage as one of ours; its own text may hold where it is and who asks."""
    import sqlalchemy.exc
    from optuna.exceptions import StorageInternalError

    try:
        yield
    except (sqlalchemy.exc.SQLAlchemyError, StorageInternalError) as error:
        raise PneumoscopeError(
            f"--storage: expected a database that answers, found one that does not ({type(error).__name__}). "
            "The same command goes on where this one stopped."
        ) from error
    except OSError as error:
        if not _of_optuna(error):
            raise
        raise PneumoscopeError(
            f"--storage: expected a journal that can be read and written, found '{error.strerror}'. "
            "The same command goes on where this one stopped."
        ) from error
    except (ValueError, LookupError, TypeError, AttributeError, AssertionError, RuntimeError) as error:
        if not _of_optuna(error):
            raise
        raise IntegrityError(
            f"--storage: expected a study as optuna writes it, found one that cannot be read ({type(error).__name__}). "
            "Name another --out and --storage."
        ) from error


def _of_optuna(error: Exception) -> bool:
    """Whether optuna failed, and no code of ours or of another library that we called."""
    names = [str(frame.f_globals.get("__name__", "")) for frame, _ in traceback.walk_tb(error.__traceback__)]
    ours = max(i for i, name in enumerate(names) if name.startswith("pneumoscope."))
    return any(name.startswith("optuna.") for name in names[ours + 1 :])


class _Said(logging.Handler):
    """Passes what optuna warns of to a function."""

    def __init__(self, say: Say) -> None:
        super().__init__(logging.WARNING)
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        self._say(f"optuna: {record.getMessage()}")


@contextlib.contextmanager
def _said(say: Say) -> Iterator[None]:
    import optuna

    own, handler = logging.getLogger("optuna"), _Said(say)
    before = own.level
    optuna.logging.disable_default_handler()
    own.setLevel(logging.WARNING)
    own.addHandler(handler)
    try:
        yield
    finally:
        own.removeHandler(handler)
        own.setLevel(before)
