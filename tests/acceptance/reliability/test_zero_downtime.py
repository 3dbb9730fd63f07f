"""Promise 1: an update, failed or not, loses nothing, and what it replaces is gone when it is done."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path

import pytest

from support.load import counts, has_workers, probing, rows, started, told, worker_pids
from support.prober import Prober, Report
from support.server import Server, poll

PER_SECOND = 40
WORKERS = 4
DRAINED_S = 1.0
"""So long after an update has ended, nothing of the version before it may answer a new request."""


@dataclass(frozen=True)
class Updated:
    """Since when, on the prober's clock, only this version may answer."""

    version: str
    since: float


@pytest.fixture
def endpoint(server: Server) -> Iterator[str]:
    server.deploy("rolling", environment_vars={"PROBE_VERSION": "0"})
    yield "rolling"
    server.delete("rolling")


@pytest.mark.parametrize("updates", counts(8, 100))
def test_updates_under_load_lose_nothing(
    server: Server, endpoint: str, updates: int, capsys: pytest.CaptureFixture[str]
) -> None:
    done = [Updated("0", 0.0)]

    def work(prober: Prober) -> None:
        for number in range(1, updates + 1):
            served_a_while(prober)
            if number % 4 == 0:
                fail_to_update(server, endpoint, number)
            else:
                update(server, endpoint, environment_vars={"PROBE_VERSION": str(number)})
                done.append(Updated(str(number), prober.now() + DRAINED_S))

    report = probing(server, endpoint, work, per_second=PER_SECOND)
    check(report, done)
    assert len(poll(lambda: has_workers(server, endpoint, WORKERS))) == WORKERS
    with capsys.disabled():
        print(f" [{updates} updates, {len(report.samples)} requests, 0 failed; {report.summary()}]", end="")


def test_an_update_to_a_slow_model_keeps_the_capacity(server: Server) -> None:
    """Requests that need all workers: a switch to the first new worker alone would leave most of them waiting."""
    server.deploy("slowly", environment_vars={"PROBE_VERSION": "0"})
    done = [Updated("0", 0.0)]

    def work(prober: Prober) -> None:
        update(server, "slowly", environment_vars={"PROBE_VERSION": "1", "PROBE_LOADS_FOR_S": "1.5"})
        done.append(Updated("1", prober.now() + DRAINED_S))
        assert started(server, "slowly") == WORKERS, "ready means all of its workers"

    def body(number: int) -> object:
        return rows({"do": "tell", "value": number, "seconds": 0.1})

    report = probing(server, "slowly", work, per_second=20, body=body)
    check(report, done)
    assert report.latency_ms(1.0) < 1000, report.explain()
    server.delete("slowly")


def test_streams_that_run_across_an_update_end_whole(server: Server, endpoint: str, tmp_path: Path) -> None:
    go = tmp_path / "go"
    row = {"count": 5, "until": str(go)}
    with ExitStack() as stack:
        streams = [begin_stream(server, endpoint, row, stack) for _ in range(WORKERS - 1)]
        first = [read_event(stream) for stream in streams]
        old = {event["pid"] for event in first}
        assert len(old) == len(streams)
        update(server, endpoint, environment_vars={"PROBE_VERSION": "new"})
        assert server.value(endpoint, "tell", value=1)["version"] == "new"
        assert old <= set(worker_pids(server, endpoint)), "what streams is not ended"
        go.touch()
        for begun, stream in zip(first, streams, strict=True):
            *rest, end = stream.read().decode().split("\n\n")[:-1]
            assert end == "data: [DONE]"
            events = [begun, *(json.loads(line.removeprefix("data: ")) for line in rest)]
            assert [event["number"] for event in events] == list(range(5))
            assert {event["pid"] for event in events} == {begun["pid"]}
    poll(lambda: not old & set(worker_pids(server, endpoint)), limit_s=10)


def served_a_while(prober: Prober) -> None:
    """So that there are requests between two updates, too."""
    enough = len(prober.report.samples) + PER_SECOND // 2
    poll(lambda: len(prober.report.samples) >= enough)


def update(server: Server, endpoint: str, **entity: object) -> None:
    assert server.update(endpoint, **entity).status == 200
    server.ready(endpoint)


def fail_to_update(server: Server, endpoint: str, number: int) -> None:
    """Half of them cannot be loaded at all, half come from another model that cannot."""
    before = poll(lambda: has_workers(server, endpoint, WORKERS))
    model = "broken" if number % 8 == 0 else "probe"
    answer = server.update(endpoint, model, environment_vars={"PROBE_REFUSES": f"refused {number}"})
    assert answer.status == 200
    failed = server.settled(endpoint)
    assert failed["state"] == {"ready": "READY", "config_update": "UPDATE_FAILED"}
    poll(lambda: worker_pids(server, endpoint) == before, limit_s=10)


def check(report: Report, done: list[Updated]) -> None:
    assert not report.failed, report.explain()
    allowed = [each.version for each in done]
    served_by: dict[str, set[int]] = {version: set() for version in allowed}
    for sample in report.samples:
        answer = told(sample)
        oldest = max(index for index, each in enumerate(done) if each.since <= sample.sent)
        assert allowed.index(answer["version"]) >= oldest, (sample, done)
        served_by[answer["version"]].add(answer["pid"])
    assert all(len(pids) <= WORKERS for pids in served_by.values()), served_by


def begin_stream(server: Server, endpoint: str, row: dict[str, object], stack: ExitStack) -> HTTPResponse:
    connection = server.connect()
    stack.callback(connection.close)
    headers = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"}
    body = json.dumps(rows(row) | {"stream": True})
    connection.request("POST", f"/serving-endpoints/{endpoint}/invocations", body, headers)
    response = connection.getresponse()
    assert response.status == 200
    return response


def read_event(stream: HTTPResponse) -> dict[str, int]:
    line = stream.readline()
    assert line.startswith(b"data: "), line
    assert stream.readline() == b"\n"
    event: dict[str, int] = json.loads(line[6:])
    return event
