"""Every operation with every role, over the running server.

``OPERATIONS`` below says again, in other words, what ``control/operations.py`` says, and how the operation is called. An operation
that is only in one of the two tables fails a test, and so does one that lets somebody in, or keeps somebody out, against them.
"""

from __future__ import annotations

import base64
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest

from lakeserve.control.operations import ADMIN, NEEDS, PUBLIC
from lakeserve.domain.principal import Level
from support.registry import short_folder
from support.server import Answer, Server, copy_registry, poll

ANYONE, CALLER, ADMINS = "anyone", "caller", "admins"
VIEW, QUERY, MANAGE = "view", "query", "manage"
PROPAGATION_S = 1.0
"""The promise: a change of rights reaches every gateway within this."""

SCIM = "/api/2.0/preview/scim/v2"
ENDPOINTS = "/api/2.0/serving-endpoints"
PERMISSIONS = "/api/2.0/permissions/serving-endpoints"
SECRETS = "/api/2.0/accounts/servicePrincipals"
MISSING_MODEL = {
    "served_entities": [{"entity_name": "main.default.missing", "entity_version": "1", "workload_size": "Small"}]
}
NOTHING = {"Operations": [{"op": "replace", "path": "displayName", "value": "x"}]}
NAMES_ENDPOINT: dict[str, Any] = {"model": "{endpoint}", "messages": []}
NOBODYS_ACL: dict[str, Any] = {"access_control_list": []}


@dataclass(frozen=True)
class Operation:
    """Who may, and the call: names in braces stand for something fresh, made by the method of ``World`` of that name.

    In a body only ``{endpoint}``, and only as the model of an OpenAI-shaped call.
    """

    who: str
    method: str
    path: str
    body: Any = None


