"""From an accepted config to workers that serve, on virtual time: what a user sees, and what the machine has to do for it."""

from __future__ import annotations

import asyncio

import pytest

from lakeserve.domain import lifecycle
from lakeserve.domain.endpoint import DeploymentState, Ready, Route, UpdateState
from lakeserve.domain.lifecycle import Phase, phase
from lakeserve.domain.principal import AccessList
from lakeserve.ports.environments import EnvironmentFailed
from lakeserve.ports.models import ModelNotFound, ModelUnusable
from lakeserve.ports.store import StaleRevision, StoreTrouble, StoreUnavailable
from support.clock import settle, until, virtual
from support.controller import Controller, World, config_of, entity
from support.endpoints import an_endpoint

READY, FAILED, ABORTED = DeploymentState.READY, DeploymentState.FAILED, DeploymentState.ABORTED
CREATING, RECOVERING = DeploymentState.CREATING, DeploymentState.RECOVERING


@virtual
async def test_a_new_endpoint_becomes_ready_and_is_routed_to() -> None:
    it = await Controller().start()
    endpoint_id = await it.create(entity(units=3))
    endpoint = await it.ready(endpoint_id)
    assert phase(endpoint) is Phase.SERVING
    assert await it.states(endpoint_id) == {(1, "a"): READY}
    assert it.addresses() == [it.living()]
    assert len(it.living()) == 3
    assert it.routes().entities[0].concurrency == 3
    assert "Loading the model" in it.world.logs.read_build(endpoint_id, entity().fingerprint)


@virtual
async def test_every_step_can_be_seen_while_it_is_taken() -> None:
    it = await Controller().start()
    it.world.models.fetch_s = it.world.environments.build_s = it.world.workers.load_s = 10.0
    endpoint_id = await it.create(entity())
    seen = []
    for _ in range(3):
        await asyncio.sleep(9)
        seen.append(await it.message(endpoint_id, 1))
        assert await it.states(endpoint_id) == {(1, "a"): CREATING}
        assert it.routes().updating
        await asyncio.sleep(1)
    assert seen == [
        f"Fetching version 1 of {entity().entity_name}",
        "Building the model's environment",
        "Loading the model",
    ]
    assert (await it.ready(endpoint_id)).ready is Ready.READY


@virtual
async def test_the_first_worker_starts_alone_and_the_others_together() -> None:
    it = await Controller().start()
    it.world.workers.load_s = 10.0
    await it.create(entity(units=4))
    await asyncio.sleep(5)
    assert it.world.workers.starting == 1
    await asyncio.sleep(10)
    assert it.world.workers.starting == 3
    await asyncio.sleep(10)
    assert len(it.living()) == 4


FAILURES = [
    ("models", ModelNotFound("There is no version 1.")),
    ("models", ModelUnusable("It is no MLflow model.")),
    ("environments", EnvironmentFailed("No solution found.")),
    ("workers", "The model's process ended with exit status 3."),
    ("environments", RuntimeError("a bug")),
]


@pytest.mark.parametrize(("part", "failure"), FAILURES, ids=lambda value: str(value)[:20])
def test_a_first_deployment_that_fails_is_failed_at_once(part: str, failure: Exception | str) -> None:
    @virtual
    async def live() -> None:
        it = Controller()
        getattr(it.world, part).failures.append(failure)
        await it.start()
        endpoint_id = await it.create(entity())
        await until(lambda: is_in(it, endpoint_id, Phase.FAILED), 5)
        message = await it.message(endpoint_id, 1)
        assert ("internal error" in message) if isinstance(failure, RuntimeError) else (str(failure) == message)
        assert "a bug" not in message
        await asyncio.sleep(600)
        assert (it.world.models.fetches, len(it.world.workers.started)) <= (1, 1), "it is not tried again"
        assert it.routes().entities == ()

    live()


async def is_in(it: Controller, endpoint_id: str, wanted: Phase) -> bool:
    return phase(await it.get(endpoint_id)) is wanted


