"""Identity and permissions at the running server: how fast a change counts, what outlives the controller, what is never told."""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlencode

import pytest

from support.server import ENDPOINTS, Server, poll
from support.serving import Factory

PROMISE_S = 1.0
"""A change of rights reaches every gateway within this."""

SCIM = "/api/2.0/preview/scim/v2"
PERMISSIONS = "/api/2.0/permissions/serving-endpoints"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class People:
    """Who is made for one test."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def call(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.server.ask(method, path, body)
        assert answer.status in (200, 201), answer.body
        return answer.json

    def patch(self, kind: str, entry_id: str, **operation: Any) -> None:
        self.call("PATCH", f"{SCIM}/{kind}/{entry_id}", {"Operations": [operation]})

    def user(self) -> dict[str, Any]:
        made: dict[str, Any] = self.call("POST", f"{SCIM}/Users", {"userName": f"{uuid.uuid4().hex[:8]}@example.com"})
        return made

    def group(self, *members: str) -> dict[str, Any]:
        body = {"displayName": uuid.uuid4().hex, "members": [{"value": member} for member in members]}
        made: dict[str, Any] = self.call("POST", f"{SCIM}/Groups", body)
        return made

    def token(self, name: str, lifetime_s: int = 600) -> dict[str, Any]:
        body = {"application_id": name, "lifetime_seconds": lifetime_s, "comment": "test"}
        made: dict[str, Any] = self.call("POST", "/api/2.0/token-management/on-behalf-of/tokens", body)
        return made

    def robot(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The service principal and its secret."""
        robot = self.call("POST", f"{SCIM}/ServicePrincipals", {"displayName": "robot"})
        return robot, self.call("POST", f"/api/2.0/accounts/servicePrincipals/{robot['id']}/credentials/secrets")

    def access_token(self, client_id: str, secret: str) -> str:
        form = urlencode({"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret})
        answer = self.server.ask("POST", "/oidc/v1/token", form.encode(), token=None, headers=FORM)
        assert answer.status == 200, answer.body
        text: str = answer.json["access_token"]
        return text

    def grant(self, endpoint: dict[str, Any], **entry: str) -> None:
        entries = [{"permission_level": "CAN_QUERY", **entry}] if entry else []
        self.call("PUT", f"{PERMISSIONS}/{endpoint['id']}", {"access_control_list": entries})


@pytest.fixture
def people(server: Server) -> People:
    return People(server)


@pytest.fixture
def endpoint(people: People) -> Iterator[dict[str, Any]]:
    """An endpoint without a config: whoever may query it is told that nothing is there."""
    made = people.call("POST", ENDPOINTS, {"name": f"i-{uuid.uuid4().hex[:8]}"})
    yield made
    people.server.ask("DELETE", f"{ENDPOINTS}/{made['name']}")


def within_promise(change: Callable[[], object], status: Callable[[], int], expected: int) -> None:
    """Make a change and hold the gateways to the promise of when it counts."""
    change()
    began = time.monotonic()
    poll(lambda: status() == expected, status, limit_s=5)
    assert time.monotonic() - began < PROMISE_S


def test_every_way_to_lose_a_right_counts_within_a_second(people: People, endpoint: dict[str, Any]) -> None:
    user = people.user()
    group = people.group(user["id"])
    token = people.token(user["userName"])

    def status() -> int:
        return people.server.query(endpoint["name"], {}, token=token["token_value"]).status

    def by_group() -> None:
        people.grant(endpoint, group_name=group["displayName"])

    within_promise(lambda: None, status, 403)
    within_promise(lambda: people.grant(endpoint, user_name=user["userName"]), status, 404)
    within_promise(lambda: people.grant(endpoint), status, 403)
    within_promise(by_group, status, 404)
    leave = {"op": "remove", "path": f'members[value eq "{user["id"]}"]'}
    within_promise(lambda: people.patch("Groups", group["id"], **leave), status, 403)
    join = {"op": "add", "path": "members", "value": [{"value": user["id"]}]}
    within_promise(lambda: people.patch("Groups", group["id"], **join), status, 404)
    asleep = {"op": "replace", "path": "active", "value": "false"}
    within_promise(lambda: people.patch("Users", user["id"], **asleep), status, 401)
    awake = {"op": "replace", "path": "active", "value": True}
    within_promise(lambda: people.patch("Users", user["id"], **awake), status, 404)
    path = f"/api/2.0/token-management/tokens/{token['token_info']['token_id']}"
    within_promise(lambda: people.call("DELETE", path), status, 401)


def test_deleting_the_group_or_the_user_ends_what_they_had(people: People, endpoint: dict[str, Any]) -> None:
    user = people.user()
    group = people.group(user["id"])
    token = people.token(user["userName"])["token_value"]
    people.grant(endpoint, group_name=group["displayName"])

    def status() -> int:
        return people.server.query(endpoint["name"], {}, token=token).status

    within_promise(lambda: None, status, 404)
    within_promise(lambda: people.server.ask("DELETE", f"{SCIM}/Groups/{group['id']}"), status, 403)
    people.call("POST", f"{SCIM}/Groups", {"displayName": group["displayName"], "members": [{"value": user["id"]}]})
    people.grant(endpoint, user_name=user["userName"])
    within_promise(lambda: None, status, 404)
    within_promise(lambda: people.server.ask("DELETE", f"{SCIM}/Users/{user['id']}"), status, 401)
    people.call("POST", f"{SCIM}/Users", {"userName": user["userName"]})
    newcomer = people.token(user["userName"])["token_value"]
    assert people.server.query(endpoint["name"], {}, token=newcomer).status == 403
    shown = people.call("GET", f"{PERMISSIONS}/{endpoint['id']}")["access_control_list"]
    assert [entry["group_name"] for entry in shown] == ["admins"]


def test_a_robots_token_ends_with_the_robot(people: People, endpoint: dict[str, Any]) -> None:
    robot, secret = people.robot()
    token = people.access_token(robot["applicationId"], secret["secret"])
    people.grant(endpoint, service_principal_name=robot["applicationId"])

    def status() -> int:
        return people.server.query(endpoint["name"], {}, token=token).status

    within_promise(lambda: None, status, 404)
    within_promise(lambda: people.server.ask("DELETE", f"{SCIM}/ServicePrincipals/{robot['id']}"), status, 401)


def test_a_token_ends_in_time_while_the_controller_is_stopped(people: People) -> None:
    server = people.server
    token = people.token(people.user()["userName"], lifetime_s=2)["token_value"]
    (controller,) = server.pids_of("lakeserve.bootstrap.controller")

    def status() -> int:
        return server.query("nothing", {}, token=token).status

    poll(lambda: status() == 404, limit_s=PROMISE_S)
    os.kill(controller, signal.SIGSTOP)
    try:
        poll(lambda: status() == 401, limit_s=2 + PROMISE_S)
    finally:
        os.kill(controller, signal.SIGCONT)
    assert server.ask("GET", f"{SCIM}/Me", token=token).error == (401, "UNAUTHENTICATED")


def test_everything_outlives_a_restart(new_server: Factory) -> None:
    server = new_server(models=False).start()
    people = People(server)
    user, (robot, secret) = people.user(), people.robot()
    group = people.group(user["id"])
    token = people.token(user["userName"])["token_value"]
    endpoint = people.call("POST", ENDPOINTS, {"name": "kept"})
    people.grant(endpoint, group_name=group["displayName"])
    before = people.call("GET", f"{PERMISSIONS}/{endpoint['id']}")

    (controller,) = server.pids_of("lakeserve.bootstrap.controller")
    server.kill(controller)
    assert server.query("kept", {}, token=token).status == 404
    poll(lambda: server.ask("GET", f"{SCIM}/Me").status == 200, server.told)

    assert people.call("GET", f"{PERMISSIONS}/{endpoint['id']}") == before
    assert server.query("kept", {}, token=token).status == 404
    robots = people.access_token(robot["applicationId"], secret["secret"])
    assert server.query("kept", {}, token=robots).error == (403, "PERMISSION_DENIED")
    server.stop()


def test_no_credential_is_told_logged_or_kept(new_server: Factory) -> None:
    server = new_server(models=False).start()
    people = People(server)
    user, (robot, secret) = people.user(), people.robot()
    texts = [
        people.token(user["userName"])["token_value"],
        people.call("POST", "/api/2.0/token/create", {"comment": "own"})["token_value"],
        secret["secret"],
        people.access_token(robot["applicationId"], secret["secret"]),
        str(server.token),
    ]
    for text in texts:
        server.ask("GET", f"{SCIM}/Me", token=text)
        server.query("nothing", {}, token=text + "x")
        server.ask(
            "POST", "/oidc/v1/token", f"grant_type=client_credentials&client_secret={text}".encode(), headers=FORM
        )
    answers = [
        server.ask("GET", path).body
        for path in (
            f"{SCIM}/Users",
            f"{SCIM}/ServicePrincipals",
            "/api/2.0/token/list",
            "/api/2.0/token-management/tokens",
            f"/api/2.0/accounts/servicePrincipals/{robot['id']}/credentials/secrets",
        )
    ]
    server.stop()

    files = [path for path in server.data_dir.rglob("*") if path.is_file() and "registry" not in path.parts]
    assert any(path.name == "lakeserve.db" for path in files)
    found = [str(path) for path in files if any(text.encode() in path.read_bytes() for text in texts)]
    assert found == []
    assert not any(text.encode() in answer for text in texts for answer in answers)
    assert not any(text in server.said for text in texts)


@pytest.mark.parametrize(
    "path",
    ["/oidc", "/oidc/v1/keys", "/oidc/.well-known/openid-configuration", "/.well-known/other", "/oidc/v2/token"],
)
def test_unknown_paths_of_discovery_are_json_404s(server: Server, path: str) -> None:
    for token in (None, server.token):
        answer = server.ask("GET", path, token=token)
        assert answer.error == (404, "NOT_FOUND")
        assert answer.headers["content-type"] == "application/json"


def test_both_places_of_the_login_page_show_it(server: Server) -> None:
    asked = {
        "response_type": "code",
        "client_id": "databricks-cli",
        "redirect_uri": "http://localhost:8020",
        "scope": "all-apis",
        "state": "s",
        "code_challenge": "c" * 43,
        "code_challenge_method": "S256",
    }
    for path in ("/oidc/v1/authorize", "/oidc/oauth2/v2.0/authorize"):
        shown = server.ask("GET", f"{path}?{urlencode(asked)}", token=None)
        assert (shown.status, shown.headers["content-type"]) == (200, "text/html; charset=utf-8")
        elsewhere = {**asked, "redirect_uri": "http://example.com"}
        refused = server.ask("GET", f"{path}?{urlencode(elsewhere)}", token=None)
        assert refused.status == 400
        assert "location" not in refused.headers


def test_both_places_of_the_oauth_document_say_the_same(server: Server) -> None:
    first, second = (
        server.ask("GET", prefix + "/.well-known/oauth-authorization-server", token=None).json
        for prefix in ("/oidc", "")
    )
    assert first == second
    assert first["token_endpoint"] == f"{server.url}/oidc/v1/token"
    discovered = server.ask("GET", "/.well-known/databricks-config", token=None).json
    assert discovered["oidc_endpoint"] == first["issuer"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (
            {"access_control_list": [{"user_name": "nobody@example.com", "permission_level": "CAN_VIEW"}]},
            "RESOURCE_DOES_NOT_EXIST",
        ),
        ({"access_control_list": [{"permission_level": "CAN_VIEW"}]}, "INVALID_PARAMETER_VALUE"),
        ({"access_control_list": "all"}, "INVALID_PARAMETER_VALUE"),
    ],
)
def test_a_refused_change_changes_nothing(people: People, endpoint: dict[str, Any], body: Any, told: str) -> None:
    before = people.call("GET", f"{PERMISSIONS}/{endpoint['id']}")
    for method in ("PUT", "PATCH"):
        assert people.server.ask(method, f"{PERMISSIONS}/{endpoint['id']}", body).error[1] == told
    assert people.call("GET", f"{PERMISSIONS}/{endpoint['id']}") == before


def test_a_deleted_endpoints_list_can_be_read_by_administrators_and_changed_by_nobody(people: People) -> None:
    user = people.user()
    token = people.token(user["userName"])["token_value"]
    endpoint = people.call("POST", ENDPOINTS, {"name": f"i-{uuid.uuid4().hex[:8]}"})
    path = f"{PERMISSIONS}/{endpoint['id']}"
    people.grant(endpoint, user_name=user["userName"], permission_level="CAN_MANAGE")
    before = people.call("GET", path)
    people.server.delete(endpoint["name"])

    assert people.call("GET", path) == before
    assert people.server.ask("GET", path, token=token).error == (404, "RESOURCE_DOES_NOT_EXIST")
    assert people.server.ask("PUT", path, {"access_control_list": []}).error == (404, "RESOURCE_DOES_NOT_EXIST")
    assert people.server.ask("GET", f"{PERMISSIONS}/unknown").error == (404, "RESOURCE_DOES_NOT_EXIST")


def test_patches_of_a_list_at_once_all_count(people: People, endpoint: dict[str, Any]) -> None:
    names = [people.user()["userName"] for _ in range(8)]

    def grant(name: str) -> int:
        body = {"access_control_list": [{"user_name": name, "permission_level": "CAN_VIEW"}]}
        return people.server.ask("PATCH", f"{PERMISSIONS}/{endpoint['id']}", body).status

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(grant, names)) == [200] * len(names)
    shown = people.call("GET", f"{PERMISSIONS}/{endpoint['id']}")["access_control_list"]
    assert {entry.get("user_name") for entry in shown} >= set(names)
