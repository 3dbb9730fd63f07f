"""Who there is, and which changes of that are refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lakeserve.domain.directory import (
    BUILT_IN,
    MAX_MEMBERS,
    MAX_NAME,
    Account,
    Directory,
    Group,
    check_deletable,
    directory_of,
)
from lakeserve.domain.errors import BadRequest, InvalidParameterValue, ResourceAlreadyExists, ResourceConflict
from lakeserve.domain.principal import ADMINS, USERS, Kind, Membership

UUID = "f3b0a1de-0000-4000-8000-1234567890ab"
ROOT = Account("1", Kind.USER, "root@example.com")
ADA = Account("2", Kind.USER, "ada@example.com", "Ada")
ROBOT = Account("3", Kind.SERVICE_PRINCIPAL, UUID)
INNER = Group("10", "interns", frozenset({"2", "3"}))
OUTER = Group("11", "risk", frozenset({"10"}))
ADMINS_GROUP = replace(BUILT_IN.groups[ADMINS], members=frozenset({"1"}))
EVERYBODY = directory_of([ROOT, ADA, ROBOT], [ADMINS_GROUP, INNER, OUTER])


def test_groups_in_groups_count_and_are_told_apart() -> None:
    assert EVERYBODY.memberships("2") == (
        Membership("10", "interns"),
        Membership("11", "risk", direct=False),
        Membership(USERS, USERS),
    )
    assert EVERYBODY.memberships("10") == (Membership("11", "risk"),)
    assert EVERYBODY.memberships("nobody") == ()


def test_a_group_that_is_reached_in_two_ways_is_there_once_and_direct() -> None:
    both = EVERYBODY.with_group(replace(OUTER, members=frozenset({"2", "10"})))
    assert [group.direct for group in both.memberships("2") if group.id == "11"] == [True]


def test_a_principal_has_its_account_and_its_groups() -> None:
    principal = EVERYBODY.principal("3")
    assert principal is not None
    assert (principal.id, principal.name, principal.kind, principal.expires_at) == ("3", UUID, ROBOT.kind, None)
    assert principal.groups == ("interns", "risk", USERS)
    assert not principal.is_admin


@pytest.mark.parametrize("directory", [EVERYBODY.without("2"), EVERYBODY.with_account(replace(ADA, active=False))])
def test_who_is_gone_or_not_active_cannot_call(directory: Directory) -> None:
    assert directory.principal("2") is None


def test_finding_by_name_regards_the_kind_and_not_the_case() -> None:
    assert EVERYBODY.find_account(Kind.USER, "ADA@Example.com") == ADA
    assert EVERYBODY.find_account(Kind.SERVICE_PRINCIPAL, "ada@example.com") is None
    assert EVERYBODY.find_account(Kind.SERVICE_PRINCIPAL, UUID.upper()) == ROBOT
    assert EVERYBODY.find_group("RISK") == OUTER


def test_who_goes_leaves_every_group() -> None:
    assert EVERYBODY.without("2").groups["10"].members == {"3"}
    assert EVERYBODY.without("10").groups["11"].members == frozenset()


@pytest.mark.parametrize(
    "changed",
    [
        EVERYBODY.without("1"),
        EVERYBODY.with_account(replace(ROOT, active=False)),
        EVERYBODY.with_group(replace(ADMINS_GROUP, members=frozenset())),
        EVERYBODY.with_group(replace(ADMINS_GROUP, members=frozenset({"gone"}))),
    ],
    ids=["deleted", "deactivated", "taken out", "replaced by nobody"],
)
def test_the_last_active_administrator_stays(changed: Directory) -> None:
    with pytest.raises(BadRequest, match="last active administrator"):
        changed.check()


def test_an_administrator_through_a_group_is_one() -> None:
    through = EVERYBODY.with_group(replace(ADMINS_GROUP, members=frozenset({"11"})))
    through.without("1").check()
    with pytest.raises(BadRequest):
        through.without("1").without("10").check()


@pytest.mark.parametrize("name", ["", "x" * (MAX_NAME + 1), " a@b", "a@b ", "a\nb", "a\x00b", UUID])
def test_unusable_user_names(name: str) -> None:
    with pytest.raises(InvalidParameterValue, match="userName"):
        EVERYBODY.check_new_account(Account("9", Kind.USER, name))


def test_an_application_id_is_a_uuid() -> None:
    EVERYBODY.check_new_account(Account("9", Kind.SERVICE_PRINCIPAL, UUID.replace("f", "e")))
    with pytest.raises(InvalidParameterValue, match="applicationId"):
        EVERYBODY.check_new_account(Account("9", Kind.SERVICE_PRINCIPAL, "robot"))


def test_names_in_use_are_refused() -> None:
    with pytest.raises(ResourceAlreadyExists, match="User with name"):
        EVERYBODY.check_new_account(Account("9", Kind.USER, "Ada@example.com"))
    with pytest.raises(ResourceAlreadyExists, match="Service principal with name"):
        EVERYBODY.check_new_account(Account("9", Kind.SERVICE_PRINCIPAL, UUID))
    with pytest.raises(ResourceAlreadyExists):
        EVERYBODY.check_group(Group("12", "Risk"))
    EVERYBODY.check_group(replace(OUTER, name="RISK"))


@pytest.mark.parametrize("name", ["admins", "ADMINS", "users"])
def test_nobody_else_is_called_like_a_built_in_group(name: str) -> None:
    with pytest.raises(ResourceAlreadyExists):
        EVERYBODY.check_group(Group("12", name))


@pytest.mark.parametrize(
    "group", [replace(INNER, members=frozenset({"10"})), replace(INNER, members=frozenset({"11"}))]
)
def test_no_group_contains_itself(group: Group) -> None:
    with pytest.raises(ResourceConflict, match="member of itself"):
        EVERYBODY.check_group(group)


@pytest.mark.parametrize(
    ("group", "told"),
    [
        (replace(OUTER, name=""), "displayName"),
        (replace(OUTER, members=frozenset({"nobody"})), "no user, service principal or group with id nobody"),
        (replace(OUTER, members=frozenset({USERS})), "Group users cannot be a member"),
        (replace(OUTER, members=frozenset(map(str, range(MAX_MEMBERS + 1)))), "at most"),
        (replace(ADMINS_GROUP, name="bosses"), "cannot be renamed"),
        (replace(BUILT_IN.groups[USERS], members=frozenset({"2"})), "Everybody belongs"),
    ],
)
def test_other_changes_of_groups_that_are_refused(group: Group, told: str) -> None:
    with pytest.raises((BadRequest, InvalidParameterValue), match=told):
        EVERYBODY.check_group(group)


def test_built_in_groups_stay() -> None:
    check_deletable(OUTER)
    for group in BUILT_IN.groups.values():
        with pytest.raises(BadRequest, match="built in"):
            check_deletable(group)
