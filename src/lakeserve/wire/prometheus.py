"""Metrics as Prometheus' text, version 0.0.4.

An endpoint's own metrics have Databricks' names, and its gauges named ``…_total`` hold the value of the last minute, as there.
For the whole server the same names are counters since the controller's start, because that is what Prometheus wants, and more
are added under ``lakeserve_``. Histograms always count from the controller's start. The labels of a served entity are
``endpoint_name`` and ``served_model_name``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from lakeserve.domain.metrics import EntityMetrics, ServerMetrics
from lakeserve.domain.usage import BOUNDS_MS, EntityUsage, Histogram

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LABELS = ("endpoint_name", "served_model_name")

_COUNTS: tuple[tuple[str, str, Callable[[EntityUsage], int]], ...] = (
    ("request_count_total", "Requests", lambda usage: usage.requests),
    ("request_4xx_count_total", "Requests answered with a 4xx status", lambda usage: usage.client_errors),
    ("request_5xx_count_total", "Requests answered with a 5xx status", lambda usage: usage.server_errors),
)
_HISTOGRAMS: tuple[tuple[str, str, Callable[[EntityUsage], Histogram]], ...] = (
    (
        "request_latency_ms",
        "From a request's arrival to its answer's end, in milliseconds",
        lambda usage: usage.latency,
    ),
    ("model_queue_time_ms", "Time that requests waited for a worker, in milliseconds", lambda usage: usage.queue),
    ("model_prediction_latency_ms", "Time that the model itself took, in milliseconds", lambda usage: usage.model),
)


def render_endpoint(entities: Sequence[EntityMetrics]) -> bytes:
    return _render((*_gauges(entities), *_last_minute(entities), *_histograms(entities)))


def render_server(metrics: ServerMetrics) -> bytes:
    entities = metrics.entities
    return _render(
        (*_gauges(entities), *_counters(entities), *_histograms(entities), *_now(entities), *_processes(metrics))
    )


def _gauges(entities: Sequence[EntityMetrics]) -> Iterator[Metric]:
    cpu = GaugeMetricFamily(
        "cpu_usage_percentage", "CPU that the workers use, in percent of the machine, last minute", labels=LABELS
    )
    memory = GaugeMetricFamily(
        "mem_usage_percentage", "Memory that the workers take, in percent of the machine, last minute", labels=LABELS
    )
    provisioned = GaugeMetricFamily(
        "provisioned_concurrent_requests_total", "Requests that the workers can take at once now", labels=LABELS
    )
    for each in entities:
        if each.consumption is not None:
            cpu.add_metric(_labels(each), each.consumption.cpu_percent)
            memory.add_metric(_labels(each), each.consumption.memory_percent)
        provisioned.add_metric(_labels(each), each.provisioned)
    return iter((cpu, memory, provisioned))


def _last_minute(entities: Sequence[EntityMetrics]) -> Iterator[Metric]:
    for name, text, of in _COUNTS:
        family = GaugeMetricFamily(name, f"{text}, last minute", labels=LABELS)
        for each in entities:
            family.add_metric(_labels(each), of(each.recent))
        yield family


def _counters(entities: Sequence[EntityMetrics]) -> Iterator[Metric]:
    for name, text, of in _COUNTS:
        family = CounterMetricFamily(name, text, labels=LABELS)
        for each in entities:
            family.add_metric(_labels(each), of(each.total))
        yield family


def _histograms(entities: Sequence[EntityMetrics]) -> Iterator[Metric]:
    for name, text, of in _HISTOGRAMS:
        family = HistogramMetricFamily(name, text, labels=LABELS)
        for each in entities:
            histogram = of(each.total)
            family.add_metric(_labels(each), _buckets(histogram), histogram.total)
        yield family


def _now(entities: Sequence[EntityMetrics]) -> Iterator[Metric]:
    in_flight = GaugeMetricFamily("lakeserve_requests_in_flight", "Requests being answered now", labels=LABELS)
    queued = GaugeMetricFamily("lakeserve_requests_queued", "Requests waiting for a worker now", labels=LABELS)
    for each in entities:
        in_flight.add_metric(_labels(each), each.in_flight)
        queued.add_metric(_labels(each), each.queued)
    return iter((in_flight, queued))


def _processes(metrics: ServerMetrics) -> Iterator[Metric]:
    count = GaugeMetricFamily("lakeserve_processes", "Living processes of the server, by kind", labels=("kind",))
    memory = GaugeMetricFamily(
        "lakeserve_memory_bytes", "Memory of those processes, shared pages divided among them", labels=("kind",)
    )
    cpu = GaugeMetricFamily("lakeserve_cpu_seconds", "CPU time of the living processes of a kind", labels=("kind",))
    for kind, group in sorted(metrics.processes.items()):
        count.add_metric((kind,), group.count)
        memory.add_metric((kind,), group.memory_bytes)
        cpu.add_metric((kind,), group.cpu_s)
    return iter((count, memory, cpu))


def _labels(metrics: EntityMetrics) -> tuple[str, str]:
    return metrics.endpoint, metrics.served_entity


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    """Cumulative, as Prometheus has them."""
    bounds = [*(f"{bound:g}" for bound in BOUNDS_MS), "+Inf"]
    return list(zip(bounds, accumulate(histogram.counts), strict=True))


def _render(families: Iterable[Metric]) -> bytes:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(families))
    return generate_latest(registry)


class _Families(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families
