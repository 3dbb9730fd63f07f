"""Who is known by which credential: kept in the stores, held in memory here, published to the gateways.

Everything that changes who may call goes through :meth:`Credentials.change_directory`, :meth:`Credentials.issue` or
:meth:`Credentials.revoke`: one change at a time, first stored, then taken into use, then published. What a gateway gets is made
from the whole picture, so that a user who is deactivated or leaves a group counts as such with every credential they have::

    tokens ─┐
            ├─▶ digest → principal, with groups and expiry ─▶ gateways
    directory ┘
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from lakeserve.domain.directory import Account, Directory
from lakeserve.domain.errors import BadRequest
from lakeserve.domain.principal import ADMINS, Kind, Principal, token_digest
from lakeserve.ports.clock import Clock, Ids
from lakeserve.ports.publisher import Publisher
from lakeserve.ports.store import DirectoryStore, Token, TokenKind, TokenStore

PREFIXES = {
    TokenKind.PERSONAL: "dapi",
    TokenKind.ACCESS: "lsoa",
    TokenKind.CLIENT_SECRET: "dose",
    TokenKind.REFRESH: "lsrt",
}
"""Leak scanners and clients' own redaction know those of personal tokens and secrets, which are the ones of Databricks."""

_OPEN_NOTHING = (TokenKind.CLIENT_SECRET, TokenKind.REFRESH)

AT_MOST = {TokenKind.PERSONAL: 600, TokenKind.ACCESS: 1000, TokenKind.CLIENT_SECRET: 5, TokenKind.REFRESH: 100}
"""Living credentials of each kind that one account may have. Those of personal tokens and secrets are the ones of Databricks."""

_MADE_BY_PROGRAMS = (TokenKind.ACCESS, TokenKind.REFRESH)

_RANDOM_BYTES = 20
_OPERATOR_ID = "1"


class Credentials:
    def __init__(
        self, tokens: TokenStore, directory: DirectoryStore, publisher: Publisher, clock: Clock, ids: Ids
    ) -> None:
        self._token_store = tokens
        self._directory_store = directory
        self._publisher = publisher
        self._clock = clock
        self._ids = ids
        self._one_at_a_time = asyncio.Lock()
        self._tokens: dict[str, Token] = {}
        self.directory = Directory()
        self.principals: Mapping[str, Principal] = {}
        """By token digest."""

    async def install_admin(self, name: str, digest: str) -> None:
        """Read everything, and make ``digest`` the one admin token: that of an earlier start is no longer good.

        Whoever starts the server administers it, so the account of that name is made, activated and put into ``admins`` whatever
        has happened to it.
        """
        directory = await self._directory_store.read()
        account = directory.find_account(Kind.USER, name) or Account(
            id=self._ids.number() if _OPERATOR_ID in directory.accounts else _OPERATOR_ID,
            kind=Kind.USER,
            name=name,
            display_name="Administrator",
            created_at=self._clock.now_ms(),
        )
        admins = directory.groups[ADMINS]
        await self._directory_store.put_account(replace(account, active=True))
        await self._directory_store.put_group(replace(admins, members=admins.members | {account.id}))
        for token in await self._token_store.list():
            if token.kind is TokenKind.ADMIN and token.digest != digest:
                await self._token_store.remove(token.digest)
        now = self._clock.now_ms()
        await self._token_store.put(Token(digest, self._ids.hex32(), TokenKind.ADMIN, account.id, "", now))
        self.directory = await self._directory_store.read()
        self._tokens = {token.digest: token for token in await self._token_store.list()}
        await self._forget_dead()
        self._publish()

    async def change_directory(self, change: Callable[[Directory], Awaitable[Directory]]) -> Directory:
        """Let ``change`` look at the directory and store something, with nobody else changing it meanwhile.

        It returns the directory as it is then. That is taken into use without asking the store again: what has been stored must
        count, also when the store cannot be read just after.
        """
        async with self._one_at_a_time:
            self.directory = await change(self.directory)
            self._publish()
            return self.directory

    async def issue(self, kind: TokenKind, owner: str, *, lifetime_s: int, comment: str = "") -> tuple[str, Token]:
        """A new random credential: its text, which is nowhere kept, and what is.

        Of those that programs ask for, the oldest makes room; for the others a person decides.

        :raises BadRequest: the owner has as many of the kind as one may have.
        """
        text = PREFIXES[kind] + secrets.token_hex(_RANDOM_BYTES)
        async with self._one_at_a_time:
            await self._forget_dead()
            held = self.of(kind, owner)
            if len(held) >= AT_MOST[kind]:
                if kind not in _MADE_BY_PROGRAMS:
                    raise BadRequest(
                        f"At most {AT_MOST[kind]} of these can exist at a time. Delete one that is not needed."
                    )
                await self._remove(held[0])
            now = self._clock.now_ms()
            expires_at = now + lifetime_s * 1000
            token = Token(token_digest(text), self._ids.hex32(), kind, owner, comment, now, expires_at)
            await self._keep(token)
        return text, token

    async def amend(self, token: Token, comment: str) -> Token:
        """The same credential with another comment."""
        async with self._one_at_a_time:
            amended = replace(token, comment=comment)
            await self._keep(amended)
            return amended

    async def revoke(self, token: Token) -> None:
        """End a credential now."""
        async with self._one_at_a_time:
            await self._remove(token)
            self._publish()

    def find(self, text: str) -> Token | None:
        """The credential with that text, if it has not ended and its owner may call."""
        token = self._tokens.get(token_digest(text))
        if token is None or _ended(token, self._clock.now_ms()) or self.directory.principal(token.owner) is None:
            return None
        return token

    def of(self, kind: TokenKind, owner: str) -> list[Token]:
        """The owner's credentials of that kind that have not ended, oldest first."""
        now = self._clock.now_ms()
        found = [t for t in self._tokens.values() if t.kind is kind and t.owner == owner and not _ended(t, now)]
        return sorted(found, key=lambda token: (token.created_at, token.digest))

    async def _keep(self, token: Token) -> None:
        await self._token_store.put(token)
        self._tokens[token.digest] = token
        self._publish()

    async def _remove(self, token: Token) -> None:
        await self._token_store.remove(token.digest)
        self._tokens.pop(token.digest, None)

    async def _forget_dead(self) -> None:
        """Drop what has ended, and what belongs to nobody any more."""
        now = self._clock.now_ms()
        for token in list(self._tokens.values()):
            if _ended(token, now) or token.owner not in self.directory.accounts:
                await self._remove(token)

    def _publish(self) -> None:
        now = self._clock.now_ms()
        owners = {owner: self.directory.principal(owner) for owner in {token.owner for token in self._tokens.values()}}
        known = {}
        for token in self._tokens.values():
            principal = owners[token.owner]
            if principal is None or token.kind in _OPEN_NOTHING or _ended(token, now):
                continue
            known[token.digest] = replace(principal, expires_at=token.expires_at)
        self.principals = known
        self._publisher.publish_principals(known.items())


def _ended(token: Token, now: int) -> bool:
    return token.expires_at is not None and token.expires_at <= now
