"""Secrets on SQL, sealed before they come here: each method one transaction, each transaction one function below."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from lakeserve.adapters.sql import rows
from lakeserve.adapters.sql.database import Database
from lakeserve.adapters.sql.schema import secret_scopes, secrets
from lakeserve.domain.secrets import Permission, Scope, fold
from lakeserve.ports.secrets import SealedSecret, SecretKey
from lakeserve.ports.store import NameTaken


class SqlSecretStore:
    """A :class:`~lakeserve.ports.secrets.SecretStore` in an open database, which it does not close."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add_scope(self, scope: Scope) -> None:
        await self._database.write(_add_scope, scope)

    async def scope(self, name: str) -> Scope | None:
        return await self._database.read(_scope, name)

    async def scopes(self) -> list[Scope]:
        return await self._database.read(_scopes)

    async def set_grants(self, name: str, grants: Mapping[str, Permission]) -> bool:
        return await self._database.write(_set_grants, name, grants)

    async def remove_scope(self, name: str) -> bool:
        return await self._database.write(_remove_scope, name)

    async def put(self, secret: SealedSecret) -> bool:
        return await self._database.write(_put, secret)

    async def get(self, scope: str, key: str) -> SealedSecret | None:
        return await self._database.read(_first, _sealed().where(_at(scope, key)))

    async def keys(self, scope: str) -> list[SecretKey]:
        return await self._database.read(_keys, scope)

    async def remove(self, scope: str, key: str) -> bool:
        return await self._database.write(_remove, scope, key)

    async def any_secret(self) -> SealedSecret | None:
        return await self._database.read(_first, _sealed().limit(1))


def _at(scope: str, key: str) -> ColumnElement[bool]:
    return (secrets.c.scope_fold == fold(scope)) & (secrets.c.key_fold == fold(key))


def _sealed() -> Select[Any]:
    scope_name = secret_scopes.c.name.label("scope")
    return select(scope_name, secrets).join(secret_scopes, secret_scopes.c.fold == secrets.c.scope_fold)


def _add_scope(connection: Connection, scope: Scope) -> None:
    try:
        connection.execute(insert(secret_scopes).values(rows.scope_values(scope)))
    except IntegrityError as error:
        raise NameTaken(f"The name {scope.name} is in use.") from error


def _scope_row(connection: Connection, name: str) -> Row[Any] | None:
    return connection.execute(select(secret_scopes).where(secret_scopes.c.fold == fold(name))).first()


def _scope(connection: Connection, name: str) -> Scope | None:
    row = _scope_row(connection, name)
    return None if row is None else rows.scope_from_row(row)


def _scopes(connection: Connection) -> list[Scope]:
    ordered = select(secret_scopes).order_by(secret_scopes.c.created_at, secret_scopes.c.fold)
    return [rows.scope_from_row(row) for row in connection.execute(ordered)]


def _set_grants(connection: Connection, name: str, grants: Mapping[str, Permission]) -> bool:
    changed = update(secret_scopes).where(secret_scopes.c.fold == fold(name))
    return connection.execute(changed.values(document=rows.grants_document(grants))).rowcount == 1


def _remove_scope(connection: Connection, name: str) -> bool:
    connection.execute(delete(secrets).where(secrets.c.scope_fold == fold(name)))
    return connection.execute(delete(secret_scopes).where(secret_scopes.c.fold == fold(name))).rowcount == 1


def _put(connection: Connection, secret: SealedSecret) -> bool:
    if _scope_row(connection, secret.scope) is None:
        return False
    values = {"sealed": secret.sealed, "updated_at": secret.updated_at}
    if connection.execute(update(secrets).where(_at(secret.scope, secret.key)).values(values)).rowcount == 0:
        place = {"scope_fold": fold(secret.scope), "key_fold": fold(secret.key), "key": secret.key}
        connection.execute(insert(secrets).values({**place, **values}))
    return True


def _first(connection: Connection, query: Select[Any]) -> SealedSecret | None:
    row = connection.execute(query).first()
    return None if row is None else SealedSecret(row.scope, row.key, row.sealed, row.updated_at)


def _keys(connection: Connection, scope: str) -> list[SecretKey]:
    held = select(secrets.c.key, secrets.c.updated_at).where(secrets.c.scope_fold == fold(scope))
    return [SecretKey(row.key, row.updated_at) for row in connection.execute(held.order_by(secrets.c.key_fold))]


def _remove(connection: Connection, scope: str, key: str) -> bool:
    return connection.execute(delete(secrets).where(_at(scope, key))).rowcount == 1
