"""The routes of serving endpoints, asked without any client library."""

from __future__ import annotations

import re
from typing import Any

import pytest

from support.server import ENDPOINTS, Server, config

HEX32 = re.compile(r"[0-9a-f]{32}")


def test_an_endpoint_lives_through_its_routes(server: Server) -> None:
    created = server.create("life", "probe", "@champion", workload_size="Small").json
    assert created["name"] == "life"
    assert HEX32.fullmatch(created["id"])
    assert created["state"] == {"ready": "NOT_READY", "config_update": "IN_PROGRESS"}
    assert created["permission_level"] == "CAN_MANAGE"
    assert created["creator"]
    assert created["creation_timestamp"] > 1_600_000_000_000
    assert "config" not in created or not created["config"].get("served_entities")
    (pending,) = created["pending_config"]["served_entities"]
    assert pending["entity_name"] == "main.default.probe"
    assert pending["state"]["deployment"].startswith("DEPLOYMENT_")

    endpoint = server.ready("life")
    assert "pending_config" not in endpoint
    assert endpoint["config"]["config_version"] == 1
    (served,) = endpoint["config"]["served_entities"]
    assert served["name"] == "probe-1"
    assert served["state"]["deployment"] == "DEPLOYMENT_READY"
    routes = endpoint["config"]["traffic_config"]["routes"]
    assert [(route["served_model_name"], route["traffic_percentage"]) for route in routes] == [("probe-1", 100)]

    listed = {each["name"]: each for each in server.ask("GET", ENDPOINTS).json["endpoints"]}
    assert listed["life"]["id"] == created["id"]
    assert server.value("life", "echo", value=3) == 3

    server.delete("life")
    assert server.ask("GET", f"{ENDPOINTS}/life").error == (404, "RESOURCE_DOES_NOT_EXIST")
    assert server.ask("DELETE", f"{ENDPOINTS}/life").error == (404, "RESOURCE_DOES_NOT_EXIST")
    assert server.act("life", "echo").error == (404, "ENDPOINT_NOT_FOUND")
    assert "life" not in {each["name"] for each in server.ask("GET", ENDPOINTS).json["endpoints"]}


def test_a_name_can_be_used_again_at_once_and_gets_a_new_id(server: Server) -> None:
    first = server.deploy("again")
    server.delete("again")
    second = server.deploy("again", version="2")
    assert second["id"] != first["id"]
    assert server.value("again", "version") == 2
    server.delete("again")


def test_trailing_slashes_as_clients_send_them(server: Server, probe_endpoint: str) -> None:
    assert server.ask("GET", ENDPOINTS + "/").status == 200
    assert server.ask("GET", f"{ENDPOINTS}/{probe_endpoint}/").status == 200
    answer = server.ask(
        "POST", f"/serving-endpoints/{probe_endpoint}/invocations/", {"dataframe_records": [{"value": 1}]}
    )
    assert answer.json == {"predictions": [1]}
    refused = server.ask("POST", ENDPOINTS + "/", {"name": probe_endpoint, "config": config()})
    assert refused.error == (409, "RESOURCE_ALREADY_EXISTS")


def test_a_duplicate_is_refused_and_changes_nothing(server: Server, probe_endpoint: str) -> None:
    before = server.get(probe_endpoint)
    assert server.create(probe_endpoint, "wine").error == (409, "RESOURCE_ALREADY_EXISTS")
    assert server.get(probe_endpoint) == before


@pytest.mark.parametrize(
    ("model", "version", "word"),
    [
        ("nothing", "1", "main.default.nothing"),
        ("probe", "99", "99"),
        ("probe", "@nobody", "nobody"),
    ],
)
def test_what_the_registry_does_not_have_is_refused(server: Server, model: str, version: str, word: str) -> None:
    answer = server.create("unresolved", model, version)
    assert answer.error == (404, "RESOURCE_DOES_NOT_EXIST")
    assert word in answer.json["message"]
    assert server.ask("GET", f"{ENDPOINTS}/unresolved").status == 404


@pytest.mark.parametrize("name", ["", "-a", "a-", "a b", "a.b", "x" * 64, "databricks-llm", "ä", "../etc", "a/b"])
def test_bad_names_are_refused(server: Server, name: str) -> None:
    assert server.create(name).error == (400, "INVALID_PARAMETER_VALUE")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"name": 3}',
        b'{"name": "x", "config": []}',
        b'{"name": "x", "config": {"served_entities": [{"entity_name": 1, "entity_version": "1"}]}}',
        b'{"name": "x", "config": {"served_entities": []}}',
        b'{"name": "x", "config": {"served_entities": [{"entity_name": "main.default.probe", "entity_version": "0"}]}}',
    ],
)
def test_bad_bodies_are_refused(server: Server, body: bytes) -> None:
    status, code = server.ask("POST", ENDPOINTS, body).error
    assert status == 400
    assert code in ("BAD_REQUEST", "INVALID_PARAMETER_VALUE", "MALFORMED_REQUEST")
    assert server.ask("GET", ENDPOINTS).status == 200


