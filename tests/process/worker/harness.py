"""Zygotes, workers and peers for the tests: everything started here is gone when the test (or the session) ends."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lakeserve_worker
from lakeserve_worker import protocol

PROGRAM = Path(lakeserve_worker.__file__).with_name("__main__.py")
DEADLINE_S = 60.0
PR_SET_CHILD_SUBREAPER = 36


def set_subreaper(on: bool) -> None:
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, int(on), 0, 0, 0)


def wait_until(condition: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S) -> Any:
    """Poll until ``condition`` is truthy, and return it."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        select.select([], [], [], 0.005)
    raise AssertionError(f"not within {deadline_s} s: {what}")


def alive(pid: int) -> bool:
    """Whether a process runs. One that ended and was not reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def environment() -> dict[str, str]:
    names = ("PATH", "HOME", "TMPDIR", "LANG")
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {
        **{name: os.environ[name] for name in names if name in os.environ},
        **threads,
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


@dataclass
class Answer:
    status: int
    content_type: str
    body: bytes
    predict_ms: float

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Peer:
    """What a gateway is to a worker."""

    def __init__(self, path: str, deadline_s: float = DEADLINE_S) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(deadline_s)
        try:
            self.socket.connect(path)
        except OSError:
            self.socket.close()
            raise

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def hello(self) -> dict[str, Any]:
        frame = self.read()
        assert frame.kind == protocol.HELLO, frame
        return frame.head

    def send(self, body: bytes, content_type: str = "application/json") -> None:
        self.socket.sendall(protocol.encode(protocol.REQUEST, {"content_type": content_type, "request_id": "r"}, body))

    def read(self) -> protocol.Frame:
        kind, head_length, body_length = protocol.decode_prefix(self._exactly(protocol.PREFIX_SIZE))
        head = protocol.decode_head(self._exactly(head_length))
        return protocol.Frame(kind, head, self._exactly(body_length))

    def answer(self) -> Answer:
        frame = self.read()
        assert frame.kind == protocol.RESPONSE, frame
        return Answer(frame.head["status"], frame.head["content_type"], frame.body, frame.head["predict_ms"])

    def ask(self, body: Any, content_type: str = "application/json") -> Answer:
        self.send(body if isinstance(body, bytes) else json.dumps(body).encode(), content_type)
        return self.answer()

    def events(self, body: Any) -> list[bytes]:
        """The chunks of a stream, to its END."""
        self.send(json.dumps(body).encode())
        chunks = []
        while True:
            frame = self.read()
            if frame.kind == protocol.END:
                assert frame.head["predict_ms"] >= 0
                return chunks
            assert frame.kind == protocol.CHUNK, frame
            chunks.append(frame.body)

    def at_end(self) -> bool:
        """The worker closed the connection."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def _exactly(self, length: int) -> bytes:
        data = bytearray()
        while len(data) < length:
            part = self.socket.recv(min(length - len(data), 1 << 20))
            if not part:
                raise EOFError("the worker closed the connection")
            data += part
        return bytes(data)


@dataclass
class RunningWorker:
    pid: int
    spec: dict[str, Any]
    status: int | None = None
    peers: list[Peer] = field(default_factory=list)

    def peer(self) -> Peer:
        """Closed at the latest with the worker."""
        self.peers.append(Peer(self.spec["socket"]))
        return self.peers[-1]

    def ready_peer(self) -> Peer:
        peer = self.peer()
        peer.hello()
        return peer

    def ask(self, body: Any, content_type: str = "application/json") -> Answer:
        with self.ready_peer() as peer:
            return peer.ask(body, content_type)

    @property
    def log(self) -> str:
        path = Path(self.spec["log_file"])
        return path.read_text() if path.exists() else ""

    def ended(self) -> bool:
        """Reap it if it has ended."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status is not None

    def exit_status(self) -> int:
        wait_until(self.ended, f"end of worker {self.pid}")
        assert self.status is not None
        return self.status

    def kill(self) -> None:
        for peer in self.peers:
            peer.socket.close()
        if not self.ended():
            os.kill(self.pid, signal.SIGKILL)
            self.exit_status()


def make_spec(folder: Path, model: Path, **fields: Any) -> dict[str, Any]:
    identity = f"w{len(list(folder.glob('w*')))}"
    (folder / identity).touch()
    return {
        "worker_id": identity,
        "socket": str(folder / f"{identity}.sock"),
        "model_path": str(model),
        "endpoint_name": "endpoint",
        "entity_name": "entity",
        "environment": {},
        "log_file": str(folder / f"{identity}.log"),
        "execution_limit_s": 60.0,
        "preload_file": str(folder / "preload.json"),
        "supervisor_pid": os.getpid(),
        **fields,
    }


@dataclass
class Zygote:
    process: subprocess.Popen[bytes]
    control: str
    log: Path
    workers: list[RunningWorker] = field(default_factory=list)

    def tell(self, line: bytes) -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(DEADLINE_S)
            peer.connect(self.control)
            peer.sendall(line + b"\n")
            return json.loads(peer.makefile("rb").readline())

    def fork(self, spec: dict[str, Any]) -> RunningWorker:
        answer = self.tell(json.dumps({"fork": spec}).encode())
        assert "pid" in answer, answer
        worker = RunningWorker(answer["pid"], spec)
        self.workers.append(worker)
        return worker

    def wait_ready(self) -> None:
        def connects() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            with socket.socket(socket.AF_UNIX) as peer, contextlib.suppress(OSError):
                peer.connect(self.control)
                return True
            return False

        wait_until(connects, "a listening zygote")

    def end(self) -> None:
        for worker in self.workers:
            worker.kill()
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def zygote(folder: Path, python: str = sys.executable, variables: dict[str, str] | None = None) -> Iterator[Zygote]:
    control, log = folder / "z.sock", folder / "zygote.log"
    arguments = ["--control", str(control), "--supervisor-pid", str(os.getpid())]
    arguments += ["--preload-file", str(folder / "preload.json")]
    with log.open("ab") as output:
        process = subprocess.Popen(
            [python, "-s", str(PROGRAM), "zygote", *arguments],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, env={**environment(), **(variables or {})}, cwd="/",
        )  # fmt: skip
    started = Zygote(process, str(control), log)
    try:
        started.wait_ready()
        yield started
    finally:
        started.end()


@contextlib.contextmanager
def exec_worker(spec: dict[str, Any], python: str = sys.executable, listen: bool = True) -> Iterator[RunningWorker]:
    """Started without a zygote; its socket is inherited, or bound by itself."""
    variables = environment()
    listener = None
    if listen:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(spec["socket"])
        listener.listen(16)
        variables["LAKESERVE_LISTEN_FD"] = "3"
    command = [python, "-s", str(PROGRAM), "worker"]
    if listener is not None:
        become = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.execv(sys.argv[2], sys.argv[2:])"
        command = [sys.executable, "-c", become, str(listener.fileno()), *command]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, env=variables, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        pass_fds=(listener.fileno(),) if listener is not None else (),
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write(json.dumps(spec).encode() + b"\n")
    process.stdin.close()
    if listener is not None:
        listener.close()
    worker = RunningWorker(process.pid, spec)
    try:
        yield worker
    finally:
        worker.kill()
        process.returncode = worker.status
