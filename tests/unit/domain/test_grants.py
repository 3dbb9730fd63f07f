"""Access lists by name, to and from access lists by id."""

from __future__ import annotations

import pytest

from lakeserve.domain.directory import Account, Group, directory_of
from lakeserve.domain.errors import ResourceDoesNotExist
from lakeserve.domain.grants import Grant, Grantee, shown, to_access_list
from lakeserve.domain.principal import AccessList, Kind, Level

UUID = "f3b0a1de-0000-4000-8000-1234567890ab"
DIRECTORY = directory_of(
    [Account("2", Kind.USER, "ada@example.com", "Ada"), Account("3", Kind.SERVICE_PRINCIPAL, UUID)],
    [Group("10", "risk")],
)


def test_names_become_ids_and_names_again() -> None:
    grants = [
        Grant(Grantee.USER, "ada@example.com", Level.CAN_VIEW, "Ada"),
        Grant(Grantee.SERVICE_PRINCIPAL, UUID, Level.CAN_QUERY),
        Grant(Grantee.GROUP, "risk", Level.CAN_MANAGE),
    ]
    access = to_access_list(grants, DIRECTORY)
    assert access == AccessList({"2": Level.CAN_VIEW, "3": Level.CAN_QUERY}, {"10": Level.CAN_MANAGE})
    assert list(shown(access, DIRECTORY)) == grants


@pytest.mark.parametrize("levels", [(Level.CAN_VIEW, Level.CAN_MANAGE), (Level.CAN_MANAGE, Level.CAN_VIEW)])
def test_of_two_grants_to_one_the_higher_counts(levels: tuple[Level, Level]) -> None:
    grants = [
        Grant(Grantee.USER, name, level)
        for name, level in zip(("ada@example.com", "ADA@example.com"), levels, strict=True)
    ]
    assert to_access_list(grants, DIRECTORY) == AccessList({"2": Level.CAN_MANAGE})


@pytest.mark.parametrize(
    ("grantee", "name"),
    [
        (Grantee.USER, "eve@example.com"),
        (Grantee.USER, UUID),
        (Grantee.USER, "2"),
        (Grantee.SERVICE_PRINCIPAL, "ada@example.com"),
        (Grantee.GROUP, "ada@example.com"),
    ],
)
def test_a_name_that_nobody_of_the_kind_has_is_refused(grantee: Grantee, name: str) -> None:
    with pytest.raises(ResourceDoesNotExist, match=rf"Principal: {grantee}\({name}\) does not exist"):
        to_access_list([Grant(grantee, name, Level.CAN_VIEW)], DIRECTORY)


def test_grants_to_who_is_gone_are_not_shown() -> None:
    access = AccessList({"2": Level.CAN_VIEW}, {"10": Level.CAN_VIEW})
    assert list(shown(access, DIRECTORY.without("2").without("10"))) == []
