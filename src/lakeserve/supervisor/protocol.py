"""What the controller and the supervisor say to each other: JSON objects, one per line, over a Unix socket.

Requests carry ``seq``; the answer carries the same ``seq`` and either the fields below or ``error`` (text).

=========  =======================================================================  =====================
``do``     fields                                                                   answer
=========  =======================================================================  =====================
spawn      id, kind, argv, environment, cwd, log, stdin, listen, note               pid
adopt      id, kind, pid, note: a process that became the supervisor's child        {} (``gone``: exit code)
note       id, note: more of it, for a later list                                   {}
stop       id, grace_s: SIGTERM to its group, SIGKILL after the grace               {}
list                                                                                processes: [{id, kind, pid, note}]
=========  =======================================================================  =====================

``kind`` is a word for the listing ("worker", "zygote", "command"), ``note`` an object that the controller wants back when it
lists after a restart. Without being asked the supervisor sends ``{"exit": id, "pid": N, "code": N}`` for each process that
ended, where a code below zero is the number of the signal that killed it.
"""

from __future__ import annotations

import json
from typing import Any

WORKER = "worker"
"""The kind of processes that start others of their own, in sessions of their own: those are found by the mark they inherit."""

MAX_LINE = 8 * 1024 * 1024
"""A longer line is a broken peer; environment variables of a served entity are the largest thing that travels."""


def encode(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"


class Lines:
    """Cuts a byte stream into messages.

    :raises ValueError: from :meth:`feed`, for a line that is too long or no JSON object.
    """

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_LINE:
            raise ValueError("line too long")
        messages = [json.loads(line) for line in lines if line]
        if not all(isinstance(message, dict) for message in messages):
            raise ValueError("not an object")
        return messages
