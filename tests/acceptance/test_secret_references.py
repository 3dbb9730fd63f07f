"""Secrets in environment variables over the running server: who may refer to what, and the key without which nothing opens."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from support.server import ENDPOINTS, Answer, Server, config, poll
from support.serving import Factory

SECRETS = "/api/2.0/secrets"
SCIM = "/api/2.0/preview/scim/v2"


def say(server: Server, path: str, body: object, **options: Any) -> Any:
    answer = server.ask("POST", path, body, **options)
    assert answer.status in (200, 201), answer.body
    return answer.json


def put(server: Server, scope: str, key: str, value: str) -> None:
    say(server, f"{SECRETS}/put", {"scope": scope, "key": key, "string_value": value})


def value(server: Server, scope: str, key: str) -> str:
    answer = server.ask("GET", f"{SECRETS}/get?scope={scope}&key={key}")
    assert answer.status == 200, answer.body
    return base64.b64decode(answer.json["value"]).decode()


@pytest.fixture
def ana(server: Server) -> Iterator[tuple[str, str]]:
    """Name and token of a user who may read scope ``shared`` and not scope ``closed``."""
    name = "ana@references"
    user = say(server, f"{SCIM}/Users", {"userName": name})
    token = say(server, "/api/2.0/token-management/on-behalf-of/tokens", {"application_id": name})["token_value"]
    for scope in ("shared", "closed"):
        say(server, f"{SECRETS}/scopes/create", {"scope": scope})
        put(server, scope, "k", f"of {scope}")
    say(server, f"{SECRETS}/acls/put", {"scope": "shared", "principal": name, "permission": "READ"})
    yield name, token
    for scope in ("shared", "closed"):
        say(server, f"{SECRETS}/scopes/delete", {"scope": scope})
    assert server.ask("DELETE", f"{SCIM}/Users/{user['id']}").status == 204


def test_a_config_refers_only_to_what_its_creator_may_read(server: Server, ana: tuple[str, str]) -> None:
    def create(reference: str) -> Answer:
        body = {"name": "refers", "config": config(environment_vars={"KEY": reference})}
        return server.ask("POST", ENDPOINTS, body, token=ana[1])

    assert create("{{secrets/closed/k}}").error == (403, "PERMISSION_DENIED")
    assert create("{{secrets/closed/none}}").error == (403, "PERMISSION_DENIED")
    assert create("{{secrets/none/k}}").error == (404, "RESOURCE_DOES_NOT_EXIST")
    assert create("{{secrets/shared/none}}").error == (404, "RESOURCE_DOES_NOT_EXIST")
    assert server.ask("GET", f"{ENDPOINTS}/refers").status == 404

    created = create("{{secrets/shared/k}}")
    assert created.status == 200, created.body
    server.ready("refers")
    assert server.value("refers", "environ", name="KEY") == "of shared"

    path, body = f"{ENDPOINTS}/refers/config", config(environment_vars={"KEY": "{{secrets/closed/k}}"})
    assert server.ask("PUT", path, body, token=ana[1]).error == (403, "PERMISSION_DENIED")
    assert server.ready("refers")["config"]["config_version"] == 1
    server.delete("refers")


def test_rights_that_are_taken_away_count_at_the_next_start(server: Server, ana: tuple[str, str]) -> None:
    name, token = ana
    body = {"name": "revoked", "config": config(environment_vars={"KEY": "{{secrets/shared/k}}"})}
    assert server.ask("POST", ENDPOINTS, body, token=token).status == 200
    server.ready("revoked")
    say(server, f"{SECRETS}/acls/delete", {"scope": "shared", "principal": name})
    assert server.value("revoked", "environ", name="KEY") == "of shared"

    for do in ("stop", "start"):
        assert server.ask("PUT", f"{ENDPOINTS}/revoked/config:{do}").status == 200
    endpoint = server.settled("revoked")
    assert endpoint["state"] == {"ready": "NOT_READY", "config_update": "UPDATE_FAILED"}
    (served,) = endpoint["pending_config"]["served_entities"]
    assert served["state"]["deployment"] == "DEPLOYMENT_FAILED"
    assert f"{name} does not have READ permission" in served["state"]["deployment_state_message"]

    assert server.update("revoked", environment_vars={"KEY": "{{secrets/shared/k}}"}).status == 200
    server.ready("revoked")
    assert server.value("revoked", "environ", name="KEY") == "of shared"
    server.delete("revoked")


def test_a_new_value_is_what_workers_get_that_start_after_it(server: Server, ana: tuple[str, str]) -> None:
    server.deploy("rotated", environment_vars={"KEY": "{{secrets/shared/k}}"})
    put(server, "shared", "k", "new")
    assert server.value("rotated", "environ", name="KEY") == "of shared"

    again = {"KEY": "{{secrets/shared/k}}", "KEY_CHANGED": "2"}
    assert server.update("rotated", environment_vars=again).status == 200
    server.ready("rotated")
    assert server.value("rotated", "environ", name="KEY") == "new"
    server.delete("rotated")


def test_without_its_key_the_server_does_not_start_and_with_it_all_is_there(new_server: Factory) -> None:
    server = new_server(models=False).start()
    say(server, f"{SECRETS}/scopes/create", {"scope": "s"})
    put(server, "s", "k", "kept")
    server.stop()
    key, aside = server.data_dir / "master.key", server.data_dir / "aside"
    shutil.move(key, aside)

    server.launch()
    log = server.data_dir / "logs" / "controller.log"
    poll(lambda: "is not there. Without the key that sealed them" in log.read_text(), server.told)
    server.url = poll(server.printed_url, server.told)
    assert server.ask("GET", "/ready", token=None).status == 503
    assert not key.exists()

    shutil.move(aside, key)
    server.wait_ready()
    assert value(server, "s", "k") == "kept"
    server.stop()


def test_a_key_of_the_operators_own(new_server: Factory) -> None:
    server = new_server(models=False)
    own = server.data_dir.parent / "own.key"
    server.variables["LAKESERVE_MASTER_KEY_FILE"] = str(own)
    server.launch()
    assert server.process is not None
    assert server.process.wait(30) != 0
    assert f"there is no file {own}" in server.said

    own.write_bytes(base64.b64encode(b"k" * 32))
    own.chmod(0o600)
    server.start()
    say(server, f"{SECRETS}/scopes/create", {"scope": "s"})
    put(server, "s", "k", "kept")
    assert value(server, "s", "k") == "kept"
    assert not (server.data_dir / "master.key").exists()
    server.stop()
