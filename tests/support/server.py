"""The real server for tests: ``lakeserve up`` as an operator starts it, and a plain HTTP client for it."""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from lakeserve.settings import INSTANCE, Settings
from support import proc
from support.registry import environment

TOKEN = "dapi" + "5" * 32
LAKESERVE = Path(sys.executable).with_name("lakeserve")
TESTS = Path(__file__).resolve().parents[1]
START_S = 60.0
STOP_S = 10.0
"""The promise: SIGTERM ends the whole tree within so many seconds."""

_POLL_S = 0.02
_FOREIGN = ("LAKESERVE_", "MLFLOW_", "DATABRICKS_")
_T = TypeVar("_T")


def poll(condition: Callable[[], _T], told: Callable[[], object] = str, limit_s: float = START_S) -> _T:
    """What ``condition`` returns once that is true; fails after ``limit_s`` seconds with what ``told`` says."""
    deadline = time.monotonic() + limit_s
    while not (result := condition()):
        assert time.monotonic() < deadline, told()
        time.sleep(_POLL_S)
    return result


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> tuple[int, str]:
        """Status and code of an error; fails on anything that is not the documented shape."""
        told = self.json
        assert told.keys() == {"error_code", "message"}, told
        assert "Traceback" not in told["message"], told
        assert "site-packages" not in told["message"], told
        return self.status, told["error_code"]


