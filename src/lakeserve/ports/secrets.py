"""Secrets at rest: a store that only ever sees them sealed, and the sealer, which has the key and keeps nothing.

    value ── seal(place) ──▶ bytes ── put ──▶ store          store ── get ──▶ bytes ── open(place) ──▶ value

A sealed value opens only at the place (scope and key) that it was sealed for, so that whoever can write into the store still
cannot move one to a scope that they may read.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from lakeserve.domain.endpoint import ServedEntity
from lakeserve.domain.secrets import Permission, Scope, Secret


class CannotOpen(Exception):
    """Sealed with another key, for another place, or changed since."""


class SecretUnusable(Exception):
    """A worker's environment cannot be made. One sentence that says why, without any value in it."""


Resolve = Callable[[ServedEntity], Awaitable[Mapping[str, str]]]
"""The environment variables of a served entity with every reference to a secret replaced by its value.

Raises :class:`SecretUnusable`.
"""


@dataclass(frozen=True, slots=True)
class SealedSecret:
    """``updated_at`` is epoch milliseconds."""

    scope: str
    key: str
    sealed: bytes
    updated_at: int


@dataclass(frozen=True, slots=True)
class SecretKey:
    """That there is such a secret, without its value."""

    key: str
    updated_at: int


class Sealer(Protocol):
    def seal(self, place: str, value: Secret) -> bytes: ...

    def open(self, place: str, sealed: bytes) -> Secret:
        """
        :raises CannotOpen: it was not sealed for that place with this key.
        """

    def is_own(self, sealed: bytes) -> bool:
        """Whether this key seems to have sealed it."""


class SecretStore(Protocol):
    """Names are found whatever their case, and given back as they were first written.

    Every method is one transaction and may raise :class:`~lakeserve.ports.store.StoreUnavailable`.
    """

    async def add_scope(self, scope: Scope) -> None:
        """
        :raises NameTaken: there is a scope of that name.
        """

    async def scope(self, name: str) -> Scope | None: ...

    async def scopes(self) -> list[Scope]:
        """Every scope, oldest first; those created in the same millisecond by name."""

    async def set_grants(self, name: str, grants: Mapping[str, Permission]) -> bool:
        """Replace the grants. False when there is no such scope."""

    async def remove_scope(self, name: str) -> bool:
        """Forget the scope and everything in it. False when there is none."""

    async def put(self, secret: SealedSecret) -> bool:
        """Add a secret, or replace the one of the same scope and key. False when there is no such scope."""

    async def get(self, scope: str, key: str) -> SealedSecret | None: ...

    async def keys(self, scope: str) -> list[SecretKey]:
        """What the scope holds, by key."""

    async def remove(self, scope: str, key: str) -> bool:
        """Forget the secret. False when there is none."""

    async def any_secret(self) -> SealedSecret | None:
        """One of all, whichever; None when nothing is kept."""