@virtual
async def test_one_failure_aborts_the_others_and_ends_their_workers() -> None:
    it = await Controller().start()
    endpoint_id = await it.create(entity("a", "1"), entity("b", "99"))
    await until(lambda: is_in(it, endpoint_id, Phase.FAILED), 5)
    await settle()
    assert await it.states(endpoint_id) == {(1, "a"): ABORTED, (1, "b"): FAILED}
    await asyncio.sleep(1)
    assert it.living() == set()


@virtual
async def test_a_registry_that_is_away_is_waited_for() -> None:
    it = Controller()
    it.world.models.away = True
    await it.start()
    endpoint_id = await it.create(entity())
    await asyncio.sleep(3_600)
    assert await it.message(endpoint_id, 1) == "Waiting for the model registry"
    it.world.models.away = False
    await it.ready(endpoint_id)


@virtual
async def test_an_update_is_published_before_the_former_workers_are_drained() -> None:
    it = await Controller().start()
    endpoint_id = await it.create(entity(units=2))
    await it.ready(endpoint_id)
    former = it.living()
    it.world.workers.load_s = it.world.workers.drain_s = 10.0
    await it.change(endpoint_id, "update", entity(version="2", units=2))
    await asyncio.sleep(19)
    assert it.addresses() == [former], "the former serve until all of the new ones do"
    assert it.routes().updating
    await asyncio.sleep(2)
    assert it.addresses()[0].isdisjoint(former)
    assert len(it.addresses()[0]) == 2
    assert len(it.world.workers.draining) == 2
    await asyncio.sleep(30)
    assert it.addresses() == [it.living()]
    assert phase(await it.get(endpoint_id)) is Phase.SERVING


@virtual
async def test_at_no_moment_is_a_route_published_to_a_worker_that_is_being_drained() -> None:
    it = await Controller().start()
    endpoint_id = await it.create(entity(units=2))
    await it.ready(endpoint_id)
    for version in ("2", "3", "2"):
        await it.change(endpoint_id, "update", entity(version=version, units=2))
        for _ in range(40):
            await asyncio.sleep(0.005)
            routed = set().union(*it.addresses())
            assert routed <= it.living()
            assert routed
    await it.ready(endpoint_id)


@virtual
async def test_a_failed_update_leaves_what_serves_alone() -> None:
    it = await Controller().start()
    endpoint_id = await it.create(entity(units=2))
    await it.ready(endpoint_id)
    serving, started = it.living(), len(it.world.workers.started)
    it.world.workers.failures.append("The model's process ended with exit status 3.")
    await it.change(endpoint_id, "update", entity(version="2"))
    await until(lambda: is_in(it, endpoint_id, Phase.UPDATE_FAILED), 5)
    assert await it.states(endpoint_id) == {(1, "a"): READY, (2, "a"): FAILED}
    assert it.addresses() == [serving]
    assert len(it.world.workers.started) == started + 1
    await it.change(endpoint_id, "update", entity(version="2"))
    assert (await it.ready(endpoint_id)).active.version == 3  # type: ignore[union-attr]


@virtual
async def test_an_update_that_never_gets_all_of_its_workers_up_has_failed() -> None:
    it = await Controller().start()
    endpoint_id = await it.create(entity(units=2))
    await it.ready(endpoint_id)
    serving = it.living()
    it.world.workers.failures += [None, *["The model's process was ended by SIGKILL."] * 3]
    await it.change(endpoint_id, "update", entity(version="2", units=2))
    await until(lambda: is_in(it, endpoint_id, Phase.UPDATE_FAILED), 60)
    assert await it.states(endpoint_id) == {(1, "a"): READY, (2, "a"): FAILED}
    await until(lambda: _only(it, serving), 60)


async def _only(it: Controller, workers: set[str]) -> bool:
    return it.living() == workers


