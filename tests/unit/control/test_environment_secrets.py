"""Secrets in the environment of served entities: when they are resolved, and what happens when they cannot be, on virtual time."""

from __future__ import annotations

import asyncio

from lakeserve.domain.endpoint import DeploymentState, Ready, ServedEntity, UpdateState
from lakeserve.ports.secrets import SecretUnusable
from support.clock import until, virtual
from support.controller import Controller, entity

REFERENCE = "{{secrets/llm/k}}"
FAILED, RECOVERING = DeploymentState.FAILED, DeploymentState.RECOVERING


def using(creator_id: str = "7", **changes: object) -> ServedEntity:
    return entity(environment_vars={"KEY": REFERENCE}, creator_id=creator_id, **changes)


async def serving(units: int = 1) -> tuple[Controller, str]:
    it = Controller()
    it.world.secrets[REFERENCE] = "one"
    await it.start()
    endpoint_id = await it.create(using(units=units))
    await it.ready(endpoint_id)
    await asyncio.sleep(60)
    return it, endpoint_id


async def lose_one(it: Controller) -> None:
    await it.world.workers.lose(next(iter(it.world.workers.living.values())))


@virtual
async def test_workers_get_the_value_and_nothing_else_does() -> None:
    it, endpoint_id = await serving(units=2)
    assert it.world.workers.environments == [{"KEY": "one"}] * 2
    endpoint = await it.get(endpoint_id)
    assert endpoint.active is not None
    assert endpoint.active.entities[0].environment_vars == {"KEY": REFERENCE}
    assert "one" not in it.world.logs.read_build(endpoint_id, using().fingerprint).split()


@virtual
async def test_a_worker_that_starts_later_gets_the_value_of_then() -> None:
    it, _ = await serving()
    it.world.secrets[REFERENCE] = "two"
    await lose_one(it)
    await until(lambda: it.world.workers.environments == [{"KEY": "one"}, {"KEY": "two"}], 60)


@virtual
async def test_a_first_deployment_without_its_secret_fails_and_says_why() -> None:
    it = Controller()
    it.world.secrets[REFERENCE] = SecretUnusable("Environment variable KEY refers to nothing.")
    await it.start()
    endpoint_id = await it.create(using())
    await until(lambda: _failed(it, endpoint_id), 60)
    assert await it.states(endpoint_id) == {(1, "a"): FAILED}
    assert await it.message(endpoint_id, 1) == "Environment variable KEY refers to nothing."
    assert it.world.workers.started == []


async def _failed(it: Controller, endpoint_id: str) -> bool:
    return (await it.get(endpoint_id)).update is UpdateState.UPDATE_FAILED


@virtual
async def test_what_has_served_tries_again_until_the_secret_is_back() -> None:
    it, endpoint_id = await serving()
    it.world.secrets[REFERENCE] = SecretUnusable("It is gone.")
    await lose_one(it)
    await asyncio.sleep(300)
    assert await it.states(endpoint_id) == {(1, "a"): RECOVERING}
    assert await it.message(endpoint_id, 1) == "Trying again: It is gone."

    it.world.secrets[REFERENCE] = "back"
    await asyncio.sleep(300)
    assert (await it.get(endpoint_id)).ready is Ready.READY
    assert it.world.workers.environments[-1] == {"KEY": "back"}


@virtual
async def test_workers_that_run_are_left_alone_when_the_secret_goes() -> None:
    it, endpoint_id = await serving(units=2)
    it.world.secrets[REFERENCE] = SecretUnusable("It is gone.")
    await asyncio.sleep(300)
    await lose_one(it)
    await asyncio.sleep(300)
    assert (await it.get(endpoint_id)).ready is Ready.READY
    assert len(it.living()) == 1


@virtual
async def test_the_rights_of_the_newest_config_count_although_nothing_restarts() -> None:
    it, endpoint_id = await serving()
    await it.change(endpoint_id, "update", using(creator_id="8"))
    await it.ready(endpoint_id)
    assert len(it.world.workers.started) == 1

    await lose_one(it)
    await until(lambda: it.world.resolved_for == ["7", "8"], 60)
