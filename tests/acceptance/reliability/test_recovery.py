"""Promise 4: a worker's death costs at most what it holds, said in a typed error, and it is replaced; nobody else notices."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from support.load import counts, has_workers, probing, rows, told, worker_pids
from support.prober import Prober
from support.server import Answer, Server, poll

WORKERS = 4
LOST = (502, "INTERNAL_ERROR")
TIMED_OUT = (504, "DEADLINE_EXCEEDED")
NOTICED_S = 1.0
"""The promise: a crash is noticed, and told to whoever waits, within so many seconds."""


@pytest.fixture
def endpoint(server: Server) -> Iterator[str]:
    server.deploy("hardy")
    poll(lambda: has_workers(server, "hardy", WORKERS))
    yield "hardy"
    server.delete("hardy")


@pytest.mark.parametrize("rounds", counts(2, 8))
def test_killed_idle_workers_cost_nothing(
    server: Server, endpoint: str, rounds: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """All but one, round after round. Workers take turns, so the one that has just answered is idle for the next requests."""

    def work(prober: Prober) -> None:
        for _ in range(rounds):
            killed: set[int] = set()
            while len(killed) < WORKERS - 1:
                pid = just_answered(prober)
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
            pids = poll(lambda: has_workers(server, endpoint, WORKERS), limit_s=100)
            assert not killed & set(pids)

    report = probing(server, endpoint, work, per_second=20)
    assert not report.failed, report.explain()
    with capsys.disabled():
        print(
            f" [{rounds * (WORKERS - 1)} kills, {len(report.samples)} requests, 0 failed; {report.summary()}]", end=""
        )


def test_a_killed_busy_worker_costs_its_request_alone(server: Server, endpoint: str, tmp_path: Path) -> None:
    go, ran = tmp_path / "go", tmp_path / "ran"
    with ThreadPoolExecutor(WORKERS) as pool:
        held = [pool.submit(hold, server, endpoint, tmp_path, number, go) for number in range(WORKERS - 1)]
        busy = [poll(lambda number=number: holder(tmp_path, number)) for number in range(WORKERS - 1)]
        began = time.monotonic()
        os.kill(busy[0], signal.SIGKILL)
        failed = poll(lambda: [each for each in held if each.done()], limit_s=5)
        assert time.monotonic() - began < NOTICED_S
        assert [each.result().error for each in failed] == [LOST]
        assert server.act(endpoint, "echo", value=1).status == 200, "the others are not disturbed"
        go.touch()
        assert sorted(each.result().status for each in held) == [200, 200, 502]
    assert sorted(ran.read_text().split()) == ["0", "1", "2"], "nothing was run twice"


@pytest.mark.parametrize(("way", "error"), [("exit", LOST), ("grow", LOST), ("hang", TIMED_OUT)])
def test_a_worker_that_ends_itself_disturbs_nobody_else(
    restless: Server, way: str, error: tuple[int, str], capsys: pytest.CaptureFixture[str]
) -> None:
    restless.deploy("reckless")
    restless.deploy("neighbour")
    poll(lambda: has_workers(restless, "reckless", WORKERS))
    seconds = []

    def work(prober: Prober) -> None:
        before = set(worker_pids(restless, "reckless"))
        began = time.monotonic()
        assert restless.act("reckless", way).error == error
        seconds.append(time.monotonic() - began)
        poll(lambda: len(set(worker_pids(restless, "reckless")) - before) == 1, limit_s=10)
        poll(lambda: has_workers(restless, "reckless", WORKERS), limit_s=10)
        assert restless.act("reckless", "echo", value=1).status == 200

    report = probing(restless, "neighbour", work, per_second=20)
    assert not report.failed, report.explain()
    restless.delete("reckless")
    restless.delete("neighbour")
    with capsys.disabled():
        print(f" [told after {seconds[0]:.2f} s; {len(report.samples)} requests elsewhere, 0 failed]", end="")


def test_a_stopped_worker_is_replaced(server: Server, endpoint: str, tmp_path: Path) -> None:
    """SIGSTOP: it lives and holds a request that it will never answer."""
    go = tmp_path / "go"
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(hold, server, endpoint, tmp_path, 0, go)
        pid = poll(lambda: holder(tmp_path, 0))
        os.kill(pid, signal.SIGSTOP)
        assert held.result(timeout=10).error == LOST
    poll(lambda: replaced(server, endpoint, pid), limit_s=10)


def test_a_model_that_cannot_come_back_is_retried_ever_more_slowly(server: Server, tmp_path: Path) -> None:
    """Meanwhile a worker that has been busy for long is left alone."""
    needed = tmp_path / "needed"
    needed.touch()
    server.deploy("stumbling", environment_vars={"PROBE_NEEDS": str(needed)})
    poll(lambda: has_workers(server, "stumbling", WORKERS))
    server.deploy("patient")
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(2))
        long = pool.submit(server.act, "patient", "tell", seconds=5)
        needed.unlink()
        for pid in worker_pids(server, "stumbling"):
            os.kill(pid, signal.SIGKILL)
        entity = poll(lambda: deployment(server, "stumbling", "DEPLOYMENT_RECOVERING"))
        assert entity["deployment_state_message"]
        waiting = pool.submit(server.act, "stumbling", "echo", value="held")
        attempts = starts(server)
        assert long.result().status == 200
        assert 1 <= starts(server) - attempts <= 5, "in five seconds, with pauses of 0.5, 1, 2 and 4"
        assert not waiting.done(), "a request to an endpoint that recovers is held"
        needed.touch()
        assert waiting.result().json == {"predictions": ["held"]}
        poll(lambda: deployment(server, "stumbling", "DEPLOYMENT_READY"))
    server.delete("stumbling")
    server.delete("patient")


def just_answered(prober: Prober) -> int:
    seen = len(prober.report.samples)
    poll(lambda: len(prober.report.samples) > seen)
    return int(told(prober.report.samples[-1])["pid"])


def replaced(server: Server, endpoint: str, gone: int) -> list[int]:
    pids = has_workers(server, endpoint, WORKERS)
    return [] if gone in pids else pids


def hold(server: Server, endpoint: str, folder: Path, number: int, go: Path) -> Answer:
    """A request that leaves a note of its number and pid, and ends when ``go`` is there."""
    row = {"do": "note", "file": str(folder / "ran"), "value": number, "until": str(go)}
    return server.query(endpoint, rows(row | {"pid_file": str(folder / f"pid-{number}")}))


def holder(folder: Path, number: int) -> int:
    """The pid of the worker that holds it; 0 until one does."""
    note = folder / f"pid-{number}"
    return int(note.read_text() or 0) if note.exists() else 0


def deployment(server: Server, endpoint: str, state: str) -> dict[str, Any] | None:
    (entity,) = server.get(endpoint)["config"]["served_entities"]
    found: dict[str, Any] = entity["state"]
    return found if found["deployment"] == state else None


def starts(server: Server) -> int:
    return server.logs("stumbling", "probe-1").count("probe: loading")
