"""Stores in a dictionary: for tests, and for a server that need not remember.

They keep the same rules as the SQL stores, and the same contract tests hold them to it. Nothing here awaits, so each
method is one step of the event loop and thereby one transaction. Values are copied on the way in and on the way out,
because a frozen dataclass may still hold a dictionary that its owner changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from lakeserve.domain.endpoint import Endpoint
from lakeserve.domain.principal import AccessList
from lakeserve.ports.store import NameTaken, StaleRevision, Token

T = TypeVar("T")


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