@virtual
async def test_an_update_of_names_traffic_or_size_restarts_nothing() -> None:
    it = await Controller().start()
    endpoint_id = await it.create(entity("a", "1", units=2), entity("b", "2", units=2))
    await it.ready(endpoint_id)
    serving = it.living()
    routes = (Route("x", 90), Route("b", 10))
    await it.change(endpoint_id, "update", entity("x", "1", units=3), entity("b", "2", units=1), routes=routes)
    await it.ready(endpoint_id)
    assert [(e.name, e.percentage) for e in it.routes().entities] == [("x", 90), ("b", 10)]
    assert it.addresses()[0] & serving, "the same workers under another name"
    assert len(it.addresses()[0]) == 3
    assert len(it.world.workers.started) == 5
    await asyncio.sleep(301)
    assert len(it.addresses()[1]) == 1, "and what is no longer needed goes in time"


@virtual
async def test_two_entities_of_one_model_version_share_workers() -> None:
    it = await Controller().start()
    endpoint_id = await it.create(entity("a", units=2), entity("b", units=3))
    await it.ready(endpoint_id)
    assert it.addresses() == [it.living(), it.living()]
    assert len(it.living()) == 3


@virtual
async def test_a_canceled_update_ends_what_it_started() -> None:
    it = await Controller().start()
    endpoint_id = await it.create(entity())
    await it.ready(endpoint_id)
    serving = it.living()
    it.world.workers.load_s = 10.0
    await it.change(endpoint_id, "update", entity(version="2"))
    await asyncio.sleep(5)
    await it.change(endpoint_id, "cancel")
    await asyncio.sleep(20)
    assert it.world.workers.starting == 0
    assert it.living() == serving
    assert (await it.get(endpoint_id)).update is UpdateState.UPDATE_CANCELED


@virtual
async def test_stopped_and_started_again() -> None:
    it = await Controller().start()
    endpoint_id = await it.create(entity(units=2))
    await it.ready(endpoint_id)
    await it.change(endpoint_id, "stop")
    await until(lambda: not it.living(), 5)
    assert it.routes().stopped
    assert it.routes().entities == ()
    await asyncio.sleep(3_600)
    assert it.living() == set()
    await it.change(endpoint_id, "start")
    endpoint = await it.ready(endpoint_id)
    assert endpoint.active is not None
    assert endpoint.active.version == 2
    assert it.addresses() == [it.living()]
    assert not it.routes().stopped


@virtual
async def test_deleted_in_the_middle_of_creating() -> None:
    for moment in (0.0, 5.0, 15.0, 25.0, 35.0):
        it = Controller()
        it.world.models.fetch_s = it.world.environments.build_s = it.world.workers.load_s = 10.0
        await it.start()
        endpoint_id = await it.create(entity(units=2))
        await asyncio.sleep(moment)
        await it.delete(endpoint_id)
        await asyncio.sleep(1)
        assert (it.world.workers.starting, it.living()) == (0, set())
        assert it.publisher.table is not None
        assert it.publisher.table.endpoints == {}
        assert it.world.logs.removed == [endpoint_id]
        assert it.reconcilers._by_id == {}
        await it.stop()


@virtual
async def test_a_name_that_is_taken_again_at_once_is_not_withdrawn_by_its_former_owner() -> None:
    it = await Controller().start()
    first = await it.create(entity(units=2))
    await it.ready(first)
    it.world.workers.drain_s = 30.0
    await it.delete(first)
    again = an_endpoint("wine", id="f" * 32)
    added = await it.world.store.add(lifecycle.begin_update(again, config_of(1, entity()), now=1), AccessList())
    it.reconcilers.hint(added)
    await it.ready(added.id)
    await asyncio.sleep(60)
    assert it.routes().id == added.id
    assert it.addresses() == [it.living()]


# The store


