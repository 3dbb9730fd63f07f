"""Counters that add up: what is merged can be taken off again, and what is dumped can be loaded."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeserve.domain.usage import BOUNDS_MS, EntityUsage, Histogram, dump, load

# Whole milliseconds: sums of them are exact, so that equality can be asked for.
milliseconds = st.integers(0, 10**6).map(float)


@st.composite
def usages(draw: st.DrawFn) -> EntityUsage:
    usage = EntityUsage(in_flight=draw(st.integers(0, 9)), queued=draw(st.integers(0, 9)))
    for status, latency in draw(st.lists(st.tuples(st.integers(200, 599), milliseconds), max_size=6)):
        usage.answered(status, latency)
        usage.queue.add(latency / 2)
        usage.model.add(latency / 4)
    return usage


def merged(*parts: EntityUsage) -> EntityUsage:
    total = EntityUsage()
    for part in parts:
        total.merge(part)
    return total


@given(usages(), usages(), usages())
def test_merging_is_a_sum(a: EntityUsage, b: EntityUsage, c: EntityUsage) -> None:
    assert merged(a, b) == merged(b, a)
    assert merged(merged(a, b), c) == merged(a, merged(b, c))
    assert merged(a, b).requests == a.requests + b.requests
    assert merged(a, EntityUsage()) == merged(a)


@given(usages(), usages())
def test_what_was_merged_can_be_taken_off(a: EntityUsage, b: EntityUsage) -> None:
    total = merged(a, b)
    total.merge(b, -1)
    assert total == merged(a)


@given(usages())
def test_a_copy_is_equal_and_shares_nothing(usage: EntityUsage) -> None:
    before = dump(usage)
    copy = usage.copy()
    assert copy == usage
    copy.answered(500, 1.0)
    copy.queue.add(3.0)
    assert dump(usage) == before


@given(usages())
def test_goes_through_json(usage: EntityUsage) -> None:
    assert load(json.loads(json.dumps(dump(usage)))) == usage


@given(usages())
def test_merging_leaves_what_is_going_on_alone(usage: EntityUsage) -> None:
    total = EntityUsage(in_flight=3, queued=2)
    total.merge(usage)
    assert (total.in_flight, total.queued) == (3, 2)


@pytest.mark.parametrize(
    ("value", "bucket"), [(0, 0), (1, 0), (1.01, 1), (2, 1), (600_000, 17), (600_001, 18), (1e9, 18)]
)
def test_a_bound_belongs_to_its_own_bucket(value: float, bucket: int) -> None:
    histogram = Histogram()
    histogram.add(value)
    assert histogram.counts[bucket] == 1
    assert histogram.count == 1
    assert histogram.total == value


def test_bounds_grow() -> None:
    assert list(BOUNDS_MS) == sorted(set(BOUNDS_MS))
    assert len(Histogram().counts) == len(BOUNDS_MS) + 1


@pytest.mark.parametrize(
    ("status", "client", "server"),
    [(200, 0, 0), (302, 0, 0), (400, 1, 0), (429, 1, 0), (499, 1, 0), (500, 0, 1), (504, 0, 1)],
)
def test_an_answer_counts_once(status: int, client: int, server: int) -> None:
    usage = EntityUsage()
    usage.answered(status, 12.0)
    assert (usage.requests, usage.client_errors, usage.server_errors, usage.latency.count) == (1, client, server, 1)
