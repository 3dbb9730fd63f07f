"""Promise 2: shares of traffic are kept, and changing nothing but them restarts nothing."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from math import sqrt
from typing import Any

import pytest

from support.load import asking, counts, has_workers, told, worker_pids
from support.server import ENDPOINTS, Server, poll

SPLITS = (
    {"a": 90, "b": 10, "c": 0},
    {"a": 50, "b": 50, "c": 0},
    {"a": 100, "b": 0, "c": 0},
    {"a": 34, "b": 33, "c": 33},
)
POINT = 0.01
"""The promise: within one percentage point of what was asked for."""


def split_config(shares: dict[str, int]) -> dict[str, Any]:
    """Three served entities of one model that differ in a variable alone."""
    entities = [
        {
            "name": name,
            "entity_name": "main.default.probe",
            "entity_version": "1",
            "min_provisioned_concurrency": 2,
            "max_provisioned_concurrency": 2,
            "scale_to_zero_enabled": False,
            "environment_vars": {"LAKESERVE_ENV_MANAGER": "local", "PROBE_VERSION": name},
        }
        for name in shares
    ]
    routes = [{"served_model_name": name, "traffic_percentage": share} for name, share in shares.items()]
    return {"served_entities": entities, "traffic_config": {"routes": routes}}


@pytest.fixture(scope="module")
def endpoint(server: Server) -> Iterator[str]:
    answer = server.ask("POST", ENDPOINTS, {"name": "split", "config": split_config({"a": 0, "b": 0, "c": 100})})
    assert answer.status == 200, answer.body
    server.ready("split")
    yield "split"
    server.delete("split")


@pytest.mark.parametrize("requests", counts(2_000, 20_000))
def test_shares_of_traffic(server: Server, endpoint: str, requests: int, capsys: pytest.CaptureFixture[str]) -> None:
    pids = poll(lambda: has_workers(server, endpoint, 6))
    worst = 0.0
    for shares in SPLITS:
        assert server.ask("PUT", f"{ENDPOINTS}/{endpoint}/config", split_config(shares)).status == 200
        server.ready(endpoint)
        report = asking(server, f"/serving-endpoints/{endpoint}/invocations", requests)
        assert not report.failed, report.explain()
        assert all(sample.served_by == told(sample)["version"] for sample in report.samples)
        got = Counter(sample.served_by for sample in report.samples)
        for name, share in shares.items():
            off = abs(got[name] - requests * share / 100)
            assert off <= min(POINT * requests, furthest(share / 100, requests)), (shares, got)
            assert share or not got[name], (shares, got)
            worst = max(worst, off)
        assert worker_pids(server, endpoint) == pids, "a change of shares alone restarts nothing"
    with capsys.disabled():
        print(f" [{requests} requests for each of {len(SPLITS)} splits; furthest off {worst:.0f} requests]", end="")


def test_a_served_entity_asked_for_by_name_ignores_the_split(server: Server, endpoint: str) -> None:
    assert server.ask("PUT", f"{ENDPOINTS}/{endpoint}/config", split_config(SPLITS[2])).status == 200
    server.ready(endpoint)
    for name in "abc":
        report = asking(server, f"/serving-endpoints/{endpoint}/served-models/{name}/invocations", 20)
        assert {(sample.status, sample.served_by, told(sample)["version"]) for sample in report.samples} == {
            (200, name, name)
        }


def furthest(share: float, requests: int) -> float:
    """How far off a share can be at worst: any ``requests`` steps of the golden ratio, counted in any interval of that length.

    Only intervals that begin or end at a step need be looked at; one more is for steps that lie on the edge.
    """
    steps = sorted(step * (sqrt(5) - 1) / 2 % 1.0 for step in range(requests))
    around = [*steps, *(step + 1 for step in steps)]
    inside = [bisect_left(around, step + share) - index for index, step in enumerate(steps)]
    return max(abs(count - share * requests) for count in inside) + 1
