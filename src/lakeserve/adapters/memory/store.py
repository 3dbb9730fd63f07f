"""Stores in a dictionary: for tests, and for a server that need not remember.

They keep the same rules as the SQL stores, and the same contract tests hold them to it. Nothing here awaits, so each
method is one step of the event loop and thereby one transaction. Values are copied on the way in and on the way out,
because a frozen dataclass may still hold a dictionary that its owner changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from lakeserve.domain.directory import Account, Directory, Group, directory_of, name_key
from lakeserve.domain.endpoint import Endpoint
from lakeserve.domain.principal import AccessList
from lakeserve.ports.store import NameTaken, StaleRevision, Token

T = TypeVar("T")
E = TypeVar("E", Account, Group)


class MemoryEndpointStore:
    """An :class:`~lakeserve.ports.store.EndpointStore` that lives as long as the object."""

    def __init__(self) -> None:
        self._endpoints: dict[str, Endpoint] = {}
        self._access: dict[str, AccessList] = {}

    async def add(self, endpoint: Endpoint, access: AccessList) -> Endpoint:
        if endpoint.id in self._endpoints:
            raise ValueError(f"Endpoint id {endpoint.id} is in use.")
        self._refuse_taken_name(endpoint)
        stored = _copy(replace(endpoint, revision=1))
        self._endpoints[stored.id] = stored
        self._access[stored.id] = _copy(access)
        return _copy(stored)

    async def get(self, endpoint_id: str) -> Endpoint | None:
        return _copy(self._endpoints.get(endpoint_id))

    async def find(self, name: str) -> Endpoint | None:
        return next((_copy(endpoint) for endpoint in self._endpoints.values() if endpoint.name == name), None)

    async def list(self) -> list[Endpoint]:
        ordered = sorted(self._endpoints.values(), key=lambda endpoint: (endpoint.created_at, endpoint.id))
        return [_copy(endpoint) for endpoint in ordered]

    async def save(self, endpoint: Endpoint) -> Endpoint:
        stored = self._endpoints.get(endpoint.id)
        if stored is None or stored.revision != endpoint.revision:
            raise StaleRevision(f"Endpoint {endpoint.id} is no longer at revision {endpoint.revision}.")
        self._refuse_taken_name(endpoint)
        saved = _copy(replace(endpoint, revision=endpoint.revision + 1))
        self._endpoints[saved.id] = saved
        return _copy(saved)

    async def delete(self, endpoint_id: str) -> bool:
        return self._endpoints.pop(endpoint_id, None) is not None

    async def access(self, endpoint_id: str) -> AccessList:
        return _copy(self._access.get(endpoint_id, AccessList()))

    async def access_lists(self) -> dict[str, AccessList]:
        return {endpoint_id: _copy(access) for endpoint_id, access in self._access.items()}

    async def set_access(self, endpoint_id: str, access: AccessList) -> None:
        self._access[endpoint_id] = _copy(access)

    def _refuse_taken_name(self, endpoint: Endpoint) -> None:
        if any(other.name == endpoint.name and other.id != endpoint.id for other in self._endpoints.values()):
            raise NameTaken(f"The name {endpoint.name} is in use.")


class MemoryTokenStore:
    """A :class:`~lakeserve.ports.store.TokenStore` that lives as long as the object."""

    def __init__(self) -> None:
        self._tokens: dict[str, Token] = {}

    async def put(self, token: Token) -> None:
        self._tokens[token.digest] = token

    async def remove(self, digest: str) -> bool:
        return self._tokens.pop(digest, None) is not None

    async def list(self) -> list[Token]:
        return sorted(self._tokens.values(), key=lambda token: (token.created_at, token.digest))


class MemoryDirectoryStore:
    """A :class:`~lakeserve.ports.store.DirectoryStore` that lives as long as the object."""

    def __init__(self) -> None:
        self._accounts: dict[str, Account] = {}
        self._groups: dict[str, Group] = {}

    async def read(self) -> Directory:
        return directory_of(_oldest_first(self._accounts.values()), _oldest_first(self._groups.values()))

    async def put_account(self, account: Account) -> None:
        _refuse_taken_key(account, self._accounts.values())
        self._accounts[account.id] = _copy(account)

    async def put_group(self, group: Group) -> None:
        _refuse_taken_key(group, self._groups.values())
        self._groups[group.id] = _copy(group)

    async def remove(self, entry_id: str) -> bool:
        account, removed = self._accounts.pop(entry_id, None), self._groups.pop(entry_id, None)
        for group in list(self._groups.values()):
            self._groups[group.id] = replace(group, members=group.members - {entry_id})
        return account is not None or removed is not None


def _oldest_first(entries: Iterable[E]) -> list[E]:
    return [_copy(entry) for entry in sorted(entries, key=lambda entry: (entry.created_at, entry.id))]


def _refuse_taken_key(entry: E, others: Iterable[E]) -> None:
    if any(name_key(other.name) == name_key(entry.name) and other.id != entry.id for other in others):
        raise NameTaken(f"The name {entry.name} is in use.")


def _copy(value: T) -> T:
    """The same value with nothing shared that could change. Read-only mappings become dictionaries, as from SQL."""
    return _copied(value)  # type: ignore[no-any-return]


def _copied(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{field.name: _copied(getattr(value, field.name)) for field in fields(value)})
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)(_copied(item) for item in value)
    return value
