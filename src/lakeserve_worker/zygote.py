"""The zygote: imports MLflow and the models' libraries once, then forks a worker in the time that a fork takes.

A worker is forked twice. The process in between ends at once, so that the worker becomes a child of the supervisor (a child
subreaper), which outlives the zygote and reaps it. The worker's socket listens before the fork: a peer can connect as soon
as it has the answer, and waits there for the worker's HELLO.

The zygote must never start a thread and never touch a model: both would not survive the fork.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
from typing import Any, NoReturn

from lakeserve_worker import process, worker
from lakeserve_worker.spec import WorkerSpec

LIBRARIES = ("numpy", "pandas", "mlflow.pyfunc", "mlflow.pyfunc.scoring_server", "lakeserve_worker.scoring")
"""What every worker needs. An environment may lack some of it: the worker says so when it matters."""

MAX_LINE = 1024 * 1024
ANSWER_LIMIT_S = 5.0
ADOPTION_LIMIT_S = 5.0

_HARMLESS_THREADS = {"jemalloc_bg_thd"}
"""Native threads whose library restarts them after a fork (pyarrow brings jemalloc)."""

_UNSAFE_LIBRARIES = ("tensorflow", "jaxlib")


def run(control: str, preload_file: str, supervisor_pid: int) -> None:
    process.die_with(supervisor_pid)
    # Ctrl-C in a terminal reaches every process of the group; ending us is the supervisor's decision.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    preload(preload_file)
    gc.collect()
    gc.freeze()
    Zygote(process.listen(control), preload_file).serve()


def preload(preload_file: str) -> None:
    for name in (*LIBRARIES, *_remembered(preload_file)):
        _import(name)


def _import(name: str) -> None:
    try:
        importlib.import_module(name)
    # An import runs foreign code, which may fail in any way, sys.exit included; a worker that lacks the library will say so.
    except (Exception, SystemExit) as error:  # noqa: BLE001
        process.log(f"preloading {name} failed: {type(error).__name__}: {error}")


def _remembered(preload_file: str) -> list[str]:
    try:
        with open(preload_file, encoding="utf-8") as file:
            names = json.load(file)
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        process.log(f"the list of modules to preload is unreadable: {error}")
        return []
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def unsafe_to_fork() -> str:
    """Why a fork of this process would not work, or an empty text."""
    threads = _foreign_threads()
    if threads:
        return "a library started threads when it was imported: " + ", ".join(threads)
    for name in _UNSAFE_LIBRARIES:
        if name in sys.modules:
            return f"{name} does not survive a fork"
    cuda = sys.modules.get("torch.cuda")
    if cuda is not None and cuda.is_initialized():
        return "CUDA is initialised"
    return ""


def _foreign_threads() -> list[str]:
    """Threads of this process beside the main one, by name. Where the system has no list, none is known."""
    if not process.LINUX:
        return []
    names = []
    for thread in os.listdir("/proc/self/task"):
        if int(thread) != os.getpid():
            with contextlib.suppress(OSError), open(f"/proc/self/task/{thread}/comm", encoding="utf-8") as file:
                names.append(file.read().strip())
    return sorted(set(names) - _HARMLESS_THREADS)


class Zygote:
    """Answers lines on the control socket. Single-threaded; a silent or slow peer costs the others nothing."""

    def __init__(self, listener: socket.socket, preload_file: str) -> None:
        self._listener = listener
        self._preload_file = preload_file
        self._lines: dict[socket.socket, bytearray] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ)

    def serve(self) -> NoReturn:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._listener:
                    self._accept()
                elif isinstance(key.fileobj, socket.socket):
                    self._read(key.fileobj)

    def _accept(self) -> None:
        # The peer may be gone by now; there may be no descriptor left. Neither ends the zygote.
        with contextlib.suppress(OSError):
            peer, _ = self._listener.accept()
            peer.settimeout(ANSWER_LIMIT_S)
            self._lines[peer] = bytearray()
            self._selector.register(peer, selectors.EVENT_READ)

    def _read(self, peer: socket.socket) -> None:
        line = self._lines[peer]
        try:
            data = peer.recv(65536)
            line += data
            while b"\n" in line:
                end = line.index(b"\n")
                request, line[: end + 1] = bytes(line[:end]), b""
                self._tell(peer, self._answer(request))
        except OSError:
            data = b""
        if not data or len(line) > MAX_LINE:
            self._drop(peer)

    def _tell(self, peer: socket.socket, answer: dict[str, Any]) -> None:
        """
        :raises OSError: the peer is gone. Nobody would ever name the worker that it asked for, so that ends, too.
        """
        try:
            peer.sendall(json.dumps(answer).encode() + b"\n")
        except OSError:
            if answer.keys() == {"pid"}:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(answer["pid"], signal.SIGKILL)
            raise

    def _drop(self, peer: socket.socket) -> None:
        self._selector.unregister(peer)
        del self._lines[peer]
        peer.close()

    def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            if isinstance(request, dict) and "fork" in request:
                return {"pid": self._fork(WorkerSpec.of(request["fork"]))}
        except (ValueError, OSError, RecursionError) as error:
            return {"error": f"{error}"}
        if isinstance(request, dict) and request.get("learn"):
            preload(self._preload_file)
            gc.collect()
            gc.freeze()
        elif not (isinstance(request, dict) and request.get("info")):
            return {"error": "neither fork nor learn nor info was asked for"}
        reason = unsafe_to_fork()
        return {"pid": os.getpid(), "fork_safe": not reason, "reason": reason}

    def _fork(self, spec: WorkerSpec) -> int:
        """
        :raises OSError: the socket could not be made, or the system has no room for another process.
        """
        with process.listen(spec.socket) as listener:
            answer, told = os.pipe()
            try:
                between = os.fork()
                if between == 0:
                    self._fork_again(spec, listener, (answer, told))
            finally:
                os.close(told)
            os.waitpid(between, 0)
            text = os.read(answer, 100).decode()
            os.close(answer)
        if not text.isdigit():
            raise OSError("could not fork: " + text)
        return int(text)

    def _fork_again(self, spec: WorkerSpec, listener: socket.socket, pipe: tuple[int, int]) -> NoReturn:
        """The process in between: leaves the worker to the supervisor."""
        try:
            pid = os.fork()
            if pid == 0:
                for descriptor in pipe:
                    os.close(descriptor)
                self._become(spec, listener)
            os.write(pipe[1], str(pid).encode())
        except OSError as error:
            os.write(pipe[1], str(error.strerror).encode())
        finally:
            os._exit(0)

    def _become(self, spec: WorkerSpec, listener: socket.socket) -> NoReturn:
        self._selector.close()
        self._listener.close()
        for peer in self._lines:
            peer.close()
        process.die_with(spec.supervisor_pid, ADOPTION_LIMIT_S)
        worker.main(spec, listener)
