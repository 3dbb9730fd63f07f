"""Who there is: users, service principals and groups, and the rules for changing them.

A :class:`Directory` is one immutable picture of all of them. Checks are methods on the picture as it would be after a change,
so that a rule about the whole (somebody must stay an administrator, no group may contain itself) is written once, whatever
the change was. Two groups are built in: ``admins``, and ``users``, to which everybody belongs without being listed.

    group "risk" ── members ──▶ user 4711
                            └─▶ group "interns" ── members ──▶ service principal 4712     (4712 is in "risk" too)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from lakeserve.domain.errors import BadRequest, InvalidParameterValue, ResourceAlreadyExists, ResourceConflict
from lakeserve.domain.principal import ADMINS, USERS, Kind, Membership, Principal

MAX_NAME = 256
MAX_MEMBERS = 10_000

_UNUSABLE = re.compile(r"[\x00-\x1f\x7f]|^\s|\s$")
_APPLICATION_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@dataclass(frozen=True, slots=True)
class Account:
    """A user or a service principal. ``name`` is the user name or the application id, and never changes.

    ``created_at`` is epoch milliseconds; ``extra`` holds what clients send and only want back: entitlements, roles, an external id.
    """

    id: str
    kind: Kind
    name: str
    display_name: str = ""
    active: bool = True
    created_at: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Group:
    """``members`` are ids of accounts and of other groups."""

    id: str
    name: str
    members: frozenset[str] = frozenset()
    created_at: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AccountFields:
    """What may be said of an account. ``name`` counts when it is made; ``active`` of None leaves that as it is."""

    name: str = ""
    display_name: str = ""
    active: bool | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GroupFields:
    """What may be said of a group."""

    name: str
    members: frozenset[str] = frozenset()
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Directory:
    """Everybody, by id, oldest first."""

    accounts: Mapping[str, Account] = field(default_factory=dict)
    groups: Mapping[str, Group] = field(default_factory=dict)

    @cached_property
    def _account_by_key(self) -> Mapping[str, Account]:
        return {name_key(account.name): account for account in self.accounts.values()}

    @cached_property
    def _group_by_key(self) -> Mapping[str, Group]:
        return {name_key(group.name): group for group in self.groups.values()}

    @cached_property
    def _parents(self) -> Mapping[str, tuple[str, ...]]:
        parents: dict[str, tuple[str, ...]] = {}
        for group in self.groups.values():
            for member in group.members:
                parents[member] = (*parents.get(member, ()), group.id)
        return parents

    def find_account(self, kind: Kind, name: str) -> Account | None:
        account = self._account_by_key.get(name_key(name))
        return account if account is not None and account.kind is kind else None

    def find_group(self, name: str) -> Group | None:
        return self._group_by_key.get(name_key(name))

    def memberships(self, member: str) -> tuple[Membership, ...]:
        """Every group of an account or a group, the direct ones first; an account's end with ``users``."""
        found = dict.fromkeys(self._parents.get(member, ()), True)
        frontier = list(found)
        while frontier:
            above = [group for below in frontier for group in self._parents.get(below, ()) if group not in found]
            found.update(dict.fromkeys(above, False))
            frontier = above
        if member in self.accounts:
            found.setdefault(USERS, True)
        return tuple(Membership(group, self.groups[group].name, direct) for group, direct in found.items())

    def principal(self, account_id: str) -> Principal | None:
        """The account as a caller whose credential does not end; None when it is gone or not active, and may not call."""
        account = self.accounts.get(account_id)
        if account is None or not account.active:
            return None
        return Principal(
            id=account.id,
            name=account.name,
            display_name=account.display_name,
            memberships=self.memberships(account.id),
            kind=account.kind,
        )

    def with_account(self, account: Account) -> Directory:
        return Directory({**self.accounts, account.id: account}, self.groups)

    def with_group(self, group: Group) -> Directory:
        return Directory(self.accounts, {**self.groups, group.id: group})

    def without(self, entry_id: str) -> Directory:
        """Without that account or group, also as a member."""
        groups = {
            group.id: replace(group, members=group.members - {entry_id})
            for group in self.groups.values()
            if group.id != entry_id
        }
        return Directory({key: value for key, value in self.accounts.items() if key != entry_id}, groups)

    def check(self) -> None:
        """The rules about the whole.

        :raises BadRequest: nobody would be left who may change anything.
        """
        if not any(account.active and self._administers(account.id) for account in self.accounts.values()):
            raise BadRequest(
                "The last active administrator cannot be deleted, deactivated or taken out of group admins."
            )

    def check_new_account(self, account: Account) -> None:
        """
        :raises InvalidParameterValue: its name is not usable.
        :raises ResourceAlreadyExists: its name is in use.
        """
        if account.kind is Kind.USER:
            _check_name("userName", account.name)
            # Clients take a user whose name looks like this for a service principal.
            if _APPLICATION_ID.fullmatch(account.name):
                raise InvalidParameterValue("userName must not have the form of an application id.")
        elif not _APPLICATION_ID.fullmatch(account.name):
            raise InvalidParameterValue("applicationId must be a UUID.")
        if name_key(account.name) in self._account_by_key:
            raise ResourceAlreadyExists(f"{_LABEL[account.kind]} with name '{account.name}' already exists.")

    def check_group(self, group: Group) -> None:
        """A new or changed group.

        :raises InvalidParameterValue: its name is not usable, or a member does not exist.
        :raises ResourceAlreadyExists: another group has its name.
        :raises ResourceConflict: it would contain itself.
        :raises BadRequest: it is a built-in group, and the change is one that those do not take.
        """
        _check_name("displayName", group.name)
        same_name = self.find_group(group.name)
        if same_name is not None and same_name.id != group.id:
            raise ResourceAlreadyExists(f"Group with name '{group.name}' already exists.")
        if group.id in (ADMINS, USERS) and group.name != group.id:
            raise BadRequest(f"Group {group.id} is built in and cannot be renamed.")
        if group.id == USERS and group.members:
            raise BadRequest("Everybody belongs to group users; its members cannot be changed.")
        self._check_members(group)

    def _check_members(self, group: Group) -> None:
        if len(group.members) > MAX_MEMBERS:
            raise InvalidParameterValue(f"A group has at most {MAX_MEMBERS} direct members.")
        for member in group.members:
            if member == USERS:
                raise BadRequest("Group users cannot be a member of another group.")
            if member not in self.accounts and member not in self.groups:
                raise InvalidParameterValue(f"There is no user, service principal or group with id {member[:64]}.")
            if member == group.id or any(above.id == member for above in self.memberships(group.id)):
                raise ResourceConflict(f"Group {group.name} would be a member of itself, through {member}.")

    def _administers(self, account_id: str) -> bool:
        return any(membership.id == ADMINS for membership in self.memberships(account_id))


_LABEL = {Kind.USER: "User", Kind.SERVICE_PRINCIPAL: "Service principal"}

BUILT_IN = Directory(groups={ADMINS: Group(ADMINS, ADMINS), USERS: Group(USERS, USERS)})


def name_key(name: str) -> str:
    """Names that differ only in case are the same name."""
    return name.casefold()


def check_deletable(group: Group) -> None:
    """
    :raises BadRequest: the group is built in.
    """
    if group.id in (ADMINS, USERS):
        raise BadRequest(f"Group {group.id} is built in and cannot be deleted.")


def directory_of(accounts: Iterable[Account], groups: Iterable[Group]) -> Directory:
    """The stored ones and the built-in groups."""
    stored = {group.id: group for group in groups}
    return Directory({account.id: account for account in accounts}, {**BUILT_IN.groups, **stored})


def _check_name(what: str, name: str) -> None:
    if not name or len(name) > MAX_NAME or _UNUSABLE.search(name):
        raise InvalidParameterValue(
            f"{what} must be 1 to {MAX_NAME} characters, without control characters or outer spaces."
        )
