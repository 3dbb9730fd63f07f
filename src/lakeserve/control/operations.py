"""The permission table: every operation of the control API and what it needs. A route without an entry here does not start.

``None`` means that any authenticated caller may; ``PUBLIC`` that no credential is asked for. Levels are of the endpoint that the
operation names (serving-api.md 23).
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from lakeserve.domain.principal import Level


class Public(Enum):
    PUBLIC = "public"


PUBLIC: Final = Public.PUBLIC

NEEDS: Final[dict[str, Level | Public | None]] = {
    "discovery.host_metadata": PUBLIC,
    "scim.me": None,
    "endpoints.create": None,
    "endpoints.list": None,  # shows what the caller may view
    "endpoints.get": Level.CAN_VIEW,
    "endpoints.update_config": Level.CAN_MANAGE,
    "endpoints.stop": Level.CAN_MANAGE,
    "endpoints.start": Level.CAN_MANAGE,
    "endpoints.cancel_update": Level.CAN_MANAGE,
    "endpoints.delete": Level.CAN_MANAGE,
    "endpoints.build_logs": Level.CAN_VIEW,
    "endpoints.logs": Level.CAN_VIEW,
}
