"""The real supervisor over its socket: what it starts, tells and ends, and that nothing survives it."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from itertools import pairwise

import pytest

from lakeserve.supervisor import protocol
from support.server import poll
from support.supervised import SLEEP, SmallSupervisor, alive, small_supervisor

STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(600)
"""
# Leaves a process that belongs to no group of ours, whose parent is gone: only a subreaper can still know it.
DOUBLE_FORK = """
import os, sys, time
read, write = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.write(write, str(os.getpid()).encode())
        os.close(write)
        time.sleep(600)
    os._exit(0)
os.wait()
print(int(os.read(read, 20)), os.getpid(), flush=True)
if sys.argv[1] == "stay":
    time.sleep(600)
"""
# Says what it was started with.
MIRROR = """
import json, os, sys
told = {"stdin": sys.stdin.read(), "cwd": os.getcwd(), "variable": os.environ.get("X"), "sid": os.getsid(0) == os.getpid(),
        "fds": sorted(int(n) for n in os.listdir("/proc/self/fd"))[:-1], "path": "HOME" in os.environ}
print(json.dumps(told), flush=True)
"""


def python(program: str, *arguments: str) -> list[str]:
    return [sys.executable, "-S", "-c", program, *arguments]


@pytest.fixture(scope="module")
def shared() -> Iterator[SmallSupervisor]:
    with small_supervisor() as started:
        yield started


def parent_of(pid: int) -> int:
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[1])


def test_starts_a_program_as_asked(shared: SmallSupervisor) -> None:
    pid = shared.spawn("mirror", python(MIRROR), cwd="/usr", stdin="a secret\n", environment={"X": "y z"})
    assert shared.exit_of("mirror") == 0
    told = json.loads(shared.log_of("mirror"))
    assert told == {
        "stdin": "a secret\n",
        "cwd": "/usr",
        "variable": "y z",
        "sid": True,
        "fds": [0, 1, 2],
        "path": False,
    }
    assert {"exit": "mirror", "pid": pid, "code": 0} in shared.exits


def test_nothing_secret_is_in_the_command_line(shared: SmallSupervisor) -> None:
    pid = shared.spawn("quiet", stdin="a secret")
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        assert b"secret" not in file.read()
    shared.ask(do="stop", id="quiet", grace_s=0)


def test_binds_a_socket_for_it(shared: SmallSupervisor) -> None:
    path = shared.folder / "listening.sock"
    program = """
import os, socket
peer, _ = socket.socket(fileno=int(os.environ["LAKESERVE_LISTEN_FD"])).accept()
peer.sendall(b"hello")
"""
    shared.spawn("listener", python(program), listen=str(path))
    assert path.stat().st_mode & 0o077 == 0
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(20.0)
        peer.connect(str(path))  # at once: it listens before the program runs
        assert peer.recv(5) == b"hello"
    assert shared.exit_of("listener") == 0


@pytest.mark.parametrize(
    ("name", "argv", "code"),
    [
        ("status", python("raise SystemExit(7)"), 7),
        ("signal", python("import os; os.kill(os.getpid(), 9)"), -9),
        ("missing", ["/dev/null/program"], 127),
    ],
)
def test_tells_how_a_process_ended(shared: SmallSupervisor, name: str, argv: list[str], code: int) -> None:
    shared.spawn(name, argv)
    assert shared.exit_of(name) == code
    if name == "missing":
        assert "cannot start" in shared.log_of(name)


def test_lists_what_lives_with_its_note(shared: SmallSupervisor) -> None:
    pid = shared.spawn("listed", kind="zygote", note={"key": "abc"})
    assert {"id": "listed", "kind": "zygote", "pid": pid, "note": {"key": "abc"}} in shared.ask(do="list")["processes"]
    shared.ask(do="stop", id="listed", grace_s=0)
    assert shared.exit_of("listed") == -signal.SIGKILL or shared.exit_of("listed") == -signal.SIGTERM
    assert "listed" not in [process["id"] for process in shared.ask(do="list")["processes"]]


