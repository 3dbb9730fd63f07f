"""No secret shows where it has no business: planted in every slot, searched for in every place, in every spelling."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from lakeserve.adapters.encryption import master_key
from support.canaries import Canaries, command_lines, environments, files, forms
from support.registry import short_folder
from support.server import ENDPOINTS, Server, copy_registry, poll

SECRETS = "/api/2.0/secrets"
SCIM = "/api/2.0/preview/scim/v2"
PARTS = (
    "lakeserve.bootstrap.gateway",
    "lakeserve.bootstrap.controller",
    "lakeserve.adapters.mlflow",
    "__main__.py zygote",
)
STARTS = ("fork", "exec")


def fresh() -> str:
    return "canary-" + secrets.token_hex(16)


def say(server: Server, method: str, path: str, body: object = None, **options: Any) -> Any:
    answer = server.ask(method, path, body, **options)
    assert answer.status in (200, 201), answer.body
    return answer.json


class Planted:
    """A server in which there is a secret in every slot, in use, and that has been through trouble with it."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.canaries = Canaries()
        self.shown = Canaries()
        self.values = {key: fresh() for key in ("text", "bytes", "variable", "refused")}

    def plant(self) -> None:
        self._credentials()
        self._secrets()
        self._endpoints()
        self._trouble()

    def _credentials(self) -> None:
        assert self.server.token is not None
        self.canaries.plant("admin token", self.server.token)
        comment = fresh()
        self.shown.plant("comment", comment)
        personal = say(self.server, "POST", "/api/2.0/token/create", {"comment": comment})["token_value"]
        self.canaries.plant("personal token", personal)
        robot = say(self.server, "POST", f"{SCIM}/ServicePrincipals", {"displayName": "robot"})
        self.robot = robot["id"]
        path = f"/api/2.0/accounts/servicePrincipals/{self.robot}/credentials/secrets"
        secret = say(self.server, "POST", path, {})["secret"]
        self.canaries.plant("client secret", secret)
        basic = base64.b64encode(f"{robot['applicationId']}:{secret}".encode()).decode()
        headers = {"Authorization": f"Basic {basic}", "Content-Type": "application/x-www-form-urlencoded"}
        form = urlencode({"grant_type": "client_credentials", "scope": "all-apis"}).encode()
        access = say(self.server, "POST", "/oidc/v1/token", form, token=None, headers=headers)["access_token"]
        self.canaries.plant("access token", access)
        for token in (personal, access):
            assert self.server.ask("GET", f"{SCIM}/Me", token=token).status == 200
        self.canaries.plant("master key", base64.b64encode(self.key()))
        self.canaries.plant("master key, raw", self.key())

    def key(self) -> bytes:
        found = master_key.load(self.server.data_dir / "master.key")
        assert found is not None
        return found

    def _secrets(self) -> None:
        for name, value in self.values.items():
            self.canaries.plant(f"secret {name}", value)
        say(self.server, "POST", f"{SECRETS}/scopes/create", {"scope": "llm"})
        encoded = base64.b64encode(self.values["bytes"].encode()).decode()
        for key, value in (
            ("text", {"string_value": self.values["text"]}),
            ("bytes", {"bytes_value": encoded}),
            ("variable", {"string_value": self.values["variable"]}),
            ("binary", {"bytes_value": base64.b64encode(self.values["bytes"].encode() + b"\xff").decode()}),
        ):
            say(self.server, "POST", f"{SECRETS}/put", {"scope": "llm", "key": key, **value})
        say(self.server, "POST", f"{SECRETS}/acls/put", {"scope": "llm", "principal": "users", "permission": "READ"})
        got = say(self.server, "GET", f"{SECRETS}/get?scope=llm&key=text")
        assert base64.b64decode(got["value"]).decode() == self.values["text"]

    def _endpoints(self) -> None:
        for start in STARTS:
            variables = {
                "KEY": "{{secrets/llm/variable}}",
                "LAKESERVE_WORKER_START": start,
            }
            self.server.deploy(start, environment_vars=variables)
            self.check(start)
        created = self.server.create("failing", environment_vars={"KEY": "{{secrets/llm/binary}}"})
        assert created.status == 200, created.body
        assert self.server.settled("failing")["state"]["config_update"] == "UPDATE_FAILED"

    def check(self, endpoint: str) -> None:
        """The model has the value, and everybody else sees the reference."""
        assert self.server.value(endpoint, "environ", name="KEY") == self.values["variable"]
        (served,) = self.server.get(endpoint)["config"]["served_entities"]
        assert served["environment_vars"]["KEY"] == "{{secrets/llm/variable}}"

    def _trouble(self) -> None:
        """Refusals of calls that carry a secret, a model that breaks, workers and a controller that are killed."""
        refused = self.values["refused"]
        for body in (
            {"scope": "llm", "key": "a b", "string_value": refused},
            {"scope": "none", "key": "k", "string_value": refused},
            {"scope": "llm", "key": "k", "string_value": refused, "bytes_value": refused},
            {"scope": "llm", "key": "k", "bytes_value": refused},
            {"scope": "llm", "key": "k", "string_value": [refused]},
            f'{{"scope": "llm", "string_value": "{refused}"'.encode(),
        ):
            answer = self.server.ask("POST", f"{SECRETS}/put", body)
            assert 400 <= answer.status < 500
            assert not self.canaries.in_bytes(answer.body)
        assert self.server.ask("GET", f"{SCIM}/Me", token=refused).status == 401
        for endpoint in STARTS:
            assert self.server.act(endpoint, "raise", text="broken").status == 400
            assert self.server.act(endpoint, "exit").status == 502
        (controller,) = self.server.pids_of("lakeserve.bootstrap.controller")
        self.server.kill(controller)
        self.server.wait_ready()
        for endpoint in STARTS:
            poll(lambda name=endpoint: self.server.get(name)["state"]["ready"] == "READY", self.server.told)  # type: ignore[misc]
            self.check(endpoint)

    def answers(self) -> Iterator[tuple[str, bytes]]:
        """Every GET of the API that there is something to get from, apart from the one whose answer is a value."""
        paths = [
            *(f"{SECRETS}/{path}" for path in ("scopes/list", "list?scope=llm", "acls/list?scope=llm")),
            f"{SECRETS}/acls/get?scope=llm&principal=users",
            ENDPOINTS,
            "/api/2.0/token/list",
            "/api/2.0/token-management/tokens",
            f"/api/2.0/accounts/servicePrincipals/{self.robot}/credentials/secrets",
            *(f"{SCIM}/{each}" for each in ("Me", "Users", "Groups", "ServicePrincipals")),
            "/metrics",
            "/ready",
            "/health",
            "/.well-known/databricks-config",
            "/oidc/.well-known/oauth-authorization-server",
            "/api/2.0/mlflow/registered-models/search",
        ]
        for name in (*STARTS, "failing"):
            endpoint = self.server.get(name)
            paths += [f"{ENDPOINTS}/{name}", f"/api/2.0/permissions/serving-endpoints/{endpoint['id']}"]
            paths += [f"{ENDPOINTS}/{name}/served-models/probe-1/{kind}" for kind in ("logs", "build-logs")]
        paths += [f"{ENDPOINTS}/{name}/{kind}" for name in STARTS for kind in ("metrics", "openapi")]
        for path in paths:
            answer = self.server.ask("GET", path)
            # The probe model has no signature to describe.
            assert answer.status == (400 if path.endswith("/openapi") else 200), (path, answer.body)
            yield f"GET {path}", answer.body + str(answer.headers).encode()

    def left(self) -> Iterator[tuple[str, bytes]]:
        yield from files(self.server.data_dir)
        yield "output", self.server.output.read_bytes()


