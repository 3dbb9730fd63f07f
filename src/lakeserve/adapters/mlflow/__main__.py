"""``python -m lakeserve.adapters.mlflow``: the registry process, one uvicorn on a Unix socket.

Order matters: the lifeline first, then MLflow's variables, then MLflow itself (seconds), and the socket last, so that whoever can
connect gets an answer.
"""

# ruff: noqa: TID251 - MLflow is set up through its variables, and this process is MLflow's

from __future__ import annotations

import argparse
import importlib.util
import os
import socket
import sys
import time
from pathlib import Path

import uvicorn

from lakeserve import settings
from lakeserve.adapters.mlflow import embedded, lifeline
from lakeserve.adapters.mlflow.answers import without_credentials
from lakeserve.adapters.mlflow.registry_app import RegistryApp

_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
}
_EXTERNAL = {
    # MLflow's own patience is minutes long; the caller here tries again by itself.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    # Registries in plain folders still work, but MLflow wants to be told.
    "MLFLOW_ALLOW_FILE_STORE": "true",
}
_POINTS_ELSEWHERE = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")


def main() -> None:
    options = _options()
    if options.supervisor_pid is not None:
        lifeline.end_with_parent(options.supervisor_pid)
    if options.life_fd is not None:
        lifeline.end_at_eof(options.life_fd)
    if importlib.util.find_spec("mlflow") is None:
        sys.exit("The model registry needs MLflow, which is not installed. Install lakeserve[mlflow].")
    os.umask(0o077)
    app = _external(options) if options.registry else _embedded(options)
    config = uvicorn.Config(
        app,
        lifespan="off",
        ws="none",
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        # Longer than the gateway keeps an idle connection, so that it is never the one surprised by a close.
        timeout_keep_alive=120,
        timeout_graceful_shutdown=5,
    )
    uvicorn.Server(config).run(sockets=[_bound(options.uds)])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m lakeserve.adapters.mlflow", description="The model registry process."
    )
    parser.add_argument("--uds", type=Path, required=True, help="path of the Unix socket to answer on")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--registry", help="URI of an external registry; without it MLflow's own server is embedded")
    parser.add_argument(
        "--life-fd", type=int, default=settings.life_fd(), help="end when this descriptor reaches its end"
    )
    parser.add_argument("--supervisor-pid", type=int, help="end when this parent does")
    options = parser.parse_args()
    options.data_dir = options.data_dir.resolve()
    return options


def _embedded(options: argparse.Namespace) -> RegistryApp:
    for name in _POINTS_ELSEWHERE:
        # A shell that is set up to use lakeserve has our own address here.
        os.environ.pop(name, None)
    os.environ.update(_QUIET | embedded.variables(options.data_dir))
    app = embedded.mlflow_app(options.data_dir)
    # These import mlflow, after its variables are set.
    from lakeserve.adapters.mlflow.databricks.app import with_databricks_routes  # noqa: PLC0415
    from lakeserve.adapters.mlflow.source import Source  # noqa: PLC0415

    source = Source(embedded.database_uri(options.data_dir), artifacts=embedded.artifacts_folder(options.data_dir))
    whole = with_databricks_routes(app, source, options.data_dir, time.time)
    return RegistryApp(source, data_dir=options.data_dir, mlflow_app=whole)


def _external(options: argparse.Namespace) -> RegistryApp:
    uri = _as_uri(options.registry)
    os.environ.update(_QUIET)
    for name, value in _EXTERNAL.items():
        os.environ.setdefault(name, value)
    from lakeserve.adapters.mlflow.source import Source  # noqa: PLC0415 - imports mlflow, after its variables are set

    elsewhere = f"This server uses the model registry at {without_credentials(options.registry)}. Point MLFLOW_TRACKING_URI there."
    return RegistryApp(Source(uri), data_dir=options.data_dir, mlflow_app=None, elsewhere=elsewhere)


def _as_uri(registry: str) -> str:
    """A plain path becomes a URI, which means the same wherever this process was started."""
    return registry if ":" in registry else Path(registry).resolve().as_uri()


def _bound(path: Path) -> socket.socket:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    return listener


if __name__ == "__main__":
    main()
