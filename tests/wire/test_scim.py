"""SCIM: resources as the SDK reads them, PATCH, and lists."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Any

import pytest
from databricks.sdk.service import iam
from hypothesis import given
from hypothesis import strategies as st

from lakeserve.domain.directory import Account, AccountFields, Group, GroupFields, directory_of
from lakeserve.domain.errors import InvalidParameterValue
from lakeserve.domain.principal import Kind
from lakeserve.wire.databricks.scim import (
    editable_account,
    editable_group,
    parse_account,
    parse_group,
    render_account,
    render_group,
)
from lakeserve.wire.databricks.scim_list import MAX_COUNT, parse_filter, project, render_list
from lakeserve.wire.databricks.scim_patch import patched

UUID = "f3b0a1de-0000-4000-8000-1234567890ab"
ADA = Account("2", Kind.USER, "ada@example.com", "Ada", extra={"externalId": "x1", "roles": [{"value": "r"}]})
ROBOT = Account("3", Kind.SERVICE_PRINCIPAL, UUID, active=False)
RISK = Group("10", "risk", frozenset({"2", "3"}))
OUTER = Group("11", "outer", frozenset({"10"}))
DIRECTORY = directory_of([ADA, ROBOT], [RISK, OUTER])


# Resources


def test_a_user_is_what_the_sdk_reads() -> None:
    rendered = render_account(ADA, DIRECTORY)
    user = iam.User.from_dict(rendered)
    assert user.as_dict() == rendered
    assert (user.id, user.user_name, user.display_name, user.active) == ("2", "ada@example.com", "Ada", True)
    assert [(each.value, each.primary) for each in user.emails or []] == [("ada@example.com", True)]
    assert [(each.display, each.type) for each in user.groups or []] == [
        ("risk", "direct"),
        ("outer", "indirect"),
        ("users", "direct"),
    ]
    assert user.external_id == "x1"


def test_a_service_principal_is_what_the_sdk_reads() -> None:
    rendered = render_account(ROBOT, DIRECTORY)
    robot = iam.ServicePrincipal.from_dict(rendered)
    assert robot.as_dict() == rendered
    assert (robot.id, robot.application_id, robot.display_name, robot.active) == ("3", UUID, UUID, False)


def test_a_group_is_what_the_sdk_reads() -> None:
    rendered = render_group(RISK, DIRECTORY)
    group = iam.Group.from_dict(rendered)
    assert group.as_dict() == rendered
    assert [(each.value, each.display, each.ref) for each in group.members or []] == [
        ("2", "Ada", "Users/2"),
        ("3", UUID, f"ServicePrincipals/{'3'}"),
    ]
    assert [each.value for each in group.groups or []] == ["11"]


def test_everybody_is_in_users() -> None:
    users = render_group(DIRECTORY.groups["users"], DIRECTORY)
    assert [member["value"] for member in users["members"]] == ["2", "3"]


def test_what_only_the_server_sets_and_passwords_are_not_kept() -> None:
    sent = {
        "id": "1",
        "schemas": [],
        "groups": [{"value": "admins"}],
        "password": "p",
        "userName": "u",
        "externalId": "e",
    }
    assert parse_account(Kind.USER, sent) == AccountFields(name="u", extra={"externalId": "e"})
    assert "password" not in parse_group({**sent, "displayName": "g"}).extra


@pytest.mark.parametrize(
    ("active", "expected"),
    [(True, True), (False, False), ("False", False), ("true", True), ([{"value": "false"}], False), (None, None)],
)
def test_active_comes_in_several_shapes(active: object, expected: bool | None) -> None:
    assert parse_account(Kind.USER, {"active": active}).active is expected


@pytest.mark.parametrize(
    "document",
    [
        {"userName": 7},
        {"displayName": ["x"]},
        {"active": "perhaps"},
        {"active": 1},
        {"emails": "ada@example.com"},
        {"roles": ["r"]},
        {"entitlements": {"value": "x"}},
        {"name": "Ada"},
        {"externalId": 7},
    ],
)
def test_wrong_accounts_are_refused(document: dict[str, Any]) -> None:
    with pytest.raises(InvalidParameterValue):
        parse_account(Kind.USER, document)


@pytest.mark.parametrize("members", ["2", {"value": "2"}, ["2"], [{"value": 2}], [{"display": "Ada"}], [{"value": ""}]])
def test_wrong_members_are_refused(members: object) -> None:
    with pytest.raises(InvalidParameterValue):
        parse_group({"displayName": "g", "members": members})


# PATCH


def _group(*operations: dict[str, Any]) -> GroupFields:
    return parse_group(patched(editable_group(RISK), {"Operations": list(operations)}))


def _account(*operations: dict[str, Any]) -> AccountFields:
    return parse_account(Kind.USER, patched(editable_account(ADA, DIRECTORY), {"Operations": list(operations)}))


@pytest.mark.parametrize(
    ("operation", "members"),
    [
        ({"op": "add", "path": "members", "value": [{"value": "4"}]}, {"2", "3", "4"}),
        ({"op": "Add", "path": "members", "value": {"value": "4"}}, {"2", "3", "4"}),
        ({"op": "add", "value": {"members": [{"value": "4"}, {"value": "2"}]}}, {"2", "3", "4"}),
        ({"op": "replace", "path": "members", "value": [{"value": "4"}]}, {"4"}),
        ({"op": "replace", "path": "members"}, set()),
        ({"op": "remove", "path": "members"}, set()),
        ({"op": "remove", "path": "members", "value": [{"value": "2"}]}, {"3"}),
        ({"op": "remove", "path": 'members[value eq "2"]'}, {"3"}),
        ({"op": "remove", "path": 'members[value eq "nobody"]'}, {"2", "3"}),
        ({"op": "replace", "path": "displayName", "value": "fraud"}, {"2", "3"}),
    ],
)
def test_members_are_added_and_removed(operation: dict[str, Any], members: set[str]) -> None:
    assert _group(operation).members == members


def test_operations_apply_in_order() -> None:
    changed = _group(
        {"op": "remove", "path": "members"},
        {"op": "add", "path": "members", "value": [{"value": "4"}]},
        {"op": "replace", "value": {"displayName": "fraud", "externalId": "e"}},
    )
    assert changed == GroupFields("fraud", frozenset({"4"}), {"externalId": "e"})


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ({"op": "replace", "path": "active", "value": False}, {"active": False}),
        # As the official SDK sends False.
        ({"op": "replace", "path": "active"}, {"active": False}),
        ({"op": "replace", "value": {"active": "False"}}, {"active": False}),
        ({"op": "replace", "path": "displayName", "value": "A."}, {"display_name": "A."}),
        ({"op": "remove", "path": "displayName"}, {"display_name": ""}),
        ({"op": "remove", "path": 'roles[value eq "r"]'}, {"extra": {"externalId": "x1", "roles": []}}),
        ({"op": "remove", "path": "roles"}, {"extra": {"externalId": "x1"}}),
        (
            {"op": "replace", "path": "name.givenName", "value": "A"},
            {"extra": {**ADA.extra, "name": {"givenName": "A"}}},
        ),
        ({"op": "add", "path": "password", "value": "p"}, {}),
        # Documented: it cannot be changed, and is ignored.
        ({"op": "replace", "path": "userName", "value": "eve@example.com"}, {"name": "eve@example.com"}),
    ],
)
def test_accounts_are_changed(operation: dict[str, Any], expected: dict[str, Any]) -> None:
    unchanged = AccountFields("ada@example.com", "Ada", active=True, extra=dict(ADA.extra))
    assert _account(operation) == replace(unchanged, **expected)


def test_shown_names_and_addresses_do_not_stick() -> None:
    bare = Account("4", Kind.USER, "eve@example.com")
    body = {"Operations": [{"op": "replace", "path": "active", "value": True}]}
    fields = parse_account(Kind.USER, patched(editable_account(bare, DIRECTORY), body))
    assert (fields.display_name, fields.extra) == ("", {})


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"Operations": []},
        {"Operations": "x"},
        {"Operations": ["x"]},
        {"Operations": [{"op": "add"}] * 1001},
        {"Operations": [{"op": "move", "path": "x"}]},
        {"Operations": [{"op": "remove"}]},
        {"Operations": [{"op": "add", "value": "x"}]},
        {"Operations": [{"op": "remove", "path": "members[value eq 2]"}]},
        {"Operations": [{"op": "remove", "path": ["members"]}]},
        {"Operations": [{"op": "add", "path": 'members[value eq "2"]', "value": {}}]},
        {"Operations": [{"op": "remove", "path": 'displayName[value eq "2"]'}]},
        {"Operations": [{"op": "replace", "path": "displayName.x", "value": 1}]},
    ],
)
def test_patches_that_are_not_understood(body: dict[str, Any]) -> None:
    with pytest.raises(InvalidParameterValue):
        patched(editable_group(RISK), body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["value", "members", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)
OPERATION = st.fixed_dictionaries(
    {"op": st.sampled_from(["add", "remove", "replace"])},
    optional={
        "path": st.sampled_from(
            ["members", "displayName", "active", "name.x", 'members[value eq "2"]', "roles", "members.value"]
        )
        | st.text(max_size=10),
        "value": JSON,
    },
)


@given(st.lists(OPERATION, max_size=4))
def test_whatever_is_sent_is_applied_or_refused(operations: list[dict[str, Any]]) -> None:
    document = editable_group(RISK)
    before = repr(document)
    with contextlib.suppress(InvalidParameterValue):
        parse_group(patched(document, {"Operations": operations}))
    assert repr(document) == before


# Lists

PEOPLE = [
    {"id": str(number), "userName": name, "active": number % 2 == 0, "groups": [{"value": "g", "display": "Risk"}]}
    for number, name in enumerate(["ada@example.com", "Bob@example.com", 'q"uote@example.org'])
]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('userName eq "ADA@example.com"', "0"),
        ('username EQ "ada@example.com"', "0"),
        ('userName eq "a"', ""),
        ('userName ne "ada@example.com"', "12"),
        ('userName co "EXAMPLE.com"', "01"),
        ('userName sw "bob"', "1"),
        ('userName ew ".org"', "2"),
        ('userName eq "q\\"uote@example.org"', "2"),
        ("active eq true", "02"),
        ('id eq "1"', "1"),
        ("id eq 1", "1"),
        ('groups eq "g"', "012"),
        ('groups.display eq "risk"', "012"),
        ('groups.display ne "risk"', ""),
        ('nothing eq "x"', ""),
        ('userName sw "a" or userName sw "b"', "01"),
        ('userName co "example" and active eq true and id eq "2"', "2"),
        ('id eq "1" and active eq true or id eq "0"', "0"),
    ],
)
def test_filters(text: str, found: str) -> None:
    listed = render_list(PEOPLE, {"filter": text})
    assert "".join(each["id"] for each in listed["Resources"]) == found
    assert listed["totalResults"] == len(found)


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "userName eq",
        "userName eq ada",
        'userName eq "a" and',
        'userName is "a"',
        'eq "a"',
        '(id eq "1")',
        "id eq 1 id",
        "a" * 5000,
    ],
)
def test_filters_that_are_not_understood(text: str) -> None:
    with pytest.raises(InvalidParameterValue, match="filter"):
        parse_filter(text)


@pytest.mark.parametrize(
    ("query", "ids", "first"),
    [
        ({}, "012", 1),
        ({"startIndex": "2"}, "12", 2),
        ({"startIndex": "2", "count": "1"}, "1", 2),
        ({"startIndex": "0", "count": "1"}, "0", 1),
        ({"startIndex": "4"}, "", 4),
        ({"count": "0"}, "", 1),
        ({"count": "-1"}, "", 1),
        ({"sortBy": "userName"}, "012", 1),
        ({"sortBy": "userName", "sortOrder": "descending"}, "210", 1),
    ],
)
def test_pages(query: dict[str, str], ids: str, first: int) -> None:
    listed = render_list(PEOPLE, query)
    assert "".join(each["id"] for each in listed["Resources"]) == ids
    assert (listed["totalResults"], listed["startIndex"], listed["itemsPerPage"]) == (3, first, len(ids))


def test_a_page_has_a_limit() -> None:
    many = ({"id": str(number)} for number in range(MAX_COUNT + 5))
    assert len(render_list(many, {"count": "999999999"})["Resources"]) == MAX_COUNT


@pytest.mark.parametrize("query", [{"startIndex": "x"}, {"count": "1.5"}, {"count": "9" * 30}])
def test_numbers_that_are_none(query: dict[str, str]) -> None:
    with pytest.raises(InvalidParameterValue):
        render_list(PEOPLE, query)


def test_attributes_are_chosen() -> None:
    assert project(PEOPLE[0], {"attributes": "username, groups.display"}).keys() == {"id", "userName", "groups"}
    assert project(PEOPLE[0], {"excludedAttributes": "groups"}).keys() == {"id", "userName", "active"}
