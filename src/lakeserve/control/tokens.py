"""The use cases of personal tokens: everybody's own, with their own rights and no others, and the administrators' view of them.

There are no passwords, so the first credential of anybody is made by an administrator: a token on their behalf. That such a token
can be for a user is our own addition; the real product has it for service principals, and single sign-on for users.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lakeserve.control.credentials import Credentials
from lakeserve.domain.directory import Account, name_key
from lakeserve.domain.errors import InvalidParameterValue, ResourceDoesNotExist
from lakeserve.domain.principal import Kind, Principal
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
        return await _create(self._credentials, caller.id, comment, lifetime_s)

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
        return _one(self.list(caller), token_id)


@dataclass(frozen=True, slots=True)
class OwnedToken:
    token: Token
    owner: Account


class TokenManagement:
    """Everybody's personal tokens, for administrators."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    async def create_for(self, name: str, comment: str, lifetime_s: int | None) -> tuple[str, OwnedToken]:
        """A token for the service principal with that application id, or the user with that name.

        :raises ResourceDoesNotExist: nobody has that name.
        """
        directory = self._credentials.directory
        owner = directory.find_account(Kind.SERVICE_PRINCIPAL, name) or directory.find_account(Kind.USER, name)
        if owner is None:
            raise ResourceDoesNotExist(f"Service principal with application id {name[:256]} does not exist.")
        text, token = await _create(self._credentials, owner.id, comment, lifetime_s)
        return text, OwnedToken(token, owner)

    def list(self, *, owner_id: str | None = None, owner_name: str | None = None) -> list[OwnedToken]:
        """Those that have not ended, of everybody or of one."""
        accounts = [
            account
            for account in self._credentials.directory.accounts.values()
            if owner_id in (None, account.id) and (owner_name is None or name_key(owner_name) == name_key(account.name))
        ]
        return [
            OwnedToken(token, account)
            for account in accounts
            for token in self._credentials.of(TokenKind.PERSONAL, account.id)
        ]

    def get(self, token_id: str) -> OwnedToken:
        """
        :raises ResourceDoesNotExist: no such token.
        """
        owned = self.list()
        token = _one([each.token for each in owned], token_id)
        return next(each for each in owned if each.token is token)

    async def delete(self, token_id: str) -> None:
        """
        :raises ResourceDoesNotExist: no such token.
        """
        await self._credentials.revoke(self.get(token_id).token)


async def _create(credentials: Credentials, owner: str, comment: str, lifetime_s: int | None) -> tuple[str, Token]:
    lifetime_s = DEFAULT_LIFETIME_S if lifetime_s is None else lifetime_s
    if not 1 <= lifetime_s <= DEFAULT_LIFETIME_S:
        raise InvalidParameterValue(f"lifetime_seconds must be 1 to {DEFAULT_LIFETIME_S}.")
    _check_comment(comment)
    return await credentials.issue(TokenKind.PERSONAL, owner, lifetime_s=lifetime_s, comment=comment)


def _one(tokens: Sequence[Token], token_id: str) -> Token:
    token = next((token for token in tokens if token.id == token_id), None)
    if token is None:
        raise ResourceDoesNotExist(f"Token with id {token_id[:64]} does not exist.")
    return token


def _check_comment(comment: str) -> None:
    if len(comment) > MAX_COMMENT:
        raise InvalidParameterValue(f"comment must have at most {MAX_COMMENT} characters.")
