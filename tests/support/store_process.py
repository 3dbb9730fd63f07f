"""Processes that use a store and are killed: ``python -m support.store_process COMMAND URL [NUMBER]``, from tests/.

``write``    saves endpoints from several tasks for ever; after each acknowledgement it prints id and revision
``migrate``  migrates an empty database and kills itself just before statement NUMBER of that; prints when it got through
``lock``     takes the write lock as a stranger to our code would, says so, and holds it until its input ends
``modules``  opens and closes, then prints which modules that took
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
from dataclasses import replace
from typing import Any

from sqlalchemy import Engine, event, make_url

from lakeserve.adapters.sql.database import Database, migrate
from lakeserve.adapters.sql.store import SqlEndpointStore
from lakeserve.domain.principal import AccessList
from support.endpoints import an_endpoint

WRITERS = 8


async def write(url: str) -> None:
    database = await Database.open(url)
    store = SqlEndpointStore(database)
    await asyncio.gather(*(_write_one(store, f"writer-{number}") for number in range(WRITERS)))


async def _write_one(store: SqlEndpointStore, name: str) -> None:
    endpoint = await store.find(name)
    if endpoint is None:
        endpoint = await store.add(an_endpoint(name, description="1"), AccessList())
    while True:
        os.write(1, f"{endpoint.id} {endpoint.revision}\n".encode())
        endpoint = await store.save(replace(endpoint, description=str(endpoint.revision + 1)))


def count_changes(at_statement: Any) -> None:
    """Call ``at_statement`` before every statement, and before every commit, of a transaction that writes."""

    def statement(_connection: Any, _cursor: Any, sql: str, *_rest: Any) -> None:
        if not sql.startswith(("PRAGMA", "SELECT")) and sql != "BEGIN":
            at_statement(sql)

    event.listen(Engine, "before_cursor_execute", statement)
    event.listen(Engine, "commit", lambda _connection: at_statement("COMMIT"))


def migrate_and_die(url: str, number: int) -> None:
    seen = 0

    def at_statement(_sql: str) -> None:
        nonlocal seen
        seen += 1
        if seen == number:
            os.kill(os.getpid(), signal.SIGKILL)

    count_changes(at_statement)
    asyncio.run(migrate(url))
    print("migrated", flush=True)


def lock(url: str) -> None:
    path = make_url(url).database
    assert path is not None
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    print("locked", flush=True)
    sys.stdin.read()
    connection.rollback()
    connection.close()


def main(command: str, url: str, number: str = "0") -> None:
    if command == "write":
        asyncio.run(write(url))
    elif command == "migrate":
        migrate_and_die(url, int(number))
    elif command == "lock":
        lock(url)
    elif command == "modules":
        asyncio.run(migrate(url))
        print(*sys.modules)


if __name__ == "__main__":
    main(*sys.argv[1:])
