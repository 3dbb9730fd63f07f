"""Tags, notifications and blocks that ask for nothing; and that what asks for more is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lakeserve.domain import changes
from lakeserve.domain.endpoint import Endpoint, EndpointConfig, Tag, UpdateState
from lakeserve.domain.errors import InvalidParameterValue, NotImplementedYet, ResourceConflict
from lakeserve.domain.requested import Capability

CONFIG = EndpointConfig(version=1, entities=(), routes=(), started_at=1)
ENDPOINT = Endpoint(
    id="i",
    name="e",
    creator="c",
    created_at=1,
    updated_at=1,
    active=CONFIG,
    tags=(Tag("a", "1"), Tag("b"), Tag("c", "")),
)


def test_tags_are_replaced_in_their_places_added_behind_and_deleted_by_key() -> None:
    changed = changes.change_tags(ENDPOINT, (Tag("d"), Tag("b", "2")), ["a", "not there"], now=7)
    assert changed.tags == (Tag("b", "2"), Tag("c", ""), Tag("d"))
    assert (changed.updated_at, changed.active) == (7, CONFIG)


@pytest.mark.parametrize("added", [(Tag(""),), (Tag("x"), Tag("x", "2")), (Tag("gone"),)])
def test_tags_that_contradict_themselves_are_refused(added: tuple[Tag, ...]) -> None:
    with pytest.raises(InvalidParameterValue):
        changes.change_tags(ENDPOINT, added, ["gone"], now=7)


def test_notifications_are_replaced_whole() -> None:
    told = changes.change_notifications(ENDPOINT, {"on_update_failure": ["a@b"]}, now=7)
    assert told.notifications == {"on_update_failure": ["a@b"]}
    assert changes.change_notifications(told, None, now=8).notifications == {}


def test_a_gateway_block_that_asks_for_nothing_is_kept_and_an_empty_one_takes_it_away() -> None:
    off = {"usage_tracking_config": {"enabled": False}}
    kept = changes.change_ai_gateway(ENDPOINT, off, [], now=7)
    assert kept.extra == {"ai_gateway": off}
    assert changes.change_ai_gateway(kept, {}, [], now=8).extra == {}


def test_what_asks_for_more_is_refused() -> None:
    with pytest.raises(NotImplementedYet, match="ai_gateway"):
        changes.change_ai_gateway(ENDPOINT, {"x": 1}, [Capability.AI_GATEWAY], now=7)
    with pytest.raises(NotImplementedYet, match="telemetry_config"):
        changes.change_telemetry(ENDPOINT, [Capability.TELEMETRY])
    with pytest.raises(NotImplementedYet, match="system metrics"):
        changes.change_system_metrics(ENDPOINT, "x", [Capability.SYSTEM_METRICS_EXPORT], now=7)


def test_telemetry_needs_a_config_and_no_running_update() -> None:
    assert changes.change_telemetry(ENDPOINT, []) is ENDPOINT
    with pytest.raises(InvalidParameterValue, match="endpoint type 'NO_CONFIG'"):
        changes.change_telemetry(replace(ENDPOINT, active=None), [])
    with pytest.raises(ResourceConflict, match="e is currently updating"):
        changes.change_telemetry(replace(ENDPOINT, update=UpdateState.IN_PROGRESS), [Capability.TELEMETRY])
