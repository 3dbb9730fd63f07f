"""The one open database of a process, and transactions on it.

A transaction is a plain function of a connection. It runs from BEGIN to COMMIT on the thread that owns the connection,
so the event loop never waits for a disk, transactions are strictly one after another, and a caller that is cancelled in
the middle cannot leave one half-done::

    store ── await write(function) ──▶ queue ──▶ thread: BEGIN IMMEDIATE, function(connection), COMMIT

A caller waits at most ``busy_timeout`` seconds, in the queue and for the lock of another process together, and is then
told :class:`StoreUnavailable`. Nothing is reopened after that: the next transaction just tries again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import URL, Connection, Engine, make_url
from sqlalchemy.exc import DBAPIError

from lakeserve.adapters.sql import migrations
from lakeserve.adapters.sql.sqlite import SqliteFile
from lakeserve.ports.store import StoreTrouble, StoreUnavailable

BUSY_TIMEOUT = 5.0

P = ParamSpec("P")
T = TypeVar("T")


class Database:
    """Open with :meth:`open`, and close it: the thread and the connection live until then."""

    def __init__(self, file: SqliteFile, *, busy_timeout: float = BUSY_TIMEOUT) -> None:
        self._file = file
        self._busy_timeout = busy_timeout
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sql")
        self._engine: Engine | None = None

    @classmethod
    async def open(cls, url: str, *, busy_timeout: float = BUSY_TIMEOUT) -> Database:
        """Open ``sqlite:///PATH``, creating the file if it is not there and bringing its schema up to date.

        :raises StoreUnavailable: it cannot be opened or changed, or a newer lakeserve has changed its schema.
        """
        database = cls(_file_of(url), busy_timeout=busy_timeout)
        try:
            await database._on_thread(database._connect)
            if await database.read(migrations.stored_revision) != migrations.HEAD:
                await database.write(migrations.upgrade)
        except BaseException:
            await database.close()
            raise
        return database

    async def close(self) -> None:
        """End the transactions that are queued, then close the connection. May be called again."""
        try:
            await self._on_thread(self._disconnect)
        except StoreUnavailable:
            return
        finally:
            self._thread.shutdown(wait=False)

    async def read(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``function`` in a transaction that sees one state and changes nothing."""
        return await self._run(False, lambda connection: function(connection, *args, **kwargs))

    async def write(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``function`` in a transaction that is committed when it returns and rolled back when it raises."""
        return await self._run(True, lambda connection: function(connection, *args, **kwargs))

    async def _run(self, write: bool, function: Callable[[Connection], T]) -> T:
        deadline = time.monotonic() + self._busy_timeout
        return await self._on_thread(lambda: self._transaction(write, function, deadline))

    async def _on_thread(self, job: Callable[[], T]) -> T:
        try:
            future = asyncio.get_running_loop().run_in_executor(self._thread, job)
        except RuntimeError as error:
            raise self._closed() from error
        return await future

    def _connect(self) -> None:
        with self._translated():
            self._engine = self._file.engine(self._busy_timeout)

    def _disconnect(self) -> None:
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    def _transaction(self, write: bool, function: Callable[[Connection], T], deadline: float) -> T:
        if self._engine is None:
            raise self._closed()
        wait = deadline - time.monotonic()
        if wait <= 0:
            raise StoreUnavailable(StoreTrouble.LOCKED, f"{self._file}: earlier transactions are still waiting")
        with self._translated(), self._engine.connect() as connection, connection.begin():
            self._file.begin(connection, write=write, wait=wait)
            return function(connection)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """The driver's errors end here: an outage leaves as StoreUnavailable, anything else is a bug and stays as it is."""
        try:
            yield
        except DBAPIError as error:
            unavailable = self._file.unavailable(error)
            if unavailable is None:
                raise
            raise unavailable from error

    def _closed(self) -> StoreUnavailable:
        return StoreUnavailable(StoreTrouble.CLOSED, f"{self._file}: closed")


async def migrate(url: str, *, busy_timeout: float = BUSY_TIMEOUT) -> None:
    """Bring the schema up to date and leave the database closed. :meth:`Database.open` does the same by itself."""
    database = await Database.open(url, busy_timeout=busy_timeout)
    await database.close()


def sqlite_url(path: Path) -> str:
    """The URL of a database in that file, whatever characters its name has."""
    return URL.create("sqlite", database=str(path)).render_as_string()


def _file_of(url: str) -> SqliteFile:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
        raise ValueError("The database must be a SQLite file, as sqlite:////var/lib/lakeserve/lakeserve.db")
    return SqliteFile(Path(parsed.database))
