"""The life of an endpoint: pure functions from one state to the next, and the table of all that can happen.

Every function takes an endpoint and returns a new one, so the life cycle can be read, drawn and tested without any
process. :data:`TRANSITIONS` is the whole of it: docs/internals/lifecycle.md is drawn from it, and a stateful test holds
the functions to it. A *phase* is derived from the stored fields, never stored itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum

from lakeserve.domain.endpoint import (
    Deployment,
    DeploymentKey,
    DeploymentState,
    Endpoint,
    EndpointConfig,
    Step,
    UpdateState,
)
from lakeserve.domain.errors import InvalidParameterValue, ResourceConflict


class Phase(StrEnum):
    """Where in its life an endpoint is."""

    EMPTY = "without a config"
    DEPLOYING = "first deployment"
    FAILED = "first deployment failed"
    CANCELED = "first deployment canceled"
    SERVING = "serving"
    UPDATING = "serving, update running"
    UPDATE_FAILED = "serving, update failed"
    UPDATE_CANCELED = "serving, update canceled"
    STOPPED = "stopped"
    STARTING = "starting after a stop"
    START_FAILED = "stopped, start failed"
    START_CANCELED = "stopped, start canceled"


class Event(StrEnum):
    UPDATE = "config update"
    READY = "all entities ready"
    FAIL = "an entity failed"
    CANCEL = "cancel"
    STOP = "stop"
    START = "start"


TRANSITIONS: Mapping[tuple[Phase, Event], Phase] = {
    (Phase.EMPTY, Event.UPDATE): Phase.DEPLOYING,
    (Phase.DEPLOYING, Event.READY): Phase.SERVING,
    (Phase.DEPLOYING, Event.FAIL): Phase.FAILED,
    (Phase.DEPLOYING, Event.CANCEL): Phase.CANCELED,
    (Phase.FAILED, Event.UPDATE): Phase.DEPLOYING,
    (Phase.CANCELED, Event.UPDATE): Phase.DEPLOYING,
    (Phase.SERVING, Event.UPDATE): Phase.UPDATING,
    (Phase.SERVING, Event.STOP): Phase.STOPPED,
    (Phase.UPDATING, Event.READY): Phase.SERVING,
    (Phase.UPDATING, Event.FAIL): Phase.UPDATE_FAILED,
    (Phase.UPDATING, Event.CANCEL): Phase.UPDATE_CANCELED,
    (Phase.UPDATE_FAILED, Event.UPDATE): Phase.UPDATING,
    (Phase.UPDATE_FAILED, Event.STOP): Phase.STOPPED,
    (Phase.UPDATE_CANCELED, Event.UPDATE): Phase.UPDATING,
    (Phase.UPDATE_CANCELED, Event.STOP): Phase.STOPPED,
    (Phase.STOPPED, Event.START): Phase.STARTING,
    (Phase.STOPPED, Event.UPDATE): Phase.STARTING,
    (Phase.STARTING, Event.READY): Phase.SERVING,
    (Phase.STARTING, Event.FAIL): Phase.START_FAILED,
    (Phase.STARTING, Event.CANCEL): Phase.START_CANCELED,
    (Phase.START_FAILED, Event.START): Phase.STARTING,
    (Phase.START_FAILED, Event.UPDATE): Phase.STARTING,
    (Phase.START_CANCELED, Event.START): Phase.STARTING,
    (Phase.START_CANCELED, Event.UPDATE): Phase.STARTING,
}
"""Every event that can happen in every phase; deletion can in all of them. What is missing here is refused."""


def phase(endpoint: Endpoint) -> Phase:
    """Where the endpoint is, from what is stored of it."""
    if endpoint.stopped:
        return {
            UpdateState.NOT_UPDATING: Phase.STOPPED,
            UpdateState.IN_PROGRESS: Phase.STARTING,
            UpdateState.UPDATE_FAILED: Phase.START_FAILED,
            UpdateState.UPDATE_CANCELED: Phase.START_CANCELED,
        }[endpoint.update]
    if endpoint.active is None:
        return {
            UpdateState.NOT_UPDATING: Phase.EMPTY,
            UpdateState.IN_PROGRESS: Phase.DEPLOYING,
            UpdateState.UPDATE_FAILED: Phase.FAILED,
            UpdateState.UPDATE_CANCELED: Phase.CANCELED,
        }[endpoint.update]
    return {
        UpdateState.NOT_UPDATING: Phase.SERVING,
        UpdateState.IN_PROGRESS: Phase.UPDATING,
        UpdateState.UPDATE_FAILED: Phase.UPDATE_FAILED,
        UpdateState.UPDATE_CANCELED: Phase.UPDATE_CANCELED,
    }[endpoint.update]


def begin_update(endpoint: Endpoint, config: EndpointConfig, *, now: int) -> Endpoint:
    """Put ``config`` beside the active one. The first config of a new endpoint goes the same way.

    :raises ResourceConflict: another update is running.
    """
    if endpoint.updating:
        raise ResourceConflict(f"Endpoint {endpoint.name} is currently updating.")
    started = {(config.version, entity.name): Deployment() for entity in config.entities}
    return replace(
        endpoint,
        pending=config,
        update=UpdateState.IN_PROGRESS,
        last_config_version=config.version,
        updated_at=now,
        deployments={**_of(endpoint, endpoint.active), **started},
    )


def observe(endpoint: Endpoint, observed: Mapping[DeploymentKey, Deployment], *, now: int) -> Endpoint:
    """Take in what the workers are doing, and end the update when that decides it. Unknown keys are ignored."""
    known = {key: observed.get(key, deployment) for key, deployment in endpoint.deployments.items()}
    if known != endpoint.deployments:
        endpoint = replace(endpoint, deployments=known)
    if endpoint.pending is None or not endpoint.updating:
        return endpoint
    states = {endpoint.deployment(endpoint.pending, entity).state for entity in endpoint.pending.entities}
    if DeploymentState.FAILED in states:
        return _end_update(endpoint, UpdateState.UPDATE_FAILED, "another served entity of the same update failed", now)
    if states <= {DeploymentState.READY}:
        return _promote(endpoint, endpoint.pending, now)
    return endpoint


def cancel(endpoint: Endpoint, *, now: int) -> Endpoint:
    """Give up the running update; the active config keeps serving.

    :raises ResourceConflict: none is running.
    """
    if not endpoint.updating:
        raise ResourceConflict(f"Endpoint {endpoint.name} has no update in progress.")
    return _end_update(endpoint, UpdateState.UPDATE_CANCELED, "the update was canceled", now)


def stop(endpoint: Endpoint, *, now: int) -> Endpoint:
    """End the workers and keep the config.

    :raises ResourceConflict: an update is running.
    :raises InvalidParameterValue: there is nothing to stop.
    """
    if endpoint.updating:
        raise ResourceConflict(f"Endpoint {endpoint.name} is currently updating.")
    if endpoint.active is None or endpoint.stopped:
        raise InvalidParameterValue(f"Endpoint {endpoint.name} is not running.")
    resting = Deployment(DeploymentState.ABORTED, "The endpoint is stopped.", Step.ENDED)
    return replace(
        endpoint,
        stopped=True,
        pending=None,
        update=UpdateState.NOT_UPDATING,
        updated_at=now,
        deployments=dict.fromkeys(_of(endpoint, endpoint.active), resting),
    )


def start(endpoint: Endpoint, *, now: int) -> Endpoint:
    """Deploy the config of a stopped endpoint again, as a new version with equal content.

    :raises ResourceConflict: an update is running.
    :raises InvalidParameterValue: it is not stopped.
    """
    if endpoint.updating:
        raise ResourceConflict(f"Endpoint {endpoint.name} is currently updating.")
    if endpoint.active is None or not endpoint.stopped:
        raise InvalidParameterValue(f"Endpoint {endpoint.name} is not stopped.")
    again = replace(endpoint.active, version=endpoint.last_config_version + 1, started_at=now)
    return begin_update(endpoint, again, now=now)


def _promote(endpoint: Endpoint, config: EndpointConfig, now: int) -> Endpoint:
    return replace(
        endpoint,
        active=config,
        pending=None,
        update=UpdateState.NOT_UPDATING,
        stopped=False,
        updated_at=now,
        deployments=_of(endpoint, config),
    )


def _end_update(endpoint: Endpoint, outcome: UpdateState, why: str, now: int) -> Endpoint:
    """The pending config stays visible with what became of its entities; nothing of it is deployed any more."""
    aborted = Deployment(DeploymentState.ABORTED, f"Aborted because {why}.", Step.ENDED)
    pending = {
        key: value if value.state is DeploymentState.FAILED else aborted
        for key, value in _of(endpoint, endpoint.pending).items()
    }
    return replace(endpoint, update=outcome, updated_at=now, deployments={**endpoint.deployments, **pending})


def _of(endpoint: Endpoint, config: EndpointConfig | None) -> dict[DeploymentKey, Deployment]:
    if config is None:
        return {}
    return {key: value for key, value in endpoint.deployments.items() if key[0] == config.version}