OPERATIONS = {
    "discovery.host_metadata": Operation(ANYONE, "GET", "/.well-known/databricks-config"),
    "oauth.metadata": Operation(ANYONE, "GET", "/oidc/.well-known/oauth-authorization-server"),
    "oauth.token": Operation(ANYONE, "POST", "/oidc/v1/token", {}),
    "oauth.login_page": Operation(ANYONE, "GET", "/oidc/v1/authorize"),
    "oauth.log_in": Operation(ANYONE, "POST", "/oidc/v1/authorize", {}),
    "telemetry.send": Operation(CALLER, "POST", "/telemetry-ext", {}),
    "scim.me": Operation(CALLER, "GET", f"{SCIM}/Me"),
    "tokens.create": Operation(CALLER, "POST", "/api/2.0/token/create", {"lifetime_seconds": 1}),
    "tokens.list": Operation(CALLER, "GET", "/api/2.0/token/list"),
    "tokens.delete": Operation(CALLER, "POST", "/api/2.0/token/delete", {"token_id": "none"}),
    "tokens.update": Operation(CALLER, "PATCH", "/api/2.0/token/none", {"token": {}, "update_mask": "comment"}),
    "token_management.create": Operation(
        ADMINS, "POST", "/api/2.0/token-management/on-behalf-of/tokens", {"application_id": "-"}
    ),
    "token_management.list": Operation(ADMINS, "GET", "/api/2.0/token-management/tokens"),
    "token_management.get": Operation(ADMINS, "GET", "/api/2.0/token-management/tokens/none"),
    "token_management.delete": Operation(ADMINS, "DELETE", "/api/2.0/token-management/tokens/none"),
    "users.list": Operation(ADMINS, "GET", f"{SCIM}/Users"),
    "users.create": Operation(ADMINS, "POST", f"{SCIM}/Users", {"userName": "stranger@matrix"}),
    "users.get": Operation(ADMINS, "GET", f"{SCIM}/Users/{{user}}"),
    "users.replace": Operation(ADMINS, "PUT", f"{SCIM}/Users/{{user}}", {}),
    "users.patch": Operation(ADMINS, "PATCH", f"{SCIM}/Users/{{user}}", NOTHING),
    "users.delete": Operation(ADMINS, "DELETE", f"{SCIM}/Users/{{user}}"),
    "service_principals.list": Operation(ADMINS, "GET", f"{SCIM}/ServicePrincipals"),
    "service_principals.create": Operation(ADMINS, "POST", f"{SCIM}/ServicePrincipals", {"applicationId": "-"}),
    "service_principals.get": Operation(ADMINS, "GET", f"{SCIM}/ServicePrincipals/{{robot}}"),
    "service_principals.replace": Operation(ADMINS, "PUT", f"{SCIM}/ServicePrincipals/{{robot}}", {}),
    "service_principals.patch": Operation(ADMINS, "PATCH", f"{SCIM}/ServicePrincipals/{{robot}}", NOTHING),
    "service_principals.delete": Operation(ADMINS, "DELETE", f"{SCIM}/ServicePrincipals/{{robot}}"),
    "groups.list": Operation(ADMINS, "GET", f"{SCIM}/Groups"),
    "groups.create": Operation(ADMINS, "POST", f"{SCIM}/Groups", {"displayName": "users"}),
    "groups.get": Operation(ADMINS, "GET", f"{SCIM}/Groups/{{group}}"),
    "groups.replace": Operation(ADMINS, "PUT", f"{SCIM}/Groups/{{group}}", {"displayName": "users"}),
    "groups.patch": Operation(
        ADMINS, "PATCH", f"{SCIM}/Groups/{{group}}", {"Operations": [{"op": "remove", "path": "members"}]}
    ),
    "groups.delete": Operation(ADMINS, "DELETE", f"{SCIM}/Groups/{{group}}"),
    "client_secrets.create": Operation(ADMINS, "POST", f"{SECRETS}/{{robot}}/credentials/secrets", {}),
    "client_secrets.list": Operation(ADMINS, "GET", f"{SECRETS}/{{robot}}/credentials/secrets"),
    "client_secrets.delete": Operation(ADMINS, "DELETE", f"{SECRETS}/{{robot}}/credentials/secrets/none"),
    "permissions.get": Operation(MANAGE, "GET", f"{PERMISSIONS}/{{endpoint_id}}"),
    "permissions.set": Operation(MANAGE, "PUT", f"{PERMISSIONS}/{{endpoint_id}}", NOBODYS_ACL),
    "permissions.update": Operation(MANAGE, "PATCH", f"{PERMISSIONS}/{{endpoint_id}}", NOBODYS_ACL),
    "permissions.levels": Operation(VIEW, "GET", f"{PERMISSIONS}/{{endpoint_id}}/permissionLevels"),
    "endpoints.create": Operation(CALLER, "POST", ENDPOINTS, {"name": ""}),
    "endpoints.list": Operation(CALLER, "GET", ENDPOINTS),
    "endpoints.get": Operation(VIEW, "GET", f"{ENDPOINTS}/{{endpoint}}"),
    "endpoints.update_config": Operation(MANAGE, "PUT", f"{ENDPOINTS}/{{endpoint}}/config", MISSING_MODEL),
    "endpoints.stop": Operation(MANAGE, "PUT", f"{ENDPOINTS}/{{endpoint}}/config:stop"),
    "endpoints.start": Operation(MANAGE, "PUT", f"{ENDPOINTS}/{{endpoint}}/config:start"),
    "endpoints.cancel_update": Operation(MANAGE, "PUT", f"{ENDPOINTS}/{{endpoint}}/config:cancel"),
    "endpoints.delete": Operation(MANAGE, "DELETE", f"{ENDPOINTS}/{{endpoint}}"),
    "endpoints.build_logs": Operation(VIEW, "GET", f"{ENDPOINTS}/{{endpoint}}/served-models/x/build-logs"),
    "endpoints.logs": Operation(VIEW, "GET", f"{ENDPOINTS}/{{endpoint}}/served-models/x/logs"),
    "endpoints.metrics": Operation(VIEW, "GET", f"{ENDPOINTS}/{{endpoint}}/metrics"),
    "endpoints.openapi": Operation(VIEW, "GET", f"{ENDPOINTS}/{{endpoint}}/openapi"),
    "endpoints.events": Operation(VIEW, "GET", f"{ENDPOINTS}/{{endpoint}}/events"),
    "endpoints.patch_tags": Operation(MANAGE, "PATCH", f"{ENDPOINTS}/{{endpoint}}/tags", {}),
    "endpoints.put_rate_limits": Operation(MANAGE, "PUT", f"{ENDPOINTS}/{{endpoint}}/rate-limits", {}),
    "endpoints.put_ai_gateway": Operation(MANAGE, "PUT", f"{ENDPOINTS}/{{endpoint}}/ai-gateway", {}),
    "endpoints.get_ai_gateway": Operation(VIEW, "GET", f"{ENDPOINTS}/{{endpoint}}/ai-gateway"),
    "endpoints.notifications": Operation(MANAGE, "PATCH", f"{ENDPOINTS}/{{endpoint}}/notifications", {}),
    "endpoints.telemetry": Operation(MANAGE, "PATCH", f"{ENDPOINTS}/{{endpoint}}/telemetry-config", {}),
    "endpoints.system_metrics": Operation(MANAGE, "PATCH", f"{ENDPOINTS}/{{endpoint}}/system-metrics-export-state", {}),
    "endpoints.create_provisioned": Operation(CALLER, "POST", f"{ENDPOINTS}/pt", {}),
    "endpoints.update_provisioned": Operation(MANAGE, "PUT", f"{ENDPOINTS}/pt/{{endpoint}}/config", {}),
    "models.optimization_info": Operation(CALLER, "GET", f"{ENDPOINTS}/get-model-optimization-info/main.default.x/1"),
    "models.list": Operation(CALLER, "GET", "/serving-endpoints/models"),
    "models.get": Operation(QUERY, "GET", "/serving-endpoints/models/{endpoint}"),
    "external_function": Operation(CALLER, "POST", "/api/2.0/external-function", {}),
    "ai_gateway.ask": Operation(CALLER, "POST", "/ai-gateway/mlflow/v1/chat/completions", {}),
    "server.metrics": Operation(ADMINS, "GET", "/metrics"),
    # What a scope's own grants let its callers do is in tests/unit/control/test_secret_scopes.py.
    "secrets.create_scope": Operation(CALLER, "POST", "/api/2.0/secrets/scopes/create", {"scope": ""}),
    "secrets.list_scopes": Operation(CALLER, "GET", "/api/2.0/secrets/scopes/list"),
    "secrets.delete_scope": Operation(CALLER, "POST", "/api/2.0/secrets/scopes/delete", {"scope": "none"}),
    "secrets.put": Operation(
        CALLER, "POST", "/api/2.0/secrets/put", {"scope": "none", "key": "k", "string_value": "v"}
    ),
    "secrets.get": Operation(CALLER, "GET", "/api/2.0/secrets/get?scope=none&key=k"),
    "secrets.list": Operation(CALLER, "GET", "/api/2.0/secrets/list?scope=none"),
    "secrets.delete": Operation(CALLER, "POST", "/api/2.0/secrets/delete", {"scope": "none", "key": "k"}),
    "secrets.put_acl": Operation(CALLER, "POST", "/api/2.0/secrets/acls/put", {"scope": "none", "permission": "READ"}),
    "secrets.get_acl": Operation(CALLER, "GET", "/api/2.0/secrets/acls/get?scope=none&principal=users"),
    "secrets.list_acls": Operation(CALLER, "GET", "/api/2.0/secrets/acls/list?scope=none"),
    "secrets.delete_acl": Operation(
        CALLER, "POST", "/api/2.0/secrets/acls/delete", {"scope": "none", "principal": "users"}
    ),
    "gateway.probe": Operation(ANYONE, "GET", "/health"),
    "gateway.registry": Operation(CALLER, "GET", "/api/2.0/mlflow/experiments/get?experiment_id=0"),
    "gateway.invocations": Operation(QUERY, "POST", "/serving-endpoints/{endpoint}/invocations", {"inputs": [1]}),
    "gateway.openai": Operation(QUERY, "POST", "/serving-endpoints/chat/completions", NAMES_ENDPOINT),
}

