"""The caller as a SCIM user, which is how Databricks clients ask who they are."""

from __future__ import annotations

from typing import Any

from lakeserve.domain.principal import Principal

_USER_SCHEMA = "urn:ietf:params:scim:schemas:core:2.0:User"


def render_me(principal: Principal) -> dict[str, Any]:
    """``emails`` is there for people only: a service principal's ``userName`` is its application id."""
    user: dict[str, Any] = {
        "schemas": [_USER_SCHEMA],
        "id": principal.id,
        "userName": principal.name,
        "displayName": principal.display_name or principal.name,
        "active": True,
        "groups": [
            {"value": group.id, "display": group.name, "type": "direct" if group.direct else "indirect"}
            for group in principal.memberships
        ],
    }
    if "@" in principal.name:
        user["emails"] = [{"type": "work", "value": principal.name, "primary": True}]
    return user
