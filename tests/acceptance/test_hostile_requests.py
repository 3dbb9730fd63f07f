"""Requests that no honest client sends, byte by byte against the real listener: what each is answered, and what does not happen.

Behind each that is to be refused comes a second request, which would leave an endpoint if anybody read it.
"""

from __future__ import annotations

import http.client
import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.registry import short_folder
from support.server import ENDPOINTS, TOKEN, Answer, Server, poll

AUTH = f"Authorization: Bearer {TOKEN}\r\n"
QUERY = "/serving-endpoints/probe/invocations"
HEAD = f"POST {QUERY} HTTP/1.1\r\nHost: x\r\n{AUTH}Content-Type: application/json\r\n"
BODY = b'{"dataframe_records": [{"do": "echo", "value": 1}]}'
CREATE = f"POST {ENDPOINTS} HTTP/1.1\r\nHost: x\r\n{AUTH}Content-Type: application/json\r\nConnection: close\r\n"
MARK = "m4rk" + uuid.uuid4().hex


def smuggled() -> bytes:
    """A whole second request, which creates an endpoint that can be seen afterwards."""
    body = b'{"name": "smuggled"}'
    return CREATE.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body


def query(extra: str, body: bytes = BODY) -> bytes:
    return (HEAD + extra + "\r\n").encode("latin-1") + body


def chunked(body: bytes) -> bytes:
    return query("Transfer-Encoding: chunked\r\n", body)


def get(
    target: str, extra: str = "", method: str = "GET", version: str = "HTTP/1.1", host: str = "Host: x\r\n"
) -> bytes:
    return f"{method} {target} {version}\r\n{host}{AUTH}Connection: close\r\n{extra}\r\n".encode("latin-1")


def create(body: bytes, extra: str = "") -> bytes:
    return CREATE.encode() + f"{extra}Content-Length: {len(body)}\r\n\r\n".encode() + body


