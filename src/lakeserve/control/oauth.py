"""The use cases of service principals' secrets, and of the access tokens that are had for them.

An access token is opaque: a random text of which the digest is kept, like every other token, so that it can be revoked and ends
with its account.
"""

from __future__ import annotations

import hmac

from lakeserve.control.credentials import Credentials
from lakeserve.domain.directory import Account
from lakeserve.domain.errors import InvalidParameterValue, ResourceDoesNotExist
from lakeserve.domain.oauth import ALL_APIS, OAuthProblem, OAuthRefused, check_scope
from lakeserve.domain.principal import Kind, token_digest
from lakeserve.ports.store import Token, TokenKind

ACCESS_LIFETIME_S = 3600
DEFAULT_SECRET_LIFETIME_S = 730 * 24 * 3600


class ClientSecrets:
    """Secrets of service principals, by the service principal's id."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    async def create(self, account_id: str, lifetime_s: int | None) -> tuple[str, Token]:
        """The secret's text, which is shown this once, and what is kept of it.

        :raises ResourceDoesNotExist: no such service principal.
        :raises BadRequest: it has too many secrets.
        """
        account = self._account(account_id)
        lifetime_s = DEFAULT_SECRET_LIFETIME_S if lifetime_s is None else lifetime_s
        if not 1 <= lifetime_s <= DEFAULT_SECRET_LIFETIME_S:
            raise InvalidParameterValue(f"lifetime must be 1s to {DEFAULT_SECRET_LIFETIME_S}s.")
        return await self._credentials.issue(TokenKind.CLIENT_SECRET, account.id, lifetime_s=lifetime_s)

    def list(self, account_id: str) -> list[Token]:
        return self._credentials.of(TokenKind.CLIENT_SECRET, self._account(account_id).id)

    async def delete(self, account_id: str, secret_id: str) -> None:
        """Access tokens that were had for it stay good until they end.

        :raises ResourceDoesNotExist: no such service principal or secret.
        """
        secret = next((secret for secret in self.list(account_id) if secret.id == secret_id), None)
        if secret is None:
            raise ResourceDoesNotExist(f"Secret with id {secret_id[:64]} does not exist.")
        await self._credentials.revoke(secret)

    def _account(self, account_id: str) -> Account:
        account = self._credentials.directory.accounts.get(account_id)
        if account is None or account.kind is not Kind.SERVICE_PRINCIPAL:
            raise ResourceDoesNotExist(f"Service principal with id {account_id[:64]} does not exist.")
        return account


class AccessTokens:
    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    async def for_client(self, client_id: str, client_secret: str, scope: str) -> tuple[str, int]:
        """An access token for a service principal that shows one of its secrets, and for how many seconds it is good.

        :raises OAuthRefused: the client is not known, not active, or the secret is not one of its own; always the same words.
        """
        # Before the scope: a stranger is told nothing about what there is.
        account = self._client(client_id, client_secret)
        check_scope(scope, {ALL_APIS})
        text, _ = await self._credentials.issue(TokenKind.ACCESS, account.id, lifetime_s=ACCESS_LIFETIME_S)
        return text, ACCESS_LIFETIME_S

    def _client(self, client_id: str, client_secret: str) -> Account:
        account = self._credentials.directory.find_account(Kind.SERVICE_PRINCIPAL, client_id)
        digest = token_digest(client_secret)
        held = [] if account is None else self._credentials.of(TokenKind.CLIENT_SECRET, account.id)
        # No short way out, so that the time tells neither which secret was right nor how much of one.
        matches = [hmac.compare_digest(secret.digest, digest) for secret in held]
        if account is None or not account.active or not any(matches):
            raise OAuthRefused(OAuthProblem.INVALID_CLIENT, "Client authentication failed.")
        return account
