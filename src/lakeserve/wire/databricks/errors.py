"""Errors as Databricks clients read them: ``{"error_code", "message"}``, and how long to wait before trying again.

The SDKs try again for minutes when a message contains certain phrases, whatever the status. Our own texts avoid them,
but a message may quote what a model or a user wrote. Such a quotation is disarmed here by changing the case of the
phrase's first letter: the comparison is case-sensitive, and the text stays readable.
"""

from __future__ import annotations

import json
from typing import Any

from lakeserve.domain.errors import RETRY_PHRASES, LakeserveError

# The last two make the Go SDK, and so the official CLI, try again; the Python SDK does not know them.
_DISARMED = {
    phrase: phrase[0].swapcase() + phrase[1:] for phrase in (*RETRY_PHRASES, "Timed out after ", "deadline exceeded")
}


def render_error(error: LakeserveError) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Status, JSON body and headers."""
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    return error.status, {"error_code": error.code, "message": _disarm(error.message)}, headers


def render_stream_error(error: LakeserveError) -> bytes:
    """The last events of a stream that cannot go on: data lines only, because MLflow's client accepts nothing else.

    The shape is the one on which the OpenAI client raises.
    """
    told = {"error": {"message": _disarm(error.message), "type": "server_error", "code": error.code}}
    return b"data: " + json.dumps(told).encode() + b"\n\ndata: [DONE]\n\n"


def _disarm(message: str) -> str:
    for phrase, harmless in _DISARMED.items():
        message = message.replace(phrase, harmless)
    return message
