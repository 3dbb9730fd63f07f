"""The Secrets API's bodies: what the SDK sends is understood, what it reads is what we render, and no refusal repeats a value."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from databricks.sdk.service import workspace

from lakeserve.domain.errors import InvalidParameterValue, LakeserveError, NotImplementedYet
from lakeserve.domain.secrets import MalformedRequest, Permission, ResourceLimitExceeded, Scope, Secret
from lakeserve.ports.secrets import SecretKey
from lakeserve.wire.databricks import secrets as wire
from lakeserve.wire.databricks.errors import render_error

CANARY = "c4nary"


def test_a_scope() -> None:
    assert wire.parse_create_scope({"scope": "a"}) == ("a", None)
    for backend in ("DATABRICKS", "databricks", "", None):
        body = {"scope": "a", "initial_manage_principal": "users", "scope_backend_type": backend}
        assert wire.parse_create_scope(body) == ("a", "users")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, InvalidParameterValue),
        ({"scope": ""}, InvalidParameterValue),
        ({"scope": 3}, InvalidParameterValue),
        ({"scope": "a", "scope_backend_type": "VAULT"}, InvalidParameterValue),
        ({"scope": "a", "scope_backend_type": "AZURE_KEYVAULT"}, NotImplementedYet),
        ({"scope": "a", "backend_azure_keyvault": {"dns_name": "x"}}, NotImplementedYet),
    ],
)
def test_a_scope_that_cannot_be(body: dict[str, Any], error: type[LakeserveError]) -> None:
    with pytest.raises(error):
        wire.parse_create_scope(body)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"string_value": "größe"}, "größe".encode()),
        ({"string_value": ""}, b""),
        ({"bytes_value": "AP8="}, b"\0\xff"),
        ({"bytes_value": ""}, b""),
        ({"string_value": "x", "bytes_value": None}, b"x"),
    ],
)
def test_a_value(value: dict[str, Any], expected: bytes) -> None:
    assert wire.parse_put({"scope": "s", "key": "k", **value}) == ("s", "k", Secret(expected))


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, MalformedRequest),
        ({"string_value": CANARY, "bytes_value": CANARY}, MalformedRequest),
        ({"bytes_value": CANARY + "!"}, InvalidParameterValue),
        ({"bytes_value": CANARY}, InvalidParameterValue),
        ({"string_value": [CANARY]}, InvalidParameterValue),
        ({"string_value": {"a": CANARY}}, InvalidParameterValue),
        ({"bytes_value": 3}, InvalidParameterValue),
        ({"string_value": CANARY, "key": None}, InvalidParameterValue),
        ({"string_value": CANARY, "scope": ""}, InvalidParameterValue),
    ],
)
def test_a_value_that_cannot_be_is_not_repeated(body: dict[str, Any], error: type[LakeserveError]) -> None:
    with pytest.raises(error) as caught:
        wire.parse_put({"scope": "s", "key": "k", **body})
    assert CANARY not in caught.value.message
    assert caught.value.__cause__ is None
    field = next((name for name in ("string_value", "bytes_value") if name in body), "")
    if error is InvalidParameterValue and not isinstance(body.get(field), str):
        assert caught.value.message.startswith(f"{field} must be text, not ")


def test_a_grant() -> None:
    body = {"scope": "s", "principal": "users", "permission": "READ"}
    assert wire.parse_put_acl(body) == ("s", "users", Permission.READ)
    for wrong in ({"permission": "CAN_READ"}, {"permission": None}, {"principal": ""}, {"scope": None}):
        with pytest.raises(InvalidParameterValue):
            wire.parse_put_acl({**body, **wrong})


def test_names_of_a_query() -> None:
    assert wire.named({"scope": "s", "key": "k", "other": "x"}, "scope", "key") == ("s", "k")
    with pytest.raises(InvalidParameterValue, match="key is required"):
        wire.named({"scope": "s"}, "scope", "key")


def test_the_sdk_reads_what_is_rendered() -> None:
    scopes = workspace.ListScopesResponse.from_dict(wire.render_scopes([Scope("s")])).scopes
    assert scopes == [workspace.SecretScope(name="s", backend_type=workspace.ScopeBackendType.DATABRICKS)]

    value = workspace.GetSecretResponse.from_dict(wire.render_value("k", Secret(b"\0\xff")))
    assert (value.key, base64.b64decode(value.value or "")) == ("k", b"\0\xff")

    keys = workspace.ListSecretsResponse.from_dict(wire.render_keys([SecretKey("k", 5)])).secrets
    assert keys == [workspace.SecretMetadata(key="k", last_updated_timestamp=5)]

    items = workspace.ListAclsResponse.from_dict(wire.render_acls({"users": Permission.READ})).items
    assert items == [workspace.AclItem(principal="users", permission=workspace.AclPermission.READ)]


@pytest.mark.parametrize(
    ("error", "code"),
    [(ResourceLimitExceeded("Full."), "RESOURCE_LIMIT_EXCEEDED"), (MalformedRequest("Two."), "MALFORMED_REQUEST")],
)
def test_errors_that_only_this_api_has(error: LakeserveError, code: str) -> None:
    assert render_error(error) == (400, {"error_code": code, "message": error.message}, {})
