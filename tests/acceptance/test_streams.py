"""Streamed predictions as a client reads them: frames as they come, errors inside, and clients that leave."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.server import TOKEN, Server, poll


@contextlib.contextmanager
def stream(
    server: Server, endpoint: str, **row: Any
) -> Iterator[tuple[http.client.HTTPConnection, http.client.HTTPResponse]]:
    body = json.dumps({"dataframe_records": [row], "stream": True})
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    connection = server.connect(30)
    try:
        connection.request("POST", f"/serving-endpoints/{endpoint}/invocations", body, headers)
        yield connection, connection.getresponse()
    finally:
        connection.close()


def frame(response: http.client.HTTPResponse) -> str:
    """One event: a data line and an empty one."""
    line, empty = response.readline().decode(), response.readline()
    assert line.startswith("data: ")
    assert empty == b"\n"
    return line.removeprefix("data: ").rstrip("\n")


def test_frames_come_one_by_one_and_end_with_done(server: Server, probe_endpoint: str, tmp_path: Path) -> None:
    """The second frame is made only after the first was read, so nothing on the way collects them."""
    go_on = tmp_path / "go on"
    with stream(server, probe_endpoint, count=3, until=str(go_on)) as (_, response):
        assert response.status == 200
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert response.headers["served-model-name"] == "probe-1"
        assert response.headers["x-databricks-request-id"]
        assert json.loads(frame(response))["number"] == 0
        go_on.touch()
        assert [json.loads(frame(response))["number"] for _ in range(2)] == [1, 2]
        assert frame(response) == "[DONE]"
        assert response.read() == b""


def test_the_connection_takes_the_next_request(server: Server, probe_endpoint: str) -> None:
    with stream(server, probe_endpoint, count=2) as (connection, response):
        response.read()
        connection.request("GET", "/health")
        assert connection.getresponse().status == 200


def test_an_error_in_mid_stream_is_its_last_event(server: Server, probe_endpoint: str) -> None:
    with stream(server, probe_endpoint, count=5, fail_at=1) as (_, response):
        assert response.status == 200
        frames = [frame(response) for _ in range(4)]
        assert [json.loads(each).get("number") for each in frames[:2]] == [0, 1]
        assert "the stream broke" in json.loads(frames[2])["error"]["message"]
        assert frames[3] == "[DONE]"


def test_an_error_before_the_first_frame_has_a_status(server: Server, probe_endpoint: str, wine_endpoint: str) -> None:
    with stream(server, probe_endpoint, count="many") as (_, response):
        assert response.status == 400
        assert json.loads(response.read())["error_code"] == "BAD_REQUEST"
    with stream(server, wine_endpoint, count=1) as (_, response):
        assert response.status == 400
        assert "streaming" in json.loads(response.read())["message"]


@pytest.mark.parametrize("reset", [False, True], ids=["closes", "resets"])
def test_a_client_that_leaves_ends_the_stream_in_the_model(server: Server, tmp_path: Path, reset: bool) -> None:
    name = f"left-{reset}".lower()
    server.deploy(name)
    go_on = tmp_path / "go on"
    with stream(server, name, count=100_000, until=str(go_on)) as (connection, response):
        frame(response)
        if reset and connection.sock is not None:
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        response.close()
    go_on.touch()
    poll(lambda: "probe: stream closed" in server.logs(name, "probe-1"), limit_s=20)
    poll(lambda: len({server.value(name, "pid") for _ in range(16)}) == 4)
    server.delete(name)


def test_a_worker_that_dies_in_mid_stream(server: Server, tmp_path: Path) -> None:
    server.deploy("dies")
    with stream(server, "dies", count=10, until=str(tmp_path / "never")) as (_, response):
        server.kill(json.loads(frame(response))["pid"])
        error = json.loads(frame(response))["error"]
        assert error["code"] == "INTERNAL_ERROR"
        assert "process ended" in error["message"]
        assert frame(response) == "[DONE]"
    assert server.value("dies", "echo", value=1) == 1
    server.delete("dies")
