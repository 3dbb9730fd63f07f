"""The registry process's ASGI app: our internal routes, and MLflow's app for everything else.

The internal routes answer only here, on a Unix socket that belongs to this user; the gateway refuses their prefix from outside.
They run in a few threads of their own, so that a long download does not hold up MLflow's requests, nor they it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

from lakeserve.adapters.mlflow.answers import FETCH, INTERNAL_PREFIX, MAX_BODY_BYTES, RESOLVE, Refused

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_THREADS = 4
_log = logging.getLogger(__name__)

# MLflow's assistant runs commands on the server's machine for whoever it takes for a local user; behind a gateway, everybody.
_NOT_OFFERED = ("/ajax-api/3.0/mlflow/assistant", "/api/3.0/mlflow/assistant")


class ModelSource(Protocol):
    """What the internal routes need; :class:`.source.Source` in the real process. Both block."""

    def resolve(self, name: str, version: str) -> dict[str, str]: ...

    def fetch(self, name: str, version: str, destination: Path) -> None: ...


class RegistryApp:
    def __init__(self, source: ModelSource, *, data_dir: Path, mlflow_app: AsgiApp | None, elsewhere: str = "") -> None:
        """Without ``mlflow_app`` every route of MLflow answers 404 with the text ``elsewhere``."""
        self._source = source
        self._data_dir = data_dir
        self._mlflow = mlflow_app
        self._elsewhere = elsewhere
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="models")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] == "http" and path.startswith(INTERNAL_PREFIX):
            status, answer = await self._internal(scope["method"], path, receive)
            await _reply(send, status, answer)
        elif self._mlflow is not None and not path.startswith(_NOT_OFFERED):
            await self._mlflow(scope, receive, send)
        elif scope["type"] == "http":
            message = f"No such route: {path}" if self._mlflow is not None else self._elsewhere
            await _reply(send, 404, {"error_code": "NOT_FOUND", "message": message})
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})

    async def _internal(self, method: str, path: str, receive: Receive) -> tuple[int, dict[str, str]]:
        try:
            if method != "POST" or path not in (RESOLVE, FETCH):
                raise Refused(404, "NOT_FOUND", f"No such internal route: {method} {path}")
            return 200, await self._answer(path, await _question(receive))
        except Refused as refused:
            return refused.status, {"error_code": refused.code, "message": str(refused)}
        except Exception:  # noqa: BLE001 - the process's outermost edge: whatever MLflow or a plug-in of its raises
            _log.exception("%s failed", path)
            return 500, {"error_code": "INTERNAL_ERROR", "message": "The model registry failed. Its log says why."}

    async def _answer(self, path: str, question: dict[str, str]) -> dict[str, str]:
        loop = asyncio.get_running_loop()
        name, version = _field(question, "name"), _field(question, "version")
        if path == RESOLVE:
            return await loop.run_in_executor(self._threads, self._source.resolve, name, version)
        destination = Path(_field(question, "destination"))
        if not destination.resolve().is_relative_to(self._data_dir.resolve()):
            raise Refused(400, "INVALID_PARAMETER_VALUE", "'destination' must lie in the data directory.")
        await loop.run_in_executor(self._threads, self._source.fetch, name, version, destination)
        return {}


async def _question(receive: Receive) -> dict[str, str]:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MAX_BODY_BYTES:
            raise Refused(413, "BAD_REQUEST", "The question is too long.")
    try:
        question = json.loads(body)
    except ValueError:
        question = None
    if not isinstance(question, dict):
        raise Refused(400, "BAD_REQUEST", "The question must be a JSON object.")
    return question


def _field(question: dict[str, str], name: str) -> str:
    value: object = question.get(name)
    if not isinstance(value, str) or not value:
        raise Refused(400, "INVALID_PARAMETER_VALUE", f"'{name}' must be a text that is not empty.")
    return value


async def _reply(send: Send, status: int, answer: dict[str, str]) -> None:
    body = json.dumps(answer).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
