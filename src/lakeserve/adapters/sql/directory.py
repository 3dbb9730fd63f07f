"""The directory on SQL: each method one transaction, each transaction one function below."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from sqlalchemy import Connection, Table, delete, insert, select
from sqlalchemy.exc import IntegrityError

from lakeserve.adapters.sql import rows
from lakeserve.adapters.sql.database import Database
from lakeserve.adapters.sql.schema import account_groups, accounts, group_members
from lakeserve.adapters.sql.store import delete_row, put_row
from lakeserve.domain.directory import Account, Directory, Group, directory_of, name_key
from lakeserve.ports.store import NameTaken


class SqlDirectoryStore:
    """A :class:`~lakeserve.ports.store.DirectoryStore` in an open database, which it does not close."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self) -> Directory:
        return await self._database.read(_read)

    async def put_account(self, account: Account) -> None:
        await self._database.write(_put_named, accounts, rows.account_values(account, name_key(account.name)))

    async def put_group(self, group: Group) -> None:
        await self._database.write(_put_group, group)

    async def remove(self, entry_id: str) -> bool:
        return await self._database.write(_remove, entry_id)


def _read(connection: Connection) -> Directory:
    members: defaultdict[str, set[str]] = defaultdict(set)
    for row in connection.execute(select(group_members)):
        members[row.group_id].add(row.member_id)
    return directory_of(
        [rows.account_from_row(row) for row in connection.execute(_oldest_first(accounts))],
        [
            rows.group_from_row(row, frozenset(members[row.id]))
            for row in connection.execute(_oldest_first(account_groups))
        ],
    )


def _oldest_first(table: Table) -> Any:
    return select(table).order_by(table.c.created_at, table.c.id)


def _put_named(connection: Connection, table: Table, values: dict[str, Any]) -> None:
    try:
        put_row(connection, table, values)
    except IntegrityError as error:
        raise NameTaken(f"The name {values['name']} is in use.") from error


def _put_group(connection: Connection, group: Group) -> None:
    _put_named(connection, account_groups, rows.group_values(group, name_key(group.name)))
    connection.execute(delete(group_members).where(group_members.c.group_id == group.id))
    if group.members:
        connection.execute(insert(group_members), [{"group_id": group.id, "member_id": m} for m in group.members])


def _remove(connection: Connection, entry_id: str) -> bool:
    gone = [delete_row(connection, table, entry_id) for table in (accounts, account_groups)]
    mentioned = (group_members.c.group_id == entry_id) | (group_members.c.member_id == entry_id)
    connection.execute(delete(group_members).where(mentioned))
    return any(gone)
