"""The supervisor's loop: one ``select`` over signals, the controller's requests, and the next deadline.

It serves nothing and decides little: it starts the services, does what the controller asks, tells it what ended, and ends
everything when it is told to end. Stopping goes outside in: gateways finish what they hold while models still answer, then the
rest is asked to end, and at the limit whatever is left is killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from lakeserve import settings as settings_module
from lakeserve.settings import Settings
from lakeserve.supervisor import death, protocol
from lakeserve.supervisor.admin import with_admin
from lakeserve.supervisor.announce import announce
from lakeserve.supervisor.services import KIND, Service, services
from lakeserve.supervisor.spawn import Program, spawn
from lakeserve.supervisor.table import Exit, Process, ProcessTable
from lakeserve_worker.protocol import WORKER_VARIABLE

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_BACKLOG = 2048
_GATEWAY_GRACE_S = 5.0
_IDLE_S = 60.0


class CannotStart(Exception):
    """Said to the operator in one line; exit status 1."""


class Supervisor:
    """``members`` makes the list of services to keep running."""

    def __init__(self, settings: Settings, members: Callable[..., list[Service]] = services) -> None:
        self.settings = settings
        self._members = members
        self.table = ProcessTable()
        self.selector = selectors.DefaultSelector()
        self.services: dict[str, Service] = {}
        self.controllers: dict[socket.socket, protocol.Lines] = {}
        self.stopping_since: float | None = None
        self._asked_rest = False
        self._told_to_stop = 0

    # Starting

    def run(self, listener: socket.socket) -> None:
        """Until told to stop, and then until nothing is left."""
        death.become_subreaper()
        self._kill_leftovers()
        life_read, life_write = os.pipe()
        signals = self._watch_signals()
        control = self._listen_for_controller()
        self.services = {
            service.name: service
            for service in self._members(self.settings, listening=listener.fileno(), life=life_read)
        }
        try:
            while not self._finished():
                self._start_due_services()
                for key, _ in self.selector.select(self._timeout()):
                    handle: Callable[[], None] = key.data
                    handle()
                self._heed_stop_signals()
                self._collect()
                self.table.kill_overdue()
                self._advance_stop()
        finally:
            self._kill_everything()
            control.close()
            signals.close()
            os.close(life_read)
            os.close(life_write)
            self.selector.close()

    def _kill_leftovers(self) -> None:
        self._kill_bearers(settings_module.INSTANCE, self.settings.instance)

    def _kill_bearers(self, variable: str, mark: str) -> None:
        for pid in death.leftovers(variable, mark):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)

    def _watch_signals(self) -> socket.socket:
        receive, send = socket.socketpair()
        receive.setblocking(False)
        send.setblocking(False)
        signal.set_wakeup_fd(send.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in _STOP_SIGNALS:
            signal.signal(number, self._on_stop_signal)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
        self.selector.register(receive, selectors.EVENT_READ, lambda: _drain(receive))
        self._wakeup = send  # kept open: signals write to it
        return receive

    def _on_stop_signal(self, *_: object) -> None:
        # Only counted here: a handler runs between any two steps of the loop.
        self._told_to_stop += 1

    def _listen_for_controller(self) -> socket.socket:
        path = self.settings.socket("supervisor")
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(path))
        listener.listen(8)
        listener.setblocking(False)
        self.selector.register(listener, selectors.EVENT_READ, lambda: self._accept(listener))
        return listener

    def _start_due_services(self) -> None:
        if self.stopping_since is not None:
            return
        now = time.monotonic()
        for service in self.services.values():
            if service.start_at is not None and service.start_at <= now:
                service.started()
                try:
                    self.table.add(Process(service.name, KIND, spawn(service.program)))
                except OSError as error:
                    # A full disk must not end what serves; the others go on, and this one is tried again.
                    pause = service.ended()
                    print(f"{service.name} cannot be started: {error}; again in {pause:.1f} s", file=sys.stderr)

    # The controller's requests

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except OSError:
            return  # it has gone already, or there is no descriptor left
        connection.settimeout(5.0)
        self.controllers[connection] = protocol.Lines()
        self.selector.register(connection, selectors.EVENT_READ, lambda: self._read(connection))

    def _read(self, connection: socket.socket) -> None:
        try:
            data = connection.recv(1 << 16)
            messages = self.controllers[connection].feed(data)
        except (OSError, ValueError):
            data, messages = b"", []
        for message in messages:
            self._send(connection, self._answer(message))
        if not data:
            self._hang_up(connection)

    def _send(self, connection: socket.socket, message: dict[str, Any]) -> None:
        if connection in self.controllers:
            try:
                connection.sendall(protocol.encode(message))
            except OSError:
                self._hang_up(connection)

    def _hang_up(self, connection: socket.socket) -> None:
        if self.controllers.pop(connection, None) is not None:
            self.selector.unregister(connection)
            connection.close()

    def _answer(self, message: dict[str, Any]) -> dict[str, Any]:
        seq = message.get("seq")
        asked = {"spawn": self._spawn, "adopt": self._adopt, "note": self._note, "stop": self._stop, "list": self._list}
        do = asked.get(str(message.get("do")))
        if do is None:
            return {"seq": seq, "error": "unknown request"}
        try:
            return {"seq": seq, **do(message)}
        except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
            return {"seq": seq, "error": f"{type(error).__name__}: {error}"}

    def _spawn(self, message: dict[str, Any]) -> dict[str, Any]:
        if self.stopping_since is not None:
            raise ValueError("stopping")
        if message["id"] in self.table:
            raise ValueError("a process with this id lives already")
        program = Program(
            argv=message["argv"],
            environment={**message["environment"], settings_module.INSTANCE: self.settings.instance},
            cwd=message.get("cwd") or "/",
            log=message["log"],
            stdin=message.get("stdin"),
            listen=message.get("listen"),
        )
        process = Process(message["id"], message["kind"], spawn(program), message.get("note") or {})
        self.table.add(process)
        return {"pid": process.pid}

    def _adopt(self, message: dict[str, Any]) -> dict[str, Any]:
        process = Process(message["id"], message["kind"], int(message["pid"]), message.get("note") or {})
        gone = self.table.add(process, adopted=True)
        return {} if gone is None else {"gone": gone}

    def _note(self, message: dict[str, Any]) -> dict[str, Any]:
        self.table.note(message["id"], message["note"])
        return {}

    def _stop(self, message: dict[str, Any]) -> dict[str, Any]:
        self.table.stop(message["id"], float(message["grace_s"]))
        return {}

    def _list(self, _: dict[str, Any]) -> dict[str, Any]:
        """A controller asks this when it starts; a child that nobody has named until then never will be."""
        named = {process.pid for process in self.table}
        for pid in death.children():
            if pid not in named:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
        processes = [
            {"id": process.id, "kind": process.kind, "pid": process.pid, "note": process.note}
            for process in self.table
            if process.kind != KIND
        ]
        return {"processes": processes}

    # Endings

    def _collect(self) -> None:
        for ended in self.table.reap():
            if ended.kind == KIND:
                self._service_ended(ended)
            else:
                if ended.kind == protocol.WORKER:
                    self._kill_bearers(WORKER_VARIABLE, ended.id)
                for connection in list(self.controllers):
                    self._send(connection, {"exit": ended.id, "pid": ended.pid, "code": ended.code})

    def _service_ended(self, ended: Exit) -> None:
        pause = self.services[ended.id].ended()
        if self.stopping_since is None:
            log = self.settings.data_dir / "logs" / f"{ended.id}.log"
            print(
                f"lakeserve: {ended.id} ended ({_how(ended.code)}); starting it again in {pause:.1f} s. Log: {log}",
                file=sys.stderr,
            )

    def _heed_stop_signals(self) -> None:
        """The first begins the stop; another one means that somebody is in a hurry."""
        told, self._told_to_stop = self._told_to_stop, 0
        if not told:
            return
        if self.stopping_since is None:
            self.stopping_since = time.monotonic()
            for process in self.table:
                if process.id.startswith("gateway-"):
                    self.table.stop(process.id, _GATEWAY_GRACE_S)
        else:
            self.stopping_since = time.monotonic() - self.settings.limits.stop_s

    def _advance_stop(self) -> None:
        if self.stopping_since is None:
            return
        if any(process.id.startswith("gateway-") for process in self.table) and not self._overdue():
            return
        grace = self.settings.limits.stop_s - (time.monotonic() - self.stopping_since)
        if not self._asked_rest or grace <= 0:
            self._asked_rest = True
            for process in self.table:
                self.table.stop(process.id, max(grace, 0.0))

    def _overdue(self) -> bool:
        return self.stopping_since is not None and time.monotonic() - self.stopping_since >= self.settings.limits.stop_s

    def _finished(self) -> bool:
        return self.stopping_since is not None and len(self.table) == 0

    def _kill_everything(self) -> None:
        """Whatever is still a child: what models started and left, and all of it after an error of ours."""
        deadline = time.monotonic() + 2.0
        while (pids := set(death.children()) | {process.pid for process in self.table}) and time.monotonic() < deadline:
            for pid in pids:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            self.table.reap()
            time.sleep(0.01)  # nothing else is left to do in this process

    def _timeout(self) -> float:
        if self.stopping_since is not None:
            return 0.05
        due = [service.start_at for service in self.services.values() if service.start_at is not None]
        deadline = self.table.next_deadline()
        moments = due if deadline is None else [*due, deadline]
        return max(0.0, min(moments) - time.monotonic()) if moments else _IDLE_S


def _drain(receive: socket.socket) -> None:
    with contextlib.suppress(BlockingIOError):
        while receive.recv(4096):
            pass


def _how(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"


# Entry


def main(settings: Settings) -> int:
    """Hold the data directory, bind the port, tell the operator, and run. The process's exit status."""
    os.umask(0o077)
    # From the first word on, to ask it to stop means to end in order: until the loop heeds signals they wait.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    try:
        lock = _hold(settings.data_dir)
        _private(settings.run_dir)
        listener = _bind(settings)
    except CannotStart as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    with lock, listener:
        # Port 0 asks for any free one; everybody else must know which it became.
        settings, token = with_admin(replace(settings, port=listener.getsockname()[1]))
        announce(settings, token)
        Supervisor(settings).run(listener)
    return 0


def _hold(data_dir: Path) -> Any:
    """An open, locked file: one supervisor for each data directory."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (data_dir / "lock").open("a")
    except OSError as error:
        raise CannotStart(f"the data directory {data_dir} cannot be used: {error.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise CannotStart(f"another lakeserve runs on {data_dir}. Stop it, or choose another --data-dir.") from None
    return lock


def _private(run_dir: Path) -> None:
    """The folder of the internal sockets must be ours alone, also when it lies in a shared temporary directory."""
    run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    status = run_dir.stat()
    if status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise CannotStart(f"{run_dir} must belong to you and be closed to others")


def _bind(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise CannotStart(f"cannot listen on {settings.host}:{settings.port}: {error.strerror}") from None
    return listener