class Server:
    """One ``lakeserve up``. ``token=None`` leaves it to the server to make one; ``variables`` are further environment."""

    def __init__(
        self, data_dir: Path, *options: str, token: str | None = TOKEN, port: int | None = 0, **variables: str
    ) -> None:
        self.data_dir = data_dir
        self.token = token
        self.options = options
        self.port = port
        self.variables = variables
        self.url = ""
        self.cwd = data_dir.parent
        self.output = data_dir.with_name(data_dir.name + ".out")
        self.process: subprocess.Popen[bytes] | None = None

    # Life

    def launch(self) -> Server:
        """Start it without waiting for anything."""
        environ = {name: value for name, value in environment().items() if not name.startswith(_FOREIGN)}
        if self.token is not None:
            environ["LAKESERVE_ADMIN_TOKEN"] = self.token
        argv = [str(LAKESERVE), "up", "--data-dir", str(self.data_dir), *self.options]
        if self.port is not None:
            argv += ["--port", str(self.port)]
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                argv, env=environ | self.variables, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                cwd=self.cwd, start_new_session=True,
                preexec_fn=_end_with_us,  # noqa: PLW1509 - which asks the kernel for a signal and touches no lock
            )  # fmt: skip
        return self

    def start(self, *, registry: bool = False) -> Server:
        """Start it and wait until it is ready, and its registry too if asked."""
        self.launch()
        self.url = poll(self.printed_url, self.told)
        self.wait_ready(registry=registry)
        return self

    def printed_url(self) -> str | None:
        """The URL, once it has said all that it says at the start."""
        assert self.process is not None
        assert self.process.poll() is None, self.told()
        found = re.search(r"lakeserve is listening on (\S+)\n.*Ctrl-C ends it", self.said, re.DOTALL)
        return found[1] if found else None

    def wait_ready(self, *, registry: bool = False) -> None:
        def ready() -> bool:
            with contextlib.suppress(OSError):
                answer = self.ask("GET", "/ready", token=None)
                return answer.status == 200 and (not registry or answer.json["parts"]["registry"])
            return False

        poll(ready, self.told)

    @property
    def said(self) -> str:
        return self.output.read_text() if self.output.exists() else ""

    def told(self) -> str:
        """Everything that it has said and logged, for a failure's message."""
        logs = sorted((self.data_dir / "logs").glob("*.log"))
        return self.said + "".join(f"\n--- {log.name}\n{log.read_text()[-4000:]}" for log in logs)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> float:
        """End it as an operator does, and hold it to its promise: within 10 s, and nothing of the tree lives. Seconds it took."""
        assert self.process is not None
        living = self.pids()
        began = time.monotonic()
        self.process.send_signal(number)
        try:
            status = self.process.wait(STOP_S)
        finally:
            took = time.monotonic() - began
            self.kill_all()
        assert status == 0, (status, self.told())
        assert not [pid for pid in living if proc.lives(pid)]
        return took

    def kill_all(self) -> None:
        """SIGKILL to every process of the tree, the supervisor first, as the kernel might at any moment."""
        if self.process is not None:
            pids = self.pids()
            self.process.kill()
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.wait()

    # Its processes

    @property
    def _mark(self) -> bytes:
        mark = Settings(data_dir=self.data_dir.resolve(), run_dir=self.data_dir).instance
        return f"{INSTANCE}={mark}".encode()

    def pids(self) -> list[int]:
        """Every living process of the tree: those that bear its mark, what a model started included, and the supervisor."""
        marked = [pid for pid in proc.all_pids() if self._mark in proc.read(pid, "environ").split(b"\0")]
        own = [self.process.pid] if self.process is not None and self.process.poll() is None else []
        return sorted({*own, *marked})

    def pids_of(self, part: str) -> list[int]:
        """Those whose command line holds ``part``, the oldest first."""
        found = [pid for pid in self.pids() if part.encode() in proc.read(pid, "cmdline").replace(b"\0", b" ")]
        return sorted(found, key=proc.started)

    def kill(self, pid: int) -> None:
        """Kill one process and wait until it is reaped: a zombie's other threads may hold its sockets open for a moment."""
        os.kill(pid, signal.SIGKILL)
        poll(lambda: not proc.stat(pid), limit_s=10)

    # Asking it

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        token: str | None = "",
        headers: Mapping[str, str] | None = None,
        timeout: float = 60,
    ) -> Answer:
        """One request on a connection of its own.

        ``body``: bytes go as they are, anything else as JSON. ``token``: "" is the server's own, None is none.
        """
        sent = dict(headers or {})
        token = self.token if token == "" else token
        if token is not None:
            sent.setdefault("Authorization", f"Bearer {token}")
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        with contextlib.closing(self.connect(timeout)) as connection:
            connection.request(method, path, data, sent)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())

    def connect(self, timeout: float = 60) -> http.client.HTTPConnection:
        parts = urlsplit(self.url)
        assert parts.hostname is not None
        return http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)

    @contextlib.contextmanager
    def raw(self, request: bytes, timeout: float = 20) -> Iterator[socket.socket]:
        """A connection on which these bytes have been sent."""
        parts = urlsplit(self.url)
        with socket.create_connection((parts.hostname, parts.port), timeout=timeout) as connection:
            connection.sendall(request)
            yield connection

    def raw_answer(self, request: bytes) -> Answer:
        """The answer to a request given byte by byte."""
        with self.raw(request) as connection:
            response = http.client.HTTPResponse(connection)
            try:
                response.begin()
                return Answer(response.status, response.headers, response.read())
            finally:
                response.close()

    # Endpoints

    def create(
        self, name: str, model: str = "probe", version: str = "1", *, local: bool = True, **entity: Any
    ) -> Answer:
        return self.ask("POST", ENDPOINTS, {"name": name, "config": config(model, version, local=local, **entity)})

    def update(
        self, name: str, model: str = "probe", version: str = "1", *, local: bool = True, **entity: Any
    ) -> Answer:
        return self.ask("PUT", f"{ENDPOINTS}/{name}/config", config(model, version, local=local, **entity))

    def deploy(self, name: str, model: str = "probe", version: str = "1", **entity: Any) -> dict[str, Any]:
        """Create it and wait until it is ready."""
        answer = self.create(name, model, version, **entity)
        assert answer.status == 200, answer.body
        return self.ready(name)

    def get(self, name: str) -> dict[str, Any]:
        answer = self.ask("GET", f"{ENDPOINTS}/{name}")
        assert answer.status == 200, answer.body
        found: dict[str, Any] = answer.json
        return found

    def settled(self, name: str, limit_s: float = 90.0) -> dict[str, Any]:
        """The endpoint once no update runs any more."""

        def found() -> dict[str, Any] | None:
            endpoint = self.get(name)
            return None if endpoint["state"]["config_update"] == "IN_PROGRESS" else endpoint

        return poll(found, lambda: f"{self.get(name)}\n{self.told()}", limit_s)  # type: ignore[return-value]

    def ready(self, name: str) -> dict[str, Any]:
        endpoint = self.settled(name)
        assert endpoint["state"] == {"ready": "READY", "config_update": "NOT_UPDATING"}, (endpoint, self.told())
        return endpoint

    def recovered(self, name: str) -> dict[str, Any]:
        """The endpoint once it is as it should be, after something was killed: no update runs or failed, and it is ready."""
        wanted = {"ready": "READY", "config_update": "NOT_UPDATING"}

        def found() -> dict[str, Any] | None:
            endpoint = self.get(name)
            return endpoint if endpoint["state"] == wanted else None

        return poll(found, lambda: f"{self.get(name)}\n{self.told()}")  # type: ignore[return-value]

    def delete_answer(self, name: str) -> Answer:
        return self.ask("DELETE", f"{ENDPOINTS}/{name}")

    def delete(self, name: str) -> None:
        assert self.delete_answer(name).status == 200

    def query(self, name: str, payload: object, **options: Any) -> Answer:
        return self.ask("POST", f"/serving-endpoints/{name}/invocations", payload, **options)

    def act(self, name: str, do: str, /, **row: Any) -> Answer:
        """Query a probe model with one row."""
        return self.query(name, {"dataframe_records": [{"do": do, **row}]})

    def value(self, name: str, do: str, /, **row: Any) -> Any:
        """The probe's one prediction."""
        answer = self.act(name, do, **row)
        assert answer.status == 200, answer.body
        (prediction,) = answer.json["predictions"]
        return prediction

    def logs(self, name: str, served: str, kind: str = "logs") -> str:
        answer = self.ask("GET", f"{ENDPOINTS}/{name}/served-models/{served}/{kind}")
        assert answer.status == 200, answer.body
        text: str = answer.json["logs"]
        return text


