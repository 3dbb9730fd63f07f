"""The parts of the worker that need no model: frames from pieces, its description, its syntax and its imports."""

from __future__ import annotations

import ast
import json
import socket
import sys
from pathlib import Path

import pytest

import lakeserve_worker
from lakeserve_worker import protocol, serving, watchdog
from lakeserve_worker.serving import Inbox
from lakeserve_worker.spec import WorkerSpec

SOURCES = sorted(Path(lakeserve_worker.__file__).parent.glob("*.py"))
FIELDS = {
    "worker_id": "w",
    "socket": "/s",
    "model_path": "/m",
    "endpoint_name": "e",
    "entity_name": "n",
    "environment": {"A": "b"},
    "log_file": "/l",
    "execution_limit_s": 5,
    "preload_file": "/p",
    "supervisor_pid": 7,
}


@pytest.mark.parametrize("size", [1, 3, 9, 10, 1000])
def test_an_inbox_collects_a_frame_from_pieces_of_any_size(size: int) -> None:
    data = protocol.encode(protocol.REQUEST, {"content_type": "x"}, b"body" * 10)
    inbox = Inbox()
    for _ in range(2):
        pieces = [data[start : start + size] for start in range(0, len(data), size)]
        frames = [inbox.feed(piece) for piece in pieces]
        assert frames[:-1] == [None] * (len(pieces) - 1)
        assert frames[-1] == protocol.Frame(protocol.REQUEST, {"content_type": "x"}, b"body" * 10)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff" * 9,
        b"\x00\x00\x00\x05\x09\x00\x00\x00\x00",
        b"\x00\x00\x00\x05\x02\x00\x00\x00\x01",
        protocol.encode_head(protocol.REQUEST, b"[]", 0),
        protocol.encode_head(protocol.REQUEST, b"{", 0),
        protocol.encode(protocol.REQUEST) * 2,
    ],
)
def test_an_inbox_refuses_what_is_no_frame(data: bytes) -> None:
    with pytest.raises(protocol.ProtocolError):
        Inbox().feed(data)


def test_a_frame_survives_the_journey() -> None:
    whole = protocol.encode(protocol.RESPONSE, {"status": 200}, b"x")
    kind, head_length, body_length = protocol.decode_prefix(whole)
    head = whole[protocol.PREFIX_SIZE : protocol.PREFIX_SIZE + head_length]
    assert (kind, protocol.decode_head(head), body_length) == (protocol.RESPONSE, {"status": 200}, 1)


def test_a_description_is_read() -> None:
    spec = WorkerSpec.parse(json.dumps(FIELDS))
    assert spec.environment == {"A": "b"}
    assert spec.execution_limit_s == 5.0


@pytest.mark.parametrize("name", FIELDS)
def test_a_description_that_lacks_a_field_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        WorkerSpec.of({key: value for key, value in FIELDS.items() if key != name})


@pytest.mark.parametrize("fields", [None, [], {**FIELDS, "environment": []}, {**FIELDS, "supervisor_pid": None}])
def test_a_malformed_description_is_refused(fields: object) -> None:
    with pytest.raises(ValueError, match="description"):
        WorkerSpec.of(fields)


class FakeAlarm:
    """Stands in for both ``faulthandler`` and ``time``."""

    def __init__(self) -> None:
        self.now = 100.0
        self.fires_at: float | None = None
        self.armed = 0

    def monotonic(self) -> float:
        return self.now

    def dump_traceback_later(self, seconds: float, **_: object) -> None:
        self.fires_at = self.now + seconds
        self.armed += 1

    def cancel_dump_traceback_later(self) -> None:
        self.fires_at = None


@pytest.fixture
def alarm(monkeypatch: pytest.MonkeyPatch) -> FakeAlarm:
    fake = FakeAlarm()
    monkeypatch.setattr(watchdog, "faulthandler", fake)
    monkeypatch.setattr(watchdog, "time", fake)
    return fake


def test_a_watchdog_is_armed_once_for_many_short_requests(alarm: FakeAlarm) -> None:
    dog = watchdog.Watchdog(60)
    for _ in range(1000):
        dog.watch(60)
        assert alarm.fires_at is not None
        assert alarm.now + 60 <= alarm.fires_at <= alarm.now + 61
        alarm.now += 0.01
    assert alarm.armed <= 11


def test_a_stopped_watchdog_does_not_fire(alarm: FakeAlarm) -> None:
    dog = watchdog.Watchdog(60)
    assert dog.patience_s is None
    dog.watch(60)
    assert dog.patience_s == 1.0
    dog.stop()
    assert alarm.fires_at is None
    assert dog.patience_s is None


def test_a_watchdog_takes_what_is_left_of_a_stream(alarm: FakeAlarm) -> None:
    dog = watchdog.Watchdog(60)
    for left in (60, 30, 1, 0, -5):
        dog.watch(left)
        assert alarm.fires_at is not None
        assert alarm.now + max(left, 0) <= alarm.fires_at <= alarm.now + max(left, 0) + 1.1


def test_a_peer_that_does_not_read_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "PEER_LIMIT_S", 0.01)
    writer, reader = socket.socketpair()
    with writer, reader:
        writer.setblocking(False)
        while serving._send_some(writer, memoryview(b"x" * 65536)):
            pass
        with pytest.raises(OSError, match="stopped reading"):
            serving._wait_for_reader(writer)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_the_program_keeps_to_the_syntax_of_python_3_8(path: Path) -> None:
    ast.parse(path.read_text(), feature_version=(3, 8))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_annotations_are_never_evaluated(path: Path) -> None:
    """``X | Y`` and ``list[X]`` in annotations are fine on 3.8 only as text."""
    tree = ast.parse(path.read_text())
    annotated = any(isinstance(node, ast.FunctionDef | ast.AnnAssign) for node in ast.walk(tree))
    names = {name.name for node in tree.body if isinstance(node, ast.ImportFrom) for name in node.names}
    assert not annotated or "annotations" in names or path.name == "__main__.py"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_only_mlflow_and_what_it_brings_is_imported(path: Path) -> None:
    allowed = {*sys.stdlib_module_names, "lakeserve_worker", "mlflow", "numpy", "pandas"}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert {alias.name.partition(".")[0] for alias in node.names} <= allowed
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            assert (node.module or "").partition(".")[0] in allowed
