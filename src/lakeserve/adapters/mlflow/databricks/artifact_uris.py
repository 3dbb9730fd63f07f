"""Two names for the same artifact: ``mlflow-artifacts:`` for plain clients, ``dbfs:`` for those with a Databricks URI.

MLflow keeps the first. A client whose tracking URI is ``databricks`` refuses it, and takes the second as "ask the Files API under
``/WorkspaceInternal/Mlflow/Artifacts``" (MLflow's ``databricks_run_artifact_repo.py``), so
answers to such clients are rewritten on their way out.
"""

from __future__ import annotations

import json
import re
from typing import Any

from lakeserve.adapters.mlflow.databricks.asgi import Message, Scope, Send, header

EXPERIMENT = r"[0-9]{1,32}"
RUN = r"[0-9a-f]{32}"
LOGGED_MODEL = r"m-[0-9A-Za-z]{1,64}"

_ROOT = "dbfs:/databricks/mlflow-tracking"
_PLAIN = re.compile(
    rf"mlflow-artifacts:/(?P<experiment>{EXPERIMENT})"
    rf"(?:/(?P<run>{RUN})(?P<of_run>/.*)?|/models/(?P<model>{LOGGED_MODEL})(?P<of_model>/.*)?)?"
)
_DATABRICKS = re.compile(
    rf"{_ROOT}/(?P<experiment>{EXPERIMENT})"
    rf"(?:/(?P<run>{RUN})(?P<of_run>/.*)?|/logged_models/(?P<model>{LOGGED_MODEL})(?P<of_model>/.*)?)?"
)
_KEYS = frozenset(("artifact_uri", "artifact_location", "root_uri", "source"))
_SDK = "databricks-sdk-py/"
_MAX_DEPTH = 50


def to_databricks(uri: str) -> str:
    """The ``dbfs:`` name of an artifact of the registry's own; anything else stays as it is."""
    return _renamed(uri, _PLAIN, _ROOT, "logged_models")


def to_plain(uri: str) -> str:
    """The other way round."""
    return _renamed(uri, _DATABRICKS, "mlflow-artifacts:", "models")


def has_databricks_uri(scope: Scope) -> bool:
    """Whether the client came by way of the official SDK, as MLflow does for ``databricks`` URIs and for no others."""
    return _SDK in header(scope, b"user-agent")


class Translated:
    """A ``send`` that holds a JSON answer back until it is whole, and passes on everything else as it comes."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None
        self._body = bytearray()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if _is_json(message):
                self._start = message
                return
        elif self._start is not None and message["type"] == "http.response.body":
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._finish(self._start)
            return
        await self._send(message)

    async def _finish(self, start: Message) -> None:
        body = translated(bytes(self._body))
        headers = [(k, v) for k, v in start["headers"] if k.lower() != b"content-length"]
        headers.append((b"content-length", str(len(body)).encode()))
        await self._send({**start, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})


def translated(body: bytes) -> bytes:
    """The JSON text with its artifact URIs renamed; a text without any is not touched."""
    if b"mlflow-artifacts:" not in body:
        return body
    try:
        answer = json.loads(body)
    except ValueError:
        return body
    return json.dumps(_translate(answer, _MAX_DEPTH)).encode()


def _translate(value: Any, depth: int) -> Any:
    if depth == 0:
        return value
    if isinstance(value, list):
        return [_translate(one, depth - 1) for one in value]
    if isinstance(value, dict):
        return {
            key: to_databricks(one) if key in _KEYS and isinstance(one, str) else _translate(one, depth - 1)
            for key, one in value.items()
        }
    return value


def _is_json(start: Message) -> bool:
    kinds = [value for name, value in start["headers"] if name.lower() == b"content-type"]
    return bool(kinds) and kinds[0].startswith(b"application/json")


def _renamed(uri: str, pattern: re.Pattern[str], root: str, models: str) -> str:
    found = pattern.fullmatch(uri)
    if found is None:
        return uri
    base = f"{root}/{found['experiment']}"
    if found["run"]:
        return f"{base}/{found['run']}{found['of_run'] or ''}"
    if found["model"]:
        return f"{base}/{models}/{found['model']}{found['of_model'] or ''}"
    return base
