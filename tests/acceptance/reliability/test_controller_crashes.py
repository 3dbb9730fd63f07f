"""Promise 7: the controller may be killed at any moment of any change; what was acknowledged holds, and nothing is left over."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http.client import HTTPException
from typing import Any

import pytest

from support import proc
from support.load import counts, running, worker_pids
from support.server import ENDPOINTS, Server, poll

NAMES = ("ada", "bob")
VERSIONS = ("1", "2")
WORKERS = 4
CONVERGED_WITHIN_S = 30.0


@dataclass(frozen=True)
class Known:
    """What a client knows of an endpoint: its version and whether it was stopped."""

    version: str
    stopped: bool = False


@dataclass
class History:
    """The endpoints as every acknowledged operation left them. An operation without an answer may have been carried out or not."""

    known: dict[str, Known] = field(default_factory=dict)

    def after(self, operation: str, name: str, version: str) -> Known | None:
        before = self.known.get(name)
        if operation == "delete":
            return None
        if operation in ("create", "update"):
            return Known(version)
        assert before is not None
        return replace(before, stopped=operation == "stop")

    def possible(self, rng: random.Random) -> tuple[str, str, str]:
        """An operation that the state machine allows now, on an endpoint that is not updating."""
        name = rng.choice(NAMES)
        known = self.known.get(name)
        version = rng.choice(VERSIONS)
        if known is None:
            return "create", name, version
        choices = ["update", "delete", "start" if known.stopped else "stop"]
        return rng.choice(choices), name, version


@pytest.fixture
def crashing(server: Server) -> Iterator[Server]:
    with running(server) as own:
        yield own


@pytest.mark.parametrize("rounds", counts(6, 200))
@pytest.mark.parametrize("seed", [20250101])
def test_the_controller_is_killed_at_random_moments(
    crashing: Server, rounds: int, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(seed)
    history = History()
    slowest, unknown = 0.0, 0
    for number in range(rounds):
        operation, name, version = history.possible(rng)
        answered = change_and_kill(
            crashing, operation, name, version, after_s=rng.uniform(0.0, rng.choice((0.02, 0.3)))
        )
        began = time.monotonic()
        before, after = history.known.get(name), history.after(operation, name, version)
        allowed = [after] if answered else [before, after]
        unknown += not answered
        told = f"seed {seed}, round {number}: {operation} {name} {version}, answered {answered}"
        found = poll(lambda name=name: seen(crashing, name), lambda told=told: f"{told}\n{crashing.told()}")
        assert found[0] in allowed, (told, found, allowed)
        history.known = {other: known for other, known in history.known.items() if other != name}
        if found[0] is not None:
            history.known[name] = found[0]
        check_tidy(crashing, history, told)
        slowest = max(slowest, time.monotonic() - began)
    for name in list(history.known):
        crashing.delete(name)
    history.known = {}
    check_tidy(crashing, history, f"seed {seed}, at the end")
    with capsys.disabled():
        print(f" [{rounds} kills, {unknown} unanswered; tidy within {slowest:.1f} s]", end="")


def change_and_kill(server: Server, operation: str, name: str, version: str, *, after_s: float) -> bool:
    """Ask for the change and kill the controller so long after the question. Whether the change was acknowledged."""
    acknowledged = threading.Event()

    def ask() -> None:
        with suppress(OSError, HTTPException):
            answer = carry_out(server, operation, name, version)
            # A repeated attempt by a gateway can find done what the one before it has done.
            assert answer.status in (200, 400, 404, 409, 503), answer.body
            if answer.status == 200:
                acknowledged.set()

    (controller,) = poll(lambda: server.pids_of("lakeserve.bootstrap.controller"))
    killing = threading.Timer(after_s, os.kill, (controller, signal.SIGKILL))
    killing.start()
    ask()
    killing.join()
    return acknowledged.is_set()


def carry_out(server: Server, operation: str, name: str, version: str) -> Any:
    if operation == "create":
        return server.create(name, version=version)
    if operation == "update":
        return server.update(name, version=version)
    if operation == "delete":
        return server.ask("DELETE", f"{ENDPOINTS}/{name}")
    return server.ask("PUT", f"{ENDPOINTS}/{name}/config:{operation}")


def seen(server: Server, name: str) -> tuple[Known | None] | None:
    """What the endpoint is once no update runs; None until then."""
    answer = server.ask("GET", f"{ENDPOINTS}/{name}")
    if answer.status == 404:
        return (None,)
    if answer.status != 200 or answer.json["state"]["config_update"] == "IN_PROGRESS":
        return None
    endpoint = answer.json
    assert endpoint["state"]["config_update"] == "NOT_UPDATING", endpoint
    (entity,) = endpoint["config"]["served_entities"]
    return (Known(entity["entity_version"], stopped=endpoint["state"]["ready"] == "NOT_READY"),)


def check_tidy(server: Server, history: History, told: str) -> None:
    """As many workers as the known endpoints need, and nothing else: no process, no socket, no folder."""
    left: list[str] = []

    def tidy() -> bool:
        left[:] = differences(server, history)
        return not left

    poll(tidy, lambda: f"{told}: {left}\n{server.told()}", CONVERGED_WITHIN_S)


def differences(server: Server, history: History) -> list[str]:
    listed = server.ask("GET", ENDPOINTS)
    if listed.status != 200:
        return ["the control plane is away"]
    endpoints = {endpoint["name"]: endpoint["id"] for endpoint in listed.json["endpoints"]}
    serving = [name for name, known in history.known.items() if not known.stopped]
    workers = worker_pids(server)
    found = {
        "endpoints": (set(endpoints), set(history.known)),
        "workers": (len(workers), WORKERS * len(serving)),
        "sockets": (len(list((server.data_dir / "run").glob("w-*.sock"))), len(workers)),
        "folders": (log_folders(server), set(endpoints.values())),
        "strangers": (strangers(server, workers), []),
    }
    wrong = [f"{what}: {is_now} instead of {wanted}" for what, (is_now, wanted) in found.items() if is_now != wanted]
    for name in serving:
        value = server.act(name, "version") if not wrong else None
        if value is not None and value.json.get("predictions") != [int(history.known[name].version)]:
            wrong.append(f"{name} answers {value.body!r}")
    return wrong


def log_folders(server: Server) -> set[str]:
    return {path.name for path in (server.data_dir / "logs" / "endpoints").glob("*") if path.is_dir()}


def strangers(server: Server, workers: list[int]) -> list[str]:
    """Processes of the tree that are neither workers nor of a kind of which there is one."""
    lines = [proc.read(pid, "cmdline").replace(b"\0", b" ").decode() for pid in server.pids() if pid not in workers]
    parts = [
        "lakeserve up",
        "lakeserve.supervisor",
        "bootstrap.gateway",
        "bootstrap.controller",
        "adapters.mlflow",
        " zygote ",
    ]
    ones = [next((part for part in parts if part in line), line) for line in lines]
    return sorted(one for one in set(ones) if one not in parts or ones.count(one) > 1)
