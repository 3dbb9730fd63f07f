"""The life cycle's functions against its table, and against a model of an endpoint that is nothing but that table."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from lakeserve.domain import lifecycle
from lakeserve.domain.endpoint import (
    Deployment,
    DeploymentState,
    Endpoint,
    EndpointConfig,
    Ready,
    Step,
    UpdateState,
)
from lakeserve.domain.errors import LakeserveError
from lakeserve.domain.lifecycle import TRANSITIONS, Event, Phase
from support.endpoints import a_config, an_endpoint, an_entity

READY = Deployment(DeploymentState.READY, "", Step.SERVING)
FAILED = Deployment(DeploymentState.FAILED, "The model could not be loaded.", Step.ENDED)
LOADING = Deployment(DeploymentState.CREATING, "Loading the model", Step.STARTING_WORKERS)
RECOVERING = Deployment(DeploymentState.RECOVERING, "Starting again", Step.STARTING_WORKERS)
ENTITIES = (an_entity("a"), an_entity("b"))


def config_for(endpoint: Endpoint) -> EndpointConfig:
    return a_config(endpoint.last_config_version + 1, *ENTITIES)


def apply(endpoint: Endpoint, event: Event, now: int = 5_000) -> Endpoint:
    """What the use cases and the reconciler do for an event."""
    match event:
        case Event.UPDATE:
            return lifecycle.begin_update(endpoint, config_for(endpoint), now=now)
        case Event.CANCEL:
            return lifecycle.cancel(endpoint, now=now)
        case Event.STOP:
            return lifecycle.stop(endpoint, now=now)
        case Event.START:
            return lifecycle.start(endpoint, now=now)
        case Event.READY:
            return lifecycle.observe(endpoint, dict.fromkeys(endpoint.deployments, READY), now=now)
        case Event.FAIL:
            assert endpoint.pending is not None
            return lifecycle.observe(endpoint, {(endpoint.pending.version, "b"): FAILED}, now=now)


def ways() -> dict[Phase, tuple[Event, ...]]:
    """A shortest way from a new endpoint to every phase, found in the table alone."""
    found: dict[Phase, tuple[Event, ...]] = {Phase.EMPTY: ()}
    queue = [Phase.EMPTY]
    for phase in queue:
        for (source, event), target in TRANSITIONS.items():
            if source is phase and target not in found:
                found[target] = (*found[phase], event)
                queue.append(target)
    return found


def in_phase(phase: Phase) -> Endpoint:
    endpoint = an_endpoint()
    for event in ways()[phase]:
        endpoint = apply(endpoint, event)
    return endpoint


def test_every_phase_can_be_reached_and_left() -> None:
    assert set(ways()) == set(Phase)
    assert {source for source, _ in TRANSITIONS} == set(Phase)


@pytest.mark.parametrize("phase", Phase, ids=str)
def test_a_phase_is_what_its_way_leads_to(phase: Phase) -> None:
    assert lifecycle.phase(in_phase(phase)) is phase


@pytest.mark.parametrize(("source", "event"), TRANSITIONS, ids=str)
def test_what_is_in_the_table_happens(source: Phase, event: Event) -> None:
    assert lifecycle.phase(apply(in_phase(source), event)) is TRANSITIONS[source, event]


REFUSABLE = (Event.UPDATE, Event.CANCEL, Event.STOP, Event.START)


@pytest.mark.parametrize(
    ("source", "event"), [pair for pair in product(Phase, REFUSABLE) if pair not in TRANSITIONS], ids=str
)
def test_what_is_not_in_the_table_is_refused(source: Phase, event: Event) -> None:
    endpoint = in_phase(source)
    with pytest.raises(LakeserveError) as refused:
        apply(endpoint, event)
    assert refused.value.status in (400, 409)
    assert endpoint.name in refused.value.message
    assert endpoint == in_phase(source)


NOT_UPDATING = [phase for phase in Phase if (phase, Event.READY) not in TRANSITIONS]


@pytest.mark.parametrize("phase", NOT_UPDATING, ids=str)
@pytest.mark.parametrize("seen", [READY, FAILED, RECOVERING])
def test_without_an_update_what_is_observed_changes_no_phase(phase: Phase, seen: Deployment) -> None:
    endpoint = in_phase(phase)
    observed = lifecycle.observe(endpoint, dict.fromkeys(endpoint.deployments, seen), now=9_000)
    assert lifecycle.phase(observed) is phase
    assert (observed.active, observed.pending, observed.updated_at) == (
        endpoint.active,
        endpoint.pending,
        endpoint.updated_at,
    )


def test_what_belongs_to_no_config_is_not_observed() -> None:
    endpoint = in_phase(Phase.SERVING)
    assert lifecycle.observe(endpoint, {(99, "a"): READY, (1, "unknown"): FAILED}, now=9_000) is endpoint


def test_observing_the_same_again_gives_the_very_same_endpoint() -> None:
    endpoint = lifecycle.observe(in_phase(Phase.UPDATING), {(2, "a"): LOADING}, now=9_000)
    assert lifecycle.observe(endpoint, dict(endpoint.deployments), now=9_999) is endpoint


def test_a_failed_update_keeps_serving_and_shows_what_became_of_each_entity() -> None:
    endpoint = in_phase(Phase.UPDATING)
    failed = lifecycle.observe(endpoint, {(2, "a"): LOADING, (2, "b"): FAILED}, now=7_000)
    assert failed.ready is Ready.READY
    assert failed.active == endpoint.active
    assert failed.deployments[2, "b"] == FAILED
    assert failed.deployments[2, "a"].state is DeploymentState.ABORTED
    assert "failed" in failed.deployments[2, "a"].message
    assert [config.version for config, _ in failed.desired()] == [1, 1]


def test_a_canceled_update_wants_nothing_of_it_any_more() -> None:
    canceled = in_phase(Phase.UPDATE_CANCELED)
    assert {config.version for config, _ in canceled.desired()} == {1}
    assert {d.state for key, d in canceled.deployments.items() if key[0] == 2} == {DeploymentState.ABORTED}


def test_an_update_that_replaces_a_failed_one_forgets_it() -> None:
    again = apply(in_phase(Phase.UPDATE_FAILED), Event.UPDATE)
    assert {version for version, _ in again.deployments} == {1, 3}


def test_a_failure_of_the_active_config_does_not_fail_an_update() -> None:
    endpoint = in_phase(Phase.UPDATING)
    seen = {(1, "a"): FAILED, (1, "b"): RECOVERING, (2, "a"): LOADING, (2, "b"): READY}
    observed = lifecycle.observe(endpoint, seen, now=7_000)
    assert lifecycle.phase(observed) is Phase.UPDATING
    assert observed.ready is Ready.NOT_READY


def test_a_stopped_endpoint_wants_nothing_and_starts_with_the_same_content() -> None:
    stopped = in_phase(Phase.STOPPED)
    assert list(stopped.desired()) == []
    assert stopped.ready is Ready.NOT_READY
    assert stopped.active is not None
    starting = lifecycle.start(stopped, now=8_000)
    assert starting.pending == replace(stopped.active, version=stopped.last_config_version + 1, started_at=8_000)
    assert {config.version for config, _ in starting.desired()} == {2}


class LifeOfAnEndpoint(RuleBasedStateMachine):
    """Any sequence of what can happen. The model is the phase and the two versions; the table says where a phase leads."""

    @initialize()
    def new(self) -> None:
        self.endpoint = an_endpoint()
        self.phase = Phase.EMPTY
        self.active: int | None = None
        self.pending: int | None = None
        self.last_version = 0
        self.now = 1_000

    @rule(event=st.sampled_from(REFUSABLE))
    def ask(self, event: Event) -> None:
        self.now += 1
        target = TRANSITIONS.get((self.phase, event))
        before = self.endpoint
        if target is None:
            with pytest.raises(LakeserveError):
                apply(before, event, self.now)
            return
        self.endpoint = apply(before, event, self.now)
        assert self.endpoint.updated_at == self.now
        self._follow(event, target)

    @rule(
        seen=st.lists(st.sampled_from([READY, FAILED, LOADING, RECOVERING]), min_size=4, max_size=4),
        strangers=st.booleans(),
    )
    def observe(self, seen: list[Deployment], strangers: bool) -> None:
        self.now += 1
        wanted = [(config.version, entity.name) for config, entity in self.endpoint.desired()]
        observed = dict(zip(wanted, seen, strict=False))
        pending = [observed[key] for key in wanted if key[0] == self.pending]
        more = {(77, "stranger"): FAILED} if strangers else {}
        self.endpoint = lifecycle.observe(self.endpoint, {**observed, **more}, now=self.now)
        if (self.phase, Event.READY) not in TRANSITIONS:
            return
        if FAILED in pending:
            self._follow(Event.FAIL, TRANSITIONS[self.phase, Event.FAIL])
        elif all(deployment is READY for deployment in pending):
            self._follow(Event.READY, TRANSITIONS[self.phase, Event.READY])

    def _follow(self, event: Event, target: Phase) -> None:
        self.phase = target
        if event in (Event.UPDATE, Event.START):
            self.last_version += 1
            self.pending = self.last_version
        elif event is Event.READY:
            self.active, self.pending = self.pending, None
        elif event is Event.STOP:
            self.pending = None

    @invariant()
    def is_where_the_model_is(self) -> None:
        endpoint = self.endpoint
        assert lifecycle.phase(endpoint) is self.phase
        assert (endpoint.active and endpoint.active.version) == self.active
        assert (endpoint.pending and endpoint.pending.version) == self.pending
        assert endpoint.last_config_version == self.last_version

    @invariant()
    def is_whole(self) -> None:
        endpoint = self.endpoint
        versions = {config.version for config in (endpoint.active, endpoint.pending) if config is not None}
        assert {version for version, _ in endpoint.deployments} == versions
        assert len(endpoint.deployments) == len(ENTITIES) * len(versions)
        assert endpoint.updating == (self.phase in (Phase.DEPLOYING, Phase.UPDATING, Phase.STARTING))
        if endpoint.update in (UpdateState.UPDATE_FAILED, UpdateState.UPDATE_CANCELED):
            assert endpoint.pending is not None
        wanted = {config.version for config, _ in endpoint.desired()}
        serving = set() if endpoint.stopped or endpoint.active is None else {endpoint.active.version}
        assert wanted == serving | ({endpoint.pending.version} if endpoint.updating and endpoint.pending else set())

    @invariant()
    def is_ready_when_all_of_the_active_config_is(self) -> None:
        endpoint = self.endpoint
        states = {d.state for key, d in endpoint.deployments.items() if key[0] == self.active}
        serves = bool(states) and not endpoint.stopped and states == {DeploymentState.READY}
        assert endpoint.ready is (Ready.READY if serves else Ready.NOT_READY)


TestLifeOfAnEndpoint = LifeOfAnEndpoint.TestCase
TestLifeOfAnEndpoint.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
