"""Any process of the tree killed at any time: what can go on goes on, the rest comes back, nothing is left behind."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support import proc
from support.registry import short_folder
from support.server import STOP_S, Server, copy_registry, poll
from support.serving import Factory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds the tree's processes in /proc")

GATEWAY, CONTROLLER, REGISTRY, ZYGOTE = "bootstrap.gateway", "bootstrap.controller", "adapters.mlflow", "zygote"
UNITS = 4


def deploy_two(server: Server) -> Server:
    """Two ready endpoints with all their workers."""
    server.start(registry=True)
    server.deploy("one")
    server.deploy("two", version="2")
    for name in ("one", "two"):
        poll(lambda name=name: len(pids(server, name)) == UNITS)  # type: ignore[misc]
    return server


@pytest.fixture(scope="module")
def shared(server: Server) -> Iterator[Server]:
    """Its parts are killed one by one; it outlives all that."""
    with short_folder() as folder:
        (folder / "d").mkdir()
        copy_registry(server.data_dir, folder / "d")
        battered = Server(folder / "d")
        try:
            yield deploy_two(battered)
            battered.stop()
        finally:
            battered.kill_all()


@pytest.fixture
def serving(shared: Server) -> Server:
    """The shared one, as it should be before and after every test."""
    shared.wait_ready(registry=True)
    for name, version in (("one", "1"), ("two", "2")):
        if shared.value(name, "version") != int(version):
            assert shared.update(name, version=version).status == 200
            shared.ready(name)
        poll(lambda name=name: len(pids(shared, name)) == UNITS, shared.told)  # type: ignore[misc]
    return shared


@pytest.fixture
def doomed(new_server: Factory) -> Server:
    """One that the test ends."""
    return deploy_two(new_server())


def pids(server: Server, endpoint: str) -> set[int]:
    """Of its workers. Idle ones take turns, so a few more requests than units reach each."""
    return {server.value(endpoint, "pid") for _ in range(3 * UNITS)}


def answers(server: Server) -> list[object]:
    return [server.value(name, "version") for name in ("one", "two")]


class Load:
    """Queries in a loop, as long as it lasts."""

    def __init__(self, server: Server) -> None:
        self.failed: list[object] = []
        self.served = 0
        self._server = server
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(name,), daemon=True) for name in ("one", "two")]

    def _run(self, name: str) -> None:
        while not self._ended.is_set():
            try:
                answer = self._server.act(name, "echo", value=1)
                if answer.status != 200:
                    self.failed.append(answer)
            except Exception as error:  # noqa: BLE001 - whatever a client of that moment would have met
                self.failed.append(error)
            self.served += 1

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(30)


@contextmanager
def replaced(server: Server, part: str) -> Iterator[int]:
    """Kill the oldest process of that part; afterwards there is another one."""
    (pid, *_) = server.pids_of(part)
    server.kill(pid)
    yield pid
    poll(lambda: set(server.pids_of(part)) - {pid}, server.told)


@pytest.mark.parametrize("part", [CONTROLLER, REGISTRY])
def test_models_answer_while_that_part_is_dead(serving: Server, part: str) -> None:
    workers = pids(serving, "one")
    with Load(serving) as load:
        for _ in range(2):
            served = load.served
            with replaced(serving, part):
                poll(lambda served=served: load.served > served + 20)  # type: ignore[misc]
        serving.wait_ready(registry=True)
        assert answers(serving) == [1, 2]
        served = load.served
        poll(lambda: load.served > served + 20)
    assert not load.failed
    assert pids(serving, "one") == workers
    for name in ("one", "two"):
        serving.ready(name)
    assert serving.update("one", version="2").status == 200
    serving.ready("one")
    assert answers(serving) == [2, 2]


def test_a_killed_gateway_is_replaced_and_the_workers_stay(serving: Server) -> None:
    workers = pids(serving, "one")
    with replaced(serving, GATEWAY):
        pass
    serving.wait_ready()
    assert pids(serving, "one") == workers
    assert answers(serving) == [1, 2]


def test_a_killed_worker_is_replaced(serving: Server) -> None:
    workers = pids(serving, "one")
    victim = min(workers)
    serving.kill(victim)
    poll(lambda: len(found := pids(serving, "one")) == UNITS and victim not in found, serving.told)
    assert "SIGKILL" in serving.logs("one", "probe-1", "build-logs")


def test_all_workers_killed_at_once(serving: Server) -> None:
    for worker in pids(serving, "one"):
        serving.kill(worker)
    poll(lambda: serving.act("one", "echo").status == 200, serving.told, 20)
    poll(lambda: len(pids(serving, "one")) == UNITS, serving.told)
    assert serving.ready("one")


def test_a_killed_zygote_is_made_anew_when_it_is_needed(serving: Server) -> None:
    workers = pids(serving, "one")
    zygote = serving.pids_of(ZYGOTE)[0]
    assert zygote not in workers
    serving.kill(zygote)
    assert pids(serving, "one") == workers
    serving.kill(min(workers))
    poll(lambda: len(found := pids(serving, "one")) == UNITS and min(workers) not in found, serving.told)


def test_nothing_outlives_a_killed_supervisor_and_everything_comes_back(doomed: Server, new_server: Factory) -> None:
    before = {name: doomed.get(name)["id"] for name in ("one", "two")}
    living = doomed.pids()
    assert doomed.process is not None
    doomed.process.kill()
    doomed.process.wait()
    poll(
        lambda: not [pid for pid in living if proc.lives(pid)], lambda: [proc.read(pid, "cmdline") for pid in living], 2
    )
    again = new_server(data_dir=doomed.data_dir).start()
    poll(lambda: all(again.get(name)["state"]["ready"] == "READY" for name in before), again.told)
    assert answers(again) == [1, 2]
    assert {name: again.get(name)["id"] for name in before} == before
    again.stop()


def test_a_process_that_a_model_started_outlives_neither_a_restart_nor_a_stop(
    doomed: Server, new_server: Factory
) -> None:
    child = doomed.value("one", "spawn")
    assert doomed.process is not None
    doomed.process.kill()
    doomed.process.wait()
    assert proc.lives(child)
    again: Server = new_server(data_dir=doomed.data_dir).start(registry=True)
    assert not proc.lives(child)
    poll(lambda: again.act("two", "echo").status == 200, again.told)
    child = again.value("two", "spawn")
    again.stop()
    assert not proc.lives(child)


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)], ids=lambda number: number.name
)
def test_a_signal_ends_the_tree_with_a_hanging_model_and_an_open_stream(
    doomed: Server, tmp_path: Path, number: signal.Signals
) -> None:
    hanging = threading.Thread(target=_ignore_errors, args=(doomed.act, "one", "hang"), daemon=True)
    hanging.start()
    body = b'{"stream": true, "dataframe_records": [{"count": 5, "until": "%s"}]}' % str(tmp_path / "never").encode()
    head = (
        f"POST /serving-endpoints/two/invocations HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {doomed.token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with doomed.raw(head.encode() + body) as stream:
        seen = b""
        while b"data: " not in seen:
            seen += stream.recv(65536)
            assert seen.startswith(b"HTTP/1.1 200 "), seen
        poll(lambda: len(pids(doomed, "one")) == UNITS - 1)
        child = doomed.value("one", "spawn")
        took = doomed.stop(number)
    assert took < STOP_S
    assert not proc.lives(child)
    hanging.join(10)
    print(f"ended in {took:.1f} s")


def _ignore_errors(call: object, *arguments: object) -> None:
    assert callable(call)
    try:
        call(*arguments)
    except Exception:  # noqa: BLE001 - the server goes away under it
        return
