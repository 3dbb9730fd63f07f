"""The use cases of users, service principals and groups. Each looks, checks the rules, and commits one change.

Who may call them is in the permission table: administrators. ``edit`` functions are called with what is stored, while nobody
else can change it, so that a change that says only what is different is applied to the newest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from lakeserve.control.credentials import Credentials
from lakeserve.domain.directory import (
    Account,
    AccountFields,
    Directory,
    Group,
    GroupFields,
    check_deletable,
)
from lakeserve.domain.errors import ResourceDoesNotExist
from lakeserve.domain.principal import Kind
from lakeserve.ports.clock import Clock, Ids
from lakeserve.ports.store import DirectoryStore


class DirectoryChanges:
    def __init__(self, store: DirectoryStore, credentials: Credentials, clock: Clock, ids: Ids) -> None:
        self._store = store
        self._credentials = credentials
        self._clock = clock
        self._ids = ids

    @property
    def directory(self) -> Directory:
        return self._credentials.directory

    def account(self, kind: Kind, account_id: str) -> Account:
        """
        :raises ResourceDoesNotExist: no account of that kind has the id.
        """
        return _account(self.directory, kind, account_id)

    def group(self, group_id: str) -> Group:
        """
        :raises ResourceDoesNotExist: no such group.
        """
        return _group(self.directory, group_id)

    async def create_account(self, kind: Kind, fields: AccountFields) -> Account:
        """A service principal that comes without a name is given an application id.

        :raises ResourceAlreadyExists: the name is in use.
        """
        account = Account(
            id=self._ids.number(),
            kind=kind,
            name=fields.name or (self._ids.uuid() if kind is Kind.SERVICE_PRINCIPAL else ""),
            display_name=fields.display_name,
            active=fields.active is not False,
            created_at=self._clock.now_ms(),
            extra=fields.extra,
        )

        async def change(directory: Directory) -> Directory:
            directory.check_new_account(account)
            await self._store.put_account(account)
            return directory.with_account(account)

        await self._credentials.change_directory(change)
        return account

    async def change_account(self, kind: Kind, account_id: str, edit: Callable[[Account], AccountFields]) -> Account:
        """
        :raises ResourceDoesNotExist: no such account.
        :raises BadRequest: the last active administrator would be deactivated.
        """

        async def change(directory: Directory) -> Directory:
            account = _account(directory, kind, account_id)
            fields = edit(account)
            changed = replace(
                account,
                display_name=fields.display_name,
                active=account.active if fields.active is None else fields.active,
                extra=fields.extra,
            )
            after = directory.with_account(changed)
            after.check()
            await self._store.put_account(changed)
            return after

        return _account(await self._credentials.change_directory(change), kind, account_id)

    async def delete_account(self, kind: Kind, account_id: str) -> None:
        """Its tokens and secrets end at once.

        :raises ResourceDoesNotExist: no such account.
        :raises BadRequest: it is the last active administrator.
        """

        async def change(directory: Directory) -> Directory:
            after = directory.without(_account(directory, kind, account_id).id)
            after.check()
            await self._store.remove(account_id)
            return after

        await self._credentials.change_directory(change)

    async def create_group(self, fields: GroupFields) -> Group:
        """
        :raises ResourceAlreadyExists: the name is in use.
        :raises InvalidParameterValue: a member does not exist.
        """
        group = Group(self._ids.number(), fields.name, fields.members, self._clock.now_ms(), fields.extra)

        async def change(directory: Directory) -> Directory:
            directory.check_group(group)
            await self._store.put_group(group)
            return directory.with_group(group)

        await self._credentials.change_directory(change)
        return group

    async def change_group(self, group_id: str, edit: Callable[[Group], GroupFields]) -> Group:
        """
        :raises ResourceDoesNotExist: no such group.
        :raises BadRequest: nobody would be left in ``admins``, or a built-in group would change its nature.
        """

        async def change(directory: Directory) -> Directory:
            group = _group(directory, group_id)
            fields = edit(group)
            changed = replace(group, name=fields.name, members=fields.members, extra=fields.extra)
            directory.check_group(changed)
            after = directory.with_group(changed)
            after.check()
            await self._store.put_group(changed)
            return after

        return _group(await self._credentials.change_directory(change), group_id)

    async def delete_group(self, group_id: str) -> None:
        """
        :raises ResourceDoesNotExist: no such group.
        :raises BadRequest: it is built in, or nobody would be left who administers.
        """

        async def change(directory: Directory) -> Directory:
            check_deletable(_group(directory, group_id))
            after = directory.without(group_id)
            after.check()
            await self._store.remove(group_id)
            return after

        await self._credentials.change_directory(change)


def _account(directory: Directory, kind: Kind, account_id: str) -> Account:
    account = directory.accounts.get(account_id)
    if account is None or account.kind is not kind:
        what = "User" if kind is Kind.USER else "Service principal"
        raise ResourceDoesNotExist(f"{what} with id {account_id[:64]} does not exist.")
    return account


def _group(directory: Directory, group_id: str) -> Group:
    group = directory.groups.get(group_id)
    if group is None:
        raise ResourceDoesNotExist(f"Group with id {group_id[:64]} does not exist.")
    return group