def test_an_id_is_in_use_as_long_as_its_process_lives(shared: SmallSupervisor) -> None:
    shared.spawn("once")
    again = shared.ask(
        do="spawn", id="once", kind="worker", argv=SLEEP, environment={}, log=str(shared.folder / "x.log")
    )
    assert "lives already" in again["error"]
    shared.ask(do="stop", id="once", grace_s=0)
    shared.exit_of("once")
    shared.exits.clear()
    shared.spawn("once", python("pass"))
    assert shared.exit_of("once") == 0


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"do": "dance"},
        {"do": []},
        {"do": {"a": 1}},
        {"do": "spawn"},
        {"do": "spawn", "id": "bad", "kind": "worker", "argv": ["x"], "environment": {}, "log": "/dev/null/log"},
        {"do": "spawn", "id": "bad", "kind": "worker", "argv": ["x"], "environment": {}, "log": None, "stdin": 5},
        {"do": "spawn", "id": "bad", "kind": "worker", "argv": ["x"], "environment": [], "log": None},
        {"do": "adopt", "id": "bad", "kind": "worker", "pid": "no number"},
        {"do": "stop", "id": "bad"},
        {"do": "note", "id": "bad"},
        {"do": "note", "id": [], "note": {}},
    ],
)
def test_a_request_that_makes_no_sense_is_answered_and_ends_nothing(
    shared: SmallSupervisor, request_: dict[str, object]
) -> None:
    answer = shared.ask(**request_)
    assert answer["error"]
    assert shared.process.poll() is None


def test_stopping_what_has_ended_is_no_error(shared: SmallSupervisor) -> None:
    assert "error" not in shared.ask(do="stop", id="never was", grace_s=1)


