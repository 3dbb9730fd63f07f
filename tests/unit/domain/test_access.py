"""Levels, grants, and what a principal may do."""

from __future__ import annotations

from itertools import product

import pytest

from lakeserve.domain.principal import ADMINS, AccessList, Level, Membership, Principal, highest, token_digest

VIEW, QUERY, MANAGE = Level.CAN_VIEW, Level.CAN_QUERY, Level.CAN_MANAGE
ADA = Principal(
    "7", "ada@example.com", memberships=(Membership("g1", "data"), Membership("g2", "people", direct=False))
)
ROOT = Principal("1", "root@example.com", memberships=(Membership(ADMINS, ADMINS),))


def test_levels_are_ordered() -> None:
    order = [VIEW, QUERY, MANAGE]
    for has, needed in product(order, order):
        assert has.covers(needed) == (order.index(has) >= order.index(needed))


@pytest.mark.parametrize(
    ("access", "expected"),
    [
        (AccessList(), None),
        (AccessList({"7": QUERY}), QUERY),
        (AccessList({"8": MANAGE}, {"g9": MANAGE}), None),
        (AccessList({}, {"g1": VIEW}), VIEW),
        (AccessList({}, {"g2": QUERY}), QUERY),
        (AccessList({"7": VIEW}, {"g1": QUERY, "g2": MANAGE}), MANAGE),
        (AccessList({"7": MANAGE}, {"g1": VIEW}), MANAGE),
        # By id, never by name.
        (AccessList({"ada@example.com": MANAGE}, {"data": MANAGE, "people": MANAGE}), None),
        # A user's id grants nothing to a group of that id, and the reverse.
        (AccessList({"g1": MANAGE}, {"7": MANAGE}), None),
    ],
)
def test_the_highest_grant_counts(access: AccessList, expected: Level | None) -> None:
    assert access.level_of(ADA) == expected
    for needed in Level:
        assert access.allows(ADA, needed) == (expected is not None and expected.covers(needed))


def test_admins_may_do_everything() -> None:
    assert AccessList().level_of(ROOT) is MANAGE
    assert AccessList({"1": VIEW}).allows(ROOT, MANAGE)


def test_a_group_that_is_only_called_admins_is_none() -> None:
    impostor = Principal("9", "eve@example.com", memberships=(Membership("g7", ADMINS),))
    assert not impostor.is_admin
    assert AccessList().level_of(impostor) is None


def test_merging_replaces_grants_of_the_same_grantee() -> None:
    merged = AccessList({"7": MANAGE, "8": VIEW}, {"g1": VIEW}).merged(AccessList({"7": VIEW}, {"g2": QUERY}))
    assert merged == AccessList({"7": VIEW, "8": VIEW}, {"g1": VIEW, "g2": QUERY})


def test_highest_of_nothing_is_nothing() -> None:
    assert highest([]) is None
    assert highest([QUERY, VIEW]) is QUERY


@pytest.mark.parametrize(
    ("ends", "now", "expired"), [(None, 10**15, False), (100, 99, False), (100, 100, True), (100, 101, True)]
)
def test_a_credential_ends_at_its_moment(ends: int | None, now: int, expired: bool) -> None:
    assert Principal("7", "ada", expires_at=ends).expired(now) is expired


def test_the_digest_is_sha256() -> None:
    digest = token_digest("dapi123")
    assert digest == "8bfb8bde991e45ad3c79f4849ab7f7afcac8ab6844023d9ffd9eb21d682007f7"
