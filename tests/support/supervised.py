"""A small supervisor to talk to, and what there is to see of its processes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lakeserve.supervisor import protocol
from support.registry import environment, short_folder
from support.server import poll

PROGRAM = Path(__file__).with_name("small_supervisor.py")
SLEEP = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]


def alive(pid: int) -> bool:
    """Whether it runs; what has ended and was not reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class SmallSupervisor:
    """Its process and one connection to its socket."""

    def __init__(self, folder: Path, stop_s: float = 5.0, services: dict[str, Sequence[str]] | None = None) -> None:
        self.folder = folder
        self.exits: list[dict[str, Any]] = []
        self._arguments = [str(folder), str(stop_s), json.dumps(services or {})]
        self._numbers = 0
        self._lines = protocol.Lines()
        self.start()

    def start(self) -> None:
        with (self.folder / "supervisor.out").open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-P", str(PROGRAM), *self._arguments],
                env=environment(), stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        self.socket = poll(self.connect, self.said, 30.0)

    @property
    def path(self) -> Path:
        return self.folder / "supervisor.sock"

    @property
    def pid(self) -> int:
        return self.process.pid

    def said(self) -> str:
        return (self.folder / "supervisor.out").read_text()

    def connect(self) -> socket.socket | None:
        assert self.process.poll() is None, self.said()
        peer = socket.socket(socket.AF_UNIX)
        peer.settimeout(20.0)
        try:
            peer.connect(str(self.path))
        except OSError:
            peer.close()
            return None
        return peer

    def ask(self, **request: Any) -> dict[str, Any]:
        """The answer; exits that are told meanwhile go to ``exits``."""
        self._numbers += 1
        self.socket.sendall(protocol.encode({"seq": self._numbers, **request}))
        while True:
            for message in self.read():
                if message.get("seq") == self._numbers:
                    return message

    def read(self) -> list[dict[str, Any]]:
        data = self.socket.recv(1 << 16)
        assert data, "it hung up"
        messages = self._lines.feed(data)
        self.exits += [message for message in messages if "exit" in message]
        return messages

    def spawn(self, name: str, argv: Sequence[str] = SLEEP, **more: Any) -> int:
        fields = {
            "environment": {"PATH": os.defpath},
            "log": str(self.folder / f"{name}.log"),
            "kind": "worker",
            **more,
        }
        answer = self.ask(do="spawn", id=name, argv=list(argv), **fields)
        assert "pid" in answer, answer
        return int(answer["pid"])

    def exit_of(self, name: str, limit_s: float = 20.0) -> int:
        """Wait for the news that it ended."""
        deadline = time.monotonic() + limit_s
        while True:
            for told in self.exits:
                if told["exit"] == name:
                    return int(told["code"])
            assert time.monotonic() < deadline, self.said()
            self.read()

    def log_of(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def pid_in_log(self, name: str) -> int:
        """The number that a program has printed."""
        return int(poll(lambda: self.log_of(name).strip(), self.said, 20.0).split()[0])

    def kill(self) -> None:
        self.socket.close()
        self.process.kill()
        self.process.wait()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        try:
            return self.process.wait(20.0)
        finally:
            self.kill()


@contextlib.contextmanager
def small_supervisor(**options: Any) -> Iterator[SmallSupervisor]:
    with short_folder() as folder:
        started = SmallSupervisor(folder, **options)
        try:
            yield started
        finally:
            started.kill()
