"""No orphan, ever: children end when the supervisor does, however it ended.

On Linux the kernel does it: each child asks for SIGKILL at its parent's death (``PR_SET_PDEATHSIG``; the signal is tied to
the *thread* that forked, and the supervisor has only one), and the supervisor is a subreaper, so that a process whose own
parent ended becomes the supervisor's child and not init's. Everywhere, children also get the read end of a pipe whose only
write end is the supervisor's; long-lived programs of ours watch it and end when it does.

What can still be left after a kill -9 of the whole tree is a process that a *model* started. Each carries the instance's mark in
its environment, and the next supervisor of the same data directory kills what bears it (:func:`leftovers`).
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LINUX = sys.platform == "linux"
_libc = ctypes.CDLL(None, use_errno=True) if _LINUX else None


def become_subreaper() -> None:
    if _libc is not None:
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent(parent: int) -> None:
    """For a child between fork and exec. Ends at once if the parent is gone already."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(125)


def children() -> list[int]:
    """Pids of this process's children, adopted ones included; empty where the kernel does not tell."""
    path = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    try:
        return [int(pid) for pid in path.read_text().split()]
    except OSError:
        return []


def leftovers(variable: str, mark: str) -> Iterator[int]:
    """Pids of processes of ours, other than this one, that were started with ``variable=mark`` in their environment."""
    wanted = f"{variable}={mark}".encode()
    for entry in Path("/proc").glob("[0-9]*") if _LINUX else ():
        pid = int(entry.name)
        if pid == os.getpid():
            continue
        try:
            if entry.stat().st_uid == os.getuid() and wanted in (entry / "environ").read_bytes().split(b"\0"):
                yield pid
        except OSError:
            continue  # it ended while we looked
