"""What a secret is, what its names may be, who may do what in a scope, and what refers to one."""

from __future__ import annotations

import copy
import json
import logging
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from lakeserve.domain.errors import InvalidParameterValue
from lakeserve.domain.principal import Membership, Principal
from lakeserve.domain.secrets import (
    MAX_VALUE_BYTES,
    Permission,
    Reference,
    Scope,
    Secret,
    check_scope_name,
    check_secret,
    fold,
    references,
)

VALUE = "canary-7f3a"
READ, WRITE, MANAGE = Permission.READ, Permission.WRITE, Permission.MANAGE
ADA = Principal("7", "ada@example.com", memberships=(Membership("users", "users"), Membership("9", "risk", False)))


@pytest.mark.parametrize(
    "shown",
    [repr, str, "{}".format, "{!r}".format, "%s".__mod__, lambda secret: f"{secret}", lambda secret: str([secret])],
)
def test_nothing_that_prints_a_secret_shows_it(shown: Callable[[Any], str]) -> None:
    text = shown(Secret(VALUE.encode()))
    assert "hidden" in text
    assert VALUE not in text


def test_no_log_shows_it(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("test").error("%s %r", Secret(VALUE.encode()), Secret(VALUE.encode()))
    assert VALUE not in caplog.text


@pytest.mark.parametrize("taken", [pickle.dumps, copy.copy, copy.deepcopy, json.dumps, dict, vars])
def test_nothing_takes_it_apart(taken: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError):
        taken(Secret(VALUE.encode()))


def test_whoever_asks_for_the_value_gets_it() -> None:
    assert Secret(b"\0\xff").reveal() == b"\0\xff"
    assert Secret(b"a") == Secret(b"a")
    assert Secret(b"a") != Secret(b"b")
    assert Secret(b"a") != b"a"


@pytest.mark.parametrize("name", ["a", "A.b_c-9", "team@site", "x" * 128])
def test_names_of_scopes(name: str) -> None:
    check_scope_name(name)


@pytest.mark.parametrize("name", ["", "a b", "a/b", "ä", "a\n", "x" * 129, "{{a}}", "a\0", "\u0661"])
def test_what_is_no_name_of_a_scope_or_key(name: str) -> None:
    with pytest.raises(InvalidParameterValue):
        check_scope_name(name)
    with pytest.raises(InvalidParameterValue):
        check_secret(name, Secret(b""))


def test_keys_and_values() -> None:
    check_secret("A.b_c-9", Secret(b"x" * MAX_VALUE_BYTES))
    with pytest.raises(InvalidParameterValue, match="131072 bytes"):
        check_secret("k", Secret(b"x" * (MAX_VALUE_BYTES + 1)))
    with pytest.raises(InvalidParameterValue):
        check_secret("a@b", Secret(b""))


def test_names_are_the_same_whatever_their_case() -> None:
    assert fold("Team.LLM") == fold("team.llm")


@pytest.mark.parametrize(
    ("grants", "most"),
    [
        ({}, None),
        ({"7": READ}, READ),
        ({"users": READ}, READ),
        ({"users": READ, "9": WRITE}, WRITE),
        ({"7": MANAGE, "users": READ}, MANAGE),
        ({"8": MANAGE, "ada@example.com": MANAGE, "risk": MANAGE}, None),
    ],
)
def test_the_highest_of_all_grants_counts(grants: dict[str, Permission], most: Permission | None) -> None:
    scope = Scope("llm", grants)
    allowed = [permission for permission in Permission if scope.allows(ADA, permission)]
    assert allowed == ([] if most is None else [permission for permission in Permission if most.covers(permission)])


def test_administrators_may_everything() -> None:
    root = Principal("1", "root", memberships=(Membership("admins", "admins"),))
    assert all(Scope("llm").allows(root, permission) for permission in Permission)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("{{secrets/llm/openai}}", Reference("llm", "openai")),
        ("{{ secrets/llm/openai }}", Reference("llm", "openai")),
        ("{{secrets/a.b-c/D_e}}", Reference("a.b-c", "D_e")),
        ("{{secrets/no such/name}}", Reference("no such", "name")),
        ("Bearer {{secrets/llm/openai}}", None),
        ("{{secrets/llm/openai}} ", None),
        ("{{secrets/llm}}", None),
        ("{{secrets/llm/a/b}}", None),
        ("{secrets/llm/openai}", None),
        ("{{secret/llm/openai}}", None),
        ("", None),
    ],
)
def test_a_reference_is_the_whole_value(value: str, found: Reference | None) -> None:
    assert references({"KEY": value, "PLAIN": "x"}) == ({} if found is None else {"KEY": found})
