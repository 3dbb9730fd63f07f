"""Real workers under a real supervisor: started, drained, killed, lost and taken over by the next controller."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from lakeserve.adapters.local import worker_upstream
from lakeserve.adapters.local.launcher import Launch, Launcher
from lakeserve.adapters.local.workers import LocalWorkers
from lakeserve.adapters.local.zygotes import Zygotes, wants_exec
from lakeserve.ports.environments import Environment
from lakeserve.ports.models import ModelPackage
from lakeserve.ports.upstream import Reply, UpstreamLost
from lakeserve.ports.workers import Worker, WorkerFailed, WorkerSpec
from support.clock import until
from support.plain_model import write_model
from support.supervised import SLEEP, SmallSupervisor, alive, small_supervisor

LIMIT_S = 60.0
MEMORY = 1024 * 1024 * 1024
VARIABLES = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}


@pytest.fixture(scope="module")
def supervisor() -> Iterator[SmallSupervisor]:
    with small_supervisor() as started:
        yield started


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("plain")
    loading = {
        "good": "pass",
        "raises": "raise RuntimeError('no weights here')",
        "exits": "os._exit(9)",
        "slow": "time.sleep(600)",
    }
    return {name: write_model(folder / name, line) for name, line in loading.items()}


@dataclass
class Controller:
    """What a controller's process has of its workers."""

    folder: Path
    launcher: Launcher
    workers: LocalWorkers
    models: dict[str, Path]
    losses: list[tuple[Worker, str]] = field(default_factory=list)

    async def on_lost(self, worker: Worker, how: str) -> None:
        self.losses.append((worker, how))

    def spec(self, model: str = "good", **changes: Any) -> WorkerSpec:
        environment = Environment("k" * 64, Path(sys.executable), self.folder / "preload.json")
        package = ModelPackage(self.models[model], None, None, {})
        made = WorkerSpec(
            "e1", "wine", "wine-3", "f1", package, environment, {}, self.folder / "server.log", 60.0, LIMIT_S
        )
        return replace(made, **changes)

    async def start(self, model: str = "good", **changes: Any) -> Worker:
        return await self.workers.start(self.spec(model, **changes), self.on_lost)

    async def lost(self) -> tuple[Worker, str]:
        await until(lambda: self.losses, LIMIT_S)
        return self.losses[-1]

    def sockets(self) -> set[str]:
        return {path.name for path in self.folder.glob("w-*.sock")}


Connect = Callable[..., Awaitable[tuple[Controller, list[Worker]]]]


@pytest.fixture
async def connect(supervisor: SmallSupervisor, models: dict[str, Path]) -> AsyncIterator[Connect]:
    """Makes controllers of the one supervisor. After the test no worker is left, and the zygote stays."""
    opened: list[Controller] = []

    async def new(
        *, memory_bytes: int = MEMORY, adopting: frozenset[str] = frozenset()
    ) -> tuple[Controller, list[Worker]]:
        folder = supervisor.folder
        launcher = await Launcher.connect(supervisor.path)
        more: dict[str, Any] = {"run_dir": folder, "environment": VARIABLES, "supervisor_pid": supervisor.pid}
        zygotes = Zygotes(launcher, log_dir=folder, keep_s=600.0, **more)
        workers = LocalWorkers(launcher, zygotes, choice="auto", memory_bytes=memory_bytes, **more)
        opened.append(Controller(folder, launcher, workers, models))
        return opened[-1], await workers.adopt(adopting, opened[-1].on_lost)

    yield new
    last, _ = await new()
    await until(lambda: nothing_left(last), LIMIT_S)
    for controller in opened:
        await controller.launcher.close()
    for path in supervisor.folder.glob("w-*.sock"):
        path.unlink()


@pytest.fixture
async def it(connect: Connect) -> Controller:
    return (await connect())[0]


async def ask(worker: Worker, what: str = "pid", number: float = 0) -> list[Any]:
    upstream = await worker_upstream.connect(worker.address)
    try:
        return await answer_of(upstream, what, number)
    finally:
        upstream.close()


