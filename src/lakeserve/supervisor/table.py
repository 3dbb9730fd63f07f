"""Every living process by its id, and the rules for ending one.

Each process leads a group of its own. To end it is SIGTERM to the group, and SIGKILL to the group when its grace is over. A
leader that has ended takes the rest of its group along: what a model or a build left running is killed with it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

_REMEMBERED_EXITS = 256
_REMEMBERED_S = 60.0
_KILL_AGAIN_S = 1.0


@dataclass(slots=True)
class Process:
    id: str
    kind: str
    pid: int
    note: dict[str, Any] = field(default_factory=dict)
    kill_at: float | None = None


@dataclass(frozen=True, slots=True)
class Exit:
    """``code`` below zero is the number of the signal that ended it."""

    id: str
    kind: str
    pid: int
    code: int


class ProcessTable:
    def __init__(self) -> None:
        self._by_id: dict[str, Process] = {}
        self._by_pid: dict[int, Process] = {}
        # A forked worker can end before the controller has told its id; its exit code and the time are kept for that moment.
        self._strangers: OrderedDict[int, tuple[int, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Process]:
        return iter(list(self._by_id.values()))

    def __contains__(self, process_id: str) -> bool:
        return process_id in self._by_id

    def add(self, process: Process, *, adopted: bool = False) -> int | None:
        """Take it in. The exit code, if it was adopted and has been reaped before it became known."""
        code, ended = self._strangers.pop(process.pid, (0, float("-inf")))
        # Pids are used again: an old entry, or one of a process that was started just now, is somebody else's.
        if adopted and time.monotonic() - ended < _REMEMBERED_S:
            return code
        self._by_id[process.id] = process
        self._by_pid[process.pid] = process
        return None

    def note(self, process_id: str, more: dict[str, Any]) -> None:
        """Add to what is noted of it. Unknown ids have ended already."""
        if (process := self._by_id.get(process_id)) is not None:
            process.note.update(more)

    def stop(self, process_id: str, grace_s: float) -> None:
        """Ask it to end. Asking again can shorten the grace, never lengthen it. Unknown ids have ended already."""
        process = self._by_id.get(process_id)
        if process is None:
            return
        kill_at = time.monotonic() + grace_s
        if process.kill_at is None:
            _signal(process, signal.SIGTERM)
        process.kill_at = kill_at if process.kill_at is None else min(kill_at, process.kill_at)

    def kill_overdue(self) -> None:
        now = time.monotonic()
        for process in self:
            if process.kill_at is not None and process.kill_at <= now:
                _signal(process, signal.SIGKILL)
                # It ends when the kernel gets to it; asking at every turn of the loop would not hasten it.
                process.kill_at = now + _KILL_AGAIN_S

    def next_deadline(self) -> float | None:
        """The earliest moment, on the monotonic clock, at which :meth:`kill_overdue` has work."""
        return min((process.kill_at for process in self if process.kill_at is not None), default=None)

    def reap(self) -> list[Exit]:
        """Collect every child that has ended, known or not."""
        exits: list[Exit] = []
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return exits
            if pid == 0:
                return exits
            code = os.waitstatus_to_exitcode(status)
            process = self._by_pid.pop(pid, None)
            if process is None:
                self._strangers[pid] = code, time.monotonic()
                if len(self._strangers) > _REMEMBERED_EXITS:
                    self._strangers.popitem(last=False)
                continue
            del self._by_id[process.id]
            _signal_group(pid, signal.SIGKILL)
            exits.append(Exit(process.id, process.kind, pid, code))


def _signal(process: Process, number: signal.Signals) -> None:
    """To its group, or to itself alone while it has not made one yet. Its pid is its own until it has been reaped."""
    try:
        os.killpg(process.pid, number)
    except PermissionError:
        return
    except ProcessLookupError:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process.pid, number)


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
