"""One worker's life: loading, serving several peers, misbehaving models, and every way to end."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from harness import Peer, RunningWorker, alive, exec_worker, make_spec, wait_until

from lakeserve_worker import protocol
from models import FEATURES, Models

IRIS = {"dataframe_split": {"columns": FEATURES, "data": [[5.1, 3.5, 1.4, 0.2]]}}


def do(worker: RunningWorker, deed: str) -> Any:
    answer = worker.ask({"inputs": deed})
    assert answer.status == 200, answer
    return answer.json["predictions"]


def end(worker: RunningWorker, deed: str) -> None:
    with worker.ready_peer() as peer:
        peer.send(json.dumps({"inputs": deed}).encode())
        assert peer.at_end()


# Loading.


def test_hello_introduces_the_worker(fork: Any) -> None:
    worker = fork("sklearn:logistic")
    with worker.peer() as peer:
        hello = peer.hello()
    assert hello == {"worker_id": worker.spec["worker_id"], "pid": worker.pid, "streamable": False, "task": None}


def test_hello_comes_when_the_model_is_loaded(fork: Any, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    worker = fork("slow_to_load", environment={"MODEL_GATE": str(gate)})
    with worker.peer() as first, worker.peer() as second:
        first.socket.settimeout(0.05)
        with pytest.raises(TimeoutError):
            first.read()
        gate.unlink()
        first.socket.settimeout(30)
        first.hello()
        second.hello()
        assert second.ask({"inputs": 1}).json == {"predictions": "loaded"}


def test_a_worker_can_be_ended_while_it_loads(fork: Any, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    worker = fork("slow_to_load", environment={"MODEL_GATE": str(gate)})
    wait_until(lambda: os.path.exists(worker.spec["log_file"]), "the worker's log")
    os.kill(worker.pid, signal.SIGTERM)
    assert worker.exit_status() == -signal.SIGTERM


def test_a_model_that_cannot_be_loaded_is_reported_to_everyone_who_waits(fork: Any) -> None:
    worker = fork("broken")
    with worker.peer() as peer:
        frame = peer.read()
        assert frame.kind == protocol.FAILED
        assert frame.head["message"].startswith("An error occurred while loading the model. ")
        assert "No module named 'a_library_that_nobody_has'" in frame.head["message"]
        assert peer.at_end()
    assert worker.exit_status() == 3
    assert "Traceback" in worker.log


def test_a_missing_model_is_reported(fork: Any, shared_zygote: Any, folder: Path) -> None:
    worker = shared_zygote.fork(make_spec(folder, Path("/no/such/model")))
    with worker.peer() as peer:
        assert peer.read().kind == protocol.FAILED
    assert worker.exit_status() == 3


def test_the_models_example_warms_it_up(fork: Any) -> None:
    """The first request finds everything imported, so nothing is left to learn after HELLO."""
    worker = fork("sklearn:logistic")
    worker.ask(IRIS)
    remembered = json.loads(Path(worker.spec["preload_file"]).read_text())
    assert "sklearn.linear_model._logistic" in remembered
    assert remembered == sorted(remembered)
    assert not [name for name in remembered if name.startswith(("lakeserve", "json", "__"))]


@pytest.mark.parametrize("listen", [True, False])
def test_a_worker_can_be_started_without_a_zygote(listen: bool, models: Models, folder: Path) -> None:
    with exec_worker(make_spec(folder, models.path("sklearn:logistic")), listen=listen) as worker:
        wait_until(lambda: os.path.exists(worker.spec["socket"]), "the worker's socket")
        wait_until(lambda: _connects(worker.spec["socket"]), "a listening worker")
        answer = worker.ask(IRIS)
        assert answer.json["predictions"][0] in (0, 1)
        # The listener may be among them; the pipe of its description and its starter's descriptors are not.
        os.kill(worker.pid, signal.SIGTERM)
        assert worker.exit_status() == 0


def _connects(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as peer:
        return peer.connect_ex(path) == 0


# Its surroundings.


def test_a_worker_runs_where_it_should(fork: Any) -> None:
    worker = fork("misbehaves", environment={"MODEL_COLOUR": "mauve"})
    assert do(worker, "cwd") == "/"
    assert do(worker, "environment") == {"MODEL_COLOUR": "mauve"}
    assert do(worker, "process") == {"parent": os.getpid(), "session": worker.pid}
    assert oct(os.stat(worker.spec["socket"]).st_mode)[-3:] == "600"


def test_our_own_folders_are_not_on_the_models_path(fork: Any, models: Models, folder: Path) -> None:
    source = Path(protocol.__file__).parent
    with exec_worker(make_spec(folder, models.path("misbehaves"))) as executed:
        for worker in (fork("misbehaves"), executed):
            path = do(worker, "path")
            assert str(source) not in path
            assert "" not in path


def test_no_descriptor_of_the_zygote_is_left(fork: Any, shared_zygote: Any) -> None:
    shared_zygote.tell(b'{"info": true}')
    targets = do(fork("misbehaves"), "descriptors")
    sockets = [target for target in targets if target.startswith("socket:")]
    # The listener, this connection, and the pair that a signal wakes it through.
    assert len(sockets) == 4, targets
    assert not [target for target in targets if target.startswith("pipe:")]


def test_siblings_do_not_draw_the_same_numbers(fork: Any) -> None:
    assert do(fork("misbehaves"), "random") != do(fork("misbehaves"), "random")


def test_what_a_model_prints_is_in_its_log(fork: Any) -> None:
    worker = fork("misbehaves")
    assert do(worker, "say") == "said"
    for line in ("the model says so", "the model complains", "the child says so"):
        assert line in worker.log
    quiet = fork("misbehaves")
    do(quiet, "pid")
    assert "says so" not in quiet.log


# Serving.


def test_connections_are_served_in_turn(fork: Any) -> None:
    worker = fork("misbehaves")
    with worker.ready_peer() as slow, worker.ready_peer() as quick:
        slow.send(b'{"inputs": "nap"}')
        quick.send(b'{"inputs": "pid"}')
        assert slow.answer().json == {"predictions": "slept"}
        assert quick.answer().json == {"predictions": worker.pid}


def test_a_peer_that_stalls_or_dies_in_mid_frame_disturbs_nobody(fork: Any) -> None:
    worker = fork("misbehaves")
    frame = protocol.encode(protocol.REQUEST, {"content_type": ""}, b'{"inputs": "pid"}')
    with worker.ready_peer() as stalled, worker.ready_peer() as dying, worker.ready_peer() as other:
        stalled.socket.sendall(frame[:20])
        dying.socket.sendall(frame[:-1])
        dying.socket.close()
        assert other.ask({"inputs": "pid"}).status == 200
        stalled.socket.sendall(frame[20:])
        assert stalled.answer().json == {"predictions": worker.pid}


def test_a_peer_that_leaves_before_its_answer_disturbs_nobody(fork: Any) -> None:
    worker = fork("misbehaves")
    for deed in ("nap", "huge"):
        with worker.ready_peer() as leaving:
            leaving.send(json.dumps({"inputs": deed}).encode())
    assert do(worker, "pid") == worker.pid


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", protocol.encode(protocol.HELLO, {}), b"\xff" * 100])
def test_a_peer_that_does_not_speak_the_protocol_is_dropped(data: bytes, fork: Any) -> None:
    worker = fork("misbehaves")
    with worker.ready_peer() as stranger:
        stranger.socket.sendall(data)
        assert stranger.at_end()
    assert do(worker, "pid") == worker.pid


def test_large_bodies_travel_both_ways(fork: Any) -> None:
    worker = fork("misbehaves")
    with worker.ready_peer() as peer:
        assert len(peer.ask({"inputs": "huge"}).json["predictions"]) == 20 * 1024 * 1024
        answer = peer.ask({"inputs": "x" * (20 * 1024 * 1024)})
        assert answer.status == 400
        assert peer.ask({"inputs": "pid"}).status == 200


def test_a_model_that_closes_its_output_does_not_end_its_worker(fork: Any) -> None:
    worker = fork("misbehaves")
    assert do(worker, "close_output") == "closed"
    assert do(worker, "pid") == worker.pid
    assert worker.ask({"inputs": "no such deed"}).status == 400
    assert "no such deed" in worker.log


# Ends.


@pytest.mark.parametrize(("deed", "status"), [("exit", 1), ("interrupt", 1), ("os_exit", 42)])
def test_a_model_that_ends_its_process_ends_the_worker(deed: str, status: int, fork: Any) -> None:
    worker = fork("misbehaves")
    end(worker, deed)
    assert worker.exit_status() == status
    if deed == "os_exit":
        assert "last words" in worker.log


@pytest.mark.parametrize("deed", ["hang_in_python", "hang_in_c"])
def test_a_request_beyond_the_limit_ends_the_worker(deed: str, fork: Any) -> None:
    worker = fork("misbehaves", execution_limit_s=0.3)
    assert do(worker, "pid") == worker.pid
    began = time.monotonic()
    end(worker, deed)
    assert worker.exit_status() != 0
    assert 0.25 < time.monotonic() - began < 5
    assert deed in worker.log


def test_the_limit_is_for_a_request_not_for_a_life(fork: Any) -> None:
    worker = fork("misbehaves", execution_limit_s=0.8)
    with worker.ready_peer() as peer:
        for _ in range(3):
            assert peer.ask({"inputs": "nap"}).status == 200


def test_what_a_peer_takes_to_read_does_not_count(fork: Any) -> None:
    worker, clock = fork("misbehaves", execution_limit_s=0.4), fork("misbehaves")
    with worker.ready_peer() as slow:
        slow.send(b'{"inputs": "huge"}')
        for _ in range(2):
            assert do(clock, "nap") == "slept"
        assert slow.answer().status == 200


def test_sigterm_ends_an_idle_worker(fork: Any) -> None:
    worker = fork("misbehaves")
    with worker.ready_peer():
        pass
    os.kill(worker.pid, signal.SIGTERM)
    assert worker.exit_status() == 0
    assert not os.path.exists(worker.spec["socket"])


def test_sigterm_lets_open_connections_finish(fork: Any) -> None:
    worker = fork("misbehaves")
    with worker.ready_peer() as busy, worker.ready_peer() as idle:
        busy.send(b'{"inputs": "nap"}')
        os.kill(worker.pid, signal.SIGTERM)
        assert busy.answer().json == {"predictions": "slept"}
        wait_until(lambda: not os.path.exists(worker.spec["socket"]), "an end of listening")
        with pytest.raises(FileNotFoundError):
            Peer(worker.spec["socket"])
        assert idle.ask({"inputs": "pid"}).json == {"predictions": worker.pid}
        busy.socket.close()
        assert idle.ask({"inputs": "pid"}).json == {"predictions": worker.pid}
        assert alive(worker.pid)
    assert worker.exit_status() == 0


def test_who_connected_before_sigterm_is_still_served(fork: Any) -> None:
    worker = fork("misbehaves")
    with worker.ready_peer() as busy:
        busy.send(b'{"inputs": "nap"}')
        with worker.peer() as waiting:
            os.kill(worker.pid, signal.SIGTERM)
            waiting.hello()
            assert waiting.ask({"inputs": "pid"}).status == 200
    assert worker.exit_status() == 0


def test_threads_that_a_model_left_running_do_not_keep_the_worker(fork: Any) -> None:
    worker = fork("misbehaves")
    do(worker, "leave_a_thread")
    os.kill(worker.pid, signal.SIGTERM)
    assert worker.exit_status() == 0
