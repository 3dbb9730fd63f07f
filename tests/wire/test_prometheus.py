"""Metrics as text, read back by Prometheus' own parser."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from lakeserve.domain.metrics import Consumption, EntityMetrics, ProcessGroup, ServerMetrics
from lakeserve.domain.usage import BOUNDS_MS, EntityUsage
from lakeserve.wire.databricks.client_versions import reads_metrics
from lakeserve.wire.prometheus import render_endpoint, render_server

ENDPOINT_FAMILIES = {
    "cpu_usage_percentage": "gauge",
    "mem_usage_percentage": "gauge",
    "provisioned_concurrent_requests_total": "gauge",
    "request_count_total": "gauge",
    "request_4xx_count_total": "gauge",
    "request_5xx_count_total": "gauge",
    "request_latency_ms": "histogram",
    "model_queue_time_ms": "histogram",
    "model_prediction_latency_ms": "histogram",
}


def usage(*answers: tuple[int, float]) -> EntityUsage:
    counted = EntityUsage()
    for status, latency_ms in answers:
        counted.answered(status, latency_ms)
        counted.queue.add(0.5)
        counted.model.add(latency_ms / 2)
    return counted


def entity(served: str = "wine-1", **changes: object) -> EntityMetrics:
    values: dict[str, object] = {
        "endpoint": "wine",
        "served_entity": served,
        "consumption": Consumption(12.5, 3.25),
        "provisioned": 4,
        "recent": usage((200, 3.0)),
        "total": usage((200, 3.0), (200, 40.0), (404, 1.0), (503, 700_000.0)),
        "in_flight": 2,
        "queued": 1,
    }
    return EntityMetrics(**{**values, **changes})  # type: ignore[arg-type]


def samples(text: bytes) -> list[Sample]:
    return [sample for family in text_string_to_metric_families(text.decode()) for sample in family.samples]


def value(found: Sequence[Sample], name: str, **labels: str) -> float:
    (only,) = (s.value for s in found if s.name == name and labels.items() <= s.labels.items())
    return only


def test_every_documented_family_is_there_once() -> None:
    lines = render_endpoint([entity(), entity("wine-2")]).decode().splitlines()
    types = [line.split()[2:] for line in lines if line.startswith("# TYPE")]
    assert types == [[name, kind] for name, kind in ENDPOINT_FAMILIES.items()]
    assert [line.split()[2] for line in lines if line.startswith("# HELP")] == list(ENDPOINT_FAMILIES)


def test_every_sample_says_whose_it_is() -> None:
    found = samples(render_endpoint([entity(), entity("wine-2")]))
    assert {(s.labels["endpoint_name"], s.labels["served_model_name"]) for s in found} == {
        ("wine", "wine-1"),
        ("wine", "wine-2"),
    }
    assert {name for s in found for name in s.labels} == {"endpoint_name", "served_model_name", "le"}


def test_gauges_are_of_the_last_minute() -> None:
    found = samples(render_endpoint([entity()]))
    assert value(found, "cpu_usage_percentage") == 12.5
    assert value(found, "mem_usage_percentage") == 3.25
    assert value(found, "provisioned_concurrent_requests_total") == 4
    assert value(found, "request_count_total") == 1
    assert value(found, "request_5xx_count_total") == 0


def test_histograms_are_cumulative_since_the_start() -> None:
    found = samples(render_endpoint([entity()]))
    buckets = [s for s in found if s.name == "request_latency_ms_bucket"]
    assert [s.labels["le"] for s in buckets] == [*(f"{bound:g}" for bound in BOUNDS_MS), "+Inf"]
    counts = [s.value for s in buckets]
    assert counts == sorted(counts)
    assert value(found, "request_latency_ms_bucket", le="5") == 2
    assert value(found, "request_latency_ms_bucket", le="600000") == 3
    assert value(found, "request_latency_ms_bucket", le="+Inf") == value(found, "request_latency_ms_count") == 4
    assert value(found, "request_latency_ms_sum") == 700_044
    assert value(found, "model_queue_time_ms_sum") == 2
    assert value(found, "model_prediction_latency_ms_count") == 4


def test_what_cannot_be_measured_is_left_out() -> None:
    names = {sample.name for sample in samples(render_endpoint([entity(consumption=None)]))}
    assert "cpu_usage_percentage" not in names
    assert "provisioned_concurrent_requests_total" in names


def test_an_endpoint_without_config_has_no_samples() -> None:
    assert samples(render_endpoint([])) == []


def test_names_are_escaped() -> None:
    strange = 'a"b\\c\nd'
    assert value(samples(render_endpoint([entity(strange)])), "request_count_total", served_model_name=strange) == 1


def test_the_server_counts_since_the_start() -> None:
    processes = {"gateway": ProcessGroup(2, 1.5, 1000)}
    text = render_server(ServerMetrics((entity(), entity("wine-2")), processes))
    found = samples(text)
    assert b"# TYPE request_count_total counter" in text
    assert value(found, "request_count_total", served_model_name="wine-2") == 4
    assert value(found, "request_4xx_count_total", served_model_name="wine-1") == 1
    assert value(found, "lakeserve_requests_in_flight", served_model_name="wine-1") == 2
    assert value(found, "lakeserve_requests_queued", served_model_name="wine-1") == 1
    assert value(found, "lakeserve_processes", kind="gateway") == 2
    assert value(found, "lakeserve_memory_bytes", kind="gateway") == 1000
    assert value(found, "lakeserve_cpu_seconds", kind="gateway") == 1.5
    names = [line.split()[2] for line in text.decode().splitlines() if line.startswith("# TYPE")]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("agent", "reads"),
    [
        ("databricks-sdk-py/0.27.0 python/3.11.7 os/linux auth/pat", False),
        ("bricks/1.0 databricks-sdk-py/0.20.1 python/3.11", False),
        ("databricks-sdk-py/0.28.0 python/3.11.7", True),
        ("databricks-sdk-py/1.0.0", True),
        ("cli/0.240.0 databricks-sdk-go/0.10.0", True),
        ("not-databricks-sdk-py/0.27.0", True),
        ("", True),
    ],
)
def test_clients_that_fail_on_text(agent: str, reads: bool) -> None:
    assert reads_metrics(agent) is reads
