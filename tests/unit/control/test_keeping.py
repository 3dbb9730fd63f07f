"""What serves is kept serving: lost workers, back-off, growing, shrinking and sleeping, on virtual time."""

from __future__ import annotations

import asyncio

import pytest

from lakeserve.control.backoff import Backoff
from lakeserve.domain.endpoint import DeploymentState, Ready
from support.clock import ManualClock, settle, until, virtual
from support.controller import SCALING, Controller, World, entity

READY, RECOVERING = DeploymentState.READY, DeploymentState.RECOVERING


async def serving(units: int | tuple[int, int] = 1, **changes: object) -> tuple[Controller, str]:
    """A controller with one endpoint that has been serving for a while."""
    it = await Controller().start()
    endpoint_id = await it.create(entity(units=units, **changes))
    await it.ready(endpoint_id)
    await asyncio.sleep(60)
    return it, endpoint_id


async def lose(it: Controller, count: int = 1) -> None:
    for worker in list(it.world.workers.living.values())[:count]:
        await it.world.workers.lose(worker)


@virtual
async def test_a_lost_worker_is_replaced_at_once() -> None:
    it, endpoint_id = await serving(units=3)
    await lose(it)
    await settle()
    assert len(it.addresses()[0]) == 3
    assert it.addresses() == [it.living()]
    assert (await it.get(endpoint_id)).ready is Ready.READY


@virtual
async def test_when_all_are_lost_it_recovers_at_once_and_says_so() -> None:
    it, endpoint_id = await serving(units=4)
    it.world.workers.load_s = 5.0
    await lose(it, 4)
    await asyncio.sleep(1)
    assert await it.states(endpoint_id) == {(1, "a"): RECOVERING}
    assert (await it.get(endpoint_id)).ready is Ready.NOT_READY
    assert it.addresses() == [set()]
    assert it.world.workers.starting == 1, "four losses at once are no reason to wait"
    await asyncio.sleep(10)
    assert (await it.get(endpoint_id)).ready is Ready.READY
    assert len(it.living()) == 4


@virtual
async def test_the_log_says_what_happened() -> None:
    it, endpoint_id = await serving()
    worker = next(iter(it.world.workers.living.values()))
    await it.world.workers.lose(worker, "The model's process ended with exit status 9.")
    log = it.world.logs.read_build(endpoint_id, entity().fingerprint)
    assert "exit status 9" in log


@virtual
async def test_a_model_that_no_longer_loads_is_tried_again_at_most_a_dozen_times_in_ten_minutes() -> None:
    it, endpoint_id = await serving()
    it.world.workers.failing = "The model's process ended with exit status 3."
    before = len(it.world.workers.started)
    await lose(it)
    await asyncio.sleep(600)
    assert 5 <= len(it.world.workers.started) - before <= 12
    assert await it.states(endpoint_id) == {(1, "a"): RECOVERING}
    assert "exit status 3" in await it.message(endpoint_id, 1)
    it.world.workers.failing = None
    await asyncio.sleep(125)
    assert (await it.get(endpoint_id)).ready is Ready.READY


@virtual
async def test_a_model_that_fails_slowly_is_not_taken_for_a_stable_one() -> None:
    it, _ = await serving()
    it.world.workers.failing = "The model's process ended with exit status 3."
    it.world.workers.load_s = 40.0
    before = len(it.world.workers.started)
    await lose(it)
    await asyncio.sleep(600)
    assert len(it.world.workers.started) - before <= 12


@virtual
async def test_a_model_that_dies_right_after_each_start_is_started_at_most_a_dozen_times_in_ten_minutes() -> None:
    it = await Controller().start()
    await it.create(entity())
    end = it.clock.monotonic() + 600
    while it.clock.monotonic() < end:
        await lose(it)
        await asyncio.sleep(0.1)
    assert 5 <= len(it.world.workers.started) <= 12


@virtual
async def test_an_environment_that_breaks_later_is_tried_again() -> None:
    world = World()
    first = await Controller(world).start()
    endpoint_id = await first.create(entity())
    await first.ready(endpoint_id)
    await first.stop()
    world.workers.living.clear()
    world.environments.failures.append(RuntimeError("a bug"))
    second = await Controller(world).start()
    await until(lambda: len(world.workers.living) == 1, 30)
    assert (await second.ready(endpoint_id)).ready is Ready.READY


def test_back_off_grows_to_its_cap_and_starts_over_after_a_stable_while() -> None:
    clock = ManualClock()
    backoff = Backoff(clock)
    pauses = []
    for _ in range(10):
        backoff.attempt()
        backoff.lost()
        pauses.append(backoff.pause_s())
        clock.now += pauses[-1]
        assert backoff.pause_s() == pytest.approx(0.0)
    assert pauses == pytest.approx([0, 1, 2, 4, 8, 16, 32, 64, 120, 120])
    backoff.attempt()
    backoff.serving()
    clock.now += 29
    backoff.lost()
    assert backoff.pause_s() == pytest.approx(120)
    backoff.attempt()
    backoff.serving()
    clock.now += 30
    backoff.lost()
    assert backoff.pause_s() == 0


def test_back_off_counts_what_is_lost_together_once() -> None:
    clock = ManualClock()
    backoff = Backoff(clock)
    for _ in range(4):
        backoff.lost()
    assert backoff.pause_s() == 0


# Growing and shrinking


