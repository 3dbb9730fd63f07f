"""The zygote: forks on request, survives whatever it is told, and ends with its supervisor together with its workers."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from harness import DEADLINE_S, Zygote, alive, environment, make_spec, wait_until, zygote

from models import FEATURES, Models

SUPERVISOR = Path(__file__).with_name("supervisor.py")


@pytest.mark.parametrize(
    "line",
    [
        b"not json",
        b"[]",
        b"5",
        b"{}",
        b'{"fork": null}',
        b'{"fork": {"worker_id": "x"}}',
        b'{"fork": {"environment": 1}}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_a_bad_line_is_answered_with_an_error(line: bytes, shared_zygote: Zygote) -> None:
    assert set(shared_zygote.tell(line)) == {"error"}
    assert shared_zygote.tell(b'{"info": true}')["pid"] == shared_zygote.process.pid


def test_a_socket_that_cannot_be_made_is_an_error(shared_zygote: Zygote, models: Models, folder: Path) -> None:
    for path in ("/no/such/folder/w.sock", str(folder / ("x" * 200))):
        spec = make_spec(folder, models.path("misbehaves"), socket=path)
        assert set(shared_zygote.tell(json.dumps({"fork": spec}).encode())) == {"error"}


def test_a_silent_peer_and_one_that_leaves_hold_nobody_up(shared_zygote: Zygote) -> None:
    with socket.socket(socket.AF_UNIX) as silent, socket.socket(socket.AF_UNIX) as leaving:
        silent.connect(shared_zygote.control)
        silent.sendall(b'{"info"')
        leaving.connect(shared_zygote.control)
        leaving.sendall(b'{"info": true}\n')
        leaving.close()
        assert shared_zygote.tell(b'{"info": true}')["fork_safe"] is True


def test_several_lines_on_one_connection_are_answered_in_order(shared_zygote: Zygote) -> None:
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(DEADLINE_S)
        peer.connect(shared_zygote.control)
        peer.sendall(b'{"info": true}\nnonsense\n{"info": true}\n')
        with peer.makefile("rb") as lines:
            answers = [json.loads(lines.readline()) for _ in range(3)]
    assert ["pid" in answer for answer in answers] == [True, False, True]


def test_the_workers_socket_listens_when_the_answer_comes(shared_zygote: Zygote, models: Models, folder: Path) -> None:
    for _ in range(5):
        worker = shared_zygote.fork(make_spec(folder, models.path("misbehaves")))
        with worker.ready_peer() as peer:
            assert peer.ask({"inputs": "pid"}).json == {"predictions": worker.pid}
        worker.kill()


def test_a_stale_socket_file_is_replaced(shared_zygote: Zygote, models: Models, folder: Path) -> None:
    spec = make_spec(folder, models.path("misbehaves"))
    Path(spec["socket"]).touch()
    worker = shared_zygote.fork(spec)
    assert worker.ask({"inputs": "pid"}).status == 200
    worker.kill()


def test_workers_outlive_their_zygote(models: Models, folder: Path, tmp_path: Path, subreaper: None) -> None:
    with zygote(_short(folder, "outlived")) as short_lived:
        worker = short_lived.fork(make_spec(folder, models.path("misbehaves")))
        worker.ask({"inputs": "pid"})
        short_lived.process.terminate()
        assert short_lived.process.wait(DEADLINE_S) == -signal.SIGTERM
        assert worker.ask({"inputs": "pid"}).json == {"predictions": worker.pid}


def test_a_worker_that_no_supervisor_adopts_ends(shared_zygote: Zygote, models: Models, folder: Path) -> None:
    """Forked for a supervisor that is not the nearest subreaper."""
    worker = shared_zygote.fork(make_spec(folder, models.path("misbehaves"), supervisor_pid=1 << 22))
    assert worker.exit_status() == 5


def test_a_zygote_whose_supervisor_is_gone_does_not_start(folder: Path) -> None:
    from harness import PROGRAM

    arguments = ["--control", str(folder / "orphan.sock"), "--preload-file", "/no/list", "--supervisor-pid", "1"]
    command = [sys.executable, "-s", str(PROGRAM), "zygote", *arguments]
    done = subprocess.run(command, check=False, env=environment(), timeout=DEADLINE_S)
    assert done.returncode == 5


def test_killing_the_supervisor_ends_zygote_and_workers(models: Models, folder: Path) -> None:
    place = _short(folder, "killed")
    command = [sys.executable, str(SUPERVISOR), str(place), str(models.path("misbehaves"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as supervisor:
        assert supervisor.stdout is not None
        pids = json.loads(supervisor.stdout.readline())
        assert all(alive(pid) for pid in pids)
        supervisor.kill()
    for pid in pids:
        wait_until(lambda pid=pid: not alive(pid), f"end of {pid}")


def test_what_a_model_imports_is_preloaded_by_the_next_zygote(models: Models, folder: Path, subreaper: None) -> None:
    place = _short(folder, "learning")
    iris = {"dataframe_split": {"columns": FEATURES, "data": [[5.1, 3.5, 1.4, 0.2]]}}
    with zygote(place) as first:
        assert "sklearn" not in _modules(first, models, place)
        assert first.fork(make_spec(place, models.path("sklearn:forest"))).ask(iris).status == 200
    learned = json.loads((place / "preload.json").read_text())
    assert "sklearn.ensemble._forest" in learned
    (place / "preload.json").write_text(json.dumps([*learned, "no_such_module", 5]))
    with zygote(place) as second:
        assert "sklearn.ensemble._forest" in _modules(second, models, place)
        assert second.tell(b'{"info": true}')["fork_safe"] is True
        assert second.fork(make_spec(place, models.path("sklearn:forest"))).ask(iris).status == 200
    assert "preloading no_such_module failed" in second.log.read_text()
    assert {*learned, "no_such_module"} <= set(json.loads((place / "preload.json").read_text()))


@pytest.mark.parametrize(
    ("code", "safe"),
    [
        ("import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True).start()", False),
        ("import sys, types\nsys.modules['tensorflow'] = types.ModuleType('tensorflow')", False),
        ("import sys\nsys.exit(1)", True),
        ("x = 1", True),
    ],
)
def test_libraries_that_do_not_survive_a_fork_are_noticed(code: str, safe: bool, folder: Path, subreaper: None) -> None:
    place = _short(folder, f"unsafe{len(list(folder.iterdir()))}")
    (place / "a_library.py").write_text(code)
    (place / "preload.json").write_text('["a_library"]')
    with zygote(place, variables={"PYTHONPATH": str(place)}) as started:
        info = started.tell(b'{"info": true}')
        assert info["fork_safe"] is safe
        assert bool(info["reason"]) is not safe


@pytest.mark.parametrize("text", ["{", "5", '{"a": 1}', "ü"])
def test_a_broken_list_of_modules_is_ignored(text: str, folder: Path) -> None:
    from lakeserve_worker import zygote as module

    path = folder / "broken.json"
    path.write_text(text, encoding="latin-1")
    assert module._remembered(str(path)) == []


def _short(folder: Path, name: str) -> Path:
    place = folder / name
    place.mkdir()
    return place


def _modules(started: Zygote, models: Models, place: Path) -> Any:
    worker = started.fork(make_spec(place, models.path("misbehaves"), preload_file=os.devnull + "/none"))
    return worker.ask({"inputs": "modules"}).json["predictions"]