def test_an_endpoint_without_a_config(server: Server) -> None:
    endpoint = server.ask("POST", ENDPOINTS, {"name": "empty", "tags": [{"key": "team", "value": "risk"}]}).json
    assert endpoint["state"] == {"ready": "NOT_READY", "config_update": "NOT_UPDATING"}
    assert endpoint["tags"] == [{"key": "team", "value": "risk"}]
    assert server.act("empty", "echo").error == (404, "ENDPOINT_NOT_FOUND")
    assert server.update("empty").status == 200
    server.ready("empty")
    assert server.value("empty", "version") == 1
    server.delete("empty")


def test_traffic_and_the_route_to_one_served_entity(server: Server) -> None:
    both: dict[str, Any] = {
        "served_entities": [
            {**config(version=number)["served_entities"][0], "name": name, "min_provisioned_concurrency": 1}
            for number, name in (("1", "old"), ("2", "new"))
        ],
        "traffic_config": {
            "routes": [
                {"served_model_name": "old", "traffic_percentage": 0},
                {"served_model_name": "new", "traffic_percentage": 100},
            ]
        },
    }
    for entity in both["served_entities"]:
        del entity["workload_size"]
        entity["max_provisioned_concurrency"] = 1
    assert server.ask("POST", ENDPOINTS, {"name": "both", "config": both}).status == 200
    server.ready("both")
    assert {server.value("both", "version") for _ in range(8)} == {2}
    for name, version in (("old", 1), ("new", 2)):
        path = f"/serving-endpoints/both/served-models/{name}/invocations"
        answer = server.ask("POST", path, {"dataframe_records": [{"do": "version"}]})
        assert answer.json == {"predictions": [version]}
        assert answer.headers["served-model-name"] == name
    path = "/serving-endpoints/both/served-models/none/invocations"
    assert server.ask("POST", path, {"dataframe_records": [{}]}).error == (404, "ENDPOINT_NOT_FOUND")
    server.delete("both")


def test_environment_variables_reach_the_model(server: Server) -> None:
    server.deploy("environ", environment_vars={"GREETING": "hello = world\nüber", "OMP_NUM_THREADS": "3"})
    assert server.value("environ", "environ", name="GREETING") == "hello = world\nüber"
    assert server.value("environ", "environ", name="OMP_NUM_THREADS") == "3"
    for secret in ("LAKESERVE_ADMIN_TOKEN", "LAKESERVE_SETTINGS", "MLFLOW_TRACKING_TOKEN"):
        assert server.value("environ", "environ", name=secret) is None
    (entity,) = server.get("environ")["config"]["served_entities"]
    assert entity["environment_vars"]["GREETING"] == "hello = world\nüber"
    server.delete("environ")


def test_logs_tell_of_the_way_to_readiness_and_what_the_model_printed(server: Server, probe_endpoint: str) -> None:
    build = server.logs(probe_endpoint, "probe-1", "build-logs")
    for step in ("Fetching version 1 of main.default.probe", "environment", "Loading the model", "serves"):
        assert step in build
    server.value(probe_endpoint, "print", text="a line for the log: ü")
    logs = server.logs(probe_endpoint, "probe-1")
    assert "probe: loaded" in logs
    assert "a line for the log: ü" in logs
    for kind in ("logs", "build-logs"):
        unknown = server.ask("GET", f"{ENDPOINTS}/{probe_endpoint}/served-models/none/{kind}")
        assert unknown.error == (404, "RESOURCE_DOES_NOT_EXIST")
        assert server.ask("GET", f"{ENDPOINTS}/none/served-models/probe-1/{kind}").status == 404


def test_unknown_routes_and_methods(server: Server, probe_endpoint: str) -> None:
    assert server.ask("GET", "/api/2.0/nothing").error == (404, "NOT_FOUND")
    assert server.ask("GET", "/nothing").error == (404, "NOT_FOUND")
    assert server.ask("PATCH", f"{ENDPOINTS}/{probe_endpoint}").error[0] == 405
    assert server.ask("GET", f"/serving-endpoints/{probe_endpoint}/invocations").error[0] == 405


@pytest.mark.parametrize("path", [ENDPOINTS, "/health", "/api/2.0/mlflow/registered-models/search"])
def test_no_header_comes_twice_on_the_way_through_two_servers(server: Server, path: str) -> None:
    names = [name.lower() for name in server.ask("GET", path).headers]
    assert "date" in names
    assert sorted(names) == sorted(set(names))


def test_telemetry_of_a_command_line_is_counted(server: Server) -> None:
    upload = {"uploadTime": 1, "items": [], "protoLogs": ["{}", "{}"]}
    assert server.ask("POST", "/telemetry-ext", upload).json == {"errors": [], "numProtoSuccess": 2}
    assert server.ask("POST", "/telemetry-ext", {"uploadTime": 1}).json == {"errors": [], "numProtoSuccess": 0}
    assert server.ask("POST", "/telemetry-ext", {"protoLogs": 3}).error == (400, "INVALID_PARAMETER_VALUE")
    assert server.ask("POST", "/telemetry-ext", upload, token=None).error == (401, "UNAUTHENTICATED")


def test_who_am_i_and_where(server: Server) -> None:
    me = server.ask("GET", "/api/2.0/preview/scim/v2/Me")
    assert me.json["userName"] == "admin@lakeserve.local"
    assert me.json["active"] is True
    assert int(me.headers["x-databricks-org-id"]) > 0
    host = server.ask("GET", "/.well-known/databricks-config", token=None).json
    assert host["oidc_endpoint"].startswith(server.url)
