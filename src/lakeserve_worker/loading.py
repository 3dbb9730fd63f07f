"""From a model's folder to something that can be served, and what is learned on the way.

Besides the model itself, loading yields the HELLO, one warm-up request (the model's own serving example, so that the first
client does not pay for lazy imports), and the list of library modules that the model needed: the next zygote of this
environment imports them before it forks.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import importlib
import importlib.util
import json
import os
import socket
import sys
import sysconfig
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from lakeserve_worker import process, protocol
from lakeserve_worker.spec import WorkerSpec

if TYPE_CHECKING:
    from lakeserve_worker.scoring import Scorer

EXAMPLE = "serving_input_example.json"
MAX_REASON = 1000
REFUSAL_LIMIT_S = 10.0


class LoadedModel(NamedTuple):
    scorer: Scorer
    hello: bytes


def load(spec: WorkerSpec) -> LoadedModel:
    """
    :raises Exception: whatever the model's own code raises.
    """
    known = set(sys.modules)
    # Here and not above: an environment without mlflow is to be reported to the peers, too.
    scoring = importlib.import_module("lakeserve_worker.scoring")
    model = importlib.import_module("mlflow.pyfunc").load_model(spec.model_path, suppress_warnings=True)
    _trace_only_on_request()
    scorer: Scorer = scoring.Scorer(model)
    _warm_up(scorer, spec)
    _remember(spec.preload_file, library_modules(set(sys.modules) - known))
    gc.collect()
    gc.freeze()
    head = {"worker_id": spec.worker_id, "pid": os.getpid(), "streamable": scorer.streamable, "task": scorer.task}
    return LoadedModel(scorer, protocol.encode(protocol.HELLO, head))


def _trace_only_on_request() -> None:
    """MLflow traces agents unasked. With no tracking server named, it would make itself a database in the working folder."""
    try:
        tracking, tracing = (importlib.import_module("mlflow." + name) for name in ("tracking", "tracing"))
    except ImportError:
        # Before MLflow 2.14 nothing was traced.
        return
    if not tracking.is_tracking_uri_set():
        tracing.disable()


def _warm_up(scorer: Scorer, spec: WorkerSpec) -> None:
    try:
        with open(os.path.join(spec.model_path, EXAMPLE), "rb") as file:
            example = file.read()
    except OSError:
        return
    faulthandler.dump_traceback_later(spec.execution_limit_s, exit=True, file=2)
    try:
        answer = scorer.score("application/json", example)
    finally:
        faulthandler.cancel_dump_traceback_later()
    if answer.status != 200:
        process.log("the model's own example was refused: " + answer.body.decode("utf-8", "replace"))


def library_modules(names: set[str]) -> list[str]:
    """Those that come from installed libraries: not the model's own code, not ours, not the standard library."""
    folders = tuple({sysconfig.get_path(kind) + os.sep for kind in ("purelib", "platlib")})
    found = []
    for name in names:
        module: Any = sys.modules.get(name)
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and file.startswith(folders) and _importable(name):
            found.append(name)
    return sorted(found)


def _importable(name: str) -> bool:
    """Whether the name leads to the module: native ones may enter themselves under another."""
    if name.startswith(__package__):
        return False
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError, AttributeError):
        return False


def _remember(preload_file: str, names: list[str]) -> None:
    """Merge into the list. Two workers may do so at once; the loser's names come with the next load."""
    try:
        known = _read_list(preload_file)
        if known.issuperset(names):
            return
        draft = f"{preload_file}.{os.getpid()}"
        with open(draft, "w", encoding="utf-8") as file:
            json.dump(sorted(known.union(names)), file)
        os.replace(draft, preload_file)
    except OSError as error:
        process.log(f"the modules to preload could not be remembered: {error}")


def _read_list(preload_file: str) -> set[str]:
    try:
        with open(preload_file, encoding="utf-8") as file:
            return {name for name in json.load(file) if isinstance(name, str)}
    except (FileNotFoundError, ValueError, TypeError):
        return set()


def refuse(listener: socket.socket, error: BaseException) -> None:
    """Tell those who wait for HELLO why it will not come. Without anybody waiting, stay a while for the first to ask."""
    reason = (str(error) or type(error).__name__)[:MAX_REASON]
    frame = protocol.encode(protocol.FAILED, {"message": "An error occurred while loading the model. " + reason})
    deadline = time.monotonic() + REFUSAL_LIMIT_S
    listener.settimeout(REFUSAL_LIMIT_S)
    with contextlib.suppress(OSError):
        while time.monotonic() < deadline:
            peer, _ = listener.accept()
            # The first may have taken its time; the others, if any, are in the backlog already.
            listener.setblocking(False)
            with peer, contextlib.suppress(OSError):
                peer.settimeout(1.0)
                peer.sendall(frame)
