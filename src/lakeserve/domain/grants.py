"""Access lists as people write and read them: by name, where what is stored goes by id."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from lakeserve.domain.directory import Directory
from lakeserve.domain.errors import ResourceDoesNotExist
from lakeserve.domain.principal import ADMINS, AccessList, Kind, Level, highest


class Grantee(StrEnum):
    """What kind of name it is. The values are how a refusal calls it."""

    USER = "UserName"
    SERVICE_PRINCIPAL = "ServicePrincipalName"
    GROUP = "GroupName"


_KINDS = {Kind.USER: Grantee.USER, Kind.SERVICE_PRINCIPAL: Grantee.SERVICE_PRINCIPAL}


@dataclass(frozen=True, slots=True)
class Grant:
    grantee: Grantee
    name: str
    level: Level
    display_name: str = ""


def to_access_list(grants: Iterable[Grant], directory: Directory) -> AccessList:
    """Of two grants to the same one the higher counts.

    :raises ResourceDoesNotExist: nobody has that name.
    """
    principals: dict[str, list[Level]] = {}
    groups: dict[str, list[Level]] = {}
    for grant in grants:
        kept = groups if grant.grantee is Grantee.GROUP else principals
        kept.setdefault(_id_of(grant, directory), []).append(grant.level)
    return AccessList(_highest(principals), _highest(groups))


def shown(access: AccessList, directory: Directory) -> Iterator[Grant]:
    """The direct grants, users first. Those to somebody who is gone are left out, because they are worth nothing."""
    for account_id, level in access.principals.items():
        account = directory.accounts.get(account_id)
        if account is not None:
            yield Grant(_KINDS[account.kind], account.name, level, account.display_name)
    for group_id, level in access.groups.items():
        group = directory.groups.get(group_id)
        if group is not None:
            yield Grant(Grantee.GROUP, group.name, level)


INHERITED = Grant(Grantee.GROUP, ADMINS, Level.CAN_MANAGE)
"""What every endpoint inherits and no list can take away."""


def _id_of(grant: Grant, directory: Directory) -> str:
    found = (
        directory.find_group(grant.name)
        if grant.grantee is Grantee.GROUP
        else directory.find_account(Kind.USER if grant.grantee is Grantee.USER else Kind.SERVICE_PRINCIPAL, grant.name)
    )
    if found is None:
        raise ResourceDoesNotExist(f"Principal: {grant.grantee}({grant.name[:256]}) does not exist")
    return found.id


def _highest(levels: dict[str, list[Level]]) -> dict[str, Level]:
    return {key: level for key, given in levels.items() if (level := highest(given)) is not None}