async def answer_of(upstream: worker_upstream.WorkerUpstream, what: str = "pid", number: float = 0) -> list[Any]:
    body = json.dumps({"dataframe_split": {"columns": ["what", "number"], "data": [[what, number]]}})
    reply = await upstream.ask("application/json", body.encode(), "r1")
    assert isinstance(reply, Reply)
    assert reply.status == 200, reply.body
    predictions: list[Any] = json.loads(reply.body)["predictions"]
    return predictions


async def sleeping(it: Controller, worker: Worker) -> None:
    """Wait until the model has the request."""
    await until(lambda: f"sleeping in {worker.pid}" in (it.folder / "server.log").read_text(), LIMIT_S)


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


async def gone(pid: int) -> None:
    await until(lambda: not alive(pid), LIMIT_S)


async def test_a_worker_is_forked_and_answers(it: Controller, supervisor: SmallSupervisor) -> None:
    worker = await it.start(environment_vars={"X_TEST": "a secret"})
    assert await ask(worker) == [worker.pid, "a secret"]
    assert parent_of(worker.pid) == supervisor.pid
    assert b"zygote" in Path(f"/proc/{worker.pid}/cmdline").read_bytes()
    for process in ("cmdline", "environ"):
        assert b"a secret" not in Path(f"/proc/{worker.pid}/{process}").read_bytes()


async def test_several_start_together(it: Controller) -> None:
    started = await asyncio.gather(*(it.start() for _ in range(3)))
    assert len({worker.pid for worker in started}) == 3
    await asyncio.gather(*(it.workers.drain(worker, 5.0) for worker in started))
    assert not any(alive(worker.pid) for worker in started)
    assert it.losses == []


async def test_variables_that_libraries_read_at_their_import_ask_for_an_exec(it: Controller) -> None:
    worker = await it.start(environment_vars={"OMP_NUM_THREADS": "1", "X_TEST": "x"})
    assert await ask(worker) == [worker.pid, "x"]
    assert b"zygote" not in Path(f"/proc/{worker.pid}/cmdline").read_bytes()
    await it.workers.kill(worker)


@pytest.mark.parametrize(
    ("choice", "variables", "expected"),
    [
        ("auto", {}, False),
        ("auto", {"X": "1"}, False),
        ("auto", {"CUDA_VISIBLE_DEVICES": "0"}, True),
        ("auto", {"PYTHONHASHSEED": "0"}, True),
        ("fork", {"OMP_NUM_THREADS": "2"}, False),
        ("exec", {}, True),
        ("exec", {"LAKESERVE_WORKER_START": "fork"}, False),
        ("auto", {"LAKESERVE_WORKER_START": "exec"}, True),
        ("auto", {"LAKESERVE_WORKER_START": "fork", "OMP_NUM_THREADS": "2"}, False),
    ],
)
def test_fork_or_exec(choice: str, variables: dict[str, str], expected: bool) -> None:
    assert wants_exec(choice, variables) is expected


async def test_draining_lets_it_finish_what_a_gateway_holds(it: Controller) -> None:
    worker = await it.start()
    upstream = await worker_upstream.connect(worker.address)
    asking = asyncio.create_task(answer_of(upstream, "sleep", 1.0))
    await sleeping(it, worker)
    draining = asyncio.create_task(it.workers.drain(worker, 60.0))
    assert (await asking)[0] == worker.pid
    assert not draining.done(), "the gateway is still connected"
    upstream.close()
    await draining
    assert not alive(worker.pid)
    assert it.losses == []


async def test_draining_ends_at_its_limit(it: Controller) -> None:
    worker = await it.start()
    asking = asyncio.create_task(ask(worker, "sleep", 600.0))
    await sleeping(it, worker)
    await it.workers.drain(worker, 0.3)
    assert not alive(worker.pid)
    assert isinstance((await asyncio.gather(asking, return_exceptions=True))[0], Exception)
    assert it.losses == []


