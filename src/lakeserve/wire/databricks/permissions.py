"""Access lists of serving endpoints, in the names of the public API reference (Permissions)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lakeserve.domain.errors import InvalidParameterValue
from lakeserve.domain.grants import INHERITED, Grant, Grantee
from lakeserve.domain.principal import Level
from lakeserve.wire.databricks.fields import Text, WireModel, read

_KEYS = {Grantee.USER: "user_name", Grantee.SERVICE_PRINCIPAL: "service_principal_name", Grantee.GROUP: "group_name"}
_ROOT = "/serving-endpoints/"
_LEVELS = {
    Level.CAN_VIEW: "Can view the endpoint, its logs and its metrics",
    Level.CAN_QUERY: "Can query the endpoint, and view it",
    Level.CAN_MANAGE: "Can change and delete the endpoint and its permissions, query and view it",
}


class AccessControlRequest(WireModel):
    user_name: Text = None
    group_name: Text = None
    service_principal_name: Text = None
    permission_level: Text = None


class PermissionsRequest(WireModel):
    access_control_list: list[AccessControlRequest] | None = None


def parse(body: Mapping[str, Any]) -> list[Grant]:
    """
    :raises InvalidParameterValue: an entry does not have exactly one name, or its level is none of an endpoint.
    """
    entries = read(PermissionsRequest, body).access_control_list or []
    return [_grant(entry, f"access_control_list[{index}]") for index, entry in enumerate(entries)]


def _grant(entry: AccessControlRequest, path: str) -> Grant:
    names = [(grantee, name) for grantee, key in _KEYS.items() if (name := getattr(entry, key)) is not None]
    if len(names) != 1:
        raise InvalidParameterValue(f"{path} must have exactly one of {', '.join(_KEYS.values())}.")
    if entry.permission_level not in tuple(Level):
        raise InvalidParameterValue(f"{path}.permission_level must be one of {', '.join(Level)}.")
    ((grantee, name),) = names
    return Grant(grantee, name, Level(entry.permission_level))


def render(endpoint_id: str, grants: Iterable[Grant]) -> dict[str, Any]:
    """The direct grants, and what every endpoint inherits."""
    entries: dict[tuple[Grantee, str], dict[str, Any]] = {}
    for grant in grants:
        entry = _entry(entries, grant)
        entry["all_permissions"].append({"permission_level": grant.level, "inherited": False})
    inherited = {"permission_level": INHERITED.level, "inherited": True, "inherited_from_object": [_ROOT]}
    _entry(entries, INHERITED)["all_permissions"].append(inherited)
    return {
        "object_id": _ROOT + endpoint_id,
        "object_type": "serving-endpoint",
        "access_control_list": list(entries.values()),
    }


def _entry(entries: dict[tuple[Grantee, str], dict[str, Any]], grant: Grant) -> dict[str, Any]:
    fresh: dict[str, Any] = {_KEYS[grant.grantee]: grant.name}
    if grant.display_name:
        fresh["display_name"] = grant.display_name
    return entries.setdefault((grant.grantee, grant.name), {**fresh, "all_permissions": []})


def render_levels() -> dict[str, Any]:
    return {"permission_levels": [{"permission_level": level, "description": text} for level, text in _LEVELS.items()]}
