"""Processes as /proc shows them. A process that is gone reads as empty."""

from __future__ import annotations

import os
from pathlib import Path


def all_pids() -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdecimal()]


def read(pid: int, name: str) -> bytes:
    """One file of the process; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def stat(pid: int) -> list[bytes]:
    """The fields after the command's name, state first; empty when it is gone."""
    return read(pid, "stat").rpartition(b")")[2].split()


def lives(pid: int) -> bool:
    """A zombie does not: it is only waiting for its parent to look."""
    fields = stat(pid)
    return bool(fields) and fields[0] != b"Z"


def started(pid: int) -> int:
    """When, in ticks since the machine's start."""
    fields = stat(pid)
    return int(fields[19]) if fields else 0
