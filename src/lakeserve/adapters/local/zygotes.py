"""One zygote for each model environment: a process that has imported the model's libraries and forks workers.

Importing mlflow costs seconds; a fork of a process that has done it costs milliseconds and shares the memory. Whether a worker is
forked or started by exec is decided by rule, and can be forced for an entity or for the server with ``LAKESERVE_WORKER_START``:

* a zygote that has threads or a CUDA context after its imports does not survive a fork: exec;
* variables that libraries read while they are imported (thread counts, devices, ``PYTHON*``) come too late after a fork: exec;
* otherwise: fork.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lakeserve.adapters.local.launcher import Launch, Launcher, Living
from lakeserve.ports.environments import Environment
from lakeserve_worker import protocol

KIND: Final = "zygote"
_START_LIMIT_S = 180.0
_FORK_LIMIT_S = 120.0
_POLL_S = 0.02

_READ_AT_IMPORT = (
    "PYTHON",
    "OMP_",
    "MKL_",
    "OPENBLAS_",
    "NUMEXPR_",
    "KMP_",
    "CUDA_",
    "NVIDIA_",
    "TF_",
    "XLA_",
    "LD_",
    "TORCH_",
)

_FOR_BUILDS = ("UV_", "PIP_")

WORKER_PROGRAM: Final = Path(protocol.__file__).parent / "__main__.py"


class ZygoteFailed(Exception):
    """It did not come up, or could not fork."""


@dataclass(slots=True)
class Zygote:
    id: str
    control: Path
    fork_safe: bool
    reason: str
    learned: float = 0.0


def wants_exec(choice: str, variables: Mapping[str, str]) -> bool:
    """Whether the worker must not be forked, before any zygote is asked. ``choice``: auto, fork or exec."""
    choice = variables.get("LAKESERVE_WORKER_START", choice)
    if choice in ("fork", "exec"):
        return choice == "exec"
    return any(name.startswith(_READ_AT_IMPORT) for name in variables)


def model_environment(base: Mapping[str, str]) -> dict[str, str]:
    """What every model process gets: the passed-on environment, and one native thread for each unit of concurrency.

    Where packages come from is for building alone: addresses of indexes often hold a password.
    """
    passed = {name: value for name, value in base.items() if not name.startswith(_FOR_BUILDS)}
    return {
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PYTHONUNBUFFERED": "1",
        **passed,
    }


class Zygotes:
    """``keep_s`` is how long one without any worker is kept."""

    def __init__(
        self,
        launcher: Launcher,
        *,
        run_dir: Path,
        log_dir: Path,
        environment: Mapping[str, str],
        supervisor_pid: int,
        keep_s: float,
    ) -> None:
        self._launcher = launcher
        self._run_dir = run_dir
        self._log_dir = log_dir
        self._environment = model_environment(environment)
        self._supervisor_pid = supervisor_pid
        self._keep_s = keep_s
        self._starting: dict[str, asyncio.Task[Zygote]] = {}
        self._current: dict[str, str] = {}
        self._background: set[asyncio.Task[None]] = set()
        self._users: dict[str, set[str]] = {}
        self._leaving: dict[str, asyncio.TimerHandle] = {}

    async def of(self, environment: Environment) -> Zygote:
        """The zygote of that environment, started if there is none.

        :raises ZygoteFailed: it ended while it was importing, or took too long.
        """
        self._keep(environment.key)
        task = self._starting.get(environment.key)
        if task is None or _unusable(task):
            task = asyncio.create_task(self._start(environment), name=f"zygote {environment.key}")
            self._starting[environment.key] = task
        return await asyncio.shield(task)

    def _keep(self, key: str) -> None:
        """Whoever is about to use it must not see it leave."""
        if (timer := self._leaving.pop(key, None)) is not None:
            timer.cancel()

    async def fork(self, zygote: Zygote, spec: Mapping[str, Any]) -> int:
        """The new worker's pid; its socket is listening.

        :raises ZygoteFailed: the zygote is gone or could not fork.
        """
        answer = await self._ask(zygote.control, {"fork": dict(spec)}, _FORK_LIMIT_S)
        if "pid" not in answer:
            raise ZygoteFailed(str(answer.get("error", "no answer")))
        return int(answer["pid"])

    def learn_from_worker(self, environment: Environment) -> None:
        """A worker has loaded its model. If it noted modules that the zygote has not imported, let it: the next fork is quicker."""
        task = self._starting.get(environment.key)
        if task is None or not task.done() or _unusable(task):
            return
        zygote = task.result()
        with contextlib.suppress(OSError):
            noted = environment.preload_file.stat().st_mtime
            if noted != zygote.learned:
                zygote.learned = noted
                self._later(self._learn(zygote))

    async def _learn(self, zygote: Zygote) -> None:
        with contextlib.suppress(ZygoteFailed):
            info = await self._ask(zygote.control, {"learn": True}, _START_LIMIT_S)
            zygote.fork_safe, zygote.reason = bool(info.get("fork_safe")), str(info.get("reason", ""))

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def used_by(self, worker_id: str, key: str) -> None:
        """A worker of that environment lives: its zygote is kept."""
        self._users.setdefault(key, set()).add(worker_id)
        self._keep(key)

    def left_by(self, worker_id: str, key: str) -> None:
        """The worker is gone. Without any, the zygote stays a while, so that waking up is a fork."""
        users = self._users.get(key, set())
        users.discard(worker_id)
        self._keep(key)
        if not users and key in self._starting:
            loop = asyncio.get_running_loop()
            self._leaving[key] = loop.call_later(self._keep_s, lambda: self._later(self._end(key)))

    async def _end(self, key: str) -> None:
        self._leaving.pop(key, None)
        task = self._starting.pop(key, None)
        self._current.pop(key, None)
        if task is not None and not _unusable(task):
            await self._launcher.stop((await task).id, 1.0)

    async def adopt(self, living: Living) -> None:
        """Take over a zygote of an earlier controller."""
        key, control = str(living.note["key"]), Path(living.note["control"])
        self._current[key] = living.id
        self._starting[key] = asyncio.create_task(self._ready(living.id, key, control))

    def log_of(self, environment: Environment) -> Path:
        return self._log_dir / f"{environment.key[:24]}.log"

    async def _start(self, environment: Environment) -> Zygote:
        # Of its own, because a former zygote of this environment may still be on its way out.
        zygote_id = f"z-{secrets.token_hex(6)}"
        control = self._run_dir / f"{zygote_id}.sock"
        self._current[environment.key] = zygote_id
        argv = [
            *(str(environment.python), "-s", str(WORKER_PROGRAM), "zygote"),
            *("--control", str(control), "--preload-file", str(environment.preload_file)),
            *("--supervisor-pid", str(self._supervisor_pid)),
        ]
        note = {"key": environment.key, "control": str(control)}
        log = self.log_of(environment)
        await self._launcher.start(Launch(zygote_id, KIND, argv, self._environment, log, note=note))
        return await self._ready(zygote_id, environment.key, control)

    async def _ready(self, zygote_id: str, key: str, control: Path) -> Zygote:
        """It listens once its imports are done."""
        ended = asyncio.ensure_future(self._launcher.exit_of(zygote_id))
        # Cancelled means that this controller ends; the zygote lives on for the next one.
        ended.add_done_callback(lambda done: None if done.cancelled() else self._forget(zygote_id, key, control))
        deadline = asyncio.get_running_loop().time() + _START_LIMIT_S
        while not ended.done():
            with contextlib.suppress(OSError, ZygoteFailed):
                info = await self._ask(control, {"info": True}, _START_LIMIT_S)
                return Zygote(zygote_id, control, bool(info.get("fork_safe")), str(info.get("reason", "")))
            if asyncio.get_running_loop().time() > deadline:
                await self._launcher.stop(zygote_id, 0)
                raise ZygoteFailed("it took too long to import the model's libraries")
            await asyncio.wait([ended], timeout=_POLL_S)
        raise ZygoteFailed("it ended while importing the model's libraries")

    def _forget(self, zygote_id: str, key: str, control: Path) -> None:
        self._launcher.forget(zygote_id)
        with contextlib.suppress(OSError):
            control.unlink(missing_ok=True)
        if self._current.get(key) == zygote_id:
            del self._current[key]
            self._starting.pop(key, None)

    async def _ask(self, control: Path, message: Mapping[str, Any], limit_s: float) -> dict[str, Any]:
        try:
            async with asyncio.timeout(limit_s):
                reader, writer = await asyncio.open_unix_connection(str(control))
                try:
                    writer.write(json.dumps(message).encode() + b"\n")
                    line = await reader.readline()
                finally:
                    writer.close()
        except (OSError, TimeoutError) as error:
            raise ZygoteFailed(f"it does not answer ({type(error).__name__})") from error
        if not line:
            raise ZygoteFailed("it does not answer")
        answer: dict[str, Any] = json.loads(line)
        return answer


def _unusable(task: asyncio.Task[Zygote]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