WHO = {
    PUBLIC: ANYONE,
    ADMIN: ADMINS,
    None: CALLER,
    Level.CAN_VIEW: VIEW,
    Level.CAN_QUERY: QUERY,
    Level.CAN_MANAGE: MANAGE,
}


@dataclass(frozen=True)
class Role:
    """``may`` is everything that its credential is good for; ``grant`` what it is given on the endpoint in question."""

    may: frozenset[str]
    grant: tuple[str, str] | None = None


KNOWN = {ANYONE, CALLER}
VIEWER, QUERIER, MANAGER = KNOWN | {VIEW}, KNOWN | {VIEW, QUERY}, KNOWN | {VIEW, QUERY, MANAGE}
ROLES = {
    "anonymous": Role(frozenset({ANYONE})),
    "bad token": Role(frozenset({ANYONE})),
    "expired token": Role(frozenset({ANYONE})),
    "client secret as a token": Role(frozenset({ANYONE})),
    "deactivated user": Role(frozenset({ANYONE}), ("user_name", "CAN_MANAGE")),
    "user without grants": Role(frozenset(KNOWN)),
    "user with CAN_VIEW": Role(frozenset(VIEWER), ("user_name", "CAN_VIEW")),
    "user with CAN_QUERY": Role(frozenset(QUERIER), ("user_name", "CAN_QUERY")),
    "user with CAN_MANAGE": Role(frozenset(MANAGER), ("user_name", "CAN_MANAGE")),
    "member of a group with CAN_VIEW": Role(frozenset(VIEWER), ("group_name", "CAN_VIEW")),
    "member of a group with CAN_QUERY": Role(frozenset(QUERIER), ("group_name", "CAN_QUERY")),
    "member of a group in a group with CAN_MANAGE": Role(frozenset(MANAGER), ("group_name", "CAN_MANAGE")),
    "service principal with CAN_QUERY by OAuth": Role(frozenset(QUERIER), ("service_principal_name", "CAN_QUERY")),
    "service principal without grants by OAuth": Role(frozenset(KNOWN)),
    "admin": Role(frozenset({*MANAGER, ADMINS})),
}


