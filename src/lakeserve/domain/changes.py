"""Changes of an endpoint that concern no config: tags, notifications, and settings blocks that ask for nothing.

None of them makes a config version or restarts anything, and all of them are allowed while an update runs, except where a function
says otherwise. A block that asks for a capability that lakeserve does not have is refused with 501, never stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from lakeserve.domain.endpoint import Endpoint, Tag
from lakeserve.domain.errors import InvalidParameterValue, ResourceConflict
from lakeserve.domain.requested import Capability, check_tags, refuse

AI_GATEWAY = "ai_gateway"
NOTIFICATIONS = "email_notifications"
SYSTEM_METRICS = "uc_system_metrics_export_state"


def change_tags(endpoint: Endpoint, add: tuple[Tag, ...], delete: Iterable[str], *, now: int) -> Endpoint:
    """``add`` replaces tags with the same key, in their places; ``delete`` are keys, and one that is not there is no error.

    :raises InvalidParameterValue: a key is empty, or is given twice, or is to be added and deleted.
    """
    check_tags(add)
    gone = set(delete)
    for tag in add:
        if tag.key in gone:
            raise InvalidParameterValue(
                f"Tag key '{tag.key}' is in both add_tags and delete_tags; give it in one of them."
            )
    tags = {tag.key: tag for tag in (*endpoint.tags, *add) if tag.key not in gone}
    return replace(endpoint, tags=tuple(tags.values()), updated_at=now)


def change_notifications(endpoint: Endpoint, notifications: Mapping[str, Any] | None, *, now: int) -> Endpoint:
    """Replaces the addresses; None or an empty object removes them."""
    return replace(endpoint, notifications=dict(notifications or {}), updated_at=now)


def change_ai_gateway(
    endpoint: Endpoint, block: Mapping[str, Any], needs: Iterable[Capability], *, now: int
) -> Endpoint:
    """Replaces the whole block; one without any setting removes it.

    :raises NotImplementedYet: the block asks for something.
    """
    refuse(needs)
    return _with_extra(endpoint, AI_GATEWAY, dict(block) or None, now=now)


def change_system_metrics(endpoint: Endpoint, state: str | None, needs: Iterable[Capability], *, now: int) -> Endpoint:
    """
    :raises NotImplementedYet: the export is to be switched on.
    """
    refuse(needs)
    return _with_extra(endpoint, SYSTEM_METRICS, state, now=now)


def change_telemetry(endpoint: Endpoint, needs: Iterable[Capability]) -> Endpoint:
    """Taking telemetry away leaves everything as it is: no endpoint has any.

    :raises ResourceConflict: an update is running.
    :raises InvalidParameterValue: the endpoint has no config. Both with the words of Databricks.
    :raises NotImplementedYet: telemetry is asked for.
    """
    if endpoint.updating:
        raise ResourceConflict(
            f"Endpoint {endpoint.name} is currently updating. "
            "Wait for the update to complete before updating its telemetry configuration."
        )
    if endpoint.active is None and endpoint.pending is None:
        raise InvalidParameterValue(
            "Telemetry configuration is not supported for endpoint type 'NO_CONFIG'. "
            "This API only supports endpoints with custom served models."
        )
    refuse(needs)
    return endpoint


def _with_extra(endpoint: Endpoint, key: str, value: Any, *, now: int) -> Endpoint:
    extra = {name: each for name, each in endpoint.extra.items() if name != key}
    if value is not None:
        extra[key] = value
    return replace(endpoint, extra=extra, updated_at=now)
