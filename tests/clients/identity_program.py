"""Users, groups, service principals, tokens, permissions and OAuth, as a program that uses the official SDK would go about them.

Runs in an interpreter of its own with one release of the SDK: ``HOST TOKEN``; it prints ``ok`` when everything was as it should be.
Only what every release since 0.27.0 can do is used.
"""

from __future__ import annotations

import contextlib
import sys
import uuid
from collections.abc import Iterator

from databricks.sdk import AccountClient, WorkspaceClient
from databricks.sdk.core import Config
from databricks.sdk.errors import BadRequest, NotFound, PermissionDenied, ResourceAlreadyExists, Unauthenticated
from databricks.sdk.service import iam, serving, settings

with contextlib.suppress(ImportError):  # as with the operation that takes one
    from databricks.sdk.common.types.fieldmask import FieldMask

HOST, TOKEN = sys.argv[1:]
PATCH = [iam.PatchSchema.URN_IETF_PARAMS_SCIM_API_MESSAGES_2_0_PATCH_OP]


def client(token: str) -> WorkspaceClient:
    return WorkspaceClient(config=Config(host=HOST, token=token, auth_type="pat"))


def m2m(client_id: str, client_secret: str) -> WorkspaceClient:
    return WorkspaceClient(host=HOST, client_id=client_id, client_secret=client_secret, auth_type="oauth-m2m")


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


def users() -> None:
    name = f"{uuid.uuid4().hex[:8]}@example.com"
    made = admin.users.create(
        user_name=name, display_name="Ana", entitlements=[iam.ComplexValue(value="workspace-access")]
    )
    assert made.id
    assert made.user_name == name
    assert made.active is True
    assert [each.id for each in admin.users.list(filter=f'userName eq "{name.upper()}"')] == [made.id]
    assert made.id in [each.id for each in admin.users.list()]
    found = admin.users.get(made.id)
    assert found.display_name == "Ana"
    assert found.emails
    assert found.emails[0].value == name
    assert found.entitlements
    assert found.entitlements[0].value == "workspace-access"
    with refused(ResourceAlreadyExists):
        admin.users.create(user_name=name)
    admin.users.patch(
        made.id, operations=[iam.Patch(op=iam.PatchOp.REPLACE, path="displayName", value="Ana B.")], schemas=PATCH
    )
    assert admin.users.get(made.id).display_name == "Ana B."
    # The SDK leaves a value of False out of the request.
    admin.users.patch(
        made.id, operations=[iam.Patch(op=iam.PatchOp.REPLACE, path="active", value=False)], schemas=PATCH
    )
    assert admin.users.get(made.id).active is False
    admin.users.update(made.id, user_name=name, display_name="A.", active=True)
    assert (admin.users.get(made.id).display_name, admin.users.get(made.id).active) == ("A.", True)
    admin.users.delete(made.id)
    with refused(NotFound):
        admin.users.get(made.id)


def groups() -> None:
    user = admin.users.create(user_name=f"{uuid.uuid4().hex[:8]}@example.com")
    inner = admin.groups.create(display_name=uuid.uuid4().hex, members=[iam.ComplexValue(value=user.id)])
    outer = admin.groups.create(display_name=uuid.uuid4().hex)
    admin.groups.patch(
        outer.id,
        operations=[iam.Patch(op=iam.PatchOp.ADD, value={"members": [{"value": inner.id}]})],
        schemas=PATCH,
    )
    assert [each.value for each in admin.groups.get(outer.id).members or []] == [inner.id]
    assert {each.display: each.type for each in admin.users.get(user.id).groups or []} == {
        inner.display_name: "direct",
        outer.display_name: "indirect",
        "users": "direct",
    }
    assert [
        each.id for each in admin.groups.list(filter=f"displayName eq '{inner.display_name}'".replace("'", '"'))
    ] == [inner.id]
    path = f'members[value eq "{user.id}"]'
    admin.groups.patch(inner.id, operations=[iam.Patch(op=iam.PatchOp.REMOVE, path=path)], schemas=PATCH)
    assert not admin.groups.get(inner.id).members
    admin.groups.update(inner.id, display_name=inner.display_name, members=[iam.ComplexValue(value=user.id)])
    assert [each.value for each in admin.groups.get(inner.id).members or []] == [user.id]
    (admins,) = admin.groups.list(filter='displayName eq "admins"')
    with refused(BadRequest):
        admin.groups.delete(admins.id)
    me = admin.current_user.me()
    with refused(BadRequest):
        admin.users.delete(me.id)
    for group in (outer, inner):
        admin.groups.delete(group.id)
    admin.users.delete(user.id)


