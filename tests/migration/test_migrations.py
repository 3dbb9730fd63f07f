"""The migrations lead to the schema that the code expects, forwards and back, and can be interrupted anywhere."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, inspect, text

from lakeserve.adapters.sql import migrations
from lakeserve.adapters.sql.database import Database
from lakeserve.adapters.sql.schema import metadata
from lakeserve.adapters.sql.store import SqlEndpointStore, by_id, by_name
from lakeserve.domain.principal import AccessList
from lakeserve.ports.store import StoreTrouble, StoreUnavailable
from support.endpoints import an_endpoint
from support.stores import database_url

TESTS = Path(__file__).parents[1]


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await Database.open(database_url(tmp_path))
    yield opened
    await opened.close()


def _tables(connection: Connection) -> dict[str, Any]:
    found = inspect(connection)
    return {
        name: {
            "columns": [{**column, "type": str(column["type"])} for column in found.get_columns(name)],
            "primary key": found.get_pk_constraint(name),
            "unique": found.get_unique_constraints(name),
            "indexes": found.get_indexes(name),
            "foreign keys": found.get_foreign_keys(name),
        }
        for name in found.get_table_names()
        if name != migrations.VERSION_TABLE
    }


def _difference(connection: Connection) -> list[Any]:
    options = {"compare_type": True, "compare_server_default": True}
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))


async def test_the_sum_of_the_migrations_is_the_schema(database: Database) -> None:
    assert await database.read(_difference) == []

    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        metadata.create_all(connection)
        created = _tables(connection)
    engine.dispose()
    assert await database.read(_tables) == created
    assert set(created) == set(metadata.tables)


async def test_the_named_head_is_the_newest_script(database: Database) -> None:
    scripts = await database.read(lambda connection: ScriptDirectory.from_config(migrations.config(connection)))

    assert scripts.get_heads() == [migrations.HEAD]
    assert await database.read(migrations.stored_revision) == migrations.HEAD


async def test_down_to_nothing_and_up_again(database: Database) -> None:
    at_head = await database.read(_tables)

    await database.write(lambda connection: command.downgrade(migrations.config(connection), "base"))
    assert await database.read(_tables) == {}
    assert await database.read(migrations.stored_revision) is None

    await database.write(migrations.upgrade)
    assert await database.read(_tables) == at_head


async def test_a_database_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    database = await Database.open(database_url(tmp_path))
    await database.write(lambda connection: connection.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    await database.close()

    with pytest.raises(StoreUnavailable, match="another version") as caught:
        await Database.open(database_url(tmp_path))

    assert caught.value.trouble is StoreTrouble.SCHEMA
    connection = sqlite3.connect(tmp_path / "lakeserve.db")
    assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("9999",)]
    connection.close()


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "support.store_process", *arguments],
        cwd=TESTS, env={**os.environ, "PYTHONPATH": ""}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


async def test_killed_before_any_statement_the_next_start_ends_well(tmp_path: Path) -> None:
    for number in range(1, 100):
        folder = tmp_path / str(number)
        folder.mkdir()
        killed = _run("migrate", database_url(folder), str(number))
        if killed.returncode == 0:
            break
        assert killed.returncode == -signal.SIGKILL, killed.stderr

        database = await Database.open(database_url(folder))
        assert await database.read(_difference) == []
        assert await database.read(lambda c: c.exec_driver_sql("PRAGMA integrity_check").scalar()) == "ok"
        await SqlEndpointStore(database).add(an_endpoint(), AccessList())
        await database.close()
    # BEGIN IMMEDIATE, Alembic's own table, one CREATE for each of ours, the version, COMMIT: all were killed at.
    assert number > len(metadata.tables) + 4


async def test_opening_an_up_to_date_database_does_not_import_alembic(tmp_path: Path) -> None:
    first = _run("modules", database_url(tmp_path)).stdout.split()
    second = _run("modules", database_url(tmp_path)).stdout.split()

    assert "alembic" in first
    assert "sqlalchemy" in second
    assert "alembic" not in second


@pytest.mark.parametrize("query", [by_id("x"), by_name("x")], ids=["by id", "by name"])
async def test_looking_up_an_endpoint_uses_an_index(database: Database, query: Any) -> None:
    def plan(connection: Connection) -> list[str]:
        statement = str(query.compile(connection, compile_kwargs={"literal_binds": True}))
        return [row.detail for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}")]

    (step,) = await database.read(plan)
    assert step.startswith("SEARCH endpoints USING INDEX")
