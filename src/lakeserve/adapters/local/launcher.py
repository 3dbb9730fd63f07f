"""The one way to start a process: ask the supervisor.

The controller never forks. It keeps one connection to the supervisor's socket; requests are numbered and answered in any order,
and the news that a process ended comes unasked (:mod:`lakeserve.supervisor.protocol`). When the supervisor is gone, so are we.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lakeserve.supervisor import protocol


class LaunchFailed(Exception):
    """The supervisor refused or could not start it."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What to start; see :class:`lakeserve.supervisor.spawn.Program`. ``note`` comes back from :meth:`Launcher.list`."""

    id: str
    kind: str
    argv: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)
    log: Path
    cwd: Path | None = None
    stdin: str | None = field(default=None, repr=False)
    listen: Path | None = None
    note: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Living:
    id: str
    kind: str
    pid: int
    note: Mapping[str, Any]


class Launcher:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._exits: dict[str, asyncio.Future[int]] = {}
        self._task = asyncio.create_task(self._listen(), name="launcher")

    @classmethod
    async def connect(cls, socket: Path) -> Launcher:
        reader, writer = await asyncio.open_unix_connection(str(socket), limit=protocol.MAX_LINE)
        return cls(reader, writer)

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def start(self, launch: Launch) -> int:
        """Start it and return its pid; :meth:`exit_of` then waits for its end.

        :raises LaunchFailed: it could not be started.
        """
        before = self._exits.get(launch.id)
        self._exits[launch.id] = asyncio.get_running_loop().create_future()
        try:
            answer = await self._ask(
                do="spawn",
                id=launch.id,
                kind=launch.kind,
                argv=list(launch.argv),
                environment=dict(launch.environment),
                log=str(launch.log),
                cwd=str(launch.cwd) if launch.cwd else None,
                stdin=launch.stdin,
                listen=str(launch.listen) if launch.listen else None,
                note=dict(launch.note),
            )
        except LaunchFailed:
            del self._exits[launch.id]
            if before is not None:
                self._exits[launch.id] = before  # of the one that has the id, whose end somebody waits for
            raise
        return int(answer["pid"])

    async def adopt(self, process_id: str, kind: str, pid: int, note: Mapping[str, Any]) -> None:
        """Name a process that a zygote forked; from now on it is watched like any other."""
        self._exits[process_id] = asyncio.get_running_loop().create_future()
        answer = await self._ask(do="adopt", id=process_id, kind=kind, pid=pid, note=dict(note))
        if "gone" in answer:
            self._ended(process_id, int(answer["gone"]))

    async def note(self, process_id: str, note: Mapping[str, Any]) -> None:
        """Add to its note; a process that has ended already is no error."""
        await self._ask(do="note", id=process_id, note=dict(note))

    async def stop(self, process_id: str, grace_s: float) -> None:
        """SIGTERM now, SIGKILL after the grace. Returns at once; a process that has ended already is no error."""
        await self._ask(do="stop", id=process_id, grace_s=grace_s)

    async def list(self) -> list[Living]:
        """What lives, services apart. Also takes up watching what an earlier controller started."""
        answer = await self._ask(do="list")
        living = [Living(p["id"], p["kind"], p["pid"], p["note"]) for p in answer["processes"]]
        for process in living:
            self._exits.setdefault(process.id, asyncio.get_running_loop().create_future())
        return living

    async def exit_of(self, process_id: str) -> int:
        """Wait until it has ended: its exit status, or minus the number of the signal that killed it."""
        future = self._exits.get(process_id)
        return await asyncio.shield(future) if future is not None else 0

    def forget(self, process_id: str) -> None:
        """Its end has been taken note of."""
        self._exits.pop(process_id, None)

    async def _ask(self, **request: Any) -> dict[str, Any]:
        if self._task.done():
            raise LaunchFailed("the supervisor is gone")
        number = next(self._numbers)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        self._writer.write(protocol.encode({"seq": number, **request}))
        try:
            await self._writer.drain()
            result = await answer
        except ConnectionError as error:
            raise LaunchFailed("the supervisor is gone") from error
        finally:
            self._answers.pop(number, None)
        if "error" in result:
            raise LaunchFailed(str(result["error"]))
        return result

    async def _listen(self) -> None:
        lines = protocol.Lines()
        with contextlib.suppress(OSError, ValueError):
            while data := await self._reader.read(1 << 16):
                for message in lines.feed(data):
                    self._take(message)
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(ConnectionResetError("the supervisor is gone"))

    def _take(self, message: dict[str, Any]) -> None:
        if "exit" in message:
            self._ended(message["exit"], int(message["code"]))
        elif (answer := self._answers.get(message.get("seq", 0))) is not None and not answer.done():
            answer.set_result(message)

    def _ended(self, process_id: str, code: int) -> None:
        future = self._exits.get(process_id)
        if future is not None and not future.done():
            future.set_result(code)