class World:
    """Who and what the cases need, made at the running server through its own API."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._numbers = itertools.count()
        self.endpoints: list[str] = []
        self.canary = self._user_with_token()
        self.credentials = self._credentials()

    def call(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.server.ask(method, path, body)
        assert answer.status in (200, 201), answer.body
        return answer.json

    def _user_with_token(self, lifetime_s: int = 3600) -> tuple[str, str, str]:
        """Id, name and token."""
        user = self.call("POST", f"{SCIM}/Users", {"userName": f"u{next(self._numbers)}@matrix"})
        body = {"application_id": user["userName"], "lifetime_seconds": lifetime_s}
        token = self.call("POST", "/api/2.0/token-management/on-behalf-of/tokens", body)
        return user["id"], user["userName"], token["token_value"]

    def _robot(self) -> tuple[str, str]:
        """Application id and secret."""
        robot = self.call("POST", f"{SCIM}/ServicePrincipals", {"displayName": "robot"})
        return robot["applicationId"], self.call("POST", f"{SECRETS}/{robot['id']}/credentials/secrets")["secret"]

    def _robot_with_token(self) -> tuple[str, str]:
        application_id, secret = self._robot()
        basic = base64.b64encode(f"{application_id}:{secret}".encode()).decode()
        headers = {"Authorization": f"Basic {basic}", "Content-Type": "application/x-www-form-urlencoded"}
        form = urlencode({"grant_type": "client_credentials", "scope": "all-apis"}).encode()
        answer = self.server.ask("POST", "/oidc/v1/token", form, token=None, headers=headers)
        return application_id, answer.json["access_token"]

    def _group_of(self, member: str) -> dict[str, Any]:
        body = {"displayName": f"g{next(self._numbers)}", "members": [{"value": member}]}
        made: dict[str, Any] = self.call("POST", f"{SCIM}/Groups", body)
        return made

    def _credentials(self) -> dict[str, tuple[str, str | None]]:
        """Of each role: the name that is granted something, and the token."""
        made: dict[str, tuple[str, str | None]] = {
            "anonymous": ("", None),
            "bad token": ("", "dapi" + "0" * 40),
            "expired token": ("", self._expired()),
            "client secret as a token": ("", self._robot()[1]),
            "admin": ("", self._admin()),
        }
        for name, role in ROLES.items():
            if name in made:
                continue
            if "service principal" in name:
                made[name] = self._robot_with_token()
                continue
            user_id, user_name, token = self._user_with_token()
            grantee = user_name
            if role.grant is not None and role.grant[0] == "group_name":
                group = self._group_of(user_id)
                grantee = (self._group_of(group["id"]) if "in a group" in name else group)["displayName"]
            made[name] = (grantee, token)
            if name == "deactivated user":
                self.call(
                    "PATCH", f"{SCIM}/Users/{user_id}", {"Operations": [{"op": "replace", "value": {"active": False}}]}
                )
        return made

    def _expired(self) -> str:
        token = self._user_with_token(lifetime_s=1)[2]
        began = time.monotonic()
        poll(lambda: self._status(token) == 401, limit_s=10)
        assert time.monotonic() - began < 1 + PROPAGATION_S
        return token

    def _status(self, token: str) -> int:
        # Answered by the gateway, which must know by itself when a token has ended.
        return self.server.ask("POST", "/serving-endpoints/none/invocations", {}, token=token).status

    def _admin(self) -> str:
        user_id, _, token = self._user_with_token()
        body = {"Operations": [{"op": "add", "path": "members", "value": [{"value": user_id}]}]}
        self.call("PATCH", f"{SCIM}/Groups/admins", body)
        return token

    def user(self) -> str:
        return self._user_with_token()[0]

    def robot(self) -> str:
        made: str = self.call("POST", f"{SCIM}/ServicePrincipals", {})["id"]
        return made

    def group(self) -> str:
        made: str = self._group_of(self.canary[0])["id"]
        return made

    def endpoint(self, name: str) -> dict[str, Any]:
        """An endpoint on which the role has its grant, and the canary a level that shows when the gateway knows."""
        role, (grantee, _) = ROLES[name], self.credentials[name]
        made: dict[str, Any] = self.call("POST", ENDPOINTS, {"name": f"m{next(self._numbers)}"})
        self.endpoints.append(made["name"])
        grants = [{"user_name": self.canary[1], "permission_level": "CAN_QUERY"}]
        if role.grant is not None:
            grants.append({role.grant[0]: grantee, "permission_level": role.grant[1]})
        self.call("PUT", f"{PERMISSIONS}/{made['id']}", {"access_control_list": grants})
        return made


@pytest.fixture(scope="module")
def world(server: Server) -> Iterator[World]:
    """On a server of its own: it is full of people and tokens, an administrator among them, that other tests do not expect."""
    with short_folder() as folder:
        (folder / "d").mkdir()
        copy_registry(server.data_dir, folder / "d")
        own = Server(folder / "d")
        try:
            yield World(own.start(registry=True))
            own.stop()
        finally:
            own.kill_all()


def test_both_tables_are_the_same() -> None:
    assert {name: WHO[needs] for name, needs in NEEDS.items()} == {name: each.who for name, each in OPERATIONS.items()}


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("role", ROLES)
def test_who_may_what(world: World, role: str, operation: str) -> None:
    said = OPERATIONS[operation]
    values: dict[str, Any] = {}
    body = said.body
    if "{endpoint" in said.path or said.body == NAMES_ENDPOINT:
        endpoint = world.endpoint(role)
        values = {"endpoint": endpoint["name"], "endpoint_id": endpoint["id"]}
        if operation.startswith("gateway."):
            _until_known(world, endpoint["name"])
        if body == NAMES_ENDPOINT:
            body = {**NAMES_ENDPOINT, "model": endpoint["name"]}
    for thing in ("user", "robot", "group"):
        if f"{{{thing}}}" in said.path:
            make: Callable[[], str] = getattr(world, thing)
            values[thing] = make()
    token = world.credentials[role][1]

    answer = world.server.ask(said.method, said.path.format(**values), body, token=token)

    if said.who in ROLES[role].may:
        assert answer.status not in (401, 403, 405, 500), answer.body
        assert b"No API found" not in answer.body
    elif CALLER in ROLES[role].may:
        assert answer.error == (403, "PERMISSION_DENIED")
    else:
        assert answer.error == (401, "UNAUTHENTICATED")


def _until_known(world: World, name: str) -> None:
    """Wait until the gateway has the endpoint with its access list, which the canary alone can tell from one that it lacks."""

    def may(token: str) -> Answer:
        return world.server.query(name, {"inputs": [1]}, token=token)

    stranger = world.credentials["user without grants"][1]
    assert stranger is not None
    poll(lambda: may(stranger).status == 403, limit_s=PROPAGATION_S)
    poll(lambda: may(world.canary[2]).status != 403, limit_s=PROPAGATION_S)