async def test_a_killed_worker_is_told(it: Controller) -> None:
    worker = await it.start()
    os.kill(worker.pid, signal.SIGKILL)
    assert await it.lost() == (worker, "The model's process was ended by SIGKILL.")
    await until(lambda: Path(worker.address).name not in it.sockets(), 5.0)


async def test_a_worker_that_its_model_ends_is_told(it: Controller) -> None:
    worker = await it.start()
    asking = asyncio.create_task(ask(worker, "exit", 7))
    assert await it.lost() == (worker, "The model's process ended with exit status 7.")
    assert isinstance((await asyncio.gather(asking, return_exceptions=True))[0], Exception)


async def test_a_stopped_worker_is_ended(it: Controller) -> None:
    worker = await it.start()
    os.kill(worker.pid, signal.SIGSTOP)
    told, how = await it.lost()
    assert told == worker
    assert "had been stopped" in how
    assert not alive(worker.pid)


async def test_a_worker_that_grows_without_end_is_ended(connect: Connect) -> None:
    it, _ = await connect(memory_bytes=600 * 1024 * 1024)
    worker = await it.start()
    with suppress(UpstreamLost):  # it may be ended before it has answered
        await ask(worker, "grow", 650.0)
    told, how = await it.lost()
    assert told == worker
    assert how == "The model's process was ended because it used more than 600 MiB of memory."


@pytest.mark.parametrize(
    ("model", "limit_s", "expected"),
    [
        ("raises", 60.0, "no weights here"),
        ("exits", 60.0, "exit status 9"),
        ("slow", 1.0, "did not finish loading within 1 s"),
    ],
)
async def test_a_model_that_does_not_load_is_told_and_leaves_nothing(
    it: Controller, model: str, limit_s: float, expected: str
) -> None:
    with pytest.raises(WorkerFailed, match=expected):
        await it.start(model, load_limit_s=limit_s)
    await until(lambda: nothing_left(it), LIMIT_S)
    assert it.losses == []
    assert it.sockets() == set()


async def nothing_left(it: Controller) -> bool:
    return not [process for process in await it.launcher.list() if process.kind == "worker"]


async def test_a_start_that_is_cancelled_leaves_nothing(it: Controller) -> None:
    starting = asyncio.create_task(it.start("slow"))
    await until(it.sockets, LIMIT_S)
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    assert starting.cancelled()
    await until(lambda: nothing_left(it), LIMIT_S)
    assert it.sockets() == set()


async def test_an_environment_without_its_python_is_told(it: Controller) -> None:
    environment = Environment("n" * 64, Path("/no/such/python"), it.folder / "none.json")
    with pytest.raises(WorkerFailed, match=r"environment could not be loaded.*cannot start"):
        await it.start(environment=environment)


async def test_the_next_controller_takes_over_what_serves(it: Controller, connect: Connect) -> None:
    kept, unwanted = await it.start(), await it.start(endpoint_id="e2")
    await it.launcher.start(Launch("uv-1", "command", SLEEP, {}, it.folder / "command.log"))
    await it.launcher.close()  # as kill -9 of a controller would

    after, adopted = await connect(adopting=frozenset({"e1"}))
    assert adopted == [kept]
    await gone(unwanted.pid)
    await until(lambda: only_left(after, {kept.id}), LIMIT_S)
    assert await ask(kept) == [kept.pid, ""]
    zygotes = [process.pid for process in await after.launcher.list() if process.kind == "zygote"]
    another = await after.start()
    assert [process.pid for process in await after.launcher.list() if process.kind == "zygote"] == zygotes
    assert after.losses == []
    os.kill(kept.pid, signal.SIGKILL)
    assert (await after.lost())[0] == kept
    await after.workers.drain(another, 5.0)


async def only_left(it: Controller, ids: set[str]) -> bool:
    return {process.id for process in await it.launcher.list() if process.kind != "zygote"} == ids
