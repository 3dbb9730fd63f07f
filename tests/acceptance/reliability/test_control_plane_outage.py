"""Promise 6: whatever happens to the control plane, what is READY answers; and it converges on its return, without a restart."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support.load import counts, has_workers, probing, worker_pids
from support.prober import Prober
from support.server import ENDPOINTS, Server, poll

PER_SECOND = 40
UNAVAILABLE = (503, "TEMPORARILY_UNAVAILABLE")
REFUSED_WITHIN_S = 7.0
"""Longest time until a call that cannot be carried out says so: the wait for the database's lock, and a margin."""


@pytest.fixture(scope="module")
def endpoint(twins: Server) -> Iterator[str]:
    twins.deploy("steady")
    poll(lambda: has_workers(twins, "steady", 4))
    yield "steady"
    twins.delete("steady")


def undisturbed(
    server: Server, endpoint: str, work: Callable[[Prober], object], capsys: pytest.CaptureFixture[str]
) -> None:
    """While ``work`` runs no request fails; after it the same processes serve, and a change can be made."""
    pids = worker_pids(server, endpoint)
    report = probing(server, endpoint, work, per_second=PER_SECOND)
    assert not report.failed, report.explain()
    assert worker_pids(server, endpoint) == pids
    assert server.get(endpoint)["state"] == {"ready": "READY", "config_update": "NOT_UPDATING"}
    server.deploy("afterwards")
    server.delete("afterwards")
    with capsys.disabled():
        print(f" [{len(report.samples)} requests, 0 failed; {report.summary()}]", end="")


@pytest.mark.parametrize("kills", counts(3, 30))
def test_the_controller_is_killed(twins: Server, endpoint: str, kills: int, capsys: pytest.CaptureFixture[str]) -> None:
    def work(_: Prober) -> None:
        for _ in range(kills):
            (controller,) = twins.pids_of("lakeserve.bootstrap.controller")
            os.kill(controller, signal.SIGKILL)
            answer = twins.ask("GET", f"{ENDPOINTS}/{endpoint}")
            assert answer.status == 200 or answer.error == UNAVAILABLE
            poll(lambda: twins.ask("GET", f"{ENDPOINTS}/{endpoint}").status == 200)

    undisturbed(twins, endpoint, work, capsys)


def test_a_busy_worker_outlives_the_controller(twins: Server, endpoint: str, tmp_path: Path) -> None:
    """It answers nobody while it works, which a new controller must not take for being dead."""
    began, go = tmp_path / "began", tmp_path / "go"
    pids = worker_pids(twins, endpoint)
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(twins.act, endpoint, "wait", began=str(began), until=str(go), value="finished")
        poll(began.exists)
        twins.kill(*twins.pids_of("lakeserve.bootstrap.controller"))
        poll(lambda: twins.ask("GET", f"{ENDPOINTS}/{endpoint}").status == 200, limit_s=20)
        twins.ready(endpoint)
        assert worker_pids(twins, endpoint) == pids
        go.touch()
        assert held.result().json == {"predictions": ["finished"]}
    assert worker_pids(twins, endpoint) == pids


@pytest.mark.parametrize("seconds", counts(2, 90))
def test_the_controller_stands_still(
    twins: Server, endpoint: str, seconds: int, capsys: pytest.CaptureFixture[str]
) -> None:
    (controller,) = twins.pids_of("lakeserve.bootstrap.controller")

    def work(prober: Prober) -> None:
        enough = len(prober.report.samples) + seconds * PER_SECOND
        os.kill(controller, signal.SIGSTOP)
        try:
            if seconds > 80:
                assert twins.ask("GET", f"{ENDPOINTS}/{endpoint}").error == UNAVAILABLE
            poll(lambda: len(prober.report.samples) >= enough)
        finally:
            os.kill(controller, signal.SIGCONT)
        assert twins.ask("GET", f"{ENDPOINTS}/{endpoint}").status == 200

    report = probing(twins, endpoint, work, per_second=PER_SECOND)
    assert not report.failed, report.explain()
    assert twins.pids_of("lakeserve.bootstrap.controller") == [controller]
    with capsys.disabled():
        print(f" [{len(report.samples)} requests, 0 failed; {report.summary()}]", end="")


def test_the_registry_is_killed(twins: Server, endpoint: str, capsys: pytest.CaptureFixture[str]) -> None:
    def work(_: Prober) -> None:
        (registry,) = twins.pids_of("lakeserve.adapters.mlflow")
        twins.kill(registry)
        answer = twins.create("meanwhile")
        assert answer.status == 200 or answer.error == UNAVAILABLE
        if answer.status == 200:
            twins.ready("meanwhile")
            twins.delete("meanwhile")
        twins.wait_ready(registry=True)

    undisturbed(twins, endpoint, work, capsys)


def test_another_process_holds_the_database(twins: Server, endpoint: str, capsys: pytest.CaptureFixture[str]) -> None:
    def work(_: Prober) -> None:
        with contextlib.closing(sqlite3.connect(twins.data_dir / "lakeserve.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert twins.get(endpoint)["state"]["ready"] == "READY"
            refused(twins, "locked-out")
            other.execute("ROLLBACK")

    undisturbed(twins, endpoint, work, capsys)


def test_the_database_is_gone(twins: Server, endpoint: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Renamed, because nothing is unreadable to root."""
    database = twins.data_dir / "lakeserve.db"

    def work(prober: Prober) -> None:
        with elsewhere(database):
            enough = len(prober.report.samples) + PER_SECOND
            assert twins.ask("GET", f"{ENDPOINTS}/{endpoint}").error == UNAVAILABLE
            refused(twins, "nowhere")
            poll(lambda: len(prober.report.samples) >= enough)

    undisturbed(twins, endpoint, work, capsys)


def test_workers_are_replaced_without_the_database(twins: Server, endpoint: str) -> None:
    before = poll(lambda: has_workers(twins, endpoint, 4))
    with elsewhere(twins.data_dir / "lakeserve.db"):
        for pid in before:
            twins.kill(pid)
        assert twins.value(endpoint, "pid") not in before
    poll(lambda: has_workers(twins, endpoint, 4))
    twins.ready(endpoint)


def refused(server: Server, name: str) -> None:
    began = time.monotonic()
    assert server.create(name).error == UNAVAILABLE
    assert time.monotonic() - began < REFUSED_WITHIN_S


@contextlib.contextmanager
def elsewhere(database: Path) -> Iterator[None]:
    aside = database.with_suffix(".aside")
    database.rename(aside)
    try:
        yield
    finally:
        aside.rename(database)
