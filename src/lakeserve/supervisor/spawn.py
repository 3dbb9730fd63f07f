"""Fork and exec: the only place in lakeserve where a program is started.

Written out rather than through :mod:`subprocess`, because the supervisor reaps every child itself, adopted ones included, and
two reapers would steal each other's exit codes. Safe because the supervisor has one thread.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NoReturn

from lakeserve.supervisor import death

LISTEN_FD = "LAKESERVE_LISTEN_FD"
"""Tells a child the number of the listening socket that it inherited."""

EXEC_FAILED = 127
_LINUX = sys.platform == "linux"

_HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)
"""The signals that the supervisor has handlers for."""


@dataclass(frozen=True, slots=True)
class Program:
    """What to start.

    ``log`` is appended to and gets both outputs; None inherits the supervisor's. ``stdin`` is text for the child to read, which may
    hold secrets: it goes through memory, or a file without a name. ``listen`` is the path of a Unix socket that is bound for the
    child and inherited by it, so that a peer can connect as soon as the child is known. ``inherit`` are further descriptors, kept
    under their numbers.
    """

    argv: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)
    cwd: str = "/"
    log: str | None = None
    stdin: str | None = field(default=None, repr=False)
    listen: str | None = None
    inherit: Sequence[int] = field(default_factory=tuple)


def spawn(program: Program) -> int:
    """Start it in a session of its own and return its pid.

    :raises OSError: its log, its socket or a new process could not be had. A program that cannot be executed ends with 127.
    """
    opened: list[int] = []
    try:
        stdin = _keep(opened, _stdin(program.stdin))
        output = _keep(opened, _log(program.log))
        environment = dict(program.environment)
        inherit = list(program.inherit)
        if program.listen is not None:
            listening = _keep(opened, _listen(program.listen))
            inherit.append(listening)
            environment[LISTEN_FD] = str(listening)
        parent = os.getpid()
        # Until the child has put its own handlers in their places, a signal to it would run ours, and be lost.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
        try:
            pid = os.fork()
            if pid == 0:
                _become(program, environment, stdin, output, inherit, parent)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        return pid
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _keep(opened: list[int], descriptor: int) -> int:
    opened.append(descriptor)
    return descriptor


def _stdin(text: str | None) -> int:
    if text is None:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    with _unnamed_file() as file:
        file.write(text.encode())
        file.seek(0)
        return os.dup(file.fileno())


def _unnamed_file() -> IO[bytes]:
    """In memory where the kernel can: without a name, a temporary file would still leave its blocks on a disk."""
    if _LINUX:
        return open(os.memfd_create("stdin", os.MFD_CLOEXEC), "w+b")
    return tempfile.TemporaryFile()


def _log(path: str | None) -> int:
    if path is None:
        return os.dup(sys.stderr.fileno())
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _listen(path: str) -> int:
    Path(path).unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        os.chmod(path, 0o600)
        listener.listen(128)
        return os.dup(listener.fileno())


def _become(
    program: Program, environment: dict[str, str], stdin: int, output: int, inherit: list[int], parent: int
) -> NoReturn:
    try:
        death.die_with_parent(parent)
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in (*_HANDLED, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)
        os.dup2(stdin, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        for descriptor in inherit:
            os.set_inheritable(descriptor, True)
        os.chdir(program.cwd)
        os.execvpe(program.argv[0], list(program.argv), environment)  # noqa: S606 - no shell is wanted
    except OSError as error:
        os.write(2, f"lakeserve: cannot start {program.argv[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(EXEC_FAILED)
