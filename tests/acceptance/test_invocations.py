"""Queries: what goes in, what comes out, and every way in which one can go wrong without harm to the next."""

from __future__ import annotations

import http.client
import json
import re
from typing import Any

import pytest
from sklearn.datasets import load_wine

from support.server import TOKEN, Answer, Server, poll

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
LIMIT = 16 * 1024 * 1024


def rows() -> dict[str, Any]:
    frame = load_wine(as_frame=True).data.iloc[[0, 70, 150]]
    return dict(frame.to_dict("split"))


def check_next(server: Server, endpoint: str) -> None:
    assert server.value(endpoint, "echo", value=1) == 1


@pytest.mark.parametrize("shape", ["dataframe_split", "dataframe_records", "inputs", "csv"])
def test_every_shape_gives_the_model_s_answer(server: Server, wine_endpoint: str, shape: str) -> None:
    data = rows()
    records = [dict(zip(data["columns"], row, strict=True)) for row in data["data"]]
    if shape == "csv":
        lines = [data["columns"], *data["data"]]
        body: object = "\n".join(",".join(str(value) for value in line) for line in lines).encode()
        answer = server.query(wine_endpoint, body, headers={"Content-Type": "text/csv"})
    else:
        columns = {name: [record[name] for record in records] for name in data["columns"]}
        bodies = {"dataframe_split": data, "dataframe_records": records, "inputs": columns}
        answer = server.query(wine_endpoint, {shape: bodies[shape]})
    assert (answer.status, answer.json) == (200, {"predictions": [0, 1, 2]})
    assert answer.headers["content-type"] == "application/json"


def test_headers_tell_who_answered_and_the_request_s_id(server: Server, probe_endpoint: str) -> None:
    answers = [server.act(probe_endpoint, "echo") for _ in range(2)]
    for answer in answers:
        assert answer.headers["served-model-name"] == "probe-1"
        assert UUID.fullmatch(answer.headers["x-databricks-request-id"])
        assert answer.headers["databricks-request-id"] == answer.headers["x-databricks-request-id"]
    assert answers[0].headers["databricks-request-id"] != answers[1].headers["databricks-request-id"]
    refused = server.act(probe_endpoint, "raise", text="no")
    assert refused.headers["served-model-name"] == "probe-1"
    assert UUID.fullmatch(refused.headers["x-databricks-request-id"])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"3",
        b"\xff",
        b"[" * 50_000,
        b"{}",
        b'{"rows": []}',
        b'{"inputs": [1], "instances": [1]}',
    ],
)
def test_malformed_bodies_are_refused(server: Server, wine_endpoint: str, body: bytes) -> None:
    status, code = server.query(wine_endpoint, body).error
    assert status == 400
    assert code in ("BAD_REQUEST", "INVALID_PARAMETER_VALUE")
    assert server.query(wine_endpoint, {"dataframe_split": rows()}).status == 200


def test_wrong_columns_are_refused_by_name(server: Server, wine_endpoint: str) -> None:
    data = rows()
    data["columns"][0] = "acid"
    answer = server.query(wine_endpoint, {"dataframe_split": data})
    assert answer.error == (400, "INVALID_PARAMETER_VALUE")
    assert "alcohol" in answer.json["message"]


def test_other_content_types_are_refused(server: Server, wine_endpoint: str) -> None:
    answer = server.query(wine_endpoint, b"<rows/>", headers={"Content-Type": "application/xml"})
    assert answer.error == (415, "BAD_REQUEST")
    compressed = server.query(wine_endpoint, b"\x1f\x8b", headers={"Content-Encoding": "gzip"})
    assert compressed.error == (400, "BAD_REQUEST")


def test_a_model_that_raises(server: Server, probe_endpoint: str) -> None:
    answer = server.act(probe_endpoint, "raise", text="no such customer")
    assert answer.error == (400, "BAD_REQUEST")
    assert "no such customer" in answer.json["message"]
    assert "Traceback" in server.logs(probe_endpoint, "probe-1")
    check_next(server, probe_endpoint)


def test_a_model_that_exits_costs_one_request(server: Server) -> None:
    server.deploy("exits")
    before = {server.value("exits", "pid") for _ in range(16)}
    assert server.act("exits", "exit").error == (502, "INTERNAL_ERROR")
    check_next(server, "exits")
    assert server.get("exits")["state"]["ready"] == "READY"
    fresh = poll(lambda: {server.value("exits", "pid") for _ in range(16)} - before)
    assert fresh
    assert "exit status 7" in server.logs("exits", "probe-1", "build-logs")
    server.delete("exits")


def test_what_a_model_returns_and_json_cannot_hold(server: Server, probe_endpoint: str) -> None:
    answer = server.query(probe_endpoint, b'{"dataframe_records": [{"value": NaN}]}')
    assert answer.status in (200, 400)
    check_next(server, probe_endpoint)


def too_long(server: Server, endpoint: str, *, chunked: bool, size: int = 17 * 1024 * 1024) -> tuple[Answer, bool]:
    """The answer to a body that is too long, and whether its connection takes another request."""
    connection = server.connect(30)
    path = f"/serving-endpoints/{endpoint}/invocations"
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    body = b"[" + b" " * (size - 2) + b"]"
    try:
        parts = (body[at : at + 65536] for at in range(0, size, 65536))
        try:
            connection.request("POST", path, parts if chunked else body, headers, encode_chunked=chunked)
        except (BrokenPipeError, ConnectionResetError):
            assert connection.sock is not None  # it answered before it had all
        response = connection.getresponse()
        answer = Answer(response.status, response.headers, response.read())
        try:
            connection.request("POST", path, json.dumps({"dataframe_records": [{"value": 2}]}), headers)
            return answer, connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return answer, False
    finally:
        connection.close()


@pytest.mark.parametrize("chunked", [False, True], ids=["declared", "chunked"])
def test_a_body_that_is_too_long(server: Server, probe_endpoint: str, chunked: bool) -> None:
    answer, _ = too_long(server, probe_endpoint, chunked=chunked)
    assert answer.error == (413, "BAD_REQUEST")
    assert str(LIMIT) in answer.json["message"]
    check_next(server, probe_endpoint)


def test_a_body_of_just_the_limit_is_taken(server: Server, probe_endpoint: str) -> None:
    start, end = b'{"dataframe_records": [{"do": "echo", "value": 5, "rest": "', b'"}]}'
    body = start + b"x" * (LIMIT - len(start) - len(end)) + end
    assert server.query(probe_endpoint, body).json == {"predictions": [5]}
    assert server.query(probe_endpoint, body + b" ").error == (413, "BAD_REQUEST")


def test_a_client_that_leaves_in_mid_body_harms_nobody(server: Server, probe_endpoint: str) -> None:
    head = (
        f"POST /serving-endpoints/{probe_endpoint}/invocations HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
        "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
    )
    for _ in range(20):
        with server.raw(head.encode()):
            pass
    check_next(server, probe_endpoint)


def test_many_requests_on_one_connection(server: Server, probe_endpoint: str) -> None:
    connection = server.connect()
    try:
        for number in range(30):
            connection.request(
                "POST",
                f"/serving-endpoints/{probe_endpoint}/invocations",
                json.dumps({"dataframe_records": [{"value": number}]}),
                {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
            )
            response = connection.getresponse()
            assert json.loads(response.read()) == {"predictions": [number]}
    finally:
        connection.close()
