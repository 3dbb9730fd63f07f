"""ASGI's shapes as this package needs them: a request's small JSON, a JSON answer, and MLflow's app asked from inside."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

from lakeserve.adapters.mlflow.answers import Refused

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]
Header = tuple[bytes, bytes]

MAX_JSON_BYTES = 1024 * 1024
"""More than any of these routes needs; files do not come as JSON."""


class ClientGone(Exception):
    """The client left before its request was whole; nobody reads an answer."""


def invalid(message: str) -> Refused:
    return Refused(400, "INVALID_PARAMETER_VALUE", message)


def header(scope: Scope, name: bytes) -> str:
    """The first header of that lower-case name, or an empty text."""
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


def query(scope: Scope) -> dict[str, str]:
    return dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))


async def arguments(scope: Scope, receive: Receive) -> dict[str, Any]:
    """Those of the query and those of the JSON body together: clients of different age send the same ones in either.

    :raises Refused: the body is too long or no JSON object.
    :raises ClientGone: it never became whole.
    """
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MAX_JSON_BYTES:
            raise Refused(413, "BAD_REQUEST", "The request's body is too long.")
    try:
        given = json.loads(body) if body.strip() else {}
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise Refused(400, "BAD_REQUEST", "The request's body must be a JSON object.")
    return {**query(scope), **given}


def text(given: Mapping[str, Any], name: str) -> str:
    """
    :raises Refused: it is absent or no text.
    """
    value = given.get(name)
    if not isinstance(value, str) or not value:
        raise invalid(f"'{name}' must be a text that is not empty.")
    return value


async def reply(send: Send, status: int, answer: object = None, headers: list[Header] | None = None) -> None:
    """``answer`` as JSON; None is no body, bytes go as they are."""
    body = b"" if answer is None else answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    head = list(headers or ())
    if answer is not None and not isinstance(answer, bytes):
        head.append((b"content-type", b"application/json"))
    if status != 204:
        head.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


async def ask(
    app: AsgiApp, scope: Scope, method: str, path: str, given: Mapping[str, Any]
) -> tuple[int, dict[str, Any]]:
    """One request to ``app`` from inside, for the request in ``scope``: its status and its JSON object."""
    body = b"" if method == "GET" else json.dumps(given).encode()
    inner = {
        **scope,
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": urlencode(given).encode() if method == "GET" else b"",
        "headers": [
            (b"host", b"localhost"),
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
        ],
    }
    status, said = 500, b""
    asked = False

    async def receive() -> Message:
        nonlocal asked
        if asked:
            return {"type": "http.disconnect"}
        asked = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status, said
        if message["type"] == "http.response.start":
            status = message["status"]
        said += message.get("body", b"")

    await app(inner, receive, send)
    try:
        answer = json.loads(said) if said else {}
    except ValueError:
        answer = {"error_code": "INTERNAL_ERROR", "message": "The model registry did not answer in JSON."}
    return status, answer if isinstance(answer, dict) else {}
