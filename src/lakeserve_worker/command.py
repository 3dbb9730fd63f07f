"""The command line: which of the two programs to be."""

from __future__ import annotations

import argparse
import os
import socket
import sys

from lakeserve_worker import process, worker, zygote
from lakeserve_worker.spec import WorkerSpec

LISTEN_FD_VARIABLE = "LAKESERVE_LISTEN_FD"
"""The number of a socket that listens already, when the starter made one: peers may wait in its backlog."""


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="lakeserve_worker")
    commands = parser.add_subparsers(dest="command", required=True)
    forks = commands.add_parser("zygote", help="import once, then fork workers on request")
    forks.add_argument("--control", required=True, help="path of the control socket")
    forks.add_argument("--preload-file", required=True, help="JSON list of modules to import at start")
    forks.add_argument("--supervisor-pid", required=True, type=int, help="end when this process does")
    commands.add_parser("worker", help="serve the model that one line on standard input describes")
    options = parser.parse_args(arguments)
    if options.command == "zygote":
        process.close_others(keep=())
        zygote.run(options.control, options.preload_file, options.supervisor_pid)
    else:
        _start_worker()


def _start_worker() -> None:
    inherited = os.environ.pop(LISTEN_FD_VARIABLE, None)
    process.close_others(keep=() if inherited is None else (int(inherited),))
    spec = WorkerSpec.parse(sys.stdin.readline())
    process.die_with(spec.supervisor_pid)
    listener = process.listen(spec.socket) if inherited is None else socket.socket(fileno=int(inherited))
    worker.main(spec, listener)
