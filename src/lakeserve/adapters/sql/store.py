"""The stores on SQL: each method one transaction, each transaction one function below.

The revision guard is in the UPDATE itself, and names are held apart by the unique index, so both hold between processes
too and not only behind our single connection.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Select, Table, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from lakeserve.adapters.sql import rows
from lakeserve.adapters.sql.database import Database
from lakeserve.adapters.sql.schema import access_lists, endpoints, tokens
from lakeserve.domain.endpoint import Endpoint
from lakeserve.domain.principal import AccessList
from lakeserve.ports.store import NameTaken, StaleRevision, Token


class SqlEndpointStore:
    """An :class:`~lakeserve.ports.store.EndpointStore` in an open database, which it does not close."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, endpoint: Endpoint, access: AccessList) -> Endpoint:
        return await self._database.write(_add, replace(endpoint, revision=1), access)

    async def get(self, endpoint_id: str) -> Endpoint | None:
        return await self._database.read(_one, by_id(endpoint_id))

    async def find(self, name: str) -> Endpoint | None:
        return await self._database.read(_one, by_name(name))

    async def list(self) -> list[Endpoint]:
        return await self._database.read(_all)

    async def save(self, endpoint: Endpoint) -> Endpoint:
        return await self._database.write(_save, endpoint)

    async def delete(self, endpoint_id: str) -> bool:
        return await self._database.write(delete_row, endpoints, endpoint_id)

    async def access(self, endpoint_id: str) -> AccessList:
        return await self._database.read(_access, endpoint_id)

    async def access_lists(self) -> dict[str, AccessList]:
        return await self._database.read(_access_lists)

    async def set_access(self, endpoint_id: str, access: AccessList) -> None:
        await self._database.write(_set_access, endpoint_id, access)


class SqlTokenStore:
    """A :class:`~lakeserve.ports.store.TokenStore` in an open database, which it does not close."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, token: Token) -> None:
        await self._database.write(put_row, tokens, rows.token_values(token))

    async def remove(self, digest: str) -> bool:
        return await self._database.write(delete_row, tokens, digest)

    async def list(self) -> list[Token]:
        return await self._database.read(_all_tokens)


def by_id(endpoint_id: str) -> Select[Any]:
    return select(endpoints).where(endpoints.c.id == endpoint_id)


def by_name(name: str) -> Select[Any]:
    return select(endpoints).where(endpoints.c.name == name)


def _add(connection: Connection, endpoint: Endpoint, access: AccessList) -> Endpoint:
    if connection.execute(by_id(endpoint.id)).first() is not None:
        raise ValueError(f"Endpoint id {endpoint.id} is in use.")
    try:
        connection.execute(insert(endpoints).values(rows.endpoint_values(endpoint)))
    except IntegrityError as error:
        raise NameTaken(f"The name {endpoint.name} is in use.") from error
    _set_access(connection, endpoint.id, access)
    return _stored(connection, endpoint.id)


def _save(connection: Connection, endpoint: Endpoint) -> Endpoint:
    saved = replace(endpoint, revision=endpoint.revision + 1)
    guarded = update(endpoints).where(endpoints.c.id == endpoint.id, endpoints.c.revision == endpoint.revision)
    try:
        changed = connection.execute(guarded.values(rows.endpoint_values(saved))).rowcount
    except IntegrityError as error:
        raise NameTaken(f"The name {endpoint.name} is in use.") from error
    if changed == 0:
        raise StaleRevision(f"Endpoint {endpoint.id} is no longer at revision {endpoint.revision}.")
    return _stored(connection, endpoint.id)


def _stored(connection: Connection, endpoint_id: str) -> Endpoint:
    """What was just written, read back: the caller then shares no mapping with what it passed in."""
    return rows.endpoint_from_row(connection.execute(by_id(endpoint_id)).one())


def _one(connection: Connection, query: Select[Any]) -> Endpoint | None:
    row = connection.execute(query).first()
    return None if row is None else rows.endpoint_from_row(row)


def _all(connection: Connection) -> list[Endpoint]:
    ordered = select(endpoints).order_by(endpoints.c.created_at, endpoints.c.id)
    return [rows.endpoint_from_row(row) for row in connection.execute(ordered)]


def _access(connection: Connection, endpoint_id: str) -> AccessList:
    row = connection.execute(select(access_lists).where(access_lists.c.endpoint_id == endpoint_id)).first()
    return AccessList() if row is None else rows.access_from_row(row)


def _access_lists(connection: Connection) -> dict[str, AccessList]:
    return {row.endpoint_id: rows.access_from_row(row) for row in connection.execute(select(access_lists))}


def _set_access(connection: Connection, endpoint_id: str, access: AccessList) -> None:
    put_row(connection, access_lists, {"endpoint_id": endpoint_id, "document": rows.access_document(access)})


def _all_tokens(connection: Connection) -> list[Token]:
    ordered = select(tokens).order_by(tokens.c.created_at, tokens.c.digest)
    return [rows.token_from_row(row) for row in connection.execute(ordered)]


def put_row(connection: Connection, table: Table, values: dict[str, Any]) -> None:
    """Insert or replace. Two statements, because the single one is spelt differently by each database."""
    (key,) = table.primary_key
    if connection.execute(update(table).where(key == values[key.name]).values(values)).rowcount == 0:
        connection.execute(insert(table).values(values))


def delete_row(connection: Connection, table: Table, key: str) -> bool:
    (column,) = table.primary_key
    return connection.execute(delete(table).where(column == key)).rowcount == 1
