"""Metrics and OpenAPI documents of a running server, as its operators and the SDKs of two times read them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import pytest
from databricks.sdk import WorkspaceClient
from hypothesis import HealthCheck, given, settings
from openapi_spec_validator import OpenAPIV31SpecValidator
from prometheus_client.parser import text_string_to_metric_families

from support.clients import client_python, run_client
from support.json_schemas import values_of
from support.server import ENDPOINTS, Server, poll

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds the tree's processes in /proc")

Values = dict[tuple[str, str], float]

OLD_SDK = """
from databricks.sdk import WorkspaceClient
client = WorkspaceClient(host={host!r}, token={token!r})
print(client.serving_endpoints.export_metrics({name!r}))
print(client.serving_endpoints.get_open_api({name!r}))
"""


def read(server: Server, path: str) -> Values:
    """The samples by name and either served entity or kind of process; buckets left out."""
    answer = server.ask("GET", path)
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = text_string_to_metric_families(answer.body.decode())
    samples = [sample for family in families for sample in family.samples if "le" not in sample.labels]
    return {(s.name, s.labels.get("served_model_name", s.labels.get("kind", ""))): s.value for s in samples}


@pytest.fixture(scope="module")
def measured(server: Server) -> Iterator[str]:
    """A ready endpoint that only this module asks; three of its requests succeeded and one was refused."""
    name = "measured"
    served = server.deploy(name)["config"]["served_entities"][0]["name"]
    assert served == "probe-1"
    for _ in range(3):
        assert server.act(name, "pid").status == 200
    assert server.query(name, {"unknown": 1}).status == 400
    yield name
    server.delete(name)


def test_metrics_of_an_endpoint(server: Server, measured: str) -> None:
    path = f"{ENDPOINTS}/{measured}/metrics"

    def counted() -> Values | None:
        found = read(server, path)
        wanted = ("request_count_total", "provisioned_concurrent_requests_total")
        return found if [found[name, "probe-1"] for name in wanted] == [4, 4] else None

    # Gateways report once a second, and an endpoint is ready with its first worker.
    found = poll(counted, lambda: read(server, path))
    assert found is not None
    assert found["request_4xx_count_total", "probe-1"] == 1
    assert found["request_5xx_count_total", "probe-1"] == 0
    assert found["request_latency_ms_count", "probe-1"] == 4
    assert 0 < found["model_prediction_latency_ms_sum", "probe-1"] < found["request_latency_ms_sum", "probe-1"]
    assert found["model_queue_time_ms_count", "probe-1"] >= 3


def test_cpu_and_memory_of_the_workers(server: Server, measured: str) -> None:
    def found() -> Values | None:
        values = read(server, f"{ENDPOINTS}/{measured}/metrics")
        return values if ("mem_usage_percentage", "probe-1") in values else None

    values = poll(found, server.told)
    assert values is not None
    assert 0 < values["mem_usage_percentage", "probe-1"] < 100
    assert 0 <= values["cpu_usage_percentage", "probe-1"] <= 100


def test_metrics_of_the_server(server: Server, measured: str) -> None:
    def counted() -> Values | None:
        values = read(server, "/metrics")
        wanted = (("request_count_total", "probe-1"), ("lakeserve_processes", "worker"))
        return values if min(values.get(each, 0) for each in wanted) >= 4 else None

    values = poll(counted, server.told)
    assert values is not None
    for kind in ("supervisor", "controller", "gateway", "registry"):
        assert values["lakeserve_processes", kind] == 1
        assert values["lakeserve_memory_bytes", kind] > 1e6


def test_who_may_read_metrics(server: Server, measured: str) -> None:
    for path in ("/metrics", f"{ENDPOINTS}/{measured}/metrics", f"{ENDPOINTS}/{measured}/openapi"):
        assert server.ask("GET", path, token="dapi" + "0" * 32).status in (401, 403)
        assert server.ask("GET", path, token=None).status == 401
    assert server.ask("GET", f"{ENDPOINTS}/absent/metrics").error == (404, "RESOURCE_DOES_NOT_EXIST")


def request_schema(document: dict[str, object], served: str) -> dict[str, object]:
    schema = document["paths"][f"/served-models/{served}/invocations"]["post"]["requestBody"]["content"]  # type: ignore[index]
    return schema["application/json"]["schema"]  # type: ignore[no-any-return]


def test_openapi_of_an_endpoint(server: Server, wine_endpoint: str) -> None:
    endpoint = server.get(wine_endpoint)
    answer = server.ask("GET", f"{ENDPOINTS}/{wine_endpoint}/openapi")
    assert answer.status == 200, answer.body
    document = answer.json
    OpenAPIV31SpecValidator(document).validate()
    assert document["info"] == {"title": wine_endpoint, "version": str(endpoint["config"]["config_version"])}
    (address,) = document["servers"]
    assert address["url"] == f"{server.url}/serving-endpoints/{wine_endpoint}"
    (path,) = document["paths"]
    assert path == f"/served-models/{endpoint['config']['served_entities'][0]['name']}/invocations"


def test_a_request_made_from_the_document_succeeds(server: Server, wine_endpoint: str) -> None:
    document = server.ask("GET", f"{ENDPOINTS}/{wine_endpoint}/openapi").json
    (path,) = document["paths"]
    address = document["servers"][0]["url"].removeprefix(server.url) + path
    schema = request_schema(document, path.split("/")[2])

    @settings(max_examples=8, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(values_of(schema, everything=True, rows=2))
    def ask(body: object) -> None:
        answer = server.ask("POST", address, body)
        assert answer.status == 200, (body, answer.body)
        assert len(answer.json["predictions"]) == 2

    ask()


def test_a_model_without_signature_has_no_document(server: Server, measured: str) -> None:
    answer = server.ask("GET", f"{ENDPOINTS}/{measured}/openapi")
    assert answer.error == (400, "INVALID_PARAMETER_VALUE")
    assert "signature" in answer.json["message"]


def test_an_endpoint_that_is_not_ready_has_no_document(server: Server) -> None:
    assert server.ask("POST", ENDPOINTS, {"name": "empty"}).status == 200
    try:
        answer = server.ask("GET", f"{ENDPOINTS}/empty/openapi")
        assert answer.error == (400, "INVALID_PARAMETER_VALUE")
        assert read(server, f"{ENDPOINTS}/empty/metrics") == {}
    finally:
        server.delete("empty")


def test_the_newest_sdk_reads_both(server: Server, wine_endpoint: str) -> None:
    client = WorkspaceClient(host=server.url, token=server.token)
    metrics = client.serving_endpoints.export_metrics(wine_endpoint).contents
    assert metrics is not None
    with metrics:
        names = {family.name for family in text_string_to_metric_families(metrics.read().decode())}
    assert "request_latency_ms" in names
    contents = client.serving_endpoints.get_open_api(wine_endpoint).contents
    assert contents is not None
    with contents:
        assert json.load(contents)["openapi"] == "3.1.0"


def test_the_sdk_of_2024_survives_both(server: Server, wine_endpoint: str) -> None:
    script = OLD_SDK.format(host=server.url, token=server.token, name=wine_endpoint)
    # It throws away what it is told, and so cannot show more than that it did not fail.
    assert run_client(client_python("databricks-sdk==0.27.0"), script) == "None\nNone\n"