ENDPOINTS = "/api/2.0/serving-endpoints"


def config(model: str = "probe", version: str = "1", *, local: bool = True, **entity: Any) -> dict[str, Any]:
    """A config of one served entity, run in the server's own environment unless ``local`` is False."""
    variables = {**({"LAKESERVE_ENV_MANAGER": "local"} if local else {}), **entity.pop("environment_vars", {})}
    whole = {
        "entity_name": f"main.default.{model}",
        "entity_version": version,
        "workload_size": "Small",
        "scale_to_zero_enabled": False,
        **({"environment_vars": variables} if variables else {}),
        **entity,
    }
    return {"served_entities": [whole]}


def log_served_models(server: Server, folder: Path, module: str = "support.log_served_models") -> None:
    """Register the models of that module at the server, as a client of it."""
    env = environment() | {
        "PYTHONPATH": str(TESTS),
        "MLFLOW_TRACKING_URI": server.url,
        "MLFLOW_TRACKING_TOKEN": server.token or "",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    argv = [sys.executable, "-m", module]
    done = subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def copy_registry(source: Path, target: Path) -> None:
    """The embedded registry of a server, which may be running, into another data directory."""
    shutil.copytree(source / "registry", target / "registry", ignore=shutil.ignore_patterns("mlflow.db*"))
    name = Path("registry") / "mlflow.db"
    with (
        contextlib.closing(sqlite3.connect(source / name)) as old,
        contextlib.closing(sqlite3.connect(target / name)) as new,
    ):
        old.backup(new)


def _end_with_us() -> None:
    """In the child: a test run that is killed must leave no server behind."""
    ctypes.CDLL(None).prctl(1, int(signal.SIGTERM), 0, 0, 0)