@virtual
async def test_a_store_that_is_away_stops_nothing_that_serves_and_is_waited_for() -> None:
    it = await Controller().start()
    endpoint_id = await it.create(entity(units=2))
    await it.ready(endpoint_id)
    it.world.store.away = True
    await it.world.workers.lose(next(iter(it.world.workers.living.values())))
    await asyncio.sleep(60)
    assert len(it.living()) == 2, "the lost one was replaced"
    it.world.store.away = False
    await asyncio.sleep(2)
    assert it.addresses() == [it.living()]


@virtual
async def test_a_change_that_somebody_else_made_meanwhile_is_taken_in() -> None:
    it = await Controller().start()
    it.world.store.failures.extend(
        [StaleRevision("changed"), StoreUnavailable(StoreTrouble.FULL, "disk"), RuntimeError("bug")]
    )
    endpoint_id = await it.create(entity())
    await it.ready(endpoint_id)
    assert it.addresses() == [it.living()]


# A new life of the controller


@virtual
async def test_a_new_controller_takes_over_what_serves_and_restarts_nothing() -> None:
    world = World()
    first = await Controller(world).start()
    endpoint_id = await first.create(entity(units=3))
    await first.ready(endpoint_id)
    serving, started = first.living(), len(world.workers.started)
    await first.stop()
    second = await Controller(world).start()
    assert second.addresses() == [serving], "already in the first table that gateways get"
    await asyncio.sleep(10)
    assert (second.living(), len(world.workers.started)) == (serving, started)
    assert (await second.get(endpoint_id)).ready is Ready.READY


@virtual
async def test_a_new_controller_replaces_what_was_lost_and_kills_what_is_not_wanted() -> None:
    world = World()
    first = await Controller(world).start()
    kept, deleted = await first.create(entity(units=3)), await first.create(entity(), name="gone")
    await first.ready(kept)
    await first.ready(deleted)
    await first.stop()
    await world.store.delete(deleted)
    world.workers.living.pop(next(w.id for w in world.workers.living.values() if w.endpoint_id == kept))
    second = await Controller(world).start()
    await asyncio.sleep(5)
    assert {worker.endpoint_id for worker in world.workers.living.values()} == {kept}
    assert second.addresses() == [second.living()]
    assert len(second.living()) == 3


@virtual
async def test_a_new_controller_goes_on_with_an_update_that_its_predecessor_had_begun() -> None:
    world = World()
    first = await Controller(world).start()
    endpoint_id = await first.create(entity())
    await first.ready(endpoint_id)
    world.workers.load_s = 10.0
    await first.change(endpoint_id, "update", entity(version="2"))
    await asyncio.sleep(5)
    await first.stop()
    second = await Controller(world).start()
    await until(lambda: is_in(second, endpoint_id, Phase.SERVING), 30)
    assert (await second.get(endpoint_id)).active.version == 2  # type: ignore[union-attr]


@virtual
async def test_a_proven_endpoint_whose_workers_are_all_gone_recovers_without_failing() -> None:
    world = World()
    first = await Controller(world).start()
    endpoint_id = await first.create(entity())
    await first.ready(endpoint_id)
    await first.stop()
    world.workers.living.clear()
    world.workers.failing = "The model's process was ended by SIGKILL."
    second = await Controller(world).start()
    await asyncio.sleep(20)
    assert await second.states(endpoint_id) == {(1, "a"): RECOVERING}
    world.workers.failing = None
    await second.ready(endpoint_id)


@virtual
async def test_a_worker_that_is_lost_while_it_is_taken_over_is_replaced() -> None:
    world = World()
    first = await Controller(world).start()
    endpoint_id = await first.create(entity(units=2))
    await first.ready(endpoint_id)
    await first.stop()
    second = Controller(world)
    starting = asyncio.create_task(second.reconcilers.start())
    victim = next(iter(world.workers.living.values()))
    await until(lambda: second.reconcilers._by_id, step_s=0)
    await world.workers.lose(victim)
    await starting
    await asyncio.sleep(5)
    assert second.addresses() == [second.living()]
    assert len(second.living()) == 2
