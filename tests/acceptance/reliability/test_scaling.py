"""Promise 3: an endpoint grows at once, shrinks when quiet, sleeps, and wakes with one start however many wait."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.load import at_once, counts, has_workers, started, worker_pids
from support.server import Answer, Server, poll

BURST = 50
WORKERS = 4
WAKE_LIMIT_S = 5.0
"""Far above the figure that is printed: these machines are shared."""


READY_LIMIT_S = 5.0
"""The promise: from the request to create an endpoint to READY, when its environment is there already."""


def test_an_endpoint_whose_environment_is_there_is_ready_soon(
    restless: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first of the environment also waits for its zygote; the second is a fork."""
    took = []
    for name in ("soon", "sooner"):
        began = time.monotonic()
        restless.deploy(name, "wine")
        took.append(time.monotonic() - began)
    for name in ("soon", "sooner"):
        restless.delete(name)
    assert max(took) < READY_LIMIT_S
    with capsys.disabled():
        print(f" [READY after {took[0]:.2f} s, then {took[1]:.2f} s]", end="")


@pytest.fixture
def sleeper(restless: Server) -> Iterator[str]:
    restless.deploy("sleeper", scale_to_zero_enabled=True)
    yield "sleeper"
    restless.delete("sleeper")


@pytest.mark.parametrize("cycles", counts(3, 200))
def test_a_burst_wakes_a_sleeping_endpoint(
    restless: Server, sleeper: str, cycles: int, capsys: pytest.CaptureFixture[str]
) -> None:
    slowest, first = 0.0, 0.0
    for _ in range(cycles):
        fall_asleep(restless, sleeper)
        before = restless.logs(sleeper, "probe-1", "build-logs").count("Loading the model")
        loaded = started(restless, sleeper)
        assert len(zygotes(restless)) == 1
        took = burst(restless, sleeper)
        first, slowest = max(first, min(took)), max(slowest, *took)
        poll(lambda wanted=loaded + WORKERS: started(restless, sleeper) == wanted)
        assert restless.logs(sleeper, "probe-1", "build-logs").count("Loading the model") == before + 1
    fall_asleep(restless, sleeper)
    assert started(restless, sleeper) == (1 + cycles) * WORKERS, "one start for each wake, and no other"
    assert slowest < WAKE_LIMIT_S
    with capsys.disabled():
        print(f" [{cycles} wakes, {cycles * BURST} answered; first ≤ {first:.2f} s, last ≤ {slowest:.2f} s]", end="")


def test_waking_without_a_warm_zygote(restless: Server, sleeper: str, capsys: pytest.CaptureFixture[str]) -> None:
    fall_asleep(restless, sleeper)
    poll(lambda: not zygotes(restless), limit_s=20)
    took = burst(restless, sleeper)
    with capsys.disabled():
        print(f" [first after {min(took):.2f} s, last after {max(took):.2f} s]", end="")


def test_medium_grows_when_requests_wait_and_shrinks_back(restless: Server, capsys: pytest.CaptureFixture[str]) -> None:
    restless.deploy("elastic", workload_size="Medium")
    poll(lambda: has_workers(restless, "elastic", 8))
    began = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        answers = pool.submit(at_once, 48, lambda _: restless.act("elastic", "tell", seconds=0.15))
        poll(lambda: has_workers(restless, "elastic", 16), limit_s=10)
        grown = time.monotonic() - began
        assert {answer.status for answer in answers.result()} == {200}
    poll(lambda: has_workers(restless, "elastic", 8), limit_s=20)
    assert restless.get("elastic")["state"]["ready"] == "READY"
    restless.delete("elastic")
    with capsys.disabled():
        print(f" [8 to 16 workers within {grown:.2f} s]", end="")


def test_provisioned_concurrency_bounds_the_workers(restless: Server) -> None:
    bounds = {"min_provisioned_concurrency": 1, "max_provisioned_concurrency": 3, "workload_size": None}
    restless.deploy("bounded", **bounds)
    assert len(worker_pids(restless, "bounded")) == 1
    answers = at_once(12, lambda _: restless.act("bounded", "tell", seconds=0.1))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.json["predictions"][0]["pid"] for answer in answers}) <= 3
    assert started(restless, "bounded") == 3
    poll(lambda: has_workers(restless, "bounded", 1), limit_s=20)
    restless.delete("bounded")


def fall_asleep(server: Server, endpoint: str) -> None:
    poll(lambda: not worker_pids(server, endpoint), limit_s=20)
    assert server.get(endpoint)["state"] == {"ready": "READY", "config_update": "NOT_UPDATING"}


def burst(server: Server, endpoint: str) -> list[float]:
    """How many seconds each of them took; all of them must be answered."""
    took = []

    def ask(number: int) -> Answer:
        began = time.monotonic()
        answer = server.act(endpoint, "tell", value=number)
        took.append(time.monotonic() - began)
        assert answer.json["predictions"][0]["value"] == number
        return answer

    assert {answer.status for answer in at_once(BURST, ask)} == {200}
    return took


def zygotes(server: Server) -> list[int]:
    return [pid for pid in server.pids_of(" zygote ") if "/logs/zygotes/" in os.readlink(f"/proc/{pid}/fd/1")]
