"""The real registry process for tests, and a way for clients that speak only TCP to reach its Unix socket."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

START_S = 60.0


def environment() -> dict[str, str]:
    """Without what makes imports slow, what makes MLflow think that it is being tested, and what points it elsewhere."""
    left_out = ("PYTHONDONTWRITEBYTECODE", "PYTEST_CURRENT_TEST", "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")
    return {name: value for name, value in os.environ.items() if name not in left_out}


class RegistryProcess:
    """``python -m lakeserve.adapters.mlflow``, started at once; :meth:`wait` until it answers."""

    def __init__(self, data_dir: Path, *options: str, life_fd: int | None = None) -> None:
        self.data_dir = data_dir
        self.socket = data_dir / "s"
        self.log = data_dir / "log"
        argv = [
            sys.executable,
            "-m",
            "lakeserve.adapters.mlflow",
            "--uds",
            str(self.socket),
            "--data-dir",
            str(data_dir),
            *options,
        ]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                argv if life_fd is None else [*argv, "--life-fd", str(life_fd)],
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=() if life_fd is None else (life_fd,),
            )

    def wait(self) -> None:
        wait_for(self._connects, self.log.read_text)

    def _connects(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        with socket.socket(socket.AF_UNIX) as client, contextlib.suppress(OSError):
            client.connect(str(self.socket))
            return True
        return False

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


def wait_for(condition: object, told: object = str) -> None:
    """Poll until it holds."""
    assert callable(condition)
    assert callable(told)
    deadline = time.monotonic() + START_S
    while not condition():
        assert time.monotonic() < deadline, told()
        time.sleep(0.02)


@contextlib.contextmanager
def short_folder() -> Iterator[Path]:
    """A temporary folder whose path is short enough for Unix sockets in it."""
    folder = Path(tempfile.mkdtemp(prefix="ls-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def tcp_bridge(path: Path) -> Iterator[str]:
    """A TCP port of this machine whose connections lead to the Unix socket; its URL."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.socket(socket.AF_UNIX) as upstream, contextlib.suppress(OSError):
                upstream.connect(str(path))
                back = threading.Thread(target=_pump, args=(upstream, self.request), daemon=True)
                back.start()
                _pump(self.request, upstream)
                back.join()

    class Bridge(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

    with Bridge(("127.0.0.1", 0), Handler) as bridge:
        thread = threading.Thread(target=bridge.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{bridge.server_address[1]}"
        finally:
            bridge.shutdown()
            thread.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
