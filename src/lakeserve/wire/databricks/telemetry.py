"""What official command lines tell about their own use, at ``POST /telemetry-ext``: counted, and kept nowhere.

A client takes an answer that counts fewer events than it sent for a failure, and sends them again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lakeserve.domain.errors import InvalidParameterValue


def render_receipt(body: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to an upload of ``protoLogs``, a list of JSON texts.

    :raises InvalidParameterValue: they are no list.
    """
    events = body.get("protoLogs")
    if events is not None and not isinstance(events, list):
        raise InvalidParameterValue("protoLogs must be a list.")
    return {"errors": [], "numProtoSuccess": len(events or ())}
