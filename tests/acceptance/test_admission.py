"""Who gets in, and by which ways nobody does: tokens, internal routes, and requests that could be read in two ways."""

from __future__ import annotations

import base64
import json

import pytest

from support.server import ENDPOINTS, TOKEN, Server, config

ROUTES = [
    ("GET", ENDPOINTS),
    ("POST", ENDPOINTS),
    ("GET", f"{ENDPOINTS}/probe"),
    ("GET", f"{ENDPOINTS}/none"),
    ("DELETE", f"{ENDPOINTS}/probe"),
    ("PUT", f"{ENDPOINTS}/probe/config"),
    ("GET", f"{ENDPOINTS}/probe/served-models/probe-1/logs"),
    ("GET", f"{ENDPOINTS}/probe/served-models/probe-1/build-logs"),
    ("POST", "/serving-endpoints/probe/invocations"),
    ("POST", "/serving-endpoints/none/invocations"),
    ("POST", "/serving-endpoints/probe/served-models/probe-1/invocations"),
    ("GET", "/api/2.0/preview/scim/v2/Me"),
    ("GET", "/api/2.0/mlflow/registered-models/search"),
    ("POST", "/api/2.0/mlflow/experiments/search"),
    ("GET", "/api/2.0/mlflow-artifacts/artifacts"),
    ("PUT", "/api/2.0/mlflow-artifacts/artifacts/x"),
    ("POST", "/api/3.0/mlflow/traces/search"),
    ("POST", "/graphql"),
    ("GET", "/ajax-api/2.0/mlflow/experiments/search"),
    ("GET", "/get-artifact?path=x&run_uuid=y"),
    ("GET", "/model-versions/get-artifact?path=x"),
    ("GET", "/version"),
    ("GET", "/"),
    ("GET", "/static-files/index.html"),
    ("POST", "/v1/traces"),
]

BAD_CREDENTIALS = {
    "none": None,
    "empty": "Bearer ",
    "wrong": "Bearer dapi-wrong",
    "longer": f"Bearer {TOKEN}x",
    "shorter": f"Bearer {TOKEN[:-1]}",
    "scheme": f"Token {TOKEN}",
    "bare": TOKEN,
    "basic": "Basic " + base64.b64encode(b"token:wrong").decode(),
    "broken-basic": "Basic !!!",
    "not-ascii": "Bearer d\xe4pi",
    "long": "Bearer " + "x" * 60_000,
}


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_nothing_without_a_token(server: Server, probe_endpoint: str, method: str, path: str) -> None:
    for authorization in (None, "Bearer dapi-wrong"):
        headers = {} if authorization is None else {"Authorization": authorization}
        answer = server.ask(method, path, None if method == "GET" else b"{}", token=None, headers=headers)
        assert answer.error == (401, "UNAUTHENTICATED")


@pytest.mark.parametrize("kind", BAD_CREDENTIALS)
@pytest.mark.parametrize(
    "path", [ENDPOINTS, "/serving-endpoints/probe/invocations", "/api/2.0/mlflow/experiments/search"]
)
def test_no_other_credential_is_good(server: Server, probe_endpoint: str, path: str, kind: str) -> None:
    authorization = BAD_CREDENTIALS[kind]
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = server.ask("POST", path, b"{}", token=None, headers=headers)
    assert answer.error in ((401, "UNAUTHENTICATED"), (400, "BAD_REQUEST"))
    assert "dapi" not in answer.json["message"]


def test_basic_credentials_with_the_token_as_password(server: Server, probe_endpoint: str) -> None:
    headers = {"Authorization": "Basic " + base64.b64encode(f"token:{TOKEN}".encode()).decode()}
    assert server.ask("GET", ENDPOINTS, token=None, headers=headers).status == 200
    answer = server.query(probe_endpoint, {"dataframe_records": [{"value": 1}]}, token=None, headers=headers)
    assert answer.json == {"predictions": [1]}


def test_probes_need_none(server: Server) -> None:
    assert server.ask("GET", "/health", token=None).json == {"status": "ok"}
    assert server.ask("GET", "/ready", token=None).status == 200


