"""``mlflow models serve``: MLflow's own scoring server, as its command line starts it."""

from __future__ import annotations

import contextlib
import importlib.util
import socket
import sys
from collections.abc import Iterator

from bench import processes
from bench.models import RegisteredModel
from bench.peers import Serving, Target
from bench.pinning import on
from bench.room import Room


class MlflowServe:
    """One uvicorn process with the stock app, in the environment that the benchmark runs in."""

    name = "mlflow models serve"

    def __init__(self, model: RegisteredModel) -> None:
        self._model = model

    def absent(self) -> str | None:
        return None if importlib.util.find_spec("mlflow") else "mlflow is not installed"

    @contextlib.contextmanager
    def serve(self, room: Room) -> Iterator[Serving]:
        port = _free_port()
        folder = room.folder / f"mlflow-{self._model.short_name}"
        folder.mkdir()
        log = folder / "output.log"
        argv = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local", "--workers", "1"]
        argv += ["--host", "127.0.0.1", "--port", str(port), "--model-uri", self._model.uri]
        env = processes.environment(MLFLOW_TRACKING_URI=self._model.registry)
        with on(room.pinning.servers), processes.started(argv, env, log) as process:
            processes.wait_until(
                lambda: processes.answers(f"http://127.0.0.1:{port}/ping"), process, log, "mlflow models serve"
            )
            yield Serving(process.pid, Target("127.0.0.1", port, "/invocations"))


def _free_port() -> int:
    """It takes no port 0; the one found here may be taken by another in between, which its log then says."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