@virtual
async def test_grows_when_requests_wait_and_shrinks_when_they_no_longer_do() -> None:
    it, endpoint_id = await serving(units=(2, 8))
    assert len(it.living()) == 2
    it.reports(endpoint_id, in_flight=2, queued=4)
    await settle()
    assert len(it.addresses()[0]) == 6
    it.reports(endpoint_id, requests=6)
    await asyncio.sleep(SCALING.scale_down_s - 10)
    assert len(it.living()) == 6
    await asyncio.sleep(20)
    assert len(it.living()) == 2
    assert it.addresses() == [it.living()]


@virtual
async def test_never_grows_beyond_its_bound() -> None:
    it, endpoint_id = await serving(units=(1, 4))
    it.reports(endpoint_id, in_flight=1, queued=500)
    await asyncio.sleep(5)
    assert len(it.living()) == 4


@virtual
async def test_workers_that_were_starting_when_it_shrank_do_not_stay() -> None:
    it, endpoint_id = await serving(units=(1, 4))
    it.world.workers.load_s = SCALING.scale_down_s + 60.0
    it.reports(endpoint_id, in_flight=1, queued=3)
    await settle()
    assert it.world.workers.starting == 3
    it.reports(endpoint_id, requests=4)
    await asyncio.sleep(SCALING.scale_down_s + 70.0)
    assert it.world.workers.starting == 0
    assert len(it.living()) == 1
    assert it.addresses() == [it.living()]


@virtual
async def test_the_routes_name_no_worker_that_is_given_up() -> None:
    it, endpoint_id = await serving(units=(1, 8))
    it.reports(endpoint_id, in_flight=1, queued=7)
    await asyncio.sleep(5)
    it.reports(endpoint_id, requests=8)
    it.world.workers.drain_s = 100.0
    await until(lambda: it.world.workers.draining, SCALING.scale_down_s + 10)
    await settle()
    assert it.addresses() == [it.living()]


# Sleeping and waking


async def asleep(units: int | tuple[int, int] = (1, 4)) -> tuple[Controller, str]:
    it, endpoint_id = await serving(units=units, scale_to_zero=True)
    await asyncio.sleep(SCALING.scale_to_zero_s)
    assert it.living() == set()
    return it, endpoint_id


@virtual
async def test_sleeps_after_a_quiet_while_and_stays_ready() -> None:
    it, endpoint_id = await asleep()
    endpoint = await it.get(endpoint_id)
    assert endpoint.ready is Ready.READY
    assert endpoint.deployments[1, "a"].message == "Scaled to zero"
    assert it.addresses() == [set()]
    await asyncio.sleep(36_000)
    assert it.living() == set()


@virtual
async def test_one_start_wakes_it_however_many_wait() -> None:
    it, endpoint_id = await asleep()
    it.world.workers.load_s = 10.0
    before = len(it.world.workers.started)
    for gateway in range(5):
        for _ in range(20):
            it.reports(endpoint_id, gateway=f"g{gateway}", queued=10)
            await asyncio.sleep(0.05)
    assert (it.world.workers.starting, len(it.world.workers.started) - before) == (1, 1)
    assert (await it.get(endpoint_id)).ready is Ready.READY
    await asyncio.sleep(30)
    assert len(it.living()) == 4
    assert it.addresses() == [it.living()]


@virtual
async def test_falls_asleep_again_after_it_was_woken() -> None:
    it, endpoint_id = await asleep()
    it.reports(endpoint_id, queued=1)
    await asyncio.sleep(1)
    it.reports(endpoint_id, requests=1)
    assert len(it.living()) == 1
    await asyncio.sleep(SCALING.scale_to_zero_s + 5)
    assert it.living() == set()


@virtual
async def test_a_worker_that_is_still_starting_when_everybody_has_left_does_not_keep_it_awake() -> None:
    it, endpoint_id = await asleep()
    it.world.workers.load_s = SCALING.scale_to_zero_s + 60.0
    it.reports(endpoint_id, queued=1)
    await settle()
    it.reports(endpoint_id, requests=1)
    await asyncio.sleep(SCALING.scale_to_zero_s + 70.0)
    assert it.world.workers.starting == 0
    assert it.living() == set()
    assert (await it.get(endpoint_id)).deployments[1, "a"].message == "Scaled to zero"


@virtual
async def test_one_that_fails_to_wake_recovers() -> None:
    it, endpoint_id = await asleep()
    it.world.workers.failures.extend(["The model's process was ended by SIGKILL."] * 2)
    it.reports(endpoint_id, queued=1)
    await asyncio.sleep(0.5)
    assert await it.states(endpoint_id) == {(1, "a"): RECOVERING}
    await asyncio.sleep(5)
    assert (await it.get(endpoint_id)).ready is Ready.READY
    assert len(it.living()) >= 1


@virtual
async def test_a_config_that_no_longer_allows_it_wakes_it() -> None:
    it, endpoint_id = await asleep()
    await it.change(endpoint_id, "update", entity(units=(2, 4)))
    await asyncio.sleep(5)
    assert len(it.living()) == 2


@virtual
async def test_without_permission_to_sleep_it_never_does() -> None:
    it, _ = await serving(units=(0, 4))
    await asyncio.sleep(10 * SCALING.scale_to_zero_s)
    assert len(it.living()) == 1


@virtual
async def test_requests_that_take_long_keep_it_awake() -> None:
    it, endpoint_id = await serving(units=(1, 4), scale_to_zero=True)
    for _ in range(100):
        it.reports(endpoint_id, in_flight=1)
        await asyncio.sleep(SCALING.scale_to_zero_s / 10)
        assert len(it.living()) == 1
