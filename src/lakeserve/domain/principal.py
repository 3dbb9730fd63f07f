"""Who calls, and what they may do.

Levels are ordered: CAN_VIEW < CAN_QUERY < CAN_MANAGE, as in the public API reference. Members of ``admins`` have CAN_MANAGE on
everything; anyone else has what the access list of the endpoint gives them; nobody has anything by default.

Grants are held by id, never by name. An id is never used again, so whoever gets the name of somebody who has gone gets
none of their rights, and a grant to somebody who has gone is worth nothing and need not be hunted down.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

ADMINS = "admins"
"""Id and name of the group whose members may do everything."""

USERS = "users"
"""Id and name of the group that every account belongs to by itself."""


class Level(StrEnum):
    CAN_VIEW = "CAN_VIEW"
    CAN_QUERY = "CAN_QUERY"
    CAN_MANAGE = "CAN_MANAGE"

    def covers(self, needed: Level) -> bool:
        return _ORDER.index(self) >= _ORDER.index(needed)


_ORDER = (Level.CAN_VIEW, Level.CAN_QUERY, Level.CAN_MANAGE)


class Kind(StrEnum):
    USER = "user"
    SERVICE_PRINCIPAL = "service_principal"


@dataclass(frozen=True, slots=True)
class Membership:
    """One group that a principal belongs to. ``direct`` is False when it is through another group."""

    id: str
    name: str
    direct: bool = True


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller, as one credential presents it.

    ``id`` is numeric text, as SCIM ids are; ``name`` is an e-mail or application id. ``memberships`` holds every group, those
    reached through other groups too. ``expires_at`` is when the credential ends, in epoch milliseconds; None is never.
    """

    id: str
    name: str
    display_name: str = ""
    memberships: tuple[Membership, ...] = ()
    kind: Kind = Kind.USER
    expires_at: int | None = None

    @property
    def groups(self) -> tuple[str, ...]:
        """The names of all its groups."""
        return tuple(membership.name for membership in self.memberships)

    @property
    def is_admin(self) -> bool:
        return any(membership.id == ADMINS for membership in self.memberships)

    def expired(self, now: int) -> bool:
        """Whether the credential has ended by ``now``, in epoch milliseconds."""
        return self.expires_at is not None and self.expires_at <= now


@dataclass(frozen=True, slots=True)
class AccessList:
    """Direct grants on one object: id of a user or service principal, and id of a group, to level."""

    principals: Mapping[str, Level] = field(default_factory=dict)
    groups: Mapping[str, Level] = field(default_factory=dict)

    def level_of(self, principal: Principal) -> Level | None:
        if principal.is_admin:
            return Level.CAN_MANAGE
        granted = [self.groups[group.id] for group in principal.memberships if group.id in self.groups]
        if principal.id in self.principals:
            granted.append(self.principals[principal.id])
        return highest(granted)

    def allows(self, principal: Principal, needed: Level) -> bool:
        level = self.level_of(principal)
        return level is not None and level.covers(needed)

    def merged(self, other: AccessList) -> AccessList:
        """With the grants of ``other`` in the place of those that both have."""
        return AccessList({**self.principals, **other.principals}, {**self.groups, **other.groups})


def highest(levels: list[Level]) -> Level | None:
    return max(levels, key=_ORDER.index, default=None)


def token_digest(token: str) -> str:
    """What is stored of a token. A fast hash is right because tokens are random, not chosen by people."""
    return hashlib.sha256(token.encode()).hexdigest()