@pytest.mark.parametrize("garbage", [b"\n\nnonsense\n", b"[1]\n", b"\xff\xfe\n", b""])
def test_a_peer_that_speaks_nonsense_is_dropped_alone(shared: SmallSupervisor, garbage: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(20.0)
        peer.connect(str(shared.path))
        peer.sendall(garbage)
        peer.shutdown(socket.SHUT_WR)
        assert peer.recv(1) == b""
    assert "processes" in shared.ask(do="list")


def test_a_stop_right_after_the_start_is_not_lost(shared: SmallSupervisor) -> None:
    """Between fork and exec a child still has the supervisor's own handlers."""
    for number in range(30):
        shared.spawn(f"young-{number}")
        shared.ask(do="stop", id=f"young-{number}", grace_s=60)
        assert shared.exit_of(f"young-{number}", 10.0) == -signal.SIGTERM


def test_what_ignores_sigterm_is_killed_after_its_grace(shared: SmallSupervisor) -> None:
    pid = shared.spawn("stubborn", python(STUBBORN))
    poll(lambda: "ready" in shared.log_of("stubborn"))
    shared.ask(do="stop", id="stubborn", grace_s=0.3)
    assert alive(pid)
    assert shared.exit_of("stubborn") == -signal.SIGKILL


def test_asking_again_shortens_the_grace_and_never_lengthens_it(shared: SmallSupervisor) -> None:
    shared.spawn("hurried", python(STUBBORN))
    poll(lambda: "ready" in shared.log_of("hurried"))
    for grace_s in (600, 0, 600):
        shared.ask(do="stop", id="hurried", grace_s=grace_s)
    assert shared.exit_of("hurried") == -signal.SIGKILL


def test_a_leader_takes_its_group_along(shared: SmallSupervisor) -> None:
    program = "import subprocess, sys; print(subprocess.Popen(sys.argv[1:]).pid, flush=True)"
    shared.spawn("leader", python(program, *SLEEP))
    shared.exit_of("leader")
    child = shared.pid_in_log("leader")
    poll(lambda: not alive(child))


def test_adopts_what_a_child_left_and_tells_its_end(shared: SmallSupervisor) -> None:
    shared.spawn("forker", python(DOUBLE_FORK, "stay"))
    grandchild = shared.pid_in_log("forker")
    assert parent_of(grandchild) == shared.pid
    assert shared.ask(do="adopt", id="adopted", kind="worker", pid=grandchild) == {"seq": shared._numbers}
    shared.ask(do="stop", id="adopted", grace_s=5)
    assert shared.exit_of("adopted") == -signal.SIGTERM
    shared.ask(do="stop", id="forker", grace_s=0)


def test_adopting_what_has_ended_already_tells_how(shared: SmallSupervisor) -> None:
    shared.spawn("quick", python(DOUBLE_FORK, "stay"))
    grandchild = shared.pid_in_log("quick")
    os.kill(grandchild, signal.SIGKILL)
    poll(lambda: not os.path.exists(f"/proc/{grandchild}"), shared.said)
    assert shared.ask(do="adopt", id="late", kind="worker", pid=grandchild)["gone"] == -signal.SIGKILL
    shared.ask(do="stop", id="quick", grace_s=0)


def test_a_listing_ends_what_nobody_has_named(shared: SmallSupervisor) -> None:
    """A controller that was killed between a fork and its adoption leaves such a worker."""
    shared.spawn("forgetful", python(DOUBLE_FORK, "stay"))
    grandchild = shared.pid_in_log("forgetful")
    assert alive(grandchild)
    shared.ask(do="list")
    poll(lambda: not alive(grandchild))
    shared.ask(do="stop", id="forgetful", grace_s=0)


def test_every_controller_connection_is_told_of_ends(shared: SmallSupervisor) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.settimeout(20.0)
        other.connect(str(shared.path))
        shared.ask(do="list")
        shared.spawn("news", python("pass"))
        lines, told = protocol.Lines(), []
        while not told:
            told = [message for message in lines.feed(other.recv(1 << 16)) if message.get("exit") == "news"]
    assert told[0]["code"] == 0


# Services


def test_a_service_that_ends_is_started_again_with_growing_pauses() -> None:
    program = "import time; print(time.monotonic(), flush=True)"
    with small_supervisor(services={"short": python(program)}) as it:
        poll(lambda: len(it.log_of("short").split()) >= 5, it.said)
        moments = [float(moment) for moment in it.log_of("short").split()]
        gaps = [after - before for before, after in pairwise(moments)]
        assert gaps[3] > 0.5 > gaps[0] > 0.05
        assert "short ended (exit status 0)" in it.said()


def test_a_service_that_cannot_be_started_ends_nobody_else() -> None:
    services = {"fine": SLEEP, "log": python("pass")}
    with small_supervisor(services=services) as it:
        # From now on its log cannot be opened.
        poll(lambda: it.log_of("log") == "" and (it.folder / "log.log").exists(), it.said)
        poll(lambda: "log ended" in it.said(), it.said)
        (it.folder / "log.log").unlink(missing_ok=True)
        (it.folder / "log.log").mkdir()
        poll(lambda: "log cannot be started" in it.said(), it.said)
        assert "processes" in it.ask(do="list")
        assert it.stop() == 0


# The end


def test_sigterm_ends_everything_in_time() -> None:
    with small_supervisor(stop_s=0.5, services={"service": SLEEP}) as it:
        pids = [it.spawn("worker"), it.spawn("stubborn", python(STUBBORN))]
        it.spawn("forker", python(DOUBLE_FORK, "stay"))
        pids.append(it.pid_in_log("forker"))
        poll(lambda: "ready" in it.log_of("stubborn"))
        assert it.stop() == 0
        assert [pid for pid in pids if alive(pid)] == []


def test_a_second_signal_is_for_somebody_in_a_hurry() -> None:
    with small_supervisor(stop_s=600.0) as it:
        pid = it.spawn("stubborn", python(STUBBORN))
        poll(lambda: "ready" in it.log_of("stubborn"))
        it.process.send_signal(signal.SIGINT)
        poll(
            lambda: (
                "error"
                in it.ask(do="spawn", id="x", kind="worker", argv=SLEEP, environment={}, log=str(it.folder / "x"))
            )
        )
        it.process.send_signal(signal.SIGINT)
        assert it.process.wait(20.0) == 0
        assert not alive(pid)


def test_sigkill_takes_every_child_along_and_the_next_start_finds_the_rest() -> None:
    with small_supervisor(services={"service": SLEEP}) as it:
        worker = it.spawn("worker")
        it.spawn("forker", python(DOUBLE_FORK, "stay"))
        left = it.pid_in_log("forker")
        it.kill()
        poll(lambda: not alive(worker))
        assert alive(left), "no kernel feature of ours reaches what a model's child started"
        it.start()
        poll(lambda: not alive(left), it.said)
        assert it.stop() == 0