CLOSE = "Connection: close\r\n"
SIZE = f"Content-Length: {len(BODY)}\r\n"
# What the parser, the guard or the router must refuse; the second request behind it must not run.
SMUGGLING = {
    "length and chunked": query(SIZE + "Transfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
    "chunked and length": query("Transfer-Encoding: chunked\r\n" + SIZE, b"0\r\n\r\n"),
    "two lengths": query(SIZE + "Content-Length: 5\r\n"),
    "two equal lengths": query(SIZE * 2),
    "a list of lengths": query("Content-Length: 5, 5\r\n"),
    "length with a sign": query(f"Content-Length: +{len(BODY)}\r\n"),
    "negative length": query("Content-Length: -1\r\n"),
    "hexadecimal length": query("Content-Length: 0x10\r\n"),
    "length that overflows": query("Content-Length: 18446744073709551617\r\n"),
    "length of 400 digits": query(f"Content-Length: {'9' * 400}\r\n"),
    "length with an underscore": query("Content-Length: 5_1\r\n"),
    "length with a space before the colon": query(f"Content-Length : {len(BODY)}\r\n"),
    "coding before chunked is unknown to us": query("Transfer-Encoding: gzip, chunked\r\n", b"3\r\nabc\r\n0\r\n\r\n"),
    "chunked before another coding": query("Transfer-Encoding: chunked, gzip\r\n", b"0\r\n\r\n"),
    "chunked twice": query("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", b"0\r\n\r\n"),
    "chunked with a vertical tab": query("Transfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n"),
    "coding that only looks like chunked": query("Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n"),
    "chunk size with a sign": chunked(b"+2\r\n{}\r\n0\r\n\r\n"),
    "chunk size with 0x": chunked(b"0x2\r\n{}\r\n0\r\n\r\n"),
    "chunk size that is negative": chunked(b"-1\r\n{}\r\n0\r\n\r\n"),
    "chunk size that overflows": chunked(b"fffffffffffffffff\r\n{}\r\n0\r\n\r\n"),
    "chunk size that is empty": chunked(b"\r\n{}\r\n0\r\n\r\n"),
    "chunk that ends in other bytes": chunked(b"2\r\n{}xx0\r\n\r\n"),
    "chunk that ends in a line feed": chunked(b"2\r\n{}\n0\r\n\r\n"),
    "chunk extension with a line feed": chunked(b"2;a\n{}\r\n0\r\n\r\n"),
    "chunk longer than said": chunked(b"1\r\n{}\r\n0\r\n\r\n"),
    "line feeds alone": get("/health").replace(b"\r\n", b"\n"),
    "carriage returns alone": get("/health").replace(b"\r\n", b"\r"),
    "a folded header": get("/health", "X-A: 1\r\n 2\r\n"),
    "a folded first header": b"GET /health HTTP/1.1\r\n Host: x\r\n\r\n",
    "a header without a colon": get("/health", "nonsense\r\n"),
    "a header without a name": get("/health", ": 1\r\n"),
    "a header with a space in its name": get("/health", "X A: 1\r\n"),
    "a header with NUL": get("/health", "X-A: a\0b\r\n"),
    "a header with a lone carriage return": get("/health", "X-A: a\rb\r\n"),
    "a second authorization": get(ENDPOINTS, "Authorization: Bearer other\r\n"),
    "a second type": query(SIZE + "Content-Type: text/csv\r\n"),
    "no version": b"GET /health\r\n\r\n",
    "an unknown version": get("/health", version="HTTP/9.9"),
    "a version that is no HTTP": get("/health", version="HTTQ/1.1"),
    "HTTP/2's preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a TLS hello": bytes.fromhex("16030100a5010000a10303") + b"\0" * 160,
    "an unknown method": get("/health", method="BREW"),
    "a lower-case method": get("/health", method="get"),
    "a target with a space": get("/heal th"),
    "a target with a control character": get("/heal\x01th"),
    "a target without a slash": get("@evil/health"),
    "an empty target": b"GET  HTTP/1.1\r\nHost: x\r\n\r\n",
    "a target with a raw byte": get("/\xff\xfe"),
    "no host": get("/health", host=""),
    "two hosts": get("/health", host="Host: x\r\nHost: y\r\n"),
    "a host with a path": get("/health", host="Host: a/admin?z=\r\n"),
    "a host with a user": get("/health", host="Host: me@a\r\n"),
    "a host with a comma": get("/health", host="Host: a,b\r\n"),
    "a host that is not ASCII": get("/health", host="Host: \xe4\r\n"),
    "dots": get("/api/../health"),
    "encoded dots": get("/api/%2e%2e/health"),
    "half-encoded dots": get("/api/.%2E/health"),
    "two slashes": get("//health"),
    "an encoded slash to two slashes": get("/%2fhealth"),
    "a backslash": get("/api\\..\\health"),
    "an encoded backslash": get("/api%5c..%5chealth"),
    "an encoded NUL": get("/health%00"),
    "an encoded new line": get("/health%0d%0aSet-Cookie:%20a=b"),
    "a huge header": get("/health", f"X-A: {'a' * 100_000}\r\n"),
    "a huge name of a header": get("/health", f"{'a' * 100_000}: 1\r\n"),
    "headers without end": get("/health", f"X-A: {'a' * 1000}\r\n" * 300),
    "many headers": get("/health", "X-A: 1\r\n" * 1000),
    "a compressed body": query(SIZE + CLOSE + "Content-Encoding: gzip\r\n"),
    "a doubly compressed body": query(SIZE + CLOSE + "Content-Encoding: gzip, br\r\n"),
    "an unknown encoding": query(SIZE + CLOSE + "Content-Encoding: rot13\r\n"),
    "an invalid length at the control API": CREATE.encode() + b"Content-Length: two\r\n\r\n{}",
    "a compressed body for the control API": create(b"{}", "Content-Encoding: gzip\r\n"),
}
# What is well-formed HTTP, and has an answer of its own.
ANSWERED: dict[str, tuple[bytes, set[int]]] = {
    "HEAD": (get("/health", method="HEAD"), {200, 405}),
    "HEAD of an API": (get(ENDPOINTS, method="HEAD"), {405}),
    "OPTIONS": (get(ENDPOINTS, method="OPTIONS"), {405}),
    "OPTIONS *": (get("*", method="OPTIONS"), {400}),
    "TRACE": (get(ENDPOINTS, method="TRACE"), {400, 405}),
    "CONNECT": (get("x:443", method="CONNECT"), {400, 404, 405}),
    "an absolute target": (get("http://evil/health"), {200}),
    "triple-encoded dots": (get("/api/%25252e%25252e/health"), {404}),
    "twice-encoded dots": (get("/api/%252e%252e/health"), {404}),
    "overlong UTF-8 dots": (get("/api/%c0%ae%c0%ae/health"), {404}),
    "invalid UTF-8 in the path": (get("/api/%ff%fe"), {404}),
    "a target of 60 KB": (get("/" + "a" * 60_000), {404, 400}),
    "no second decoding of a name": (get(f"{ENDPOINTS}/pro%2562e"), {404}),
    "a name with a slash": (get(f"{ENDPOINTS}/a%2fb"), {404}),
    "a name with a new line": (get(f"{ENDPOINTS}/{MARK}%0d%0a2026-01-01%20ERROR%20x"), {400}),
    "a name with an escape": (get(f"{ENDPOINTS}/{MARK}%1b[2J"), {400}),
    "an upgrade to a web socket": (
        get("/health", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: \xff\r\n"),
        {200, 400},
    ),
    "an upgrade to HTTP/2": (get("/health", "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"), {200, 400}),
    "HTTP/1.0": (get("/health", version="HTTP/1.0"), {200}),
    "HTTP/0.9 with a version": (get("/health", version="HTTP/0.9"), {400, 200}),
    "a range": (get("/health", "Range: bytes=" + ",".join(f"{i}-" for i in range(5000)) + "\r\n"), {200}),
    "cookies": (get("/health", "Cookie: " + "a=b;" * 5000 + "\r\n"), {200}),
    "deep JSON for a model": (query(f"Content-Length: {200_000}\r\n", b"[" * 100_000 + b"]" * 100_000), {400}),
    "deep JSON for the control API": (create(b'{"a":' * 5000 + b"1" + b"}" * 5000), {400}),
    "deep JSON of lists": (create(b'{"a":' + b"[" * 900 + b"]" * 900 + b"}"), {400}),
    "a number of a million digits": (create(b'{"name": ' + b"9" * 1_000_000 + b"}"), {400}),
    "a huge exponent": (create(b'{"name": "x", "a": 1e999999}'), {400}),
    "NaN": (create(b'{"name": "x", "a": NaN}'), {400}),
    "invalid UTF-8": (create(b'{"name": "\xff\xfe"}'), {400}),
    "half a surrogate pair": (create(b'{"name": "x", "description": "\\ud800"}'), {400}),
    "a key twice": (create(b'{"name": "x", "name": "y"}'), {400}),
    "UTF-16": (create('{"name": "x"}'.encode("utf-16")), {400}),
    "a name with CR and LF": (create(b'{"name": "' + MARK.encode() + b'\\r\\nX: y"}'), {400}),
    "a name with dots": (create(b'{"name": "../../etc"}'), {400}),
    "a name of 4096 characters": (create(b'{"name": "' + b"a" * 4096 + b'"}'), {400}),
    "a body that is too long": (query("Content-Length: 17000000\r\n", b""), {413}),
    "a body of the control API that is too long": (CREATE.encode() + b"Content-Length: 5000000\r\n\r\n", {413}),
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def nothing_raw_in_the_logs(server: Server, probe_endpoint: str) -> Iterator[None]:
    yield
    for log in (server.data_dir / "logs").glob("*.log"):
        for line in log.read_bytes().splitlines():
            assert MARK.encode() not in line or not any(byte < 32 for byte in line), line
            assert b"\x1b" not in line, line
            assert not line.startswith(b"2026-01-01 ERROR"), line
            assert TOKEN.encode() not in line, line


@dataclass
class Talk:
    """``answer`` is None where the connection was closed without one."""

    answer: Answer | None
    rest: bytes


def talk(server: Server, request: bytes) -> Talk:
    """Send it all, and read until the other side closes."""
    received = b""
    with server.raw(b"", timeout=10) as connection:
        try:
            connection.sendall(request)
            while part := connection.recv(1 << 16):
                received += part
        except (ConnectionResetError, BrokenPipeError):
            pass
        except TimeoutError:
            raise AssertionError(f"the connection stayed open after {received!r}") from None
    head, _, rest = received.partition(b"\r\n\r\n")
    if not head:
        return Talk(None, b"")
    status_line, *lines = head.decode("latin-1").split("\r\n")
    headers = http.client.HTTPMessage()
    for line in lines:
        name, _, value = line.partition(": ")
        headers[name] = value
    size = int(headers.get("content-length", len(rest)))
    return Talk(Answer(int(status_line.split()[1]), headers, rest[:size]), rest[size:])


def still_well(server: Server) -> None:
    assert server.value("probe", "echo", value=7) == 7
    assert server.delete_answer("smuggled").status == 404


@pytest.mark.parametrize("name", SMUGGLING)
def test_what_is_refused_and_nothing_behind_it_runs(server: Server, name: str) -> None:
    said = talk(server, SMUGGLING[name] + smuggled())
    if said.answer is not None:
        assert said.answer.error == (400, "BAD_REQUEST")
        assert said.rest == b""
    still_well(server)


@pytest.mark.parametrize("name", ANSWERED)
def test_what_has_an_answer(server: Server, name: str) -> None:
    request, statuses = ANSWERED[name]
    if b"Connection: close" not in request:
        request = request.replace(b"Host: x\r\n", b"Host: x\r\nConnection: close\r\n", 1)
    said = talk(server, request)
    assert said.answer is not None
    assert said.answer.status in statuses, said.answer
    if said.answer.status >= 400 and not request.startswith(b"HEAD"):
        assert said.answer.error[0] in statuses
    assert b"set-cookie" not in str(said.answer.headers).lower().encode()
    still_well(server)


def test_pipelined_requests_are_answered_in_their_order(server: Server) -> None:
    bodies = [json.dumps({"dataframe_records": [{"do": "echo", "value": i}]}).encode() for i in range(20)]
    requests = [HEAD.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body for body in bodies]
    requests[-1] = requests[-1].replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
    with server.raw(b"".join(requests)) as connection:
        received = b""
        while part := connection.recv(1 << 16):
            received += part
    assert received.count(b"HTTP/1.1 200 OK") == 20
    places = [received.index(b'{"predictions": [%d]}' % i) for i in range(20)]
    assert places == sorted(places)
    still_well(server)


def test_a_client_that_waits_for_100_is_told_to_go_on(server: Server) -> None:
    with server.raw(query(SIZE + "Expect: 100-continue\r\nConnection: close\r\n", b"")) as connection:
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.sendall(BODY)
        received = b""
        while part := connection.recv(1 << 16):
            received += part
    assert received.startswith(b"HTTP/1.1 200")
    assert received.endswith(b'{"predictions": [1]}')


def test_nobody_unknown_is_told_to_go_on(server: Server) -> None:
    request = query(SIZE + "Expect: 100-continue\r\nConnection: close\r\n", b"").replace(TOKEN.encode(), b"dapi-wrong")
    said = talk(server, request)
    assert said.answer is not None
    assert said.answer.error == (401, "UNAUTHENTICATED")


@pytest.fixture(scope="module")
def impatient() -> Iterator[Server]:
    """A server with a short limit for heads and bodies."""
    with short_folder() as folder:
        started = Server(Path(folder) / "d", LAKESERVE_LIMIT_HEAD_S="1", LAKESERVE_LIMIT_BODY_S="1")
        try:
            yield started.start()
            started.stop()
        finally:
            started.kill_all()


@pytest.mark.parametrize(
    "beginning", [b"", b"G", b"GET /health HTTP/1.1\r\n", b"GET /health HTTP/1.1\r\nHost: x\r\nX-A: ", b"\r\n\r\n"]
)
def test_a_head_that_never_ends_is_ended(impatient: Server, beginning: bytes) -> None:
    began = time.monotonic()
    said = talk(impatient, beginning)
    assert 0.5 < time.monotonic() - began < 5
    if beginning.startswith(b"GET /"):
        assert said.answer is not None
        assert said.answer.error == (408, "BAD_REQUEST")


def test_a_slow_head_is_not_saved_by_a_byte_now_and_then(impatient: Server) -> None:
    began = time.monotonic()
    with impatient.raw(b"GET /health HTTP/1.1\r\nHost: x\r\nX-A: ") as connection:
        connection.settimeout(0.1)

        def closed() -> bool:
            try:
                connection.sendall(b"a")
                return connection.recv(1 << 16) != b""
            except TimeoutError:
                return False
            except OSError:
                return True

        poll(closed, limit_s=5)
    assert time.monotonic() - began < 4


def test_a_connection_that_is_used_is_not_cut(impatient: Server) -> None:
    connection = impatient.connect(20)
    began = time.monotonic()
    while time.monotonic() - began < 2.5:
        connection.request("GET", "/health")
        assert connection.getresponse().read() == b'{"status":"ok"}'
    connection.close()
