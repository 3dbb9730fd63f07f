"""The registry process ends when its supervisor does.

On Linux the kernel sees to it (``PR_SET_PDEATHSIG``). Everywhere a thread waits at the end of a pipe that only the supervisor holds
open; a thread, because importing MLflow takes seconds in which there is no event loop yet.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import threading

_PR_SET_PDEATHSIG = 1
_GRACE_S = 5.0


def end_with_parent(supervisor_pid: int) -> None:
    """Ask the kernel to kill this process when its parent ends. Exits if the supervisor is not the parent any more."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != supervisor_pid:
        sys.exit("The supervisor is gone.")


def end_at_eof(life_fd: int) -> None:
    """Terminate this process when ``life_fd`` reaches its end: first as asked politely, then for good."""
    threading.Thread(target=_watch, args=(life_fd,), name="lifeline", daemon=True).start()


def _watch(life_fd: int) -> None:
    # Nobody ever writes: readable means closed. Not read(), because the pipe is shared with event loops that have made it
    # non-blocking for everybody.
    poll = select.poll()
    poll.register(life_fd, select.POLLIN)
    poll.poll()
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(_GRACE_S)
    os._exit(1)
