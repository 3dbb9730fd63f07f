"""What a process of ours owes its surroundings: to end with the supervisor, to log to its file, to hold no foreign descriptor.

On Linux the kernel ends the process with its parent (``PR_SET_PDEATHSIG``). A parent that died before the call is noticed
by asking for the parent's id afterwards. Elsewhere a daemon thread looks once a second whether the supervisor still lives.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import signal
import socket
import sys
import threading
import time
import traceback

from lakeserve_worker import protocol
from lakeserve_worker.spec import WorkerSpec

LINUX = sys.platform.startswith("linux")

LOST_SUPERVISOR = 5
"""Exit status of a process that came too late: its supervisor is gone."""

_PR_SET_PDEATHSIG = 1
_BACKLOG = 128


def die_with(supervisor_pid: int, adoption_limit_s: float = 0.0) -> None:
    """End when the supervisor does. A forked worker gives its adoption by the supervisor a moment to happen."""
    if not LINUX:
        threading.Thread(target=_watch, args=(supervisor_pid,), daemon=True).start()
        return
    deadline = time.monotonic() + adoption_limit_s
    while os.getppid() != supervisor_pid and time.monotonic() < deadline:
        time.sleep(0.0005)
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != supervisor_pid:
        os._exit(LOST_SUPERVISOR)


def _watch(supervisor_pid: int) -> None:
    while True:
        time.sleep(1.0)
        try:
            os.kill(supervisor_pid, 0)
        except ProcessLookupError:
            os._exit(LOST_SUPERVISOR)
        except PermissionError:
            pass


def listen(path: str) -> socket.socket:
    """A listening Unix socket that only this user can connect to. A stale file of that name is replaced."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    previous = os.umask(0o177)
    try:
        listener.bind(path)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(previous)
    return listener


def close_others(keep: tuple[int, ...]) -> None:
    """Close what was inherited besides the standard streams, so that no pipe or socket of the starter is held open here."""
    folder = "/proc/self/fd" if LINUX else "/dev/fd"
    for number in [int(name) for name in os.listdir(folder)]:
        if number > 2 and number not in keep:
            # The listing itself was one of them, and is closed by now.
            with contextlib.suppress(OSError):
                os.close(number)


def settle(spec: WorkerSpec) -> None:
    """Become the worker: own session, own log, the model's variables, no state shared with a sibling."""
    with contextlib.suppress(PermissionError):
        os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _redirect(spec.log_file)
    os.chdir("/")
    os.environ.update(spec.environment)
    # Programs that the model starts inherit it; the supervisor ends what bears it when this worker is gone.
    os.environ[protocol.WORKER_VARIABLE] = spec.worker_id
    # What MLflow's own server sets: type-hinted models convert their input only there.
    os.environ["_MLFLOW_IS_IN_SERVING_ENVIRONMENT"] = "true"
    random.seed()
    if "numpy" in sys.modules:
        # Forked siblings would otherwise all draw the same numbers.
        sys.modules["numpy"].random.seed()


def _redirect(log_file: str) -> None:
    # Flush first: what the zygote had buffered belongs to its log, not to this one.
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    log = os.open(log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    os.close(null)
    for stream in (sys.stdout, sys.stderr):
        # A model's last words must be in the log even when it ends with os._exit.
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]


def log(text: str) -> None:
    """To the log, past ``sys.stderr``, which a model may have closed or replaced."""
    with contextlib.suppress(OSError):
        os.write(2, (text.rstrip("\n") + "\n").encode("utf-8", "backslashreplace"))


def log_exception(what: str, error: BaseException) -> None:
    log(what + "\n" + "".join(traceback.format_exception(type(error), error, error.__traceback__)))
