"""Who is known by which token: kept in the store, held in memory here, published to the gateways."""

from __future__ import annotations

from collections.abc import Mapping

from lakeserve.domain.principal import ADMINS, Principal
from lakeserve.ports.clock import Clock
from lakeserve.ports.publisher import Publisher
from lakeserve.ports.store import Token, TokenStore

_ADMIN = "admin token"


class Credentials:
    def __init__(self, store: TokenStore, publisher: Publisher, clock: Clock) -> None:
        self._store = store
        self._publisher = publisher
        self._clock = clock
        self._principals: dict[str, Principal] = {}

    @property
    def principals(self) -> Mapping[str, Principal]:
        """By token digest."""
        return self._principals

    async def install_admin(self, name: str, digest: str) -> None:
        """Make ``digest`` the one admin token: the one of an earlier start is no longer good."""
        for token in await self._store.list():
            if token.comment == _ADMIN and token.digest != digest:
                await self._store.remove(token.digest)
        admin = Principal(id="1", name=name, display_name="Administrator", groups=(ADMINS,))
        await self._store.put(Token(digest, admin, _ADMIN, self._clock.now_ms()))

    async def load(self) -> None:
        """Read the table anew and publish it."""
        now = self._clock.now_ms()
        tokens = [t for t in await self._store.list() if t.expires_at is None or t.expires_at > now]
        self._principals = {token.digest: token.principal for token in tokens}
        self._publisher.publish_principals(self._principals.items())
