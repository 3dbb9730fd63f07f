"""Model workers as processes of this machine: forked from a zygote or started by exec, watched until they end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import signal
from collections.abc import Coroutine, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from lakeserve.adapters.local import worker_socket
from lakeserve.adapters.local.launcher import Launch, Launcher, LaunchFailed, Living
from lakeserve.adapters.local.vigil import INTERVAL_S, Vigil
from lakeserve.adapters.local.worker_socket import WorkerGone, WorkerSocket
from lakeserve.adapters.local.worker_upstream import LOCK
from lakeserve.adapters.local.zygotes import KIND as ZYGOTE
from lakeserve.adapters.local.zygotes import (
    WORKER_PROGRAM,
    Zygote,
    ZygoteFailed,
    Zygotes,
    model_environment,
    wants_exec,
)
from lakeserve.ports.workers import Lost, Worker, WorkerFailed, WorkerSpec
from lakeserve.supervisor.protocol import WORKER
from lakeserve_worker import protocol

KIND: Final = WORKER
_READY: Final = "ready"
_END_LIMIT_S = 5.0


class LocalWorkers:
    """``choice`` is the server's default for how workers start: auto, fork or exec; ``memory_bytes`` bounds each of them."""

    def __init__(
        self,
        launcher: Launcher,
        zygotes: Zygotes,
        *,
        run_dir: Path,
        environment: Mapping[str, str],
        supervisor_pid: int,
        choice: str,
        memory_bytes: int,
    ) -> None:
        self._launcher = launcher
        self._zygotes = zygotes
        self._run_dir = run_dir
        self._environment = model_environment(environment)
        self._supervisor_pid = supervisor_pid
        self._choice = choice
        self._memory_bytes = memory_bytes
        self._expected: set[str] = set()
        self._watches: dict[str, asyncio.Task[None]] = {}
        self._connections: dict[str, WorkerSocket] = {}

    async def start(self, spec: WorkerSpec, lost: Lost) -> Worker:
        worker_id = f"w-{secrets.token_hex(6)}"
        address = self._run_dir / f"{worker_id}.sock"
        worker = Worker(worker_id, str(address), spec.fingerprint, spec.endpoint_id)
        # From here on, so that the zygote does not leave between being found and being asked to fork.
        self._zygotes.used_by(worker_id, spec.environment.key)
        try:
            worker = replace(worker, pid=await self._launch(worker, spec))
            connection = await self._ready(worker, spec.load_limit_s)
            await self._launcher.note(worker.id, {_READY: True})
        except LaunchFailed as error:
            self._zygotes.left_by(worker_id, spec.environment.key)
            raise WorkerFailed(f"The model's process could not be started: {error}.") from error
        except BaseException:
            self._zygotes.left_by(worker_id, spec.environment.key)
            await asyncio.shield(self._discard(worker))
            raise
        self._watch(worker, spec.environment.key, connection, lost)
        self._zygotes.learn_from_worker(spec.environment)
        return worker

    async def _discard(self, worker: Worker) -> None:
        """End one that did not become ready, and that nobody watches."""
        await self._launcher.stop(worker.id, 0)
        self._launcher.forget(worker.id)
        with contextlib.suppress(OSError):
            Path(worker.address).unlink(missing_ok=True)
            Path(worker.address).with_suffix(LOCK).unlink(missing_ok=True)

    async def drain(self, worker: Worker, limit_s: float) -> None:
        self._expected.add(worker.id)
        # The worker ends when its last connection is closed; ours is one of them.
        if connection := self._connections.pop(worker.id, None):
            connection.close()
        await self._launcher.stop(worker.id, limit_s)
        await self._launcher.exit_of(worker.id)

    async def kill(self, worker: Worker) -> None:
        await self.drain(worker, 0)

    async def adopt(self, endpoint_ids: frozenset[str], lost: Lost) -> list[Worker]:
        living = await self._launcher.list()
        for process in living:
            if process.kind == ZYGOTE:
                await self._zygotes.adopt(process)
            elif process.kind != KIND or process.note["endpoint_id"] not in endpoint_ids:
                # Commands belong to a controller that is gone, and their results with it.
                await self._launcher.stop(process.id, 0)
        workers = [p for p in living if p.kind == KIND and p.note["endpoint_id"] in endpoint_ids]
        self._sweep({process.note["address"] for process in workers})
        adopted = await asyncio.gather(*(self._adopt_one(process, lost) for process in workers))
        return [worker for worker in adopted if worker is not None]

    def _sweep(self, addresses: set[str]) -> None:
        """Sockets whose workers ended while no controller watched."""
        for path in self._run_dir.glob("w-*"):
            if str(path.with_suffix(".sock")) not in addresses:
                with contextlib.suppress(OSError):
                    path.unlink()

    async def _adopt_one(self, living: Living, lost: Lost) -> Worker | None:
        """One that has been ready is taken as it is: it may be busy for long, and then answers nobody else.

        One that was still loading is ended, because to wait for it would keep the control plane away.
        """
        worker = _worker(living)
        if not living.note.get(_READY):
            await self._discard(worker)
            return None
        self._watch(worker, living.note["environment"], None, lost)
        return worker

    async def _launch(self, worker: Worker, spec: WorkerSpec) -> int:
        note = {
            "endpoint_id": spec.endpoint_id,
            "fingerprint": spec.fingerprint,
            "address": worker.address,
            "environment": spec.environment.key,
        }
        told = self._told(worker, spec)
        if not wants_exec(self._choice, spec.environment_vars):
            try:
                zygote = await self._zygotes.of(spec.environment)
                if zygote.fork_safe or self._forced_fork(spec):
                    return await _whole(self._fork(zygote, worker.id, told, note))
            except ZygoteFailed as error:
                log = self._zygotes.log_of(spec.environment)
                raise WorkerFailed(_with_log(f"The model's environment could not be loaded: {error}.", log)) from error
        return await self._launcher.start(
            Launch(
                worker.id,
                KIND,
                [str(spec.environment.python), "-s", str(WORKER_PROGRAM), "worker"],
                {**self._environment, **spec.environment_vars},
                spec.log_file,
                stdin=json.dumps(told) + "\n",
                listen=Path(worker.address),
                note=note,
            )
        )

    async def _fork(self, zygote: Zygote, worker_id: str, told: Mapping[str, Any], note: Mapping[str, Any]) -> int:
        pid = await self._zygotes.fork(zygote, told)
        await self._launcher.adopt(worker_id, KIND, pid, note)
        return pid

    def _forced_fork(self, spec: WorkerSpec) -> bool:
        return spec.environment_vars.get("LAKESERVE_WORKER_START", self._choice) == "fork"

    def _told(self, worker: Worker, spec: WorkerSpec) -> dict[str, Any]:
        return {
            "worker_id": worker.id,
            "socket": worker.address,
            "model_path": str(spec.package.path),
            "endpoint_name": spec.endpoint_name,
            "entity_name": spec.entity_name,
            "environment": dict(spec.environment_vars),
            "log_file": str(spec.log_file),
            "execution_limit_s": spec.execution_limit_s,
            "preload_file": str(spec.environment.preload_file),
            "supervisor_pid": self._supervisor_pid,
        }

    async def _ready(self, worker: Worker, limit_s: float) -> WorkerSocket:
        """Wait for its first frame, which it sends when the model has been loaded or has failed to."""
        try:
            async with asyncio.timeout(limit_s):
                connection = await worker_socket.connect(worker.address)
                frame = await connection.receive()
        except TimeoutError:
            raise WorkerFailed(f"The model did not finish loading within {limit_s:.0f} s.") from None
        except (OSError, WorkerGone):
            raise WorkerFailed(await self._why_gone(worker)) from None
        if frame.kind != protocol.HELLO:
            connection.close()
            raise WorkerFailed(str(frame.head.get("message", "The model could not be loaded.")))
        return connection

    async def _why_gone(self, worker: Worker) -> str:
        """A socket closes a moment before its process ends. A process that goes on without it is for the caller to kill."""
        try:
            async with asyncio.timeout(_END_LIMIT_S):
                code = await self._launcher.exit_of(worker.id)
        except TimeoutError:
            return "The model's process closed its socket while loading the model."
        self._launcher.forget(worker.id)
        return f"The model's process {how(code)} while loading the model."

    def _watch(self, worker: Worker, key: str, connection: WorkerSocket | None, lost: Lost) -> None:
        if connection is not None:
            self._connections[worker.id] = connection
        self._zygotes.used_by(worker.id, key)
        self._watches[worker.id] = asyncio.create_task(self._until_end(worker, key, lost), name=f"watch {worker.id}")

    async def _until_end(self, worker: Worker, key: str, lost: Lost) -> None:
        code, complaint = await self._exit_of(worker)
        self._launcher.forget(worker.id)
        if connection := self._connections.pop(worker.id, None):
            connection.close()
        with contextlib.suppress(OSError):
            Path(worker.address).unlink(missing_ok=True)
            Path(worker.address).with_suffix(LOCK).unlink(missing_ok=True)
        del self._watches[worker.id]
        self._zygotes.left_by(worker.id, key)
        if worker.id in self._expected:
            self._expected.discard(worker.id)
        else:
            await lost(worker, f"The model's process {complaint or how(code)}.")

    async def _exit_of(self, worker: Worker) -> tuple[int, str | None]:
        """Wait for its end, which may be our doing: then also why."""
        vigil = Vigil(worker.pid, self._memory_bytes)
        ended = asyncio.ensure_future(self._launcher.exit_of(worker.id))
        complaint: str | None = None
        while not ended.done():
            await asyncio.wait([ended], timeout=INTERVAL_S)
            if complaint is None and not ended.done():
                complaint = vigil.complaint(asyncio.get_running_loop().time())
                if complaint is not None:
                    await self._launcher.stop(worker.id, 0)
        return ended.result(), complaint


async def _whole(work: Coroutine[Any, Any, int]) -> int:
    """Also when cancelled: a process that was forked and not yet named could be stopped by nobody."""
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.gather(task, return_exceptions=True)
        raise


def _worker(living: Living) -> Worker:
    note = living.note
    return Worker(living.id, note["address"], note["fingerprint"], note["endpoint_id"], living.pid)


def how(code: int) -> str:
    """How a process ended, as the predicate of a sentence."""
    if code >= 0:
        return f"ended with exit status {code}"
    with contextlib.suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"


def _with_log(sentence: str, log: Path) -> str:
    with contextlib.suppress(OSError):
        lines = log.read_text(errors="replace").strip().splitlines()
        if lines:
            return f"{sentence} {lines[-1][:500]}"
    return sentence