def tokens() -> None:
    user = admin.users.create(user_name=f"{uuid.uuid4().hex[:8]}@example.com")
    made = admin.tokens.create(comment="laptop", lifetime_seconds=3600)
    assert made.token_value
    assert made.token_value.startswith("dapi")
    assert made.token_info
    assert made.token_info.expiry_time - made.token_info.creation_time == 3600 * 1000
    other = client(made.token_value)
    assert other.current_user.me().user_name == admin.current_user.me().user_name
    assert made.token_info.token_id in [each.token_id for each in other.tokens.list()]
    if hasattr(other.tokens, "update"):
        changed = settings.PublicTokenInfo(comment="desk")
        other.tokens.update(made.token_info.token_id, changed, FieldMask(["comment"]))
        assert [each.comment for each in other.tokens.list() if each.token_id == made.token_info.token_id] == ["desk"]
    other.tokens.delete(made.token_info.token_id)
    with refused(Unauthenticated):
        other.current_user.me()
    with refused(NotFound):
        admin.tokens.delete(made.token_info.token_id)
    theirs = admin.token_management.create_obo_token(user.user_name, comment="first", lifetime_seconds=600)
    assert client(theirs.token_value).current_user.me().user_name == user.user_name
    (listed,) = admin.token_management.list(created_by_username=user.user_name)
    assert (listed.token_id, listed.owner_id) == (theirs.token_info.token_id, int(user.id))
    assert admin.token_management.get(listed.token_id).token_info == listed
    admin.token_management.delete(listed.token_id)
    with refused(Unauthenticated):
        client(theirs.token_value).current_user.me()
    admin.users.delete(user.id)


def permissions(robot: WorkspaceClient, application_id: str) -> None:
    name = f"p-{uuid.uuid4().hex[:8]}"
    endpoint = admin.api_client.do("POST", "/api/2.0/serving-endpoints", body={"name": name})
    with refused(PermissionDenied):
        robot.serving_endpoints.get(name)
    levels = admin.serving_endpoints.get_permission_levels(endpoint["id"]).permission_levels or []
    assert [each.permission_level.value for each in levels] == ["CAN_VIEW", "CAN_QUERY", "CAN_MANAGE"]
    view = serving.ServingEndpointPermissionLevel.CAN_VIEW
    entry = serving.ServingEndpointAccessControlRequest(service_principal_name=application_id, permission_level=view)
    changed = admin.serving_endpoints.update_permissions(endpoint["id"], access_control_list=[entry])
    assert changed.object_type == "serving-endpoint"
    assert changed.object_id == f"/serving-endpoints/{endpoint['id']}"
    assert robot.serving_endpoints.get(name).permission_level.value == "CAN_VIEW"
    assert name in [each.name for each in robot.serving_endpoints.list()]
    with refused(PermissionDenied):
        robot.serving_endpoints.delete(name)
    with refused(PermissionDenied):
        robot.serving_endpoints.get_permissions(endpoint["id"])
    group = serving.ServingEndpointAccessControlRequest(
        group_name="users", permission_level=serving.ServingEndpointPermissionLevel.CAN_MANAGE
    )
    admin.serving_endpoints.set_permissions(endpoint["id"], access_control_list=[group])
    shown = robot.serving_endpoints.get_permissions(endpoint["id"]).access_control_list or []
    assert [(each.group_name, [p.inherited for p in each.all_permissions or []]) for each in shown] == [
        ("users", [False]),
        ("admins", [True]),
    ]
    generic = robot.permissions.get("serving-endpoints", endpoint["id"])
    assert [each.group_name for each in generic.access_control_list or []] == ["users", "admins"]
    nobody = serving.ServingEndpointAccessControlRequest(user_name="nobody@example.com", permission_level=view)
    with refused(NotFound):
        admin.serving_endpoints.update_permissions(endpoint["id"], access_control_list=[nobody])
    robot.serving_endpoints.delete(name)
    assert admin.serving_endpoints.get_permissions(endpoint["id"]).object_id
    with refused(NotFound):
        robot.serving_endpoints.get_permissions(endpoint["id"])


def robots() -> None:
    made = admin.service_principals.create(display_name="robot")
    assert made.id
    assert made.application_id
    assert [each.id for each in admin.service_principals.list(filter=f'applicationId eq "{made.application_id}"')] == [
        made.id
    ]
    account = AccountClient(config=Config(host=HOST, token=TOKEN, account_id=str(uuid.uuid4()), auth_type="pat"))
    secret = account.service_principal_secrets.create(int(made.id))
    assert secret.secret
    assert secret.secret.startswith("dose")
    assert secret.id
    (shown,) = account.service_principal_secrets.list(int(made.id))
    assert shown.id == secret.id
    assert secret.secret not in str(shown)
    if hasattr(admin, "service_principal_secrets_proxy"):
        (shown,) = admin.service_principal_secrets_proxy.list(made.id)
        assert shown.id == secret.id
        further = admin.service_principal_secrets_proxy.create(made.id, lifetime="60s")
        admin.service_principal_secrets_proxy.delete(made.id, further.id)

    robot = m2m(made.application_id, secret.secret)
    me = robot.current_user.me()
    assert me.user_name == made.application_id
    assert me.display_name == "robot"
    with refused(PermissionDenied):
        list(robot.users.list())
    permissions(robot, made.application_id)

    account.service_principal_secrets.delete(int(made.id), secret.id)
    with refused(ValueError, "invalid_client: Client authentication failed."):
        m2m(made.application_id, secret.secret).current_user.me()
    admin.service_principals.patch(
        made.id, operations=[iam.Patch(op=iam.PatchOp.REPLACE, path="active", value="false")], schemas=PATCH
    )
    with refused(Unauthenticated):
        robot.current_user.me()
    admin.service_principals.delete(made.id)


users()
groups()
tokens()
robots()
print("ok")
