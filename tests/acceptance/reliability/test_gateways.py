"""Promise 5: two gateways are one to a client, and one that ends takes along at most what it holds."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import pytest

from support.load import counts, has_workers, probing
from support.prober import Prober
from support.server import Server, poll

VISIBLE_S = 1.0
"""The promise: so long after a change was committed, every gateway acts by it."""


@pytest.fixture(scope="module")
def endpoint(twins: Server) -> Iterator[str]:
    twins.deploy("shared", environment_vars={"PROBE_VERSION": "0"})
    poll(lambda: has_workers(twins, "shared", 4))
    yield "shared"
    twins.delete("shared")


def test_both_answer_on_one_port_and_see_a_change_at_once(
    twins: Server, endpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = gateways(twins)
    before = sockets(first), sockets(second)
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(contextlib.closing(twins.connect())) for _ in range(40)]
        with ThreadPoolExecutor(len(connections)) as pool:
            assert set(pool.map(lambda connection: version(twins, connection), connections)) == {"0"}
        assert sockets(first) > before[0], "the first gateway has some of the connections"
        assert sockets(second) > before[1], "and the second gateway the others"
        assert twins.update(endpoint, environment_vars={"PROBE_VERSION": "1"}).status == 200
        twins.ready(endpoint)
        began = time.monotonic()
        poll(lambda: {version(twins, connection) for connection in connections} == {"1"}, limit_s=10)
        took = time.monotonic() - began
        assert took < VISIBLE_S
    with capsys.disabled():
        print(f" [all 40 connections saw it within {took:.2f} s]", end="")


def test_no_request_waits_behind_a_long_one_while_a_worker_is_idle(
    twins: Server, endpoint: str, tmp_path: Path
) -> None:
    """Each gateway knows only its own requests, and still sends none to a worker that another keeps busy."""
    go = tmp_path / "go"
    began = [tmp_path / f"began-{number}" for number in range(3)]
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(contextlib.closing(twins.connect())) for _ in began]
        try:
            for connection, mark in zip(held, began, strict=True):
                ask(twins, connection, {"do": "wait", "began": str(mark), "until": str(go)})
            poll(lambda: all(mark.exists() for mark in began), limit_s=10)
            for _ in range(40):
                with contextlib.closing(twins.connect(timeout=5)) as connection:
                    assert version(twins, connection) in ("0", "1")
        finally:
            go.touch()
        assert all(answered(connection) for connection in held)


@pytest.mark.parametrize("restarts", counts(3, 20))
def test_a_gateway_that_is_told_to_end_loses_nothing(
    twins: Server, endpoint: str, restarts: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(_: Prober) -> None:
        for _ in range(restarts):
            oldest = gateways(twins)[0]
            os.kill(oldest, signal.SIGTERM)
            poll(lambda gone=oldest: gone not in gateways(twins) and len(gateways(twins)) == 2)

    report = probing(twins, endpoint, work, per_second=60)
    assert not report.failed, report.explain()
    with capsys.disabled():
        print(f" [{restarts} restarts, {len(report.samples)} requests, 0 failed; {report.summary()}]", end="")


@pytest.mark.parametrize("kills", counts(2, 20))
def test_a_killed_gateway_takes_along_what_it_holds_and_no_more(
    twins: Server, endpoint: str, tmp_path: Path, kills: int, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = 0

    def work(_: Prober) -> None:
        nonlocal lost
        for number in range(kills):
            lost += kill_one_while_it_holds(twins, endpoint, tmp_path / str(number))

    report = probing(twins, endpoint, work, per_second=20)
    assert all(sample.status == 0 for sample in report.failed), report.explain()
    assert len(report.failed) <= 2 * kills, report.explain()
    with capsys.disabled():
        print(f" [{kills} kills: {lost} of {kills} held requests lost, {len(report.failed)} others]", end="")


def kill_one_while_it_holds(twins: Server, endpoint: str, folder: Path) -> int:
    """How many held requests were lost: one if the killed gateway had its connection, else none."""
    folder.mkdir()
    began, go = folder / "began", folder / "go"
    with contextlib.closing(twins.connect()) as held:
        ask(twins, held, {"do": "wait", "began": str(began), "until": str(go)})
        poll(began.exists)
        victim = gateways(twins)[0]
        expected = has_connection(victim, held)
        twins.kill(victim)
        go.touch()
        lost = not answered(held)
    assert lost == expected
    poll(lambda: len(gateways(twins)) == 2)
    return int(lost)


def has_connection(pid: int, connection: HTTPConnection) -> bool:
    """Whether the process has the server's end of it."""
    remote = f":{connection.sock.getsockname()[1]:04X}"
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return bool({f"socket:[{row[9]}]" for row in rows if row[2].endswith(remote)} & set(links(pid)))


def answered(connection: HTTPConnection) -> bool:
    try:
        response = connection.getresponse()
        response.read()
    except (OSError, HTTPException):
        return False
    assert response.status == 200
    return True


def gateways(server: Server) -> list[int]:
    return server.pids_of("lakeserve.bootstrap.gateway")


def sockets(pid: int) -> int:
    """How many it has open."""
    return sum(link.startswith("socket:") for link in links(pid))


def links(pid: int) -> list[str]:
    found = []
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            found.append(os.readlink(descriptor))
    return found


def ask(server: Server, connection: HTTPConnection, row: dict[str, str]) -> None:
    headers = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"}
    body = json.dumps({"dataframe_records": [row]})
    connection.request("POST", "/serving-endpoints/shared/invocations", body, headers)


def version(server: Server, connection: HTTPConnection) -> str:
    """What the endpoint answers on this connection, which stays open."""
    ask(server, connection, {"do": "tell"})
    answer: dict[str, Any] = json.loads(connection.getresponse().read())
    return str(answer["predictions"][0]["version"])
