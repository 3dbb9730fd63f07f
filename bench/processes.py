"""Starting, ending and observing the processes that are measured."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

START_S = 90.0
_STOP_S = 15.0
_TICK = os.sysconf("SC_CLK_TCK")
_LEFT_OUT = ("MLFLOW_", "LAKESERVE_", "DATABRICKS_", "PYTHON", "VIRTUAL_ENV")


class CannotMeasure(Exception):
    """Said in one line; the run ends."""


def environment(**more: str) -> dict[str, str]:
    """The caller's, without what would steer any of the servers, and with this Python's programs first."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_LEFT_OUT)}
    return {**kept, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}", **more}


@contextlib.contextmanager
def started(argv: Sequence[str], env: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A program in a session of its own; at the end it and every process below it is gone."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            argv,
            env=env,
            cwd=log.parent,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        below = tree(process.pid)
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pid in below[1:]:
            _end(pid)


def _end(pid: int) -> None:
    """A process below one that is gone: most have ended with it."""
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGKILL)


def wait_until(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, what: str) -> None:
    """
    :raises CannotMeasure: the process ended, or it took longer than :data:`START_S`. Says how the logs in the log's folder end.
    """
    deadline = time.monotonic() + START_S
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise CannotMeasure(f"{what} did not start.\n" + "\n".join(map(_tail, sorted(log.parent.rglob("*.log")))))
        time.sleep(0.05)


def _tail(log: Path) -> str:
    return f"The end of {log.name}:\n{log.read_text(errors='replace')[-1500:]}"


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def tree(root: int) -> list[int]:
    """The process and all below it, parents before children. Without /proc, the process alone."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            children.setdefault(int(_stat(entry)[1]), []).append(int(entry.name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def cpu_seconds(root: int, part: Callable[[str], str]) -> dict[str, float]:
    """User and system time of the process and all that live below it, counted by the kernel.

    It is added up by what ``part`` makes of a process's command line.
    """
    seconds: dict[str, float] = {}
    for pid in tree(root):
        with contextlib.suppress(OSError):
            folder = Path("/proc") / str(pid)
            fields, command = _stat(folder), (folder / "cmdline").read_bytes()
            name = part(command.replace(b"\0", b" ").decode(errors="replace"))
            seconds[name] = seconds.get(name, 0.0) + (int(fields[11]) + int(fields[12])) / _TICK
    return seconds


def _stat(folder: Path) -> list[str]:
    """The fields of /proc/PID/stat after the command's name, which may hold blanks and brackets: state, parent, …"""
    return (folder / "stat").read_text().rpartition(")")[2].split()
