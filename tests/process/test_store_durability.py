"""What the SQLite store promises when processes die, files vanish and others hold the lock."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from lakeserve.adapters.sql.database import Database
from lakeserve.adapters.sql.store import SqlEndpointStore
from lakeserve.domain.endpoint import Endpoint
from lakeserve.domain.principal import AccessList
from lakeserve.ports.store import StoreTrouble, StoreUnavailable
from support.endpoints import an_endpoint
from support.stores import database_url

TESTS = Path(__file__).parents[1]
ROUNDS = 20
BUSY = 0.3
NOBODY = 65534


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await Database.open(database_url(tmp_path), busy_timeout=BUSY)
    yield opened
    await opened.close()


@pytest.fixture
def store(database: Database) -> SqlEndpointStore:
    return SqlEndpointStore(database)


@contextmanager
def _process(command: str, url: str) -> Iterator[subprocess.Popen[bytes]]:
    arguments = [sys.executable, "-m", "support.store_process", command, url]
    environment = {**os.environ, "PYTHONPATH": ""}
    with subprocess.Popen(
        arguments, cwd=TESTS, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _acknowledged(lines: bytes) -> dict[str, int]:
    """The highest revision of each endpoint that the writer told us of; a last line cut short tells nothing."""
    told = [line.split() for line in lines.decode().split("\n")[:-1]]
    return {endpoint_id: int(revision) for endpoint_id, revision in told}


def _integrity(folder: Path) -> str:
    connection = sqlite3.connect(folder / "lakeserve.db")
    (answer,) = connection.execute("PRAGMA integrity_check").fetchone()
    connection.close()
    return str(answer)


def _killed_while_writing(url: str, delay: float) -> dict[str, int]:
    with _process("write", url) as writer:
        assert writer.stdout is not None
        first = writer.stdout.readline()
        time.sleep(delay)
        os.kill(writer.pid, signal.SIGKILL)
        return _acknowledged(first + writer.stdout.read())


async def test_no_acknowledged_write_is_lost_when_the_writer_is_killed(tmp_path: Path) -> None:
    delays = random.Random(7)
    acknowledged: dict[str, int] = {}
    for _ in range(ROUNDS):
        acknowledged |= _killed_while_writing(database_url(tmp_path), delays.uniform(0, 0.15))

        database = await Database.open(database_url(tmp_path))
        stored = {endpoint.id: endpoint for endpoint in await SqlEndpointStore(database).list()}
        await database.close()
        for endpoint_id, revision in acknowledged.items():
            endpoint = stored[endpoint_id]
            assert endpoint.revision >= revision
            assert endpoint.description == str(endpoint.revision)
        assert _integrity(tmp_path) == "ok"
    assert sum(acknowledged.values()) > ROUNDS


@contextmanager
def _locked_by_another(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    with _process("lock", database_url(folder)) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"locked\n"
        yield other


async def test_a_lock_held_by_another_is_told_in_time_and_passes(tmp_path: Path, store: SqlEndpointStore) -> None:
    endpoint = await store.add(an_endpoint(), AccessList())
    with _locked_by_another(tmp_path) as other:
        began = time.monotonic()
        outcomes = await asyncio.gather(
            *(store.save(replace(endpoint, description=str(number))) for number in range(5)), return_exceptions=True
        )
        took = time.monotonic() - began
        assert [getattr(outcome, "trouble", outcome) for outcome in outcomes] == [StoreTrouble.LOCKED] * 5
        assert BUSY * 0.8 <= took < BUSY + 1
        assert await store.get(endpoint.id) == endpoint
        other.communicate()

    assert await store.save(endpoint) == replace(endpoint, revision=2)


async def test_a_lock_that_is_released_in_time_is_waited_for(tmp_path: Path) -> None:
    database = await Database.open(database_url(tmp_path), busy_timeout=10)
    with _locked_by_another(tmp_path) as other:
        adding = asyncio.create_task(SqlEndpointStore(database).add(an_endpoint(), AccessList()))
        await asyncio.sleep(0.1)
        assert not adding.done()
        other.communicate()
        assert (await adding).revision == 1
    await database.close()


async def test_a_caller_that_is_cancelled_leaves_the_store_usable(tmp_path: Path, store: SqlEndpointStore) -> None:
    endpoint = await store.add(an_endpoint(), AccessList())
    with _locked_by_another(tmp_path) as other:
        saving = asyncio.create_task(store.save(replace(endpoint, description="cancelled")))
        await asyncio.sleep(0.05)
        saving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await saving
        other.communicate()

    stored = await store.get(endpoint.id)
    assert stored is not None
    assert await store.save(stored) == replace(stored, revision=stored.revision + 1)


async def test_there_is_one_connection_however_many_ask(tmp_path: Path, store: SqlEndpointStore) -> None:
    await asyncio.gather(*(store.add(an_endpoint(f"wine-{number}"), AccessList()) for number in range(20)))
    await asyncio.gather(*(store.list() for _ in range(20)))

    assert _open_handles().count(str(tmp_path / "lakeserve.db")) == 1


def _open_handles() -> list[str]:
    return [os.readlink(handle) for handle in Path("/proc/self/fd").iterdir() if handle.is_symlink()]


@pytest.mark.parametrize("name", ["with space", "größe", "100%?#&mode=memory"])
async def test_any_name_of_a_folder_will_do(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    database = await Database.open(database_url(tmp_path / name))
    await database.close()
    assert list(_modes(tmp_path / name)) == ["lakeserve.db"]


async def test_only_the_owner_may_read_the_files(tmp_path: Path) -> None:
    path = tmp_path / "lakeserve.db"
    path.touch(0o644)
    database = await Database.open(database_url(tmp_path))
    await SqlEndpointStore(database).add(an_endpoint(), AccessList())

    modes = _modes(tmp_path)
    await database.close()
    assert modes == {"lakeserve.db": 0o600, "lakeserve.db-wal": 0o600, "lakeserve.db-shm": 0o600}


def _modes(folder: Path) -> dict[str, int]:
    return {file.name: file.stat().st_mode & 0o777 for file in folder.iterdir()}


async def test_every_connection_is_set_up_for_durability(database: Database) -> None:
    pragmas = ("journal_mode", "synchronous", "foreign_keys")
    found = [await database.read(lambda c, name=name: c.exec_driver_sql(f"PRAGMA {name}").scalar()) for name in pragmas]
    assert found == ["wal", 2, 1]


async def _trouble(store: SqlEndpointStore, endpoint: Endpoint) -> set[StoreTrouble]:
    outcomes = await asyncio.gather(store.get(endpoint.id), store.save(endpoint), return_exceptions=True)
    return {outcome.trouble for outcome in outcomes if isinstance(outcome, StoreUnavailable)}


async def test_a_file_that_vanishes_is_noticed_and_may_come_back(tmp_path: Path, store: SqlEndpointStore) -> None:
    endpoint = await store.add(an_endpoint(), AccessList())
    path, elsewhere = tmp_path / "lakeserve.db", tmp_path / "elsewhere"

    path.rename(elsewhere)
    assert await _trouble(store, endpoint) == {StoreTrouble.MISSING}
    path.touch()
    assert await _trouble(store, endpoint) == {StoreTrouble.MISSING}
    elsewhere.rename(path)

    assert await store.save(endpoint) == replace(endpoint, revision=2)


async def test_a_full_disk_loses_nothing_acknowledged_and_passes(database: Database, store: SqlEndpointStore) -> None:
    pages = await database.read(lambda c: c.exec_driver_sql("PRAGMA page_count").scalar_one())
    await database.write(lambda c: c.exec_driver_sql(f"PRAGMA max_page_count = {pages + 20}"))
    big = [an_endpoint(f"e{number:04}", description="x" * 2_000) for number in range(100)]
    outcomes = await asyncio.gather(*(store.add(each, AccessList()) for each in big), return_exceptions=True)

    added = [outcome for outcome in outcomes if isinstance(outcome, Endpoint)]
    refused = {outcome.trouble for outcome in outcomes if isinstance(outcome, StoreUnavailable)}
    assert refused == {StoreTrouble.FULL}
    assert added
    assert await store.list() == added
    await database.write(lambda c: c.exec_driver_sql("PRAGMA max_page_count = 100000"))
    await store.add(an_endpoint("again"), AccessList())


async def test_a_store_that_was_closed_says_so(tmp_path: Path) -> None:
    database = await Database.open(database_url(tmp_path))
    store = SqlEndpointStore(database)
    await database.close()
    await database.close()

    assert await _trouble(store, an_endpoint()) == {StoreTrouble.CLOSED}


async def test_a_folder_that_is_missing_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="nowhere") as caught:
        await Database.open(database_url(tmp_path / "nowhere"))
    assert caught.value.trouble is StoreTrouble.MISSING


async def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "lakeserve.db"
    path.write_bytes(b"precious notes, not a database\n" * 200)

    with pytest.raises(StoreUnavailable) as caught:
        await Database.open(database_url(tmp_path))

    assert caught.value.trouble is StoreTrouble.CORRUPT
    assert path.read_bytes() == b"precious notes, not a database\n" * 200


async def test_damaged_pages_are_told_as_corruption(tmp_path: Path) -> None:
    database = await Database.open(database_url(tmp_path))
    for number in range(20):
        await SqlEndpointStore(database).add(an_endpoint(f"e{number}", description="x" * 3_000), AccessList())
    await database.close()
    with (tmp_path / "lakeserve.db").open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        # The first pages hold the schema and the versions, so that opening succeeds.
        file.seek(4096 * 12)
        file.write(b"\xff" * (size - 4096 * 12))

    database = await Database.open(database_url(tmp_path))
    with pytest.raises(StoreUnavailable) as caught:
        await SqlEndpointStore(database).list()
    await database.close()
    assert caught.value.trouble is StoreTrouble.CORRUPT


@contextmanager
def _as_somebody_without_rights() -> Iterator[None]:
    """Root may write to read-only files, so a test that runs as root steps down."""
    mine = os.geteuid()
    if mine == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(mine)


@pytest.fixture(params=[0o777, 0o555], ids=oct)
async def read_only(request: pytest.FixtureRequest) -> AsyncIterator[Path]:
    """The folder of a database that may not be written; not below tmp_path, which only its owner may enter."""
    with TemporaryDirectory() as name:
        database = await Database.open(database_url(Path(name)))
        await database.close()
        os.chmod(f"{name}/lakeserve.db", 0o444)
        os.chmod(name, request.param)
        yield Path(name)
        os.chmod(name, 0o700)


async def test_a_read_only_file_is_refused(read_only: Path) -> None:
    with _as_somebody_without_rights(), pytest.raises(StoreUnavailable, match="denied") as caught:
        await Database.open(database_url(read_only))

    assert caught.value.trouble is StoreTrouble.READ_ONLY


async def test_a_database_turned_read_only_refuses_changes_and_still_answers(
    database: Database, store: SqlEndpointStore
) -> None:
    endpoint = await store.add(an_endpoint(), AccessList())
    await database.read(lambda c: c.exec_driver_sql("PRAGMA query_only = 1"))

    with pytest.raises(StoreUnavailable) as caught:
        await store.save(endpoint)

    assert caught.value.trouble is StoreTrouble.READ_ONLY
    assert await store.get(endpoint.id) == endpoint
