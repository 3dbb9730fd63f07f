"""Secrets in a dictionary, with the rules of the SQL store. Nothing here awaits, so each method is one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from lakeserve.domain.secrets import Permission, Scope, fold
from lakeserve.ports.secrets import SealedSecret, SecretKey
from lakeserve.ports.store import NameTaken


class MemorySecretStore:
    """A :class:`~lakeserve.ports.secrets.SecretStore` that lives as long as the object."""

    def __init__(self) -> None:
        self._scopes: dict[str, Scope] = {}
        self._secrets: dict[tuple[str, str], SealedSecret] = {}

    async def add_scope(self, scope: Scope) -> None:
        if fold(scope.name) in self._scopes:
            raise NameTaken(f"The name {scope.name} is in use.")
        self._scopes[fold(scope.name)] = replace(scope, grants=dict(scope.grants))

    async def scope(self, name: str) -> Scope | None:
        found = self._scopes.get(fold(name))
        return None if found is None else replace(found, grants=dict(found.grants))

    async def scopes(self) -> list[Scope]:
        ordered = sorted(self._scopes.values(), key=lambda scope: (scope.created_at, fold(scope.name)))
        return [replace(scope, grants=dict(scope.grants)) for scope in ordered]

    async def set_grants(self, name: str, grants: Mapping[str, Permission]) -> bool:
        found = self._scopes.get(fold(name))
        if found is None:
            return False
        self._scopes[fold(name)] = replace(found, grants=dict(grants))
        return True

    async def remove_scope(self, name: str) -> bool:
        for place in [place for place in self._secrets if place[0] == fold(name)]:
            del self._secrets[place]
        return self._scopes.pop(fold(name), None) is not None

    async def put(self, secret: SealedSecret) -> bool:
        scope, place = self._scopes.get(fold(secret.scope)), (fold(secret.scope), fold(secret.key))
        if scope is None:
            return False
        old = self._secrets.get(place, secret)
        self._secrets[place] = replace(secret, scope=scope.name, key=old.key)
        return True

    async def get(self, scope: str, key: str) -> SealedSecret | None:
        return self._secrets.get((fold(scope), fold(key)))

    async def keys(self, scope: str) -> list[SecretKey]:
        held = sorted(item for item in self._secrets if item[0] == fold(scope))
        return [SecretKey(self._secrets[place].key, self._secrets[place].updated_at) for place in held]

    async def remove(self, scope: str, key: str) -> bool:
        return self._secrets.pop((fold(scope), fold(key)), None) is not None

    async def any_secret(self) -> SealedSecret | None:
        return next(iter(self._secrets.values()), None)
