"""The truth: desired and observed state of endpoints, who there is, and the digests of tokens.

A store has one writer. Each method is one transaction; what it acknowledged survives kill -9. Changes are guarded by
``revision``: a writer that read an older state than the one stored is refused and must read again. What a store takes
and gives is the caller's own: changing a mapping afterwards changes nothing stored.

Every method may raise :class:`StoreUnavailable`. A caller that is cancelled while it waits does not know whether its
change was made.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from lakeserve.domain.directory import Account, Directory, Group
from lakeserve.domain.endpoint import Endpoint
from lakeserve.domain.principal import AccessList


class StaleRevision(Exception):
    """The endpoint was changed or deleted since it was read: read again and decide anew."""


class NameTaken(Exception):
    """An endpoint, account or group of that name exists already."""


class StoreTrouble(StrEnum):
    """Why a store cannot be used. Only LOCKED and FULL pass by themselves; the others need somebody's hand."""

    LOCKED = "locked"
    FULL = "full"
    READ_ONLY = "read_only"
    MISSING = "missing"
    CORRUPT = "corrupt"
    IO = "io"
    SCHEMA = "schema"
    CLOSED = "closed"


class StoreUnavailable(Exception):
    """The store cannot be read or changed now; the operation was not made. ``trouble`` says why, the text says where."""

    def __init__(self, trouble: StoreTrouble, detail: str) -> None:
        super().__init__(detail)
        self.trouble = trouble


class TokenKind(StrEnum):
    """What a credential is good for. Client secrets and refresh tokens only buy access tokens; the others open the API."""

    ADMIN = "admin"
    PERSONAL = "personal"
    ACCESS = "access"
    CLIENT_SECRET = "client_secret"  # noqa: S105 - a kind, not a password
    REFRESH = "refresh"


@dataclass(frozen=True, slots=True)
class Token:
    """A credential: the digest of its text, and the id of the account it stands for.

    ``id`` is how people call it; ``created_at`` and ``expires_at`` are epoch milliseconds.
    """

    digest: str
    id: str
    kind: TokenKind
    owner: str
    comment: str = ""
    created_at: int = 0
    expires_at: int | None = None


class EndpointStore(Protocol):
    async def add(self, endpoint: Endpoint, access: AccessList) -> Endpoint:
        """Store a new endpoint; the returned one has revision 1.

        :raises NameTaken: the name is in use.
        :raises ValueError: the id is in use.
        """

    async def get(self, endpoint_id: str) -> Endpoint | None: ...

    async def find(self, name: str) -> Endpoint | None: ...

    async def list(self) -> list[Endpoint]:
        """Every endpoint, oldest first; those created in the same millisecond by id."""

    async def save(self, endpoint: Endpoint) -> Endpoint:
        """Replace the stored state if its revision still is ``endpoint.revision``; the returned one has the next revision.

        :raises StaleRevision: it is not, or the endpoint is gone.
        :raises NameTaken: the endpoint was renamed to a name in use.
        """

    async def delete(self, endpoint_id: str) -> bool:
        """Remove the endpoint; its name is free at once. False when it was not there. The access list stays readable."""

    async def access(self, endpoint_id: str) -> AccessList:
        """Direct grants on the endpoint; empty when none."""

    async def access_lists(self) -> dict[str, AccessList]:
        """Direct grants by endpoint id, those of deleted endpoints too. Endpoints that never had any are missing."""

    async def set_access(self, endpoint_id: str, access: AccessList) -> None:
        """Replace the direct grants."""


class TokenStore(Protocol):
    async def put(self, token: Token) -> None:
        """Add a token, or replace the one with the same digest."""

    async def remove(self, digest: str) -> bool:
        """Forget the token. False when it was not there."""

    async def list(self) -> list[Token]:
        """Every token, expired ones too, oldest first; those created in the same millisecond by digest."""


class DirectoryStore(Protocol):
    """Users, service principals and groups. Which changes make sense is not its business; that names are unique is."""

    async def read(self) -> Directory:
        """Everybody in one picture, oldest first, and the built-in groups."""

    async def put_account(self, account: Account) -> None:
        """Add an account, or replace the one with the same id.

        :raises NameTaken: another account has its name, case aside.
        """

    async def put_group(self, group: Group) -> None:
        """Add a group with its members, or replace the one with the same id.

        :raises NameTaken: another group has its name, case aside.
        """

    async def remove(self, entry_id: str) -> bool:
        """Forget the account or group, and take it out of every group. False when it was not there."""
