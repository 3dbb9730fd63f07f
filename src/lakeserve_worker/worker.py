"""One worker's life: load the model, serve it, end. Never returns into the code that started it."""

from __future__ import annotations

import os
import socket
from typing import NoReturn

from lakeserve_worker import loading, process
from lakeserve_worker.serving import Server
from lakeserve_worker.spec import WorkerSpec

LOAD_FAILED = 3
CRASHED = 1


def main(spec: WorkerSpec, listener: socket.socket) -> NoReturn:
    """Ends the process without Python's own shutdown, which would wait for threads that a model left running."""
    status = CRASHED
    try:
        process.settle(spec)
        status = _live(spec, listener)
    # The last frame of this process: SystemExit and KeyboardInterrupt out of a model's code end it as a crash would.
    except BaseException as error:  # noqa: BLE001
        process.log_exception("the worker ends:", error)
    finally:
        os._exit(status)


def _live(spec: WorkerSpec, listener: socket.socket) -> int:
    try:
        model = loading.load(spec)
    # A model's loading is foreign code, which may fail in any way, sys.exit included.
    except (Exception, SystemExit) as error:  # noqa: BLE001
        process.log_exception(f"loading {spec.model_path} failed:", error)
        loading.refuse(listener, error)
        return LOAD_FAILED
    Server(listener, model.hello, model.scorer, spec.execution_limit_s).run()
    return 0
