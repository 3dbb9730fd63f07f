"""Tags, notifications, and every block and route whose capability is not there: what asks for nothing works, the rest says 501."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from support.server import ENDPOINTS, Server

OLD_SDK = {"User-Agent": "databricks-sdk-py/0.27.0"}
TAGS = [{"key": "team", "value": "risk"}, {"key": "bare"}]


@pytest.fixture
def empty(server: Server) -> Iterator[str]:
    """The name of an endpoint without a config."""
    assert server.ask("POST", ENDPOINTS, {"name": "blocks"}).status == 200
    yield "blocks"
    server.delete("blocks")


def change(server: Server, name: str, block: str, body: object, method: str = "PATCH", **more: Any) -> Any:
    answer = server.ask(method, f"{ENDPOINTS}/{name}/{block}", body, **more)
    assert answer.status == 200, answer.body
    return answer.json


def test_tags(server: Server, empty: str) -> None:
    assert change(server, empty, "tags", {"add_tags": TAGS}) == {"tags": TAGS}
    assert server.get(empty)["tags"] == TAGS
    replaced = {"add_tags": [{"key": "bare", "value": ""}], "delete_tags": ["team", "unknown"]}
    assert change(server, empty, "tags", replaced, headers=OLD_SDK) == [{"key": "bare", "value": ""}]
    assert change(server, empty, "tags", {"delete_tags": ["bare"]}) == {"tags": []}
    assert "tags" not in server.get(empty)


@pytest.mark.parametrize(
    ("block", "body", "told"),
    [
        ("tags", {"add_tags": [{"value": "x"}]}, "Each tag must have a key"),
        ("tags", {"add_tags": [{"key": "a"}], "delete_tags": ["a"]}, "both add_tags and delete_tags"),
        ("tags", {"delete_tags": [1]}, "delete_tags[0] must be text, not a number."),
        ("notifications", {"email_notifications": []}, "email_notifications must be an object, not a list."),
        ("telemetry-config", {}, "not supported for endpoint type 'NO_CONFIG'"),
        ("system-metrics-export-state", {"uc_system_metrics_export_state": "ON"}, "must be FIRST_PARTY_EXPORT_ENABLED"),
    ],
)
def test_what_breaks_a_rule(server: Server, empty: str, block: str, body: object, told: str) -> None:
    answer = server.ask("PATCH", f"{ENDPOINTS}/{empty}/{block}", body)
    assert answer.error == (400, "INVALID_PARAMETER_VALUE")
    assert told in answer.json["message"]


def test_notifications_are_shown_once_they_were_set_by_their_own_call(server: Server) -> None:
    told = {"on_update_failure": ["ops@example.com"]}
    created = server.ask("POST", ENDPOINTS, {"name": "told", "email_notifications": told}).json
    assert "email_notifications" not in created
    assert "email_notifications" not in server.get("told")
    answer = change(server, "told", "notifications", {"email_notifications": told})
    assert answer == {"name": "told", "email_notifications": told}
    assert server.get("told")["email_notifications"] == told
    change(server, "told", "notifications", {})
    assert "email_notifications" not in server.get("told")
    server.delete("told")


def test_blocks_that_ask_for_nothing(server: Server, empty: str) -> None:
    off = {"usage_tracking_config": {"enabled": False}}
    assert change(server, empty, "ai-gateway", off, "PUT") == off
    assert server.get(empty)["ai_gateway"] == off
    assert server.ask("GET", f"{ENDPOINTS}/{empty}/ai-gateway").json == off
    assert change(server, empty, "ai-gateway", {"guardrails": None}, "PUT") == {}
    assert "ai_gateway" not in server.get(empty)
    assert change(server, empty, "rate-limits", {"rate_limits": []}, "PUT") == {"rate_limits": []}
    state = {"uc_system_metrics_export_state": "FIRST_PARTY_EXPORT_DISABLED"}
    assert change(server, empty, "system-metrics-export-state", state).items() >= state.items()


def test_telemetry_of_an_endpoint_that_has_none_can_be_taken_away(server: Server, probe_endpoint: str) -> None:
    assert change(server, probe_endpoint, "telemetry-config", {})["name"] == probe_endpoint
    config = {"telemetry_config": {"table_names": {"logs_table": "main.a.b"}}}
    answer = server.ask("PATCH", f"{ENDPOINTS}/{probe_endpoint}/telemetry-config", config)
    assert answer.error == (501, "NOT_IMPLEMENTED")


LIMIT = {"calls": 1, "renewal_period": "minute"}
MISSING = [
    ("PUT", ENDPOINTS + "/{name}/rate-limits", {"rate_limits": [LIMIT]}, "rate_limits"),
    ("PUT", ENDPOINTS + "/{name}/ai-gateway", {"rate_limits": [LIMIT]}, "ai_gateway"),
    (
        "PATCH",
        ENDPOINTS + "/{name}/system-metrics-export-state",
        {"uc_system_metrics_export_state": "FIRST_PARTY_EXPORT_ENABLED"},
        "export of system metrics",
    ),
    ("GET", ENDPOINTS + "/{name}/events", None, "Events"),
    ("PUT", ENDPOINTS + "/pt/{name}/config", {}, "Provisioned throughput endpoints"),
    ("POST", ENDPOINTS + "/pt", {}, "Provisioned throughput endpoints"),
    ("GET", ENDPOINTS + "/get-model-optimization-info/main.default.wine/1", None, "Optimization info"),
    ("POST", "/api/2.0/external-function", {}, "external-function"),
    ("POST", "/ai-gateway/mlflow/v1/chat/completions", {}, "/ai-gateway"),
    ("POST", "/ai-gateway/mlflow/v1/embeddings", {}, "/ai-gateway"),
    ("POST", "/ai-gateway/mlflow/v1/responses", {}, "/ai-gateway"),
    ("POST", "/ai-gateway/openai/v1/chat/completions", {}, "/ai-gateway"),
    ("POST", "/ai-gateway/openai/v1/embeddings", {}, "/ai-gateway"),
    ("POST", "/ai-gateway/openai/v1/responses", {}, "/ai-gateway"),
]


@pytest.mark.parametrize(("method", "path", "body", "told"), MISSING, ids=[f"{row[0]} {row[1]}" for row in MISSING])
def test_what_is_missing_says_so(server: Server, empty: str, method: str, path: str, body: object, told: str) -> None:
    answer = server.ask(method, path.format(name=empty), body)
    assert answer.error == (501, "NOT_IMPLEMENTED")
    assert told in answer.json["message"]
    assert "not implemented yet" in answer.json["message"]
    assert server.ask(method, path.format(name=empty), body, token=None).error == (401, "UNAUTHENTICATED")
    if "{name}" in path:
        unknown = server.ask(method, path.format(name="nobody"), body)
        assert unknown.error == (404, "RESOURCE_DOES_NOT_EXIST")


@pytest.mark.parametrize(
    "block",
    [
        {"telemetry_config": {"table_names": {"logs_table": "a.b.c"}}},
        {"uc_system_metrics_export_state": "FIRST_PARTY_EXPORT_ENABLED"},
    ],
)
def test_a_new_endpoint_does_not_pretend_either(server: Server, block: dict[str, Any]) -> None:
    answer = server.ask("POST", ENDPOINTS, {"name": "pretends", **block})
    assert answer.error == (501, "NOT_IMPLEMENTED")
    assert server.ask("GET", f"{ENDPOINTS}/pretends").status == 404
