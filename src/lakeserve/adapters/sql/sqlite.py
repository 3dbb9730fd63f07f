"""What is special about a database that is one SQLite file.

There is exactly one connection, in one process. That is the rule that makes SQLite's "WAL-reset" defect (3.7.0 to
3.51.2, two or more connections) harmless to us, and it is why nothing here opens a second one. The journal is a
write-ahead log and every commit is fsynced, so what was acknowledged survives kill -9 and loss of power. A transaction
that writes says BEGIN IMMEDIATE: one that begins as a reader and then writes after somebody else did fails at once,
whatever the busy timeout.

The file holds digests of tokens and the environment of models, so only its owner may read it.
"""

from __future__ import annotations

import errno
import json
import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, StaticPool, create_engine
from sqlalchemy.exc import DBAPIError

from lakeserve.ports.store import StoreTrouble, StoreUnavailable

PRIVATE = 0o600
COMPANIONS = ("", "-wal", "-shm")

# By primary result code; anything else is a bug of ours and is not disguised as an outage.
_TROUBLES = {
    sqlite3.SQLITE_BUSY: StoreTrouble.LOCKED,
    sqlite3.SQLITE_LOCKED: StoreTrouble.LOCKED,
    sqlite3.SQLITE_FULL: StoreTrouble.FULL,
    sqlite3.SQLITE_READONLY: StoreTrouble.READ_ONLY,
    sqlite3.SQLITE_PERM: StoreTrouble.READ_ONLY,
    sqlite3.SQLITE_CANTOPEN: StoreTrouble.MISSING,
    sqlite3.SQLITE_CORRUPT: StoreTrouble.CORRUPT,
    sqlite3.SQLITE_NOTADB: StoreTrouble.CORRUPT,
    sqlite3.SQLITE_IOERR: StoreTrouble.IO,
}

# The same from the operating system, before SQLite is asked.
_REFUSALS = {
    errno.ENOENT: StoreTrouble.MISSING,
    errno.ENOTDIR: StoreTrouble.MISSING,
    errno.ENOSPC: StoreTrouble.FULL,
    errno.EDQUOT: StoreTrouble.FULL,
    errno.EACCES: StoreTrouble.READ_ONLY,
    errno.EPERM: StoreTrouble.READ_ONLY,
    errno.EROFS: StoreTrouble.READ_ONLY,
}


class SqliteFile:
    """One database file. All methods but the constructor belong to the thread that owns the connection."""

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self._identity: tuple[int, int] | None = None

    def __str__(self) -> str:
        return str(self._path)

    def engine(self, busy_timeout: float) -> Engine:
        """Create the file if it is not there, and connect to it."""
        self._prepare()
        # mode=rw: a file that vanished is an error, not a reason to begin an empty one.
        uri = f"file:{quote(str(self._path))}?mode=rw"

        def connect() -> sqlite3.Connection:
            # isolation_level None: the driver must not begin transactions of its own kind.
            return sqlite3.connect(uri, uri=True, timeout=busy_timeout, isolation_level=None, check_same_thread=False)

        engine = create_engine(
            "sqlite://",
            creator=connect,
            poolclass=StaticPool,
            json_serializer=_dumps,
            json_deserializer=_loads,
        )
        try:
            self._configure(engine)
        except BaseException:
            engine.dispose()
            raise
        return engine

    def begin(self, connection: Connection, *, write: bool, wait: float) -> None:
        """Begin a transaction, waiting at most ``wait`` seconds for the write lock of another process."""
        self._check_identity()
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {max(0, int(wait * 1000))}")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    def unavailable(self, error: DBAPIError) -> StoreUnavailable | None:
        """What the error means to a caller of the store; None when it is no matter of availability."""
        code = getattr(error.orig, "sqlite_errorcode", None)
        trouble = None if code is None else _TROUBLES.get(code & 0xFF)
        return None if trouble is None else StoreUnavailable(trouble, f"{self._path}: {error.orig}")

    def _prepare(self) -> None:
        try:
            self._create()
            if not os.access(self._path, os.R_OK | os.W_OK, effective_ids=os.access in os.supports_effective_ids):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            for companion in COMPANIONS:
                _take_from_others(Path(f"{self._path}{companion}"))
            self._identity = _identity(self._path)
        except OSError as error:
            raise self._refused(error) from error

    def _create(self) -> None:
        # Only when missing: to open and close a file of which SQLite holds locks would drop them, by POSIX rules.
        with suppress(FileExistsError):
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE))

    def _configure(self, engine: Engine) -> None:
        with engine.connect() as connection:
            mode = connection.exec_driver_sql("PRAGMA journal_mode = WAL").scalar_one()
            connection.exec_driver_sql("PRAGMA synchronous = FULL")
            connection.exec_driver_sql("PRAGMA foreign_keys = ON")
        if mode != "wal":
            detail = f"{self._path}: this file system has no write-ahead log (journal mode {mode})"
            raise StoreUnavailable(StoreTrouble.IO, detail)

    def _check_identity(self) -> None:
        """A deleted file can still be written through an open handle: those changes would be acknowledged and lost."""
        try:
            found = _identity(self._path)
        except OSError as error:
            raise self._refused(error) from error
        if found != self._identity:
            raise StoreUnavailable(StoreTrouble.MISSING, f"{self._path}: replaced by another file while open")

    def _refused(self, error: OSError) -> StoreUnavailable:
        trouble = _REFUSALS.get(error.errno or 0, StoreTrouble.IO)
        return StoreUnavailable(trouble, f"{self._path}: {error.strerror}")


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _take_from_others(path: Path) -> None:
    try:
        mode = path.stat().st_mode & 0o777
    except FileNotFoundError:
        return
    if mode & ~PRIVATE:
        path.chmod(mode & PRIVATE)


def _dumps(value: Any) -> str:
    # Not orjson: it turns NaN into null and refuses integers beyond 64 bits and lone surrogates, all of which users can
    # send in fields that we only keep for them.
    return json.dumps(value, separators=(",", ":"))


def _loads(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise StoreUnavailable(StoreTrouble.CORRUPT, f"A stored document is not JSON: {error}") from error
