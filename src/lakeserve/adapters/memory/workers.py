"""Workers that are entries in a table, and logs that are lists of lines."""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict, deque
from pathlib import Path

from lakeserve.ports.workers import Lost, Worker, WorkerFailed, WorkerSpec


class MemoryWorkers:
    """A worker starts in ``load_s`` seconds and drains in ``drain_s``. It outlives its controller, as processes do.

    Texts put into ``failures`` make the next starts fail with them, one each; ``failing`` makes all of them fail.
    ``starting`` is how many are being started now, ``started`` every attempt by its fingerprint and ``environments`` with its
    variables, ``ended`` the ids of those that were drained or killed.
    """

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._lost: dict[str, Lost] = {}
        self.living: dict[str, Worker] = {}
        self.failures: deque[str | None] = deque()  # what becomes of the next starts; None is a success
        self.failing: str | None = None
        self.load_s = 0.0
        self.drain_s = 0.0
        self.starting = 0
        self.started: list[str] = []
        self.environments: list[dict[str, str]] = []
        self.draining: list[str] = []
        self.ended: list[str] = []

    async def start(self, spec: WorkerSpec, lost: Lost) -> Worker:
        self.started.append(spec.fingerprint)
        self.environments.append(dict(spec.environment_vars))
        self.starting += 1
        try:
            await asyncio.sleep(self.load_s)
        finally:
            self.starting -= 1
        why = self.failures.popleft() if self.failures else self.failing
        if why is not None:
            raise WorkerFailed(why)
        number = next(self._numbers)
        worker = Worker(f"w{number}", f"/run/w{number}.sock", spec.fingerprint, spec.endpoint_id, number)
        self.living[worker.id] = worker
        self._lost[worker.id] = lost
        return worker

    async def drain(self, worker: Worker, limit_s: float) -> None:
        if self.living.pop(worker.id, None) is None:
            return
        self.draining.append(worker.id)
        await asyncio.sleep(min(self.drain_s, limit_s))
        self.draining.remove(worker.id)
        self.ended.append(worker.id)

    async def kill(self, worker: Worker) -> None:
        await self.drain(worker, 0)

    async def adopt(self, endpoint_ids: frozenset[str], lost: Lost) -> list[Worker]:
        for worker in list(self.living.values()):
            if worker.endpoint_id not in endpoint_ids:
                await self.kill(worker)
        self._lost = dict.fromkeys(self.living, lost)
        return list(self.living.values())

    async def lose(self, worker: Worker, how: str = "The model's process was ended by SIGKILL.") -> None:
        """It ends unasked."""
        if self.living.pop(worker.id, None) is not None:
            await self._lost.pop(worker.id)(worker, how)


class MemoryLogs:
    def __init__(self) -> None:
        self.build: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        self.server: dict[tuple[str, str], str] = {}
        self.removed: list[str] = []

    def server_log(self, endpoint_id: str, fingerprint: str) -> Path:
        return Path("/logs") / endpoint_id / fingerprint / "server.log"

    def append_build(self, endpoint_id: str, fingerprint: str, line: str) -> None:
        self.build[endpoint_id, fingerprint].append(line)

    def read_build(self, endpoint_id: str, fingerprint: str) -> str:
        return "".join(f"{line}\n" for line in self.build.get((endpoint_id, fingerprint), ()))

    def read_server(self, endpoint_id: str, fingerprint: str) -> str:
        return self.server.get((endpoint_id, fingerprint), "")

    def remove(self, endpoint_id: str) -> None:
        self.removed.append(endpoint_id)
        for key in [key for key in self.build if key[0] == endpoint_id]:
            del self.build[key]

    def keep(self, endpoint_ids: frozenset[str]) -> None:
        for endpoint_id in {key[0] for key in self.build} - endpoint_ids:
            self.remove(endpoint_id)