@pytest.mark.parametrize(
    "target",
    [
        "/_lakeserve",
        "/_lakeserve/",
        "/_lakeserve/health",
        "/_lakeserve/models/resolve",
        "//_lakeserve/models/resolve",
        "/./_lakeserve/models/resolve",
        "/x/../_lakeserve/models/resolve",
        "/api/2.0/mlflow/../../../_lakeserve/models/resolve",
        "/api/2.0/mlflow/%2e%2e/%2e%2e/%2e%2e/_lakeserve/models/resolve",
        "/api/2.0/mlflow/..%2f..%2f..%2f_lakeserve/models/resolve",
        "/api/2.0/mlflow/%2E%2E/x",
        "/%5flakeserve/models/resolve",
        "/%5Flakeserve%2Fmodels%2Fresolve",
        "/_lakeserve%2fmodels/resolve",
        "/%2f_lakeserve/models/resolve",
        "/%2e/_lakeserve/models/resolve",
        "/_lakeserve\\models\\resolve",
        "/_lakeserve%00/models/resolve",
        "/_lakeserve;x/models/resolve",
        "/_LAKESERVE/models/resolve",
        "/%255flakeserve/models/resolve",
        "http://localhost/_lakeserve/models/resolve",
        "http://localhost//_lakeserve/models/resolve",
        "/serving-endpoints/../_lakeserve/models/resolve",
        "_lakeserve/models/resolve",
        "*",
        "localhost:80",
        "/api/2.0/mlflow#/../../../_lakeserve/models/resolve",
        "/api/2.0/mlflow?x=/_lakeserve/models/resolve",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_internal_routes_cannot_be_reached(server: Server, method: str, target: str) -> None:
    body = b'{"name": "main.default.probe", "version": "1"}'
    head = f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n"
    answer = server.raw_answer(head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    assert answer.status in (400, 404, 405), answer.body
    assert b"uid" not in answer.body
    assert b"Traceback" not in answer.body


@pytest.mark.parametrize(
    "hosts",
    [
        [],
        [""],
        ["a", "b"],
        ["a b"],
        ["a/b"],
        ["user@host"],
        ["host:port"],
        ["host:123456"],
        ["[::1"],
        ["host,other"],
        ["h\tost"],
        ["x" * 300],
    ],
)
@pytest.mark.parametrize("path", ["/.well-known/databricks-config", "/api/2.0/mlflow/experiments/search"])
def test_odd_hosts_are_refused(server: Server, path: str, hosts: list[str]) -> None:
    lines = "".join(f"Host: {host}\r\n" for host in hosts)
    answer = server.raw_answer(
        f"GET {path} HTTP/1.1\r\n{lines}Authorization: Bearer {TOKEN}\r\nConnection: close\r\n\r\n".encode()
    )
    assert answer.status == 400


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "lakeserve.example", "[::1]:8080", "LOCALHOST", "evil.example"])
def test_a_name_that_a_client_chose_reaches_models_and_registry(server: Server, host: str) -> None:
    """MLflow's own server would refuse names that it does not know; whoever has a token may call us by any."""
    head = f"Host: {host}\r\nOrigin: http://{host}\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\r\n"
    answer = server.raw_answer(f"GET /api/2.0/mlflow/registered-models/search HTTP/1.1\r\n{head}".encode())
    assert answer.status == 200
    answer = server.raw_answer(f"GET /.well-known/databricks-config HTTP/1.1\r\n{head}".encode())
    assert answer.json["oidc_endpoint"].lower() == f"http://{host.lower()}/oidc"


@pytest.mark.parametrize(
    "extra",
    [
        "Authorization: Bearer other",
        "Content-Length: 5",
        "Content-Length: -1",
        "Transfer-Encoding: chunked\r\nContent-Length: 2",
        "Transfer-Encoding: chunked, identity",
        "Content-Type: text/csv\r\nContent-Type: application/json",
        "X-Large: " + "x" * 70_000,
        "\r\n".join(f"X-{number}: 1" for number in range(300)),
        "Bad Header: 1",
        "X: 1\r\n folded",
        "X: a\x00b",
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(server: Server, probe_endpoint: str, extra: str) -> None:
    head = (
        f"POST /serving-endpoints/{probe_endpoint}/invocations HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
        f"Content-Length: 2\r\nConnection: close\r\n{extra}\r\n\r\n{{}}"
    )
    assert server.raw_answer(head.encode("latin-1")).status in (400, 431)
    assert server.value(probe_endpoint, "echo", value=1) == 1


def test_errors_never_tell_of_our_insides(server: Server, probe_endpoint: str) -> None:
    answers = [
        server.ask("GET", f"{ENDPOINTS}/none"),
        server.ask("POST", ENDPOINTS, b"{"),
        server.ask("POST", ENDPOINTS, {"name": "x", "config": config(version="99")}),
        server.act(probe_endpoint, "raise", text="x"),
        server.query(probe_endpoint, b"{"),
        server.query("none", {}),
        server.ask("GET", "/api/2.0/nothing"),
    ]
    for answer in answers:
        assert answer.error[0] >= 400
        text = json.dumps(answer.json)
        assert not [word for word in ("/src/", ".py", str(server.data_dir), "sqlite") if word in text], text
