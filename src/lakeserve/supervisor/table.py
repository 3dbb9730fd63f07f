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
        # A forked worker can end before the controller has told its id; its exit code is kept for that moment.
        self._strangers: OrderedDict[int, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Process]:
        return iter(list(self._by_id.values()))

    def __contains__(self, process_id: str) -> bool:
        return process_id in self._by_id

    def add(self, process: Process) -> int | None:
        """Take it in. The exit code, if it was reaped before it became known."""
        if process.pid in self._strangers:
            return self._strangers.pop(process.pid)
        self._by_id[process.id] = process
        self._by_pid[process.pid] = process
        return None

    def stop(self, process_id: str, grace_s: float) -> None:
        """Ask it to end. Asking again can shorten the grace, never lengthen it. Unknown ids have ended already."""
        process = self._by_id.get(process_id)
        if process is None:
            return
        kill_at = time.monotonic() + grace_s
        if process.kill_at is None:
            _signal_group(process.pid, signal.SIGTERM)
        process.kill_at = kill_at if process.kill_at is None else min(kill_at, process.kill_at)

    def kill_overdue(self) -> None:
        now = time.monotonic()
        for process in self:
            if process.kill_at is not None and process.kill_at <= now:
                _signal_group(process.pid, signal.SIGKILL)

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
                self._strangers[pid] = code
                if len(self._strangers) > _REMEMBERED_EXITS:
                    self._strangers.popitem(last=False)
                continue
            del self._by_id[process.id]
            _signal_group(pid, signal.SIGKILL)
            exits.append(Exit(process.id, process.kind, pid, code))


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
