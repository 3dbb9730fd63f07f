"""Secrets as a program that uses the official SDK would keep them.

Runs in an interpreter of its own with one release of the SDK: ``HOST TOKEN``; it prints ``ok`` when everything was as it should be.
Only what every release since 0.27.0 can do is used.
"""

from __future__ import annotations

import base64
import contextlib
import sys
import uuid
from collections.abc import Iterator

from databricks.sdk import WorkspaceClient
from databricks.sdk.core import Config
from databricks.sdk.errors import (
    BadRequest,
    InvalidParameterValue,
    NotFound,
    PermissionDenied,
    ResourceAlreadyExists,
    ResourceDoesNotExist,
)
from databricks.sdk.errors import (
    NotImplemented as CapabilityMissing,
)
from databricks.sdk.service import workspace

HOST, TOKEN = sys.argv[1:]
READ, WRITE, MANAGE = workspace.AclPermission.READ, workspace.AclPermission.WRITE, workspace.AclPermission.MANAGE
SCOPE = f"Scope-{uuid.uuid4().hex[:8]}"


def client(token: str) -> WorkspaceClient:
    return WorkspaceClient(config=Config(host=HOST, token=token, auth_type="pat"))


@contextlib.contextmanager
def refused(error: type[Exception], told: str = "") -> Iterator[None]:
    try:
        yield
    except error as caught:
        if told not in str(caught):
            raise
        return
    raise AssertionError(f"not refused with {error.__name__}")


admin = client(TOKEN)


def user() -> tuple[str, WorkspaceClient]:
    name = f"{uuid.uuid4().hex[:8]}@example.com"
    admin.users.create(user_name=name)
    return name, client(admin.token_management.create_obo_token(name, lifetime_seconds=600).token_value or "")


def value(who: WorkspaceClient, key: str) -> bytes:
    return base64.b64decode(who.secrets.get_secret(SCOPE, key).value or "")


def scopes() -> None:
    admin.secrets.create_scope(SCOPE)
    with refused(ResourceAlreadyExists):
        admin.secrets.create_scope(SCOPE.upper())
    with refused(InvalidParameterValue):
        admin.secrets.create_scope("a b")
    with refused(InvalidParameterValue):
        admin.secrets.create_scope("other", initial_manage_principal="somebody@example.com")
    with refused(CapabilityMissing):
        admin.secrets.create_scope("other", scope_backend_type=workspace.ScopeBackendType.AZURE_KEYVAULT)
    (found,) = [each for each in admin.secrets.list_scopes() if each.name == SCOPE]
    assert found.backend_type is workspace.ScopeBackendType.DATABRICKS
    with refused(ResourceDoesNotExist):
        admin.secrets.delete_scope("none")


def values() -> None:
    assert list(admin.secrets.list_secrets(SCOPE)) == []
    admin.secrets.put_secret(SCOPE, "text", string_value="größe\n")
    admin.secrets.put_secret(SCOPE, "bytes", bytes_value=base64.b64encode(b"\0\xff").decode())
    assert value(admin, "text") == "größe\n".encode()
    assert value(admin, "BYTES") == b"\0\xff"
    admin.secrets.put_secret(SCOPE.lower(), "Text", string_value="x" * 128 * 1024)
    assert len(value(admin, "text")) == 128 * 1024
    listed = list(admin.secrets.list_secrets(SCOPE))
    assert [each.key for each in listed] == ["bytes", "text"]
    assert all((each.last_updated_timestamp or 0) > 1_600_000_000_000 for each in listed)
    with refused(InvalidParameterValue):
        admin.secrets.put_secret(SCOPE, "text", string_value="x" * (128 * 1024 + 1))
    with refused(InvalidParameterValue):
        admin.secrets.put_secret(SCOPE, "no name", string_value="x")
    with refused(BadRequest, "Exactly one of"):
        admin.secrets.put_secret(SCOPE, "text", string_value="a", bytes_value="b")
    with refused(ResourceDoesNotExist):
        admin.secrets.put_secret("none", "text", string_value="a")
    with refused(NotFound):
        admin.secrets.get_secret(SCOPE, "none")
    admin.secrets.delete_secret(SCOPE, "text")
    with refused(ResourceDoesNotExist):
        admin.secrets.delete_secret(SCOPE, "text")


def acls() -> None:
    name, ana = user()
    assert SCOPE in [each.name for each in ana.secrets.list_scopes()]
    with refused(PermissionDenied):
        list(ana.secrets.list_secrets(SCOPE))

    admin.secrets.put_acl(SCOPE, name, READ)
    assert value(ana, "bytes") == b"\0\xff"
    with refused(PermissionDenied):
        ana.secrets.put_secret(SCOPE, "more", string_value="x")

    admin.secrets.put_acl(SCOPE, name, WRITE)
    ana.secrets.put_secret(SCOPE, "more", string_value="x")
    with refused(PermissionDenied):
        list(ana.secrets.list_acls(SCOPE))

    admin.secrets.put_acl(SCOPE, "users", MANAGE)
    assert {each.principal: each.permission for each in ana.secrets.list_acls(SCOPE)} == {
        admin.current_user.me().user_name: MANAGE,
        name: WRITE,
        "users": MANAGE,
    }
    ana.secrets.delete_acl(SCOPE, name)
    with refused(ResourceDoesNotExist):
        ana.secrets.get_acl(SCOPE, name)
    assert ana.secrets.get_acl(SCOPE, "users").permission is MANAGE
    with refused(InvalidParameterValue):
        ana.secrets.put_acl(SCOPE, "nobody@example.com", READ)
    ana.secrets.delete_scope(SCOPE)
    assert SCOPE not in [each.name for each in admin.secrets.list_scopes()]

    ana.secrets.create_scope(SCOPE, initial_manage_principal="users")
    assert [each.principal for each in admin.secrets.list_acls(SCOPE)] == ["users"]
    assert list(admin.secrets.list_secrets(SCOPE)) == []
    admin.secrets.delete_scope(SCOPE)


scopes()
values()
acls()
print("ok")
