"""Processes as Linux shows them in ``/proc``.

Memory is the proportional set size: workers forked from one zygote share most of their pages, and counting those once for each
would make 64 small workers look larger than the machine. Reading it walks the page tables (measured: 5.5 ms for 1 GiB), which is
why it is sampled, in a thread. Where it cannot be read the resident set size stands in.

Elsewhere (macOS) nothing can be measured without another dependency; the metrics are then left out, not zero.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from lakeserve.ports.process_stats import Machine, ProcessSample

_ROLES: Mapping[str, str] = {
    "lakeserve.bootstrap.gateway": "gateway",
    "lakeserve.bootstrap.controller": "controller",
    "lakeserve.adapters.mlflow": "registry",
    "zygote": "zygote",
    "worker": "worker",
}
"""By a word of the command line. A forked worker has its zygote's: the caller knows better which are workers."""


class LocalProcessStats:
    """Implements :class:`lakeserve.ports.process_stats.ProcessStats`. ``root`` is the supervisor, whose children all others are."""

    def __init__(self, root: int, proc: Path = Path("/proc")) -> None:
        self._root = root
        self._proc = proc
        self._machine = _machine() if (proc / "self" / "stat").exists() else None
        self._tick_s = 1 / os.sysconf("SC_CLK_TCK")
        self._page_bytes = os.sysconf("SC_PAGE_SIZE")

    def machine(self) -> Machine | None:
        return self._machine

    def sample(self, pids: Collection[int]) -> Mapping[int, ProcessSample]:
        if self._machine is None:
            return {}
        found = ((pid, self._sample(self._proc / str(pid))) for pid in pids)
        return {pid: sample for pid, sample in found if sample is not None}

    def server(self) -> Mapping[int, str]:
        if self._machine is None:
            return {}
        try:
            children = (self._proc / str(self._root) / "task" / str(self._root) / "children").read_text()
        except OSError:
            return {}
        roles = {int(pid): self._role(int(pid)) for pid in children.split()}
        return {self._root: "supervisor", **{pid: role for pid, role in roles.items() if role is not None}}

    def _sample(self, folder: Path) -> ProcessSample | None:
        try:
            # After the command's name, which may hold anything: state is the first field, utime and stime 12th and 13th.
            fields = (folder / "stat").read_bytes().rpartition(b")")[2].split()
            cpu_s = (int(fields[11]) + int(fields[12])) * self._tick_s
            memory_bytes = self._memory(folder)
        except (OSError, IndexError, ValueError):
            return None
        return ProcessSample(cpu_s, memory_bytes)

    def _memory(self, folder: Path) -> int:
        try:
            for line in (folder / "smaps_rollup").read_bytes().splitlines():
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
        except OSError:
            # A process that changed its user, or a kernel without it.
            pass
        return int((folder / "statm").read_bytes().split()[1]) * self._page_bytes

    def _role(self, pid: int) -> str | None:
        try:
            words = (self._proc / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            return None
        return _first(_ROLES[word] for word in words if word in _ROLES) or "command"


def _first(roles: Iterable[str]) -> str | None:
    return next(iter(roles), None)


def _machine() -> Machine:
    cpus = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return Machine(cpus, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
