"""What every endpoint store does, whatever it is made of."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakeserve.domain.endpoint import Deployment, Endpoint, Tag, UpdateState
from lakeserve.domain.lifecycle import begin_update
from lakeserve.domain.principal import AccessList, Level
from lakeserve.ports.store import EndpointStore, NameTaken, StaleRevision
from support import endpoints as any_
from support.endpoints import a_config, an_endpoint, an_entity
from support.stores import KINDS, Stores

NOBODY = AccessList()
ADA_MANAGES = AccessList(principals={"ada@example.com": Level.CAN_MANAGE}, groups={"users": Level.CAN_QUERY})


@pytest.fixture
def store(stores: Stores) -> EndpointStore:
    return stores.endpoints


async def test_a_new_endpoint_has_revision_1_and_is_found_by_id_and_name(store: EndpointStore) -> None:
    added = await store.add(an_endpoint("wine", revision=7), NOBODY)

    assert added == an_endpoint("wine", revision=1)
    assert await store.get(added.id) == added
    assert await store.find("wine") == added


async def test_what_was_never_added_is_not_found(store: EndpointStore) -> None:
    assert await store.get("nothing") is None
    assert await store.find("nothing") is None
    assert await store.list() == []
    assert await store.access("nothing") == NOBODY
    assert await store.delete("nothing") is False


async def test_names_are_matched_exactly(store: EndpointStore) -> None:
    added = [await store.add(an_endpoint(name), NOBODY) for name in ("wine", "Wine", "wine ", "wi%", "wine\u0301")]

    assert [await store.find(endpoint.name) for endpoint in added] == added
    assert await store.find("w%") is None


async def test_a_name_in_use_is_refused_and_nothing_of_it_is_stored(store: EndpointStore) -> None:
    first = await store.add(an_endpoint("wine"), NOBODY)
    second = an_endpoint("wine", id="another")

    with pytest.raises(NameTaken):
        await store.add(second, ADA_MANAGES)

    assert await store.list() == [first]
    assert await store.access("another") == NOBODY


async def test_an_id_in_use_is_refused(store: EndpointStore) -> None:
    first = await store.add(an_endpoint("wine"), ADA_MANAGES)

    with pytest.raises(ValueError, match="in use"):
        await store.add(replace(first, name="beer"), NOBODY)

    assert await store.list() == [first]
    assert await store.access(first.id) == ADA_MANAGES


async def test_of_adds_of_one_name_at_once_one_wins(store: EndpointStore) -> None:
    outcomes = await asyncio.gather(
        *(store.add(an_endpoint("wine", id=f"id-{number}"), NOBODY) for number in range(8)), return_exceptions=True
    )

    assert sum(isinstance(outcome, NameTaken) for outcome in outcomes) == 7
    assert await store.list() == [outcome for outcome in outcomes if isinstance(outcome, Endpoint)]


async def test_saving_replaces_the_state_and_counts_the_revision(store: EndpointStore) -> None:
    added = await store.add(an_endpoint(), NOBODY)
    changed = replace(begin_update(added, a_config(), now=2_000), tags=(Tag("team", "wine"),))

    saved = await store.save(changed)

    assert saved == replace(changed, revision=2)
    assert await store.get(added.id) == saved
    assert await store.save(saved) == replace(saved, revision=3)


async def test_a_writer_that_read_an_older_state_is_refused(store: EndpointStore) -> None:
    added = await store.add(an_endpoint(), NOBODY)
    saved = await store.save(replace(added, description="newer"))

    with pytest.raises(StaleRevision):
        await store.save(replace(added, description="older"))
    with pytest.raises(StaleRevision):
        await store.save(replace(added, description="from the future", revision=3))

    assert await store.get(added.id) == saved


async def test_of_saves_at_once_exactly_one_wins(store: EndpointStore) -> None:
    added = await store.add(an_endpoint(), NOBODY)

    outcomes = await asyncio.gather(
        *(store.save(replace(added, description=f"writer {number}")) for number in range(8)), return_exceptions=True
    )

    winners = [outcome for outcome in outcomes if isinstance(outcome, Endpoint)]
    assert len(winners) == 1
    assert sum(isinstance(outcome, StaleRevision) for outcome in outcomes) == 7
    assert await store.get(added.id) == winners[0]


async def test_saving_a_deleted_endpoint_is_refused(store: EndpointStore) -> None:
    added = await store.add(an_endpoint(), NOBODY)
    await store.delete(added.id)

    with pytest.raises(StaleRevision):
        await store.save(added)
    assert await store.get(added.id) is None


async def test_a_rename_frees_the_old_name_and_respects_the_others(store: EndpointStore) -> None:
    wine = await store.add(an_endpoint("wine"), NOBODY)
    beer = await store.add(an_endpoint("beer"), NOBODY)

    with pytest.raises(NameTaken):
        await store.save(replace(wine, name="beer"))
    assert await store.get(wine.id) == wine

    renamed = await store.save(replace(wine, name="cider"))
    assert await store.find("wine") is None
    assert await store.find("cider") == renamed
    assert await store.find("beer") == beer


async def test_deletion_frees_the_name_and_keeps_the_access_list_readable(store: EndpointStore) -> None:
    added = await store.add(an_endpoint(), ADA_MANAGES)

    assert await store.delete(added.id) is True
    assert await store.delete(added.id) is False

    assert await store.get(added.id) is None
    assert await store.find(added.name) is None
    assert await store.list() == []
    assert await store.access(added.id) == ADA_MANAGES


async def test_an_endpoint_made_anew_under_the_same_name_starts_from_nothing(store: EndpointStore) -> None:
    old = await store.add(an_endpoint("wine", id="old"), ADA_MANAGES)
    old = await store.save(begin_update(old, a_config(), now=2_000))
    await store.delete("old")

    new = await store.add(an_endpoint("wine", id="new"), NOBODY)

    assert new == an_endpoint("wine", id="new", revision=1)
    assert await store.find("wine") == new
    assert await store.access("new") == NOBODY
    with pytest.raises(StaleRevision):
        await store.save(old)
    assert await store.delete("old") is False
    assert await store.find("wine") == new


async def test_the_list_is_oldest_first_and_by_id_within_a_millisecond(store: EndpointStore) -> None:
    for name, created_at in (("c", 3), ("z", 1), ("b", 2), ("a", 2)):
        await store.add(an_endpoint(name, id=name, created_at=created_at), NOBODY)
    await store.save(replace(an_endpoint("z", id="z", created_at=1), revision=1, updated_at=99))

    assert [endpoint.id for endpoint in await store.list()] == ["z", "a", "b", "c"]


async def test_the_access_list_is_replaced_as_a_whole(store: EndpointStore) -> None:
    added = await store.add(an_endpoint(), ADA_MANAGES)
    viewers = AccessList(groups={"späher": Level.CAN_VIEW})

    await store.set_access(added.id, viewers)

    assert await store.access(added.id) == viewers
    assert await store.get(added.id) == added


async def test_all_access_lists_at_once(store: EndpointStore) -> None:
    assert await store.access_lists() == {}
    wine = await store.add(an_endpoint("wine"), ADA_MANAGES)
    fraud = await store.add(an_endpoint("fraud"), NOBODY)
    await store.delete(wine.id)

    assert await store.access_lists() == {wine.id: ADA_MANAGES, fraud.id: NOBODY}


async def test_changing_a_mapping_afterwards_changes_nothing_stored(store: EndpointStore) -> None:
    variables, extra, grants = {"A": "1"}, {"deep": {"list": [1]}}, {"ada": Level.CAN_VIEW}
    config = a_config(1, an_entity(environment_vars=variables, extra=extra))
    given_ = an_endpoint(pending=config, extra=extra, deployments={(1, "wine-3"): Deployment()})
    expected = an_endpoint(
        pending=a_config(1, an_entity(environment_vars={"A": "1"}, extra={"deep": {"list": [1]}})),
        extra={"deep": {"list": [1]}},
        deployments={(1, "wine-3"): Deployment()},
        revision=1,
    )
    returned = await store.add(given_, AccessList(principals=grants))

    variables["A"] = "2"
    extra["deep"]["list"].append(2)
    grants["eve"] = Level.CAN_MANAGE
    for endpoint in (returned, await store.get(given_.id), await store.find(given_.name), (await store.list())[0]):
        assert endpoint == expected
        cast(MutableMapping[Any, Any], endpoint.deployments).clear()
        cast(dict[str, Any], endpoint.extra)["deep"]["list"].append(3)
    access = await store.access(given_.id)
    cast(MutableMapping[str, Level], access.principals).clear()

    assert await store.get(given_.id) == expected
    assert await store.access(given_.id) == AccessList(principals={"ada": Level.CAN_VIEW})


async def test_read_only_mappings_are_stored_too(store: EndpointStore) -> None:
    frozen = MappingProxyType({"a": MappingProxyType({"b": (1, 2)})})
    added = await store.add(an_endpoint(extra=frozen, pending=a_config(1, extra=frozen)), NOBODY)

    assert type(added.extra) is dict
    assert type(added.extra["a"]) is dict
    assert list(added.extra["a"]["b"]) == [1, 2]


async def test_large_environments_and_any_text_survive(store: EndpointStore) -> None:
    entity = an_entity(
        name="größe-\N{GRINNING FACE}",
        environment_vars={f"VARIABLE_{number}": "\u20ac\x00\n'\"" * 2_000 for number in range(200)},
    )
    endpoint = an_endpoint("\N{GRINNING FACE}", description="\ud800 alone", pending=a_config(1, entity))

    added = await store.add(endpoint, NOBODY)

    assert await store.get(added.id) == replace(endpoint, revision=1)


@pytest.mark.parametrize("kind", sorted(KINDS))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    values=st.lists(any_.endpoints, min_size=1, max_size=3, unique_by=(lambda e: e.id, lambda e: e.name)),
    data=st.data(),
)
def test_every_value_comes_back_as_it_went_in(kind: str, values: list[Endpoint], data: st.DataObject) -> None:
    access = data.draw(any_.access_lists)

    async def round_trip() -> None:
        with TemporaryDirectory() as folder:
            async with KINDS[kind](Path(folder)) as stores:
                store = stores.endpoints
                for value in values:
                    assert await store.add(value, access) == replace(value, revision=1)
                    assert await store.access(value.id) == access
                for value in values:
                    assert await store.get(value.id) == replace(value, revision=1)
                    assert await store.find(value.name) == replace(value, revision=1)
                    assert await store.save(replace(value, revision=1)) == replace(value, revision=2)
                expected = sorted(values, key=lambda endpoint: (endpoint.created_at, endpoint.id))
                assert await store.list() == [replace(value, revision=2) for value in expected]

    asyncio.run(round_trip())


def test_the_strategies_cover_every_field() -> None:
    assert any_.fields_without_strategy() == set()


@pytest.mark.parametrize("state", UpdateState)
async def test_every_update_state_is_kept(store: EndpointStore, state: UpdateState) -> None:
    added = await store.add(an_endpoint(update=state), NOBODY)

    assert (await store.list())[0].update is state
    assert added.update is state