@pytest.fixture(scope="module")
def planted(server: Server) -> Iterator[Planted]:
    """A server of its own, with the registered models of the shared one. The last test ends it."""
    with short_folder() as folder:
        data_dir = folder / "d"
        data_dir.mkdir()
        copy_registry(server.data_dir, data_dir)
        made = Planted(Server(data_dir, token="dapi" + secrets.token_hex(16)))
        try:
            made.server.start(registry=True)
            made.plant()
            yield made
        finally:
            made.server.kill_all()


def test_the_search_finds_what_is_there() -> None:
    canaries = Canaries()
    secret = "a canary+/with ünusual characters"
    canaries.plant("it", secret)
    encoded = [base64.b64encode(b"x" * before + secret.encode() + b"yz") for before in range(6)]
    spelled = [secret.encode(), secret.encode().hex().encode(), *encoded, base64.urlsafe_b64encode(secret.encode())]
    for text in spelled:
        assert canaries.found([("there", b"..." + text + b"...")]) == ["it in there"]
    assert canaries.found([("there", b"a canary")]) == []
    assert canaries.found([("there", secret.encode())], [("there", "it")]) == []
    assert all(len(form) > 8 for form in forms(b"x" * 16))


def test_the_reason_of_a_failure_names_the_variable_and_not_the_value(planted: Planted) -> None:
    (failed,) = planted.server.get("failing")["pending_config"]["served_entities"]
    assert failed["state"]["deployment"] == "DEPLOYMENT_FAILED"
    told = "Environment variable KEY refers to secret binary in scope llm, which is not UTF-8 text."
    assert failed["state"]["deployment_state_message"] == told
    assert told in planted.server.logs("failing", "probe-1", "build-logs")


def test_no_secret_is_found_anywhere(planted: Planted) -> None:
    canaries, server = planted.canaries, planted.server
    in_its_file = [("master.key", "master key"), ("master.key", "master key, raw")]

    assert len(canaries) == 10
    assert canaries.found(planted.answers()) == []
    assert canaries.found(command_lines(server)) == []
    for part in PARTS:
        found = list(environments(server, part))
        assert found, part
        assert canaries.found(found) == []
    (supervisor,) = {server.process.pid} if server.process is not None else set()
    given = [(f"environ of {supervisor}", "admin token")]  # by the operator, in the variable for it
    places = [(f"environ of {supervisor}", Path(f"/proc/{supervisor}/environ").read_bytes())]
    assert canaries.found(places, given) == []
    # What is no secret is found: the search looks where things are.
    assert "comment in GET /api/2.0/token/list" in planted.shown.found(planted.answers())
    assert {"comment in lakeserve.db", "comment in lakeserve.db-wal"} & set(planted.shown.found(planted.left()))
    names = {name for name, _ in files(server.data_dir)}
    assert {"lakeserve.db", "lakeserve.db-wal", "master.key", "logs/controller.log"} <= names
    assert canaries.found(planted.left(), in_its_file) == []

    server.stop()
    assert canaries.found(planted.left(), in_its_file) == []
    assert not [name for name, _ in files(server.data_dir) if name.endswith(".new")]
