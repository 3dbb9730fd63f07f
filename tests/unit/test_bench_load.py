"""The load generator counts what it should, and sees what is wrong, against a real server of a few lines."""

from __future__ import annotations

import contextlib
import socketserver
import threading
from collections.abc import Iterator

import pytest
from bench.load import Exchange, Load, Plan, request, split_answer
from bench.peers import Target

BIG = b"x" * 3_000_000


@contextlib.contextmanager
def server(answer: bytes) -> Iterator[Target]:
    """Answers every request on a kept-alive connection with these bytes."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while line := self.rfile.readline():
                length = 0
                while line.strip():
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                    line = self.rfile.readline()
                self.rfile.read(length)
                self.wfile.write(answer)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield Target("127.0.0.1", listening.server_address[1], "/p", {"X-One": "1"})
        finally:
            listening.shutdown()
            thread.join()


def answer(body: bytes, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


def drive(target: Target, connections: int, body: bytes = b"{}", expected: bytes = b"[1]") -> dict[str, int]:
    exchange = Exchange(request(target, target.path, body), expected)
    plan = Plan(target.host, target.port, connections, 0.0, 0.2, [exchange])
    load = Load(Plan.from_json(plan.to_json()))
    seconds = load.drive(plan.duration)
    outcome = load.outcome(seconds, 0.0)
    load.close()
    return outcome


@pytest.mark.parametrize("connections", [1, 8])
def test_right_answers_are_counted(connections: int) -> None:
    with server(answer(b"[1]")) as target:
        outcome = drive(target, connections)
    assert outcome["requests"] >= connections
    assert outcome["errors"] == 0
    assert outcome["seconds"] >= 0.2


def test_large_bodies_both_ways() -> None:
    with server(answer(BIG)) as target:
        outcome = drive(target, 2, body=BIG, expected=BIG)
    assert outcome["requests"] > 0
    assert outcome["errors"] == 0


@pytest.mark.parametrize("wrong", [answer(b"[2]"), answer(b"[1]", "429 Too Many Requests")])
def test_wrong_answers_are_errors(wrong: bytes) -> None:
    with server(wrong) as target:
        outcome = drive(target, 1)
    assert outcome["errors"] == outcome["requests"] > 0


def test_a_request_has_what_a_server_needs() -> None:
    made = request(Target("h", 1, "/p", {"Authorization": "Bearer t"}), "/p", b"{}")
    assert made == (
        b"POST /p HTTP/1.1\r\nHost: h:1\r\nContent-Type: application/json\r\nAuthorization: Bearer t\r\n"
        b"Content-Length: 2\r\n\r\n{}"
    )


def test_answers_are_split_where_they_end() -> None:
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n[1]"
    assert all(split_answer(whole[:end]) is None for end in range(len(whole)))
    assert split_answer(whole) == (200, b"[1]")
    with pytest.raises(ValueError, match="more than one"):
        split_answer(whole + b"H")
    with pytest.raises(ValueError, match="without Content-Length"):
        split_answer(b"HTTP/1.1 200 OK\r\n\r\n")
