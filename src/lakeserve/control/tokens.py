"""The use cases of personal tokens: everybody's own, with their own rights and no others."""

from __future__ import annotations

from lakeserve.control.credentials import Credentials
from lakeserve.domain.errors import InvalidParameterValue, ResourceDoesNotExist
from lakeserve.domain.principal import Principal
from lakeserve.ports.store import Token, TokenKind

DEFAULT_LIFETIME_S = 730 * 24 * 3600
"""What Databricks gives to a token that asks for nothing else, and the longest that it gives at all."""

MAX_COMMENT = 1024


class PersonalTokens:
    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    async def create(self, caller: Principal, comment: str, lifetime_s: int | None) -> tuple[str, Token]:
        """The token's text, which is shown this once, and what is kept of it.

        :raises InvalidParameterValue: the lifetime is not between a second and two years.
        :raises BadRequest: the caller has too many tokens.
        """
        lifetime_s = DEFAULT_LIFETIME_S if lifetime_s is None else lifetime_s
        if not 1 <= lifetime_s <= DEFAULT_LIFETIME_S:
            raise InvalidParameterValue(f"lifetime_seconds must be 1 to {DEFAULT_LIFETIME_S}.")
        _check_comment(comment)
        return await self._credentials.issue(TokenKind.PERSONAL, caller.id, lifetime_s=lifetime_s, comment=comment)

    def list(self, caller: Principal) -> list[Token]:
        """The caller's own that have not ended, oldest first."""
        return self._credentials.of(TokenKind.PERSONAL, caller.id)

    async def delete(self, caller: Principal, token_id: str) -> None:
        """
        :raises ResourceDoesNotExist: the caller has no such token.
        """
        await self._credentials.revoke(self._find(caller, token_id))

    async def set_comment(self, caller: Principal, token_id: str, comment: str) -> Token:
        """
        :raises ResourceDoesNotExist: the caller has no such token.
        """
        _check_comment(comment)
        return await self._credentials.amend(self._find(caller, token_id), comment)

    def _find(self, caller: Principal, token_id: str) -> Token:
        token = next((token for token in self.list(caller) if token.id == token_id), None)
        if token is None:
            raise ResourceDoesNotExist(f"Token with id {token_id[:64]} does not exist.")
        return token


def _check_comment(comment: str) -> None:
    if len(comment) > MAX_COMMENT:
        raise InvalidParameterValue(f"comment must have at most {MAX_COMMENT} characters.")
