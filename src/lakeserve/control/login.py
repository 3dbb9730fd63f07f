"""The use cases of a person's login from a command: the browser shows a page, the page takes a token, the command gets a code.

    command ── opens ──▶ browser: login page ── personal token ──▶ code ── redirect ──▶ command ── code, verifier ──▶ access token

The command never sees the personal token, and the code is good once, for a minute, and only with the command's verifier.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from lakeserve.control.credentials import Credentials
from lakeserve.control.oauth import ACCESS_LIFETIME_S
from lakeserve.domain.oauth import OFFLINE, PUBLIC_CLIENT, LoginRequest, OAuthProblem, OAuthRefused
from lakeserve.ports.clock import Clock
from lakeserve.ports.store import TokenKind

REFRESH_LIFETIME_S = 30 * 24 * 3600

_CODE_LIFETIME_MS = 60_000
_MAX_CODES = 1_000
_LOGS_IN = (TokenKind.ADMIN, TokenKind.PERSONAL)


@dataclass(frozen=True, slots=True)
class Session:
    """What a command gets. ``refresh_token`` is None when it did not ask for one; ``expires_in`` is seconds."""

    access_token: str
    expires_in: int
    refresh_token: str | None = None


@dataclass(frozen=True, slots=True)
class _Pending:
    request: LoginRequest
    owner: str
    ends_at: int | None
    expires_at: int


class Logins:
    """Codes live in memory: whoever is about to log in while the server restarts does it again."""

    def __init__(self, credentials: Credentials, clock: Clock) -> None:
        self._credentials = credentials
        self._clock = clock
        self._pending: dict[str, _Pending] = {}

    def approve(self, request: LoginRequest, token: str) -> str | None:
        """A code for the owner of a personal token; None when it is not one that is good."""
        request.check()
        found = self._credentials.find(token)
        if found is None or found.kind not in _LOGS_IN:
            return None
        now = self._clock.now_ms()
        self._pending = {code: pending for code, pending in self._pending.items() if pending.expires_at > now}
        while len(self._pending) >= _MAX_CODES:
            del self._pending[next(iter(self._pending))]
        code = secrets.token_urlsafe(32)
        self._pending[code] = _Pending(request, found.owner, found.expires_at, now + _CODE_LIFETIME_MS)
        return code

    async def redeem(self, code: str, client_id: str, redirect_uri: str, verifier: str) -> Session:
        """
        :raises OAuthRefused: the code is not good, or not for whoever shows it.
        """
        pending = self._pending.pop(code, None)
        if (
            pending is None
            or pending.expires_at <= self._clock.now_ms()
            or (client_id, redirect_uri) != (pending.request.client_id, pending.request.redirect_uri)
            or not pending.request.answered_by(verifier)
        ):
            raise OAuthRefused(OAuthProblem.INVALID_GRANT, "The authorization code is not valid.")
        refresh_token = None
        if OFFLINE in pending.request.scope.split():
            lifetime_s = self._lifetime_s(REFRESH_LIFETIME_S, pending.ends_at)
            refresh_token, _ = await self._credentials.issue(TokenKind.REFRESH, pending.owner, lifetime_s=lifetime_s)
        return await self._session(pending.owner, pending.ends_at, refresh_token)

    async def refresh(self, refresh_token: str, client_id: str) -> Session:
        """A new access token. The refresh token stays good, because several commands of a person use one at the same time.

        :raises OAuthRefused: the refresh token is not good, in the words that make the official command line say "log in again".
        """
        found = self._credentials.find(refresh_token)
        if found is None or found.kind is not TokenKind.REFRESH or client_id != PUBLIC_CLIENT:
            raise OAuthRefused(OAuthProblem.INVALID_GRANT, "Refresh token is invalid")
        return await self._session(found.owner, found.expires_at, refresh_token)

    async def _session(self, owner: str, ends_at: int | None, refresh_token: str | None) -> Session:
        lifetime_s = self._lifetime_s(ACCESS_LIFETIME_S, ends_at)
        text, _ = await self._credentials.issue(TokenKind.ACCESS, owner, lifetime_s=lifetime_s)
        return Session(text, lifetime_s, refresh_token)

    def _lifetime_s(self, usual: int, ends_at: int | None) -> int:
        """No credential outlives the one that it was had for."""
        return usual if ends_at is None else max(min(usual, (ends_at - self._clock.now_ms()) // 1000), 1)
