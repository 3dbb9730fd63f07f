"""Who calls, and what they may do.

Levels are ordered: CAN_VIEW < CAN_QUERY < CAN_MANAGE (serving-api.md 23). Members of ``admins`` have CAN_MANAGE on
everything; anyone else has what the access list of the endpoint gives them; nobody has anything by default.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

ADMINS = "admins"


class Level(StrEnum):
    CAN_VIEW = "CAN_VIEW"
    CAN_QUERY = "CAN_QUERY"
    CAN_MANAGE = "CAN_MANAGE"

    def covers(self, needed: Level) -> bool:
        return _ORDER.index(self) >= _ORDER.index(needed)


_ORDER = (Level.CAN_VIEW, Level.CAN_QUERY, Level.CAN_MANAGE)


@dataclass(frozen=True, slots=True)
class Principal:
    """A user or service principal. ``id`` is numeric text, as SCIM ids are; ``name`` is an e-mail or application id."""

    id: str
    name: str
    display_name: str = ""
    groups: tuple[str, ...] = ()

    @property
    def is_admin(self) -> bool:
        return ADMINS in self.groups


@dataclass(frozen=True, slots=True)
class AccessList:
    """Direct grants on one object: user or application name, and group name, to level."""

    principals: Mapping[str, Level] = field(default_factory=dict)
    groups: Mapping[str, Level] = field(default_factory=dict)

    def level_of(self, principal: Principal) -> Level | None:
        if principal.is_admin:
            return Level.CAN_MANAGE
        granted = [self.groups[group] for group in principal.groups if group in self.groups]
        if principal.name in self.principals:
            granted.append(self.principals[principal.name])
        return max(granted, key=_ORDER.index, default=None)

    def allows(self, principal: Principal, needed: Level) -> bool:
        level = self.level_of(principal)
        return level is not None and level.covers(needed)


def token_digest(token: str) -> str:
    """What is stored of a token. A fast hash is right because tokens are random, not chosen by people."""
    return hashlib.sha256(token.encode()).hexdigest()
