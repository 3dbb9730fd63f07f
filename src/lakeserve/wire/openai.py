"""The OpenAI-shaped routes under ``/serving-endpoints``: their ``model`` is an endpoint's name.

The body is an invocation in the model's own terms but for ``model``, which is taken out here: it is an address, and the model
must not meet it. Answers and streams are the model's own and pass unread. Errors are the two-key objects of the other routes, as
the OpenAI client gets them from Databricks.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from lakeserve.domain.endpoint import Endpoint
from lakeserve.domain.errors import BadRequest

_BASE = "/serving-endpoints"
INPUTS = {
    f"{_BASE}/chat/completions": ("messages",),
    # With messages it is how Databricks' provider for the AI SDK (0.5.1) asks an endpoint of the task agent/v2/chat.
    f"{_BASE}/completions": ("prompt", "messages"),
    f"{_BASE}/embeddings": ("input",),
    f"{_BASE}/responses": ("input",),
}
"""Path to the fields of which one holds the model's input."""


def read_call(path: str, raw: bytes) -> tuple[str, bytes]:
    """The endpoint's name, and the body for its model.

    :raises BadRequest: no JSON object, or one that lacks ``model`` or the input.
    """
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise BadRequest("The request body is not valid JSON.") from None
    if not isinstance(body, dict):
        raise BadRequest("The request body must be a JSON object.")
    name = body.pop("model", None)
    if not isinstance(name, str) or not name:
        raise BadRequest("model is required; give the name of a serving endpoint.")
    if all(body.get(field) is None for field in INPUTS[path]):
        raise BadRequest(f"{' or '.join(INPUTS[path])} is required.")
    try:
        return name, orjson.dumps(body)
    except TypeError:
        # All else that was just read can be written.
        raise BadRequest("The request body is nested too deeply.") from None


def render_models(endpoints: Iterable[Endpoint]) -> dict[str, Any]:
    return {"object": "list", "data": [render_model(endpoint) for endpoint in endpoints]}


def render_model(endpoint: Endpoint) -> dict[str, Any]:
    """``created`` is in epoch seconds."""
    return {
        "id": endpoint.name,
        "object": "model",
        "created": endpoint.created_at // 1000,
        "owned_by": endpoint.creator,
    }
