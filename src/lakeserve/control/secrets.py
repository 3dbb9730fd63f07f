"""The use cases of secrets: scopes, what they hold, and who may do what with it.

Every one looks up the scope, which is told to be missing to anybody (names of scopes are no secret), then checks the caller's
permission on it, and only then says whether a key exists. Changes are made one after another, so that what was checked still holds
when it is stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from lakeserve.control.credentials import Credentials
from lakeserve.domain.directory import Directory
from lakeserve.domain.errors import (
    InternalError,
    InvalidParameterValue,
    PermissionDenied,
    ResourceAlreadyExists,
    ResourceDoesNotExist,
)
from lakeserve.domain.principal import USERS, Kind, Principal
from lakeserve.domain.secrets import (
    MAX_SCOPES,
    MAX_SECRETS,
    Permission,
    ResourceLimitExceeded,
    Scope,
    Secret,
    check_scope_name,
    check_secret,
    fold,
)
from lakeserve.ports.clock import Clock
from lakeserve.ports.secrets import CannotOpen, SealedSecret, Sealer, SecretKey, SecretStore
from lakeserve.ports.store import NameTaken


class Secrets:
    def __init__(self, store: SecretStore, sealer: Sealer, credentials: Credentials, clock: Clock) -> None:
        self._store = store
        self._sealer = sealer
        self._credentials = credentials
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()

    # Scopes

    async def create_scope(self, caller: Principal, name: str, initial_manage_principal: str | None) -> None:
        """The caller may manage it, or everybody if that is asked for.

        :raises InvalidParameterValue: the name cannot be one, or somebody else than ``users`` is to manage it.
        :raises ResourceAlreadyExists: the name is in use.
        :raises ResourceLimitExceeded: there are too many scopes.
        """
        check_scope_name(name)
        if initial_manage_principal not in (None, USERS):
            raise InvalidParameterValue(f"initial_manage_principal must be {USERS}, or left out.")
        manager = caller.id if initial_manage_principal is None else USERS
        async with self._one_at_a_time:
            known = await self._store.scopes()
            if len(known) >= MAX_SCOPES and not any(fold(scope.name) == fold(name) for scope in known):
                raise ResourceLimitExceeded(f"There can be at most {MAX_SCOPES} scopes.")
            try:
                await self._store.add_scope(Scope(name, {manager: Permission.MANAGE}, self._clock.now_ms()))
            except NameTaken:
                raise ResourceAlreadyExists(f"Scope {name} already exists.") from None

    async def scopes(self) -> list[Scope]:
        """All of them: everybody may know their names."""
        return await self._store.scopes()

    async def delete_scope(self, caller: Principal, name: str) -> None:
        """With everything in it."""
        async with self._one_at_a_time:
            await self._allowed(caller, name, Permission.MANAGE)
            await self._store.remove_scope(name)

    # What they hold

    async def put(self, caller: Principal, scope: str, key: str, value: Secret) -> None:
        """Keep a secret, in the place of one that has the key.

        :raises InvalidParameterValue: the key cannot be one, or the value is too long.
        :raises ResourceLimitExceeded: the scope is full.
        """
        check_secret(key, value)
        async with self._one_at_a_time:
            found = await self._allowed(caller, scope, Permission.WRITE)
            held = await self._store.keys(scope)
            if len(held) >= MAX_SECRETS and not any(fold(each.key) == fold(key) for each in held):
                raise ResourceLimitExceeded(f"A scope can hold at most {MAX_SECRETS} secrets.")
            sealed = self._sealer.seal(_place(scope, key), value)
            await self._store.put(SealedSecret(found.name, key, sealed, self._clock.now_ms()))

    async def get(self, caller: Principal, scope: str, key: str) -> tuple[str, Secret]:
        """The key as it was written, and the value.

        :raises ResourceDoesNotExist: there is no such secret.
        """
        sealed = await self._readable(caller, scope, key)
        try:
            return sealed.key, self._sealer.open(_place(scope, key), sealed.sealed)
        except CannotOpen as error:
            raise InternalError(f"Secret {sealed.key} in scope {sealed.scope} cannot be decrypted. {error}") from None

    async def check_readable(self, caller: Principal, scope: str, key: str) -> None:
        """
        :raises PermissionDenied: the caller may not read the scope.
        :raises ResourceDoesNotExist: there is no such scope or secret.
        """
        await self._readable(caller, scope, key)

    async def keys(self, caller: Principal, scope: str) -> list[SecretKey]:
        await self._allowed(caller, scope, Permission.READ)
        return await self._store.keys(scope)

    async def delete(self, caller: Principal, scope: str, key: str) -> None:
        """
        :raises ResourceDoesNotExist: there is no such secret.
        """
        async with self._one_at_a_time:
            found = await self._allowed(caller, scope, Permission.WRITE)
            if not await self._store.remove(scope, key):
                raise _no_secret(found, key)

    # Grants

    async def grant(self, caller: Principal, scope: str, name: str, permission: Permission) -> None:
        """Give a user, service principal or group that permission, in the place of what they have.

        :raises InvalidParameterValue: nobody has the name.
        """
        async with self._one_at_a_time:
            found = await self._allowed(caller, scope, Permission.MANAGE)
            await self._store.set_grants(scope, {**found.grants, self._id_of(name): permission})

    async def grants(self, caller: Principal, scope: str) -> dict[str, Permission]:
        """By name. Grants to somebody who is gone are left out, because they are worth nothing."""
        found = await self._allowed(caller, scope, Permission.MANAGE)
        return _named(found.grants, self._credentials.directory)

    async def grant_of(self, caller: Principal, scope: str, name: str) -> tuple[str, Permission]:
        """
        :raises ResourceDoesNotExist: nothing is granted to that name.
        """
        found = await self._allowed(caller, scope, Permission.MANAGE)
        granted = self._granted(found, name)
        ((known_as, permission),) = _named({granted: found.grants[granted]}, self._credentials.directory).items()
        return known_as, permission

    async def revoke(self, caller: Principal, scope: str, name: str) -> None:
        """
        :raises ResourceDoesNotExist: nothing is granted to that name.
        """
        async with self._one_at_a_time:
            found = await self._allowed(caller, scope, Permission.MANAGE)
            granted = self._granted(found, name)
            await self._store.set_grants(scope, {key: value for key, value in found.grants.items() if key != granted})

    # Checks

    async def _allowed(self, caller: Principal, name: str, needed: Permission) -> Scope:
        """
        :raises ResourceDoesNotExist: there is no such scope.
        :raises PermissionDenied: the caller has not that permission on it.
        """
        scope = await self._store.scope(name)
        if scope is None:
            raise ResourceDoesNotExist(f"Scope {name[:128]} does not exist.")
        if not scope.allows(caller, needed):
            raise PermissionDenied(
                f"User {caller.name} does not have {needed} permission on secret scope {scope.name}."
            )
        return scope

    async def _readable(self, caller: Principal, scope: str, key: str) -> SealedSecret:
        found = await self._allowed(caller, scope, Permission.READ)
        sealed = await self._store.get(scope, key)
        if sealed is None:
            raise _no_secret(found, key)
        return sealed

    def _id_of(self, name: str) -> str:
        found = _find(self._credentials.directory, name)
        if found is None:
            raise InvalidParameterValue(f"There is no user, service principal or group with the name {name[:256]}.")
        return found

    def _granted(self, scope: Scope, name: str) -> str:
        found = _find(self._credentials.directory, name)
        if found is None or found not in scope.grants:
            raise ResourceDoesNotExist(f"Nothing is granted to {name[:256]} on secret scope {scope.name}.")
        return found


def _place(scope: str, key: str) -> str:
    """What a value is bound to. Neither name can have a slash."""
    return f"{fold(scope)}/{fold(key)}"


def _no_secret(scope: Scope, key: str) -> ResourceDoesNotExist:
    return ResourceDoesNotExist(f"Secret {key[:128]} does not exist in scope {scope.name}.")


def _find(directory: Directory, name: str) -> str | None:
    """The id that goes by the name. Applications and people come before groups, should a group have the name of one."""
    found = (
        directory.find_account(Kind.USER, name)
        or directory.find_account(Kind.SERVICE_PRINCIPAL, name)
        or directory.find_group(name)
    )
    return None if found is None else found.id


def _named(grants: Mapping[str, Permission], directory: Directory) -> dict[str, Permission]:
    names = {group.id: group.name for group in directory.groups.values()}
    names |= {account.id: account.name for account in directory.accounts.values()}
    return {names[each]: permission for each, permission in grants.items() if each in names}
